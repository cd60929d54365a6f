"""From documents to a labelled fusion suite in a run folder: facts of tables and, with a model, of texts; a split; questions; contexts;
infusion sets. Here, because what the untrained model knows and what a retriever finds is for `luthier.evaluate` to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.models.opening import model_reads, open_model
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows
from luthier.records.fusion_suite import CONVERSATIONS, FACTS, ITEMS, MANIFEST, RETENTION, STATEMENTS, read_suite
from luthier.run import Run
from luthier.synthesize.fusion import FusionSuite, KnowledgeBase, Split, page, split_facts
from luthier.synthesize.fusion.extraction import extract_facts, passages, write_questions
from luthier.synthesize.fusion.settings import FusionSettings

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.records.fusion import Fact
    from luthier.synthesize.fusion.contexts import Search

FILES = (FACTS, ITEMS, RETENTION, STATEMENTS, CONVERSATIONS, MANIFEST)
READ, QUESTIONS, UNTRAINED = "read.jsonl", "questions.jsonl", "untrained.jsonl"  # what the models said


def run(settings: FusionSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the suite's files, and what models said on the way; the same call continues a stopped run, and asks nothing twice.

    Raises SettingsError where nothing comes of the settings, and what reading the documents and opening the models raise.
    """
    job = Job(settings, out, progress, *_documents(settings, out))
    asked = [(settings.reader, READ), (settings.writer, QUESTIONS), (settings.untrained, UNTRAINED)]
    models = [read for name, _ in asked if name for read in model_reads(name, endpoint=settings.endpoint)]
    with Run(out, "synthesize fusion", settings, reads=[*settings.documents, *models], progress=progress, draw=page.draw) as made:
        if settings.reader:
            reads = [*settings.documents, *(name for name, _ in model_reads(settings.reader, endpoint=settings.endpoint))]
            made.step(
                "read",
                partial(_read, job),
                uses=("documents", "reader", "endpoint", "dates", "skip_bad", *settings.hardware()),
                reads=reads,
                files=[READ],
            )
        files = [*FILES, *(file for name, file in asked[1:] if name)]
        made.step("suite", partial(_make, job), files=files, after=["read"] if settings.reader else [])
    return made


@dataclass(frozen=True)
class Job:
    """What the steps work on. tables: the facts of tables, and the texts; skipped: rows and files set aside."""

    settings: FusionSettings
    folder: Path
    progress: Progress
    tables: KnowledgeBase
    skipped: int

    def recording(self, name: str, file: str) -> RecordingModel:
        """A model whose answers are kept in a file of the run."""
        return RecordingModel(open_model(name, endpoint=self.settings.endpoint, **self.settings.hardware()), self.folder / file)


def _documents(settings: FusionSettings, out: Path) -> tuple[KnowledgeBase, int]:
    told = ", ".join(settings.documents)
    if any(Path(path).is_dir() and out.resolve().is_relative_to(Path(path).resolve()) for path in settings.documents):
        raise SettingsError(f"{out}: lies in {told}, which is read; choose another --out")
    skipped = SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None
    found = KnowledgeBase.from_paths(settings.documents, settings.columns, skipped=skipped)
    if not found.facts and settings.reader is None:
        raise SettingsError(f"{told}: running text only; name a model that reads facts from it (--reader bundled)")
    return found, skipped.count if skipped else 0


def _read(job: Job) -> JSON:
    some = list(passages(job.tables.texts))
    job.progress.step("Reading texts", len(some))
    with job.recording(str(job.settings.reader), READ) as model:
        found, dropped = _facts(job, model)
    if not found.facts:
        told = ", ".join(f"{count} {reason}" for reason, count in (Counter(found.dropped) + dropped).items())
        where = f"{', '.join(job.settings.documents)}: no fact that {job.settings.reader} read passed the rules ({told})"
        raise SettingsError(f"{where}; try a stronger model")
    return {"passages": len(some), "facts": len(found.facts) - len(job.tables.facts)}


def _facts(job: Job, reader: LanguageModel) -> tuple[KnowledgeBase, Counter[str]]:
    """The facts of tables with those that the reader finds in texts, and what of its finds was left out."""
    dropped = Counter[str]()
    found = extract_facts(reader, list(passages(job.tables.texts)), dropped, progress=job.progress.advance)
    return job.tables.with_facts(found), dropped


def _make(job: Job) -> JSON:
    settings = job.settings
    was_read = settings.reader is not None and job.tables.texts
    facts, unread = _facts(job, ReplayModel(job.folder / READ)) if was_read else (job.tables, Counter[str]())
    split = split_facts(facts, by=settings.by, at=settings.at, holdout=settings.holdout, seed=settings.seed)
    tested, known = _known(split, job) if settings.untrained is not None else (None, frozenset[str]())
    written, counted = _worded(split, job) if settings.writer is not None else (None, Counter[str]())
    made = FusionSuite.build(split, settings.suite, known=known, tested=tested, search=_search(settings), written=written)
    dropped = Counter(facts.dropped) + unread + counted + Counter(made.report["dropped"])
    texts = {"texts": len(facts.texts), "documents": len(facts.sources), "skipped": job.skipped}
    report = {**made.report, **texts, "dropped": dict(sorted(dropped.items())), "seed": settings.seed}
    manifest = replace(made, report=report).save(job.folder)
    read_suite(job.folder)  # what was written proves itself: hashes, labels, contexts
    return manifest


def _search(settings: FusionSettings) -> Search | None:
    if settings.retriever is None:
        return None
    from luthier.evaluate.retrieval.bm25 import BM25

    chosen = BM25(settings.retriever.partition(":")[2] or "code")

    def search(queries: Sequence[str], texts: Sequence[str], depth: int) -> list[list[int]]:
        found: list[list[int]] = chosen.search(queries, texts, depth).documents.tolist()
        return found

    return search


def _worded(split: Split, job: Job) -> tuple[dict[str, str], Counter[str]]:
    counted, count = Counter[str](), job.settings.per_scenario
    facts = [fact for half in (split.memory, split.external, split.held) for fact in half.test[:count]]
    job.progress.step("Wording questions", len(facts))
    with job.recording(str(job.settings.writer), QUESTIONS) as model:
        return write_questions(model, facts, counted, progress=job.progress.advance), counted


def _known(split: Split, job: Job) -> tuple[frozenset[str], frozenset[str]]:
    """The facts that the untrained model was asked for, and those it answers closed-book in at least one of four samples: no memory that
    infusion made."""
    from luthier.evaluate.fusion import Scorer, known_facts
    from luthier.synthesize.fusion.suite import closed_book

    facts = _asked(split, job.settings.per_scenario)
    scorer = Scorer({fact.id: fact for half in (split.memory, split.external, split.held) for fact in half.all})
    job.progress.step("Asking what is known", 4 * len(facts))
    with job.recording(str(job.settings.untrained), UNTRAINED) as model:
        known = known_facts(model, closed_book(facts), scorer, least=1, seed=job.settings.seed, progress=job.progress.advance)
    return frozenset(fact.id for fact in facts), frozenset(known)


def _asked(split: Split, per_scenario: int) -> list[Fact]:
    """The facts that tests may ask for, with some to spare for those that fall out."""
    count = round(per_scenario * 1.2)
    return [*split.memory.test[:count], *split.external.test[:count], *split.held.test[:count]]
