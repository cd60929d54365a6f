"""Trains an embedder on a task's train split and measures it on tests that share nothing with it, before and after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.settings import ReadingSettings
from luthier.models.hardware import DeviceSettings
from luthier.models.opening import EmbedderSettings, embedder_reads, open_embedder
from luthier.progress import Progress, quiet
from luthier.recipes import retriever_page
from luthier.records import JSON, Journal
from luthier.run import Run
from luthier.settings import REQUIRED, argument, check, option, seed_option

if TYPE_CHECKING:
    from luthier.evaluate.retrieval.task import Task

MODEL, METRICS = "model", "metrics.jsonl"


@dataclass(frozen=True)
class RetrieverTrainingSettings(DeviceSettings, ReadingSettings):
    """Train an embedder on the train split of TASK and measure it again; pairs that repeat a test are left out."""

    task: str = argument("A folder, or coir:NAME.", default=REQUIRED)
    base: str = option("static", "static, minilm, or a folder of either kind.")
    tests: tuple[str, ...] = option((), "Measured before and after; the task's own test split where left out.", "--test", metavar="TASK")
    epochs: float = option(5.0, "Passes over the pairs.", above=0, most=10_000)
    batch_size: int = option(512, "Pairs of a step; the other documents of a batch count as wrong.", least=2)
    learning_rate: float | None = option(None, "0.02 for static embeddings and 5e-5 for transformers where left out.", above=0, most=10)
    minutes: float | None = option(None, "Stop training after so many.", above=0)
    max_length: int = option(128, "Tokens read of a text by a transformer.", least=1)
    device: str = option("auto", "Of a transformer: cpu, cuda or mps; the first GPU where there is one, else the CPU.", later=True)
    seed: int = seed_option("Of batches and intervals.")

    def __post_init__(self) -> None:
        check(self)


def run(settings: RetrieverTrainingSettings, out: Path, progress: Progress = quiet) -> Run:
    """Write a sentence-transformers folder `model` and the scores before and after; a finished step is kept, a stopped one continues.

    Raises SettingsError, MissingFileError, BadRowError.
    """
    from luthier.evaluate.retrieval.formats import read_task
    from luthier.evaluate.retrieval.layout import find_task

    base = _base(settings.base, settings.device)
    asked = [(settings.task, "train"), *((name, "test") for name in settings.tests or (settings.task,))]
    files = [find_task(name, split, settings.source, settings.subset) for name, split in asked]
    training, *tests = (read_task(each, settings) for each in files)
    pairs = disjoint_pairs(training, tests)
    reads = dict(each for found in files for each in found.reads())
    with Run(
        out,
        "evaluate retrieval train",
        settings,
        reads=[*reads.items(), *embedder_reads(settings.base)],
        progress=progress,
        draw=retriever_page.draw,
    ) as made:
        made.step("train", partial(_train, pairs, base, out, settings, progress), files=[MODEL, METRICS])
        made.step("measure", partial(_measure, tests, base, out, settings), after=["train"])
    return made


class TrainingPairs(NamedTuple):
    """(query, document) of a task, how many were left out, and what was not read of it and of the tests."""

    kept: list[tuple[str, str]]
    left_out: int
    accounts: dict[str, Mapping[str, int]]


def disjoint_pairs(training: Task, tests: Sequence[Task]) -> TrainingPairs:
    """The pairs of the training task, less those of which a side repeats, or nearly repeats, a test's query or answer. Raises SettingsError
    where none is left."""
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
    accounts = {f"{task.name} ({task.split})": task.account for task in (training, *tests) if task.account}
    return TrainingPairs(kept, len(triples) - len(kept), accounts)


def _base(name: str, device: str) -> Any:
    from luthier.evaluate.retrieval.opening import VECTORS, is_bm25
    from luthier.models.static_embedder import StaticEmbedder
    from luthier.train.retriever import check_device

    base = None if is_bm25(name) or name.startswith(VECTORS) else open_embedder(name, EmbedderSettings(device=device))
    if base is None or not hasattr(base, "folder") or not hasattr(base, "fingerprint"):
        raise SettingsError(f"{name} cannot be trained; name static, minilm, or a model's folder")
    check_device(device, static=isinstance(base, StaticEmbedder))
    return base


def _train(pairs: TrainingPairs, base: Any, folder: Path, settings: RetrieverTrainingSettings, progress: Progress) -> JSON:
    from luthier.models.static_embedder import StaticEmbedder
    from luthier.train.retriever import CHECKPOINTS, RetrieverSettings, train_retriever

    _sweep(folder / MODEL / CHECKPOINTS)
    chosen = RetrieverSettings(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seconds=None if settings.minutes is None else 60 * settings.minutes,
        max_length=settings.max_length,
        device=settings.device,
        seed=settings.seed,
    )
    progress.step("Training")
    static = isinstance(base, StaticEmbedder)
    with Journal(folder / METRICS, ("step", "loss")) as metrics:

        def told(done: int, planned: int, loss: float) -> None:
            metrics.append({"step": done, "loss": loss})
            progress.update(done, planned, f"loss {loss:.3f}")

        result = train_retriever(pairs.kept, base.folder, folder / MODEL, chosen, static=static, progress=told)
    return {**result.to_row(), "left_out": pairs.left_out, "base": base.name, "accounts": pairs.accounts}


def _sweep(checkpoints: Path) -> None:
    """Take away checkpoints that a kill left half-written; the state of the trainer is what is written last."""
    for checkpoint in checkpoints.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)


def _measure(tests: Sequence[Task], base: Any, folder: Path, settings: RetrieverTrainingSettings) -> JSON:
    from luthier.evaluate.retrieval.metrics import evaluate_run
    from luthier.evaluate.retrieval.retrieve import expand, retrieve
    from luthier.statistics.resampling import bootstrap, paired

    trained = open_embedder(folder / MODEL, EmbedderSettings(device=settings.device))
    rows, seed = [], settings.seed
    for test in tests:
        values = [
            evaluate_run(expand(retrieve(test, model).run, test), test.qrels, ("ndcg@10",), "expected").of("ndcg@10")
            for model in (base, trained)
        ]
        before, after = (bootstrap(value, test.query_clusters, seed) for value in values)
        change = paired(values[0], values[1], test.query_clusters, seed)
        rows.append({"task": test.name, "before": before.to_row(), "after": after.to_row(), "change": change.to_row()})
    return {"tests": rows}
