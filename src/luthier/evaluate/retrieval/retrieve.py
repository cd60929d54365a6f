"""From a task and a model to a run: every distinct text is read once, searched once, and its copies come back as what they are, a tie.

The run over distinct texts is also the run of the task with its duplicates merged, so both scores cost one search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from luthier.errors import MissingFileError, SettingsError
from luthier.evaluate.retrieval.bm25 import BM25
from luthier.evaluate.retrieval.metrics import Run
from luthier.evaluate.retrieval.search import search
from luthier.evaluate.retrieval.settings import Adjustment
from luthier.evaluate.retrieval.task import Task
from luthier.models.embedder import Embedder, unit_length
from luthier.models.embedding_cache import EmbeddingCache
from luthier.records import JSON

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ADJUSTMENTS: tuple[str, ...] = get_args(Adjustment)
WHITENED = 64  # dimensions kept, at most


@dataclass(frozen=True)
class Vectors:
    """Vectors that were made elsewhere: `queries.npy` and `documents.npy` in a folder, in the order of the task's tables."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def load(self, task: Task) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(queries, d) and (documents, d). Raises MissingFileError, SettingsError where they do not fit the task."""
        return self._read("queries", len(task.queries)), self._read("documents", len(task.documents))

    def _read(self, what: str, rows: int) -> NDArray[np.float32]:
        import numpy as np

        path = self.folder / f"{what}.npy"
        try:
            vectors = np.load(path, allow_pickle=False)
        except OSError as problem:
            raise MissingFileError(f"cannot read {path}: {problem.strerror or problem}") from problem
        except ValueError as problem:
            raise SettingsError(f"{path}: not an array of numbers ({problem})") from problem
        if vectors.ndim != 2 or len(vectors) != rows:
            raise SettingsError(f"{path}: has the shape {vectors.shape}; ({rows}, dimensions) is expected, in the task's order")
        if bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
            raise SettingsError(f"{path}: row {bad[0]} is not finite ({len(bad)} such rows)")
        return unit_length(vectors.astype(np.float32))


Retriever = Embedder | BM25 | Vectors


@dataclass(frozen=True)
class Retrieved:
    """A run over the distinct documents of a task (numbers of `Task.copies`), and what it cost."""

    run: Run
    costs: JSON = field(default_factory=dict)


def retrieve(
    task: Task,
    retriever: Retriever,
    k: int = 100,
    *,
    cache: EmbeddingCache | None = None,
    adjustment: Adjustment = "none",
    progress: Callable[[int], None] | None = None,
) -> Retrieved:
    """Search every query of the task. k: distinct documents kept a query; adjustment: what is done to vectors, fitted on the documents alone.

    Raises SettingsError, and EngineError from the model.
    """
    if k < 1:
        raise SettingsError(f"k is {k}; it must be 1 or more")
    first = first_rows(task)
    texts = [task.document_texts[row] for row in first.tolist()]
    start, own = time.process_time(), _own_alone(task)
    depth = k if own is None else k + 1
    if isinstance(retriever, BM25):
        run = retriever.search(task.query_texts, texts, depth)
        return Retrieved(leave_out(run, own, k), {"search_cpu_seconds": round(time.process_time() - start, 3)})
    queries, documents = _vectors(task, retriever, texts, cache, progress)
    documents, queries = adjust(documents, queries, adjustment)
    middle = time.process_time()
    run = leave_out(search(queries, documents, depth, name=retriever.name), own, k)
    costs: JSON = {
        "encode_cpu_seconds": round(middle - start, 3),
        "search_cpu_seconds": round(time.process_time() - middle, 3),
        "dimensions": documents.shape[1],
        "index_bytes": documents.nbytes,
        "texts": len(texts) + len(set(task.query_texts)),
    }
    return Retrieved(run, costs)


def leave_out(run: Run, documents: NDArray[np.int32] | None, k: int | None = None) -> Run:
    """The run without one document of each query, (queries,), -1 for none; the others close up. k: of which at most so many are kept."""
    import numpy as np

    if documents is None:
        return run
    dropped = (run.documents == documents[:, None]) & (run.documents >= 0)
    order = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    ids = np.take_along_axis(np.where(dropped, np.int32(-1), run.documents), order, axis=1)
    return Run(ids, np.take_along_axis(np.where(dropped, np.float32(-np.inf), run.scores), order, axis=1), run.name)


def expand(run: Run, task: Task) -> Run:
    """The run over all documents of the task: in place of a distinct text stand its copies, with one score. No group of copies is cut.

    Where queries do not find themselves, their own documents are out of it, and their copies are not.
    """
    return leave_out(_expanded(run, task), task.own if task.without_own else None)


def _own_alone(task: Task) -> NDArray[np.int32] | None:
    """Of each query the number of its own document's text where no other document has it; None where queries may find themselves."""
    import numpy as np

    if not task.without_own:
        return None
    numbers = task.copies[np.maximum(task.own, 0)]
    alone = np.bincount(task.copies)[numbers] == 1
    return np.where((task.own >= 0) & alone, numbers, np.int32(-1)).astype(np.int32)


def _expanded(run: Run, task: Task) -> Run:
    import numpy as np

    order = np.argsort(task.copies, kind="stable").astype(np.int32)
    counts = np.bincount(task.copies)
    if (counts == 1).all():
        return run
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    depth = run.documents.shape[1]
    rows = []
    for found, scores in zip(run.documents, run.scores, strict=True):
        known = found[found >= 0]
        sizes = counts[known]
        kept = int(np.searchsorted(np.cumsum(sizes), depth)) + 1
        known, sizes = known[:kept], sizes[:kept]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows.append((order[np.repeat(starts[known], sizes) + within], np.repeat(scores[: len(known)], sizes)))
    width = max((len(documents) for documents, _ in rows), default=0)
    ids = np.full((len(rows), width), -1, dtype=np.int32)
    values = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for at, (documents, scores) in enumerate(rows):
        ids[at, : len(documents)], values[at, : len(documents)] = documents, scores
    return Run(ids, values, run.name)


def first_rows(task: Task) -> NDArray[np.int64]:
    """The first row of each distinct document."""
    import numpy as np

    return np.unique(task.copies, return_index=True)[1]


def adjust(
    documents: NDArray[np.float32], queries: NDArray[np.float32], adjustment: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors less the mean of the documents and, with `whiten`, on their 64 main axes scaled alike: mends language models as embedders."""
    import numpy as np

    if adjustment not in ADJUSTMENTS:
        raise SettingsError(f"adjustment is {adjustment!r}; choose one of {', '.join(ADJUSTMENTS)}")
    if adjustment == "none":
        return documents, queries
    middle = documents.mean(axis=0)
    sides = [side - middle for side in (documents, queries)]
    if adjustment == "whiten":
        _, spread, axes = np.linalg.svd(sides[0].astype(np.float64), full_matrices=False)
        kept = min(WHITENED, int((spread > 1e-6 * max(spread[0], 1e-30)).sum())) or 1
        turned = (axes[:kept].T / np.maximum(spread[:kept], 1e-12)).astype(np.float32)
        sides = [side @ turned for side in sides]
    return unit_length(sides[0].astype(np.float32)), unit_length(sides[1].astype(np.float32))


@dataclass(frozen=True)
class Truncation:
    """cut: share of the texts that a model does not read to the end."""

    median_tokens: float
    cut: float
    max_length: int | None


def truncation(model: Any, texts: Sequence[str], kind: str) -> Truncation | None:
    """How much of the texts a model does not read; None where it does not tell."""
    import numpy as np

    if not hasattr(model, "token_counts") or (counts := model.token_counts(texts, kind)) is None:
        return None
    cut = 0.0 if model.max_length is None else float((counts > model.max_length).mean())
    return Truncation(float(np.median(counts)), cut, model.max_length)


def _vectors(
    task: Task, retriever: Embedder | Vectors, texts: list[str], cache: EmbeddingCache | None, progress: Callable[[int], None] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if isinstance(retriever, Vectors):
        queries, documents = retriever.load(task)
        return queries, documents[first_rows(task)]
    if cache is not None:
        queries = cache.encode(retriever, task.query_texts, "query", progress)
        return queries, cache.encode(retriever, texts, "document", progress)
    return retriever.encode(task.query_texts, "query"), retriever.encode(texts, "document")
