"""Scores retrievers on tasks: every model on every task, with ties, duplicates, intervals and ceilings told, and one page of it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.recipes.retrievers import ModelOptions, open_retriever
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON

if TYPE_CHECKING:
    from luthier.evaluate.retrieval.metrics import Run
    from luthier.evaluate.retrieval.task import Task
    from luthier.models.embedding_cache import EmbeddingCache

RESULTS = "results"


@dataclass(frozen=True)
class RetrievalInputs:
    """tasks: folders or coir:NAME. models: see `recipes.retrievers.KNOWN`. top: distinct documents kept of a query.

    limit: queries taken of each task, evenly spaced, None for all; the corpus stays whole. adjustment: of vectors. fuse: add a run made of all models,
    with `weights`. instruct: put CoIR's instruction of the data set before each query, for models that follow one. rerank: a language model that reads the first `rerank_top` documents of the last run. cache: folder of embeddings.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...] = ("minilm",)
    split: str = "test"
    reading: str = "text"
    source: str | None = None
    top: int = 100
    limit: int | None = None
    adjustment: str = "none"
    options: ModelOptions = field(default_factory=ModelOptions)
    fuse: str | None = None
    weights: tuple[float, ...] = ()
    rerank: str | None = None
    rerank_top: int = 20
    cache: str | None = None
    instruct: bool = False
    seed: int = 0


def run_retrieval(inputs: RetrievalInputs, folder: Path, command: str, progress: Progress = quiet, *, api_key: str | None = None) -> JSON:
    """Score in `folder`, write `report.html` there and return what `run.json` holds; the same call continues a stopped run.

    Raises SettingsError, MissingFileError, BadRowError.
    """
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.report.retrieval_page import write_retrieval_page

    _check(inputs)
    cache = EmbeddingCache(inputs.cache)
    with RunFolder(folder, "evaluate retrieval", command, asdict(inputs), inputs.seed) as run:
        for name in inputs.tasks:
            _score_task(_Job(_load(name, inputs), run, inputs, progress), cache, api_key)
        rows = [step["results"] for step in run.record["steps"].values()]
        run.record["means"] = means(rows)
        write_retrieval_page(rows, run.record["means"], folder / "report.html")
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def means(rows: list[JSON], metric: str = "ndcg@10") -> list[JSON]:
    """The mean over tasks of each model that saw all of them; CoIR's own mean where all its data sets are there."""
    from luthier.evaluate.retrieval.datasets import DATASETS, macro_mean

    tasks = list(dict.fromkeys(row["settings"]["name"] for row in rows))
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        scores.setdefault(row["model"], {})[row["settings"]["name"]] = row["metrics"][metric]["trec"]["mean"]
    found = []
    for model, values in scores.items():
        if len(tasks) > 1 and len(values) == len(tasks):
            coir = {name.removeprefix("coir:"): value for name, value in values.items() if name.startswith("coir:")}
            whole = all(part in coir for parts in DATASETS.values() for part in parts)
            found.append(
                {
                    "model": model,
                    "tasks": len(tasks),
                    "mean": sum(values.values()) / len(values),
                    "coir": macro_mean(coir) if whole else None,
                }
            )
    return found


def _check(inputs: RetrievalInputs) -> None:
    if not inputs.tasks or not inputs.models:
        raise SettingsError("name at least one task and one model")
    if len(set(inputs.models)) != len(inputs.models):
        raise SettingsError("a model is named twice")
    if inputs.weights and len(inputs.weights) != len(inputs.models):
        raise SettingsError(f"{len(inputs.weights)} weights for {len(inputs.models)} models; give one each")
    if inputs.fuse is not None and len(inputs.models) < 2:
        raise SettingsError("fusion needs two models or more")


def _load(name: str, inputs: RetrievalInputs) -> Task:
    from luthier.evaluate.retrieval.task import Task

    source = None if inputs.source is None else Path(inputs.source)
    task = Task.load(name, inputs.split, reading=inputs.reading, source=source)  # type: ignore[arg-type]
    return task if inputs.limit is None else task.limited(inputs.limit)


def _score_task(job: _Job, cache: EmbeddingCache, api_key: str | None) -> None:
    inputs = job.inputs
    labels = []
    for model in inputs.models:
        retriever = open_retriever(model, _options(job), api_key)
        label = retriever.name if inputs.adjustment == "none" else f"{retriever.name}, {inputs.adjustment}"
        told: JSON = {"model": _identity(retriever), "adjustment": inputs.adjustment, "max_length": getattr(retriever, "max_length", None)}
        job.score(label, told, partial(_retrieve, job, retriever, cache))
        labels.append(label)
    last = labels[-1]
    if inputs.fuse is not None:
        last = f"fused:{inputs.fuse}"
        fusing: JSON = {"runs": labels, "weights": list(inputs.weights), "max_length": None}
        job.score(last, fusing, partial(_fuse, job, labels), after=labels)
    if inputs.rerank is not None:
        reading: JSON = {"reranker": inputs.rerank, "top": inputs.rerank_top, "max_length": None}
        job.score(f"{last}+{inputs.rerank}", reading, partial(_rerank, job, last), after=[last])


def _options(job: _Job) -> ModelOptions:
    """The options of the models, with the task's instruction before each query where it is wanted. Raises SettingsError where there is none."""
    from luthier.evaluate.retrieval.datasets import instruction

    options, name = job.inputs.options, job.task.name
    if not job.inputs.instruct:
        return options
    if not name.startswith("coir:"):
        raise SettingsError(f"{name}: only CoIR's data sets have instructions; write your own with --query-prompt")
    return replace(options, query_prompt=f"Instruct: {instruction(name.removeprefix('coir:'))}\nQuery: ")


@dataclass(frozen=True)
class _Job:
    """What scoring the models of one task shares."""

    task: Task
    run: RunFolder
    inputs: RetrievalInputs
    progress: Progress

    def step_name(self, model: str) -> str:
        return f"{self.task.name} / {model}"

    def place(self, model: str) -> str:
        from luthier.evaluate.retrieval.compare import file_name

        return f"{RESULTS}/{file_name(self.task.name)}--{file_name(model)}"

    def score(self, model: str, told: JSON, found: Callable[[], tuple[Run, JSON]], after: Sequence[str] = ()) -> None:
        """One step of the run: find, score, keep. after: the models whose runs it reads."""
        files = [f"{self.place(model)}.json", f"{self.place(model)}.safetensors"]
        settings: JSON = {
            "name": self.task.name,
            "task": self.task.fingerprint,
            "split": self.task.split,
            "reading": self.task.reading,
            "depth": self.inputs.top,
            "queries": len(self.task.queries),
            "documents": len(self.task.documents),
            **told,
        }
        before = [self.step_name(name) for name in after]
        self.run.step(self.step_name(model), settings, files, lambda: self._work(model, settings, found), after=before)

    def _work(self, model: str, settings: JSON, found: Callable[[], tuple[Run, JSON]]) -> JSON:
        from luthier.evaluate.retrieval.compare import Result, save_result
        from luthier.evaluate.retrieval.scoring import ceiling, score

        run, costs = found()
        scored = score(self.task, run)
        row: JSON = {
            "metrics": scored.to_row(self.inputs.seed),
            "ceiling": ceiling(self.task, ("ndcg@10",)),
            "costs": costs,
            "distinct_documents": int(self.task.copies.max()) + 1,
            "distinct_queries": int(self.task.query_clusters.max()) + 1,
        }
        values = {f"{metric}/{reading}": scores.of(metric) for reading, scores in scored.by_reading.items() for metric in scores.metrics}
        place = self.run.path / self.place(model)
        save_result(place, Result(model, settings, values, scored.clusters, row), run)
        return {"model": model, "settings": settings, **row}

    def load(self, model: str) -> Run:
        from luthier.evaluate.retrieval.compare import load_results

        return load_results(self.run.path / f"{self.place(model)}.json")[0][1]


def _retrieve(job: _Job, retriever: Any, cache: EmbeddingCache) -> tuple[Run, JSON]:
    from luthier.evaluate.retrieval.retrieve import retrieve, truncation

    total = len(set(job.task.query_texts)) + int(job.task.copies.max()) + 1
    job.progress.step("encode", None if retriever.name.startswith("bm25") else total)
    found = retrieve(
        job.task,
        retriever,
        job.inputs.top,
        cache=cache,
        adjustment=job.inputs.adjustment,  # type: ignore[arg-type]
        progress=job.progress.advance,
    )
    told = {
        side: truncation(job.task, retriever, texts, kind)
        for side, texts, kind in (("queries", job.task.query_texts, "query"), ("documents", job.task.document_texts, "document"))
        if getattr(retriever, "max_length", None) is not None
    }
    return found.run, found.costs | ({"truncation": told} if told else {})


def _fuse(job: _Job, labels: Sequence[str]) -> tuple[Run, JSON]:
    from luthier.evaluate.retrieval.fusion import fuse

    method, weights = job.inputs.fuse, job.inputs.weights or None
    return fuse([job.load(label) for label in labels], method, weights, job.inputs.top), {}  # type: ignore[arg-type]


def _rerank(job: _Job, before: str) -> tuple[Run, JSON]:
    import time

    from luthier.evaluate.retrieval.rerank import rerank
    from luthier.evaluate.retrieval.retrieve import first_rows
    from luthier.recipes.tools import open_model

    start = time.process_time()
    texts = [job.task.document_texts[row] for row in first_rows(job.task).tolist()]
    job.progress.step("rerank", len(job.task.queries))
    found = rerank(
        job.load(before),
        job.task.query_texts,
        texts,
        open_model(str(job.inputs.rerank)),
        top=job.inputs.rerank_top,
        progress=job.progress.advance,
    )
    return found, {"rerank_cpu_seconds": round(time.process_time() - start, 1)}


def _identity(retriever: Any) -> str:
    """What a model's run depends on."""
    from luthier.evaluate.retrieval.retrieve import Vectors
    from luthier.packages import file_sha256

    if isinstance(retriever, Vectors):
        files = sorted(retriever.folder.glob("*.npy"))
        return ",".join(file_sha256(file)[:16] for file in files)
    return str(getattr(retriever, "fingerprint", retriever.name))
