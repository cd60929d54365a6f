"""Trains an embedder on a task's train split and measures it on tests that share nothing with it, before and after."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import MissingFileError, SettingsError
from luthier.progress import Progress, quiet
from luthier.recipes.retrievers import open_retriever
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON
from luthier.train.retriever import RetrieverSettings

if TYPE_CHECKING:
    from luthier.evaluate.retrieval.task import Task

MODEL = "model"


@dataclass(frozen=True)
class RetrieverInputs:
    """task: whose split `train` is trained on. base: static, minilm, or a folder. tests: tasks that are measured, the task's own test split where empty."""

    task: str
    base: str = "static"
    tests: tuple[str, ...] = ()
    settings: RetrieverSettings = field(default_factory=RetrieverSettings)


def run_training(inputs: RetrieverInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write a sentence-transformers folder `model` and the scores before and after; a finished step is kept. Raises SettingsError, MissingFileError."""
    from luthier.evaluate.retrieval.task import Task

    base = open_retriever(inputs.base)
    if not hasattr(base, "folder") or not hasattr(base, "fingerprint"):
        raise SettingsError(f"{inputs.base} cannot be trained; name static, minilm, or a model's folder")
    training = Task.load(inputs.task, "train")
    tests = [Task.load(name) for name in inputs.tests or (inputs.task,)]
    with RunFolder(folder, "evaluate retrieval train", command, asdict(inputs), inputs.settings.seed) as run:
        keyed = {
            "task": training.fingerprint,
            "base": base.fingerprint,
            "settings": asdict(inputs.settings),
            "tests": [test.fingerprint for test in tests],
        }
        run.step("train", keyed, [MODEL], lambda: _train(training, tests, base, folder, settings=inputs.settings, progress=progress))
        run.step("measure", {}, [], lambda: _measure(tests, base, folder), after=["train"])
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _train(training: Task, tests: list[Task], base: Any, folder: Path, *, settings: RetrieverSettings, progress: Progress) -> JSON:
    from luthier.models.static_embedder import StaticEmbedder
    from luthier.train.retriever import train_retriever

    pairs, left_out = disjoint_pairs(training, tests)
    static = isinstance(base, StaticEmbedder)
    progress.step("train", None)
    result = train_retriever(
        pairs,
        base.folder,
        folder / MODEL,
        settings,
        static=static,
        progress=lambda done, planned, loss: progress.update(done, planned, f"loss {loss:.3f}"),
    )
    return {**result, "left_out": left_out, "base": base.name}


def disjoint_pairs(training: Task, tests: list[Task]) -> tuple[list[tuple[str, str]], int]:
    """(query, document) of the training task, less those of which a side repeats, or nearly repeats, a test's query or answer; and how many those are."""
    from luthier.evaluate.retrieval.build.building import contaminated

    known = [text for test in tests for text in test.query_texts]
    known += [test.document_texts[row] for test in tests for row in test.qrels.documents.tolist()]
    queries = contaminated(training.query_texts, known)
    documents = contaminated(training.document_texts, known)
    triples = [(query, document) for query, document, gain in training.qrels.triples() if gain > 0]
    kept = [
        (training.query_texts[query], training.document_texts[document])
        for query, document in triples
        if query not in queries and document not in documents
    ]
    if not kept:
        raise SettingsError(f"{training.name}: no training pair is left that does not repeat a test")
    return kept, len(triples) - len(kept)


def _measure(tests: list[Task], base: Any, folder: Path) -> JSON:
    from luthier.evaluate.retrieval.metrics import evaluate_run
    from luthier.evaluate.retrieval.retrieve import expand, retrieve
    from luthier.statistics.resampling import bootstrap, paired

    if not (folder / MODEL).is_dir():
        raise MissingFileError(f"{folder / MODEL}: the trained model is gone; run again in another folder")
    trained = open_retriever(str(folder / MODEL))
    rows = []
    for test in tests:
        values = [
            evaluate_run(expand(retrieve(test, model).run, test), test.qrels, ("ndcg@10",), "expected").of("ndcg@10")
            for model in (base, trained)
        ]
        before, after = (bootstrap(value, test.query_clusters) for value in values)
        change = paired(values[0], values[1], test.query_clusters)
        rows.append({"task": test.name, "before": before.to_row(), "after": after.to_row(), "change": change.to_row()})
    return {"tests": rows}
