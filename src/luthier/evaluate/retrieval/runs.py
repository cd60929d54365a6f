"""Scores retrievers on tasks in a run folder: every model on every task, with ties, duplicates, intervals and ceilings told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from luthier.errors import EngineError, SettingsError
from luthier.evaluate.retrieval import page
from luthier.evaluate.retrieval.formats import read_task
from luthier.evaluate.retrieval.layout import NAMED, TaskFiles, find_task
from luthier.evaluate.retrieval.metrics import Run as Ranking
from luthier.evaluate.retrieval.opening import is_bm25, open_retriever, retriever_reads
from luthier.evaluate.retrieval.results import RESULTS, Result, RetrievalRow, file_name, load_result, means, save_result
from luthier.evaluate.retrieval.settings import OpeningSettings, RetrievalSettings
from luthier.evaluate.retrieval.task import Task, own_documents
from luthier.models.opening import model_reads, open_model
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.run import Run

READ = ("split", "reading", "source", "subset", "dangling", "without_own", "limit")  # settings that say what a task is
Found = tuple[Ranking, JSON]  # a run over distinct documents, and what it cost


def run(settings: RetrievalSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep `results/TASK--MODEL.json` with the run and each query's values beside it, and `report.html`; the same call continues a stopped run.

    Raises SettingsError, MissingFileError, BadRowError, and what opening the models raises.
    """
    found = [find_task(name, settings.split, settings.source, settings.subset) for name in settings.tasks]
    tasks = [(files, _read(files, settings)) for files in found]
    models = [(name, _name_of(name, settings, [task for _, task in tasks])) for name in settings.models]
    for _, task in tasks:
        _warn_of_own(task, progress)
    _refuse_alike([place(task.name, label) for _, task in tasks for _, label in models])
    reads = [each for files in found for each in files.reads()]
    reads += [each for name in settings.models for each in retriever_reads(name, settings)]
    if settings.rerank is not None:
        if "score" not in (reader := open_model(settings.rerank, device=settings.embedder.device)).supports:
            raise EngineError(f"{reader.name} cannot score given continuations, which reranking needs; use a local model")
        del reader
        reads += model_reads(settings.rerank)
    with Run(out, "evaluate retrieval run", settings, reads=reads, progress=progress, draw=page.draw) as made:
        while tasks:
            files, task = tasks.pop(0)
            _score_task(Job(task, files, made, settings, progress), models)
        made.note(means=[asdict(mean) for mean in means(page.rows(made))])
    return made


def place(task: str, model: str) -> str:
    """Where a result lies, without the ends of its files."""
    return f"{RESULTS}/{file_name(task)}--{file_name(model)}"


@dataclass(frozen=True)
class Job:
    """What scoring the models of one task shares."""

    task: Task
    files: TaskFiles
    made: Run
    settings: RetrievalSettings
    progress: Progress

    def step_name(self, model: str) -> str:
        return f"{self.task.name} / {model}"

    def score(
        self,
        model: str,
        found: Callable[[], Found],
        told: JSON,
        *,
        uses: Sequence[str],
        reads: Sequence[tuple[str, Path]] = (),
        after: Sequence[str] = (),
    ) -> None:
        """One step of the run: find, score, keep. told: what shapes it, for `compare`; after: the models whose runs it reads."""
        files = [f"{place(self.task.name, model)}.{end}" for end in ("json", "safetensors")]
        named = [name for name, _ in (*self.files.reads(), *reads)]
        after = [self.step_name(name) for name in after]
        self.made.step(
            self.step_name(model),
            partial(self._work, model, told, found),
            uses=(*READ, "top", "seed", *uses),
            reads=named,
            files=files,
            after=after,
            more={"task": self.files.asked},
        )

    def _work(self, model: str, told: JSON, find: Callable[[], Found]) -> JSON:
        from luthier.evaluate.retrieval.scoring import ceiling, score

        found, costs = find()
        scored = score(self.task, found)
        settings: JSON = {
            "name": self.task.name,
            "task": self.task.fingerprint,
            "split": self.task.split,
            "reading": self.task.reading,
            "depth": self.settings.top,
            "queries": len(self.task.queries),
            "documents": len(self.task.documents),
            "max_length": costs.pop("max_length", None),
            **told,
        }
        row = RetrievalRow(
            model,
            settings,
            scored.to_row(self.settings.seed),
            ceiling(self.task, ("ndcg@10",)),
            costs,
            int(self.task.copies.max()) + 1,
            int(self.task.query_clusters.max()) + 1,
            self.task.account,
        )
        values = {f"{metric}/{ties}": scores.of(metric) for ties, scores in scored.by_reading.items() for metric in scores.metrics}
        save_result(self.made.path / place(self.task.name, model), Result(row, values, scored.clusters, found))
        return row.to_row()

    def load(self, model: str) -> Ranking:
        return load_result(self.made.path / f"{place(self.task.name, model)}.json").run


def _name_of(name: str, settings: RetrievalSettings, tasks: Sequence[Task]) -> str:
    """What a model calls itself; one that cannot be opened, or vectors that do not fit, are refused before anything is begun."""
    from luthier.evaluate.retrieval.retrieve import Vectors

    retriever = open_retriever(name, settings)
    if isinstance(retriever, Vectors):
        for task in tasks:
            retriever.load(task)
    return str(retriever.name)


def _read(files: TaskFiles, settings: RetrievalSettings) -> Task:
    task = read_task(files, settings)
    return task if settings.limit is None else task.limited(settings.limit)


def _warn_of_own(task: Task, progress: Progress) -> None:
    if found := 0 if task.without_own else own_documents(task):
        told = f"{found:,} of {len(task.queries):,} queries are documents of the corpus and find themselves"
        progress.say(f"{task.name}: {told}; --without-own leaves them out")


def _refuse_alike(places: Sequence[str]) -> None:
    if twice := [name for name in places if places.count(name) > 1]:
        raise SettingsError(f"two results would be called {twice[0]}; name each model once, and give tasks names of their own")


def _score_task(job: Job, models: Sequence[tuple[str, str]]) -> None:
    settings, labels = job.settings, []
    for name, opened in models:
        plain = settings.adjustment == "none" or is_bm25(name)
        label = opened if plain else f"{opened}, {settings.adjustment}"
        told: JSON = {"adjustment": "none" if plain else settings.adjustment}
        uses = ("k1", "b") if is_bm25(name) else ("embedder", "adjustment", "instruct")
        job.score(label, partial(_retrieve, job, name), told, uses=uses, reads=retriever_reads(name, settings))
        labels.append(label)
    last = labels[-1]
    if settings.fuse is not None:
        last = f"fused:{settings.fuse}"
        told = {"runs": labels, "weights": list(settings.weights)}
        job.score(last, partial(_fuse, job, labels), told, uses=("fuse", "weights"), after=labels)
    if settings.rerank is not None:
        told = {"reranker": settings.rerank, "top": settings.rerank_top}
        uses = ("rerank", "rerank_top", *(() if settings.embedder.device == "auto" else ("embedder",)))
        read = model_reads(settings.rerank)
        job.score(f"{last}+{settings.rerank}", partial(_rerank, job, last), told, uses=uses, reads=read, after=[last])


def _opening(job: Job) -> OpeningSettings:
    """How models are opened, with the task's instruction before each query where it is wanted."""
    from luthier.evaluate.retrieval.datasets import instruction

    settings, name = job.settings, job.task.name
    if not settings.instruct:
        return settings
    asked = f"Instruct: {instruction(name.removeprefix(NAMED))}\nQuery: "
    return replace(settings, embedder=replace(settings.embedder, query_prompt=asked))


def _retrieve(job: Job, model: str) -> Found:
    from luthier.evaluate.retrieval.retrieve import retrieve, truncation
    from luthier.models.embedding_cache import EmbeddingCache

    task, settings = job.task, job.settings
    retriever: Any = open_retriever(model, _opening(job))
    total = len(set(task.query_texts)) + int(task.copies.max()) + 1
    job.progress.step(f"Searching {task.name} with {retriever.name}", None if is_bm25(model) else total)
    cache = EmbeddingCache(settings.cache)
    found = retrieve(task, retriever, settings.top, cache=cache, adjustment=settings.adjustment, progress=job.progress.advance)
    length = getattr(retriever, "max_length", None)
    sides = (("queries", task.query_texts, "query"), ("documents", task.document_texts, "document"))
    costs = found.costs | {"max_length": length}
    if length is not None:
        cut = {side: truncation(retriever, texts, kind) for side, texts, kind in sides}
        costs["truncation"] = {side: None if one is None else asdict(one) for side, one in cut.items()}
    return found.run, costs


def _fuse(job: Job, labels: Sequence[str]) -> Found:
    from luthier.evaluate.retrieval.rank_fusion import fuse

    runs = [job.load(label) for label in labels]
    return fuse(runs, job.settings.fuse or "rrf", job.settings.weights or None, job.settings.top), {}


def _rerank(job: Job, before: str) -> Found:
    from luthier.evaluate.retrieval.rerank import rerank
    from luthier.evaluate.retrieval.retrieve import first_rows

    start, task = time.process_time(), job.task
    texts = [task.document_texts[row] for row in first_rows(task).tolist()]
    job.progress.step("Reranking", len(task.queries))
    reader = open_model(str(job.settings.rerank), device=job.settings.embedder.device)
    found = rerank(job.load(before), task.query_texts, texts, reader, top=job.settings.rerank_top, progress=job.progress.advance)
    return found, {"rerank_cpu_seconds": round(time.process_time() - start, 1)}
