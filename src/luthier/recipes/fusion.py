"""From documents to a labelled fusion suite: facts of tables and, with a model, of texts; a split; questions; contexts; infusion sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, SkippedRows
from luthier.records.fusion_suite import CONVERSATIONS, FACTS, ITEMS, MANIFEST, RETENTION, STATEMENTS, read_suite
from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase, Split, SuiteSettings

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.records.fusion import Fact
    from luthier.synthesize.fusion.contexts import Search

FILES = (FACTS, ITEMS, RETENTION, STATEMENTS, CONVERSATIONS, MANIFEST)


@dataclass(frozen=True)
class FusionInputs:
    """Documents, files or folders, and how a suite is made of them.

    by, at, holdout, train: the split, see `split_facts`. retriever: contexts from BM25 (`bm25`, `bm25:word`, `bm25:stem`) in place of chosen distractors.
    reader: a model that reads facts from texts ('bundled', a folder, or a served model); writer: one that words the test questions; untrained: the model
    to be infused, so that what it knows already is left out. Each with an endpoint of its own where it is served.
    """

    documents: tuple[str, ...]
    columns: Columns = field(default_factory=Columns)
    suite: SuiteSettings = field(default_factory=SuiteSettings)
    by: str = "date"
    at: str | None = None
    holdout: float = 0.1
    train: float = 0.5
    retriever: str | None = None
    reader: str | None = None
    writer: str | None = None
    untrained: str | None = None
    endpoint: str | None = None
    skip_bad: str | None = None
    seed: int = 0


def run_fusion(inputs: FusionInputs, folder: Path, command: str, progress: Progress = quiet, *, api_key: str | None = None) -> JSON:
    """Write the suite's files in `folder` and return what `run.json` holds; a stopped run asks no model twice.

    Raises SettingsError where nothing comes of the inputs.
    """
    if not inputs.documents:
        raise SettingsError("no documents: give files or folders")
    job = _Job(inputs, folder, progress, api_key)
    with RunFolder(folder, "synthesize fusion", command, asdict(inputs), inputs.seed) as run:
        run.record["inputs"] = _hashes(inputs.documents)
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        run.step("suite", keyed, FILES, lambda: _make(job))
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _hashes(paths: Sequence[str]) -> dict[str, str]:
    files = [one for path in map(Path, paths) for one in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return {str(path): file_sha256(path) for path in files if path.is_file()}


@dataclass(frozen=True)
class _Job:
    """What the steps share."""

    inputs: FusionInputs
    folder: Path
    progress: Progress
    api_key: str | None

    def engine(self, name: str) -> LanguageModel:
        from luthier.models.endpoint import EndpointModel

        if self.inputs.endpoint is not None:
            return EndpointModel(self.inputs.endpoint, name, self.api_key)
        model: LanguageModel = open_model(name)
        return model


def _make(job: _Job) -> JSON:
    inputs, seed = job.inputs, job.inputs.seed
    job.progress.step("documents")
    skipped = SkippedRows(Path(inputs.skip_bad)) if inputs.skip_bad else None
    kb = KnowledgeBase.from_paths(inputs.documents, inputs.columns, skipped=skipped)
    if inputs.reader is not None:
        kb = _read_texts(kb, inputs.reader, job)
    if not kb.facts and inputs.reader is not None:
        told = ", ".join(f"{count} {reason}" for reason, count in kb.dropped.items())
        raise SettingsError(
            f"{', '.join(inputs.documents)}: no fact that {inputs.reader} read passed the rules ({told}); try a stronger model"
        )
    if not kb.facts:
        raise SettingsError(f"{', '.join(inputs.documents)}: running text only; name a model that reads facts from it (--reader bundled)")
    split = kb.split(inputs.by, inputs.at, inputs.holdout, seed, inputs.train)
    tested, known = _known(split, inputs, job) if inputs.untrained is not None else (None, frozenset[str]())
    written, counted = _worded(split, inputs.writer, job) if inputs.writer is not None else (None, Counter[str]())
    made = FusionSuite.build(split, inputs.suite, known=known, tested=tested, search=_search(inputs.retriever), written=written)
    dropped = Counter(kb.dropped) + counted + Counter(made.report["dropped"])
    texts = {"texts": len(kb.texts), "documents": len(kb.sources), "skipped": skipped.count if skipped else 0}
    manifest = replace(made, report={**made.report, **texts, "dropped": dict(sorted(dropped.items())), "seed": seed}).save(job.folder)
    read_suite(job.folder)  # what was written proves itself: hashes, labels, contexts
    return manifest


def _search(name: str | None) -> Search | None:
    if name is None:
        return None
    from luthier.evaluate.retrieval.bm25 import BM25
    from luthier.recipes.retrievers import open_retriever

    chosen = open_retriever(name)
    if not isinstance(chosen, BM25):
        raise SettingsError(f"the retriever is {name!r}; choose one of bm25, bm25:word, bm25:stem, bm25:code")

    def search(queries: Sequence[str], texts: Sequence[str], depth: int) -> list[list[int]]:
        found: list[list[int]] = chosen.search(queries, texts, depth).documents.tolist()
        return found

    return search


def _read_texts(kb: KnowledgeBase, reader: str, job: _Job) -> KnowledgeBase:
    from luthier.models.replay import RecordingModel
    from luthier.synthesize.fusion.extraction import extract_facts, passages

    some, dropped = list(passages(kb.texts)), Counter[str]()
    job.progress.step("read-texts", len(some))
    with RecordingModel(job.engine(reader), job.folder / "read.jsonl") as model:
        found = extract_facts(model, some, dropped, progress=job.progress.advance)
    made = kb.with_facts(found)
    return replace(made, dropped=dict(Counter(made.dropped) + dropped))


def _worded(split: Split, writer: str, job: _Job) -> tuple[dict[str, str], Counter[str]]:
    from luthier.models.replay import RecordingModel
    from luthier.synthesize.fusion.extraction import write_questions

    counted, count = Counter[str](), job.inputs.suite.per_scenario
    facts = [fact for half in (split.memory, split.external, split.held) for fact in half.test[:count]]
    job.progress.step("word-questions", len(facts))
    with RecordingModel(job.engine(writer), job.folder / "questions.jsonl") as model:
        return write_questions(model, facts, counted, progress=job.progress.advance), counted


def _known(split: Split, inputs: FusionInputs, job: _Job) -> tuple[frozenset[str], frozenset[str]]:
    """The facts that the untrained model was asked for, and those it answers closed-book in at least one of four samples: no memory that infusion made."""
    from luthier.evaluate.fusion import Scorer, known_facts
    from luthier.models.replay import RecordingModel
    from luthier.synthesize.fusion.suite import closed_book

    facts = _asked(split, inputs.suite)
    scorer = Scorer({fact.id: fact for half in (split.memory, split.external, split.held) for fact in half.all})
    job.progress.step("closed-book", 4 * len(facts))
    with RecordingModel(job.engine(str(inputs.untrained)), job.folder / "untrained.jsonl") as model:
        known = known_facts(model, closed_book(facts), scorer, least=1, seed=inputs.seed, progress=job.progress.advance)
    return frozenset(fact.id for fact in facts), frozenset(known)


def _asked(split: Split, suite: SuiteSettings) -> list[Fact]:
    """The facts that tests may ask for, with some to spare for those that fall out."""
    count = round(suite.per_scenario * 1.2)
    return [*split.memory.test[:count], *split.external.test[:count], *split.held.test[:count]]
