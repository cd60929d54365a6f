"""Exact nearest neighbours by blocked matrix products: only scores that can still enter a query's best are ever looked at.

FAISS multiplies and selects where it is installed and few of many are wanted, a quarter faster; its order of equal scores is put right here.
Elsewhere each query keeps the score of its k-th best so far. A block of scores is compared with it, and the few that pass are collected,
and merged when they have become many. No score matrix is held beyond one block, and equal scores come in the order of the corpus.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.metrics import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Queries and documents of a block: its scores stay in the processor's cache, and the product is large enough to run at full rate.
BLOCK = (512, 8192)
_SPARE = 8  # documents beyond k that FAISS is asked for: what is equal to the k-th is seen to end
_FEW = 64  # documents for each of the k from which on FAISS is the faster one (benchmarks/retrieval.py); its selection slows down with k
_QUERIES = 4096  # queries at a time; FAISS itself multiplies them with 1,024 documents at a time
BACKENDS = ("auto", "torch", "faiss")


def search(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    k: int = 100,
    *,
    block: tuple[int, int] = BLOCK,
    backend: str = "auto",
    name: str = "",
) -> Run:
    """The k documents with the greatest dot product for each query, best first; cosine for unit vectors.

    queries: (queries, d); documents: (documents, d). Where there are fewer than k documents the rest of a row is -1 with the score -inf.
    backend: "faiss" (extra `faiss`), "torch", or "auto" for the faster of what is installed. Both give the same documents in the same order, the lower row first
    among equal scores. block: queries and documents multiplied at a time by torch. Raises SettingsError for shapes that do not fit or vectors that are not finite.
    """
    import numpy as np

    _check(queries, documents, k)
    if backend not in BACKENDS:
        raise SettingsError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    if backend == "faiss" or (backend == "auto" and _FEW * k <= len(documents) and _has_faiss()):
        return _faiss(queries, documents, k, name)
    right = np.ascontiguousarray(documents, dtype=np.float32)
    found = [
        _search_rows(np.ascontiguousarray(queries[at : at + block[0]], dtype=np.float32), right, k, block[1])
        for at in range(0, len(queries), block[0])
    ]
    if not found:
        return Run(np.zeros((0, k), dtype=np.int32), np.zeros((0, k), dtype=np.float32), name)
    return Run(np.concatenate([ids for ids, _ in found]), np.concatenate([scores for _, scores in found]), name)


def merge_runs(runs: list[Run], offsets: list[int], k: int) -> Run:
    """One run out of runs over parts of a corpus; offsets: the row of each part's first document. Searching parts changes nothing."""
    import numpy as np

    parts = [np.where(run.documents >= 0, run.documents + first, -1) for run, first in zip(runs, offsets, strict=True)]
    documents, scores = np.concatenate(parts, axis=1), np.concatenate([run.scores for run in runs], axis=1)
    order = np.lexsort((documents, -scores.astype(np.float64), documents < 0), axis=1)[:, :k]
    return Run(np.take_along_axis(documents, order, axis=1).astype(np.int32), np.take_along_axis(scores, order, axis=1), runs[0].name)


def _search_rows(
    queries: NDArray[np.float32], documents: NDArray[np.float32], k: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """torch multiplies; NumPy compares and selects, several times as fast there (its partition and sort are vectorised)."""
    import numpy as np
    import torch

    best = _Best(len(queries), min(k, len(documents)))
    left, right = torch.from_numpy(queries), torch.from_numpy(documents)
    scores = np.empty(len(queries) * min(width, len(documents)), dtype=np.float32)
    passed = np.empty(len(scores), dtype=bool)
    for start in range(0, len(documents), width):
        part = right[start : start + width]
        block = scores[: len(queries) * len(part)].reshape(len(queries), len(part))
        torch.mm(left, part.T, out=torch.from_numpy(block))
        least = best.threshold if best.full else _first_threshold(block, best.k)
        hits = passed[: block.size].reshape(block.shape)
        np.greater_equal(block, least, out=hits)
        places = np.flatnonzero(hits)
        best.add(places // len(part), places % len(part) + start, block.ravel()[places])
    ids, values = best.merged()
    missing = ((0, 0), (0, k - ids.shape[1]))
    return np.pad(ids, missing, constant_values=-1), np.pad(values, missing, constant_values=-np.inf)


def _first_threshold(block: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that at least k documents of the block reach, (rows, 1): the k-th greatest maximum of small groups. -inf where k are not there."""
    import numpy as np

    rows, width = block.shape
    if width < k:
        return np.full((rows, 1), -np.inf, dtype=np.float32)
    size = max(1, width // (2 * k))
    maxima = block[:, : width // size * size].reshape(rows, size, -1).max(axis=1) if size > 1 else block
    return np.partition(maxima, maxima.shape[1] - k, axis=1)[:, -k][:, None]


class _Best:
    """The k best of each row so far, and those collected since. threshold: (rows, 1), the score that a newcomer must reach."""

    def __init__(self, rows: int, k: int) -> None:
        import numpy as np

        self.rows, self.k = rows, k
        self.keys = np.full((rows, k), _NONE, dtype=np.int64)
        self.threshold = np.full((rows, 1), -np.inf, dtype=np.float32)
        self.waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self.count = 0
        self.full = False

    def add(self, rows: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        self.waiting.append((rows, _keys(scores, ids)))
        self.count += len(rows)
        if not self.full or self.count > self.rows * self.k // 4:
            self._merge()

    def _merge(self) -> None:
        """Put what waits into a table as wide as the longest row, and keep the best."""
        import numpy as np

        rows = np.concatenate([rows for rows, _ in self.waiting])
        keys = np.concatenate([keys for _, keys in self.waiting])
        if len(self.waiting) > 1:
            order = np.argsort(rows.astype(np.int32), kind="stable")
            rows, keys = rows[order], keys[order]
        counts = np.bincount(rows, minlength=self.rows)
        table = np.full((self.rows, self.k + int(counts.max(initial=0))), _NONE, dtype=np.int64)
        table[:, : self.k] = self.keys
        table[rows, self.k + np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = keys
        self.keys = np.partition(table, self.k - 1, axis=1)[:, : self.k]
        last = self.keys[:, -1:]
        self.full = bool((last != _NONE).all())
        if self.full:
            self.threshold = _scores(last)
        self.waiting, self.count = [], 0

    def merged(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids and scores, (rows, k), best first, the lower id first among equals."""
        import numpy as np

        if self.waiting:
            self._merge()
        keys = np.sort(self.keys, axis=1)
        return (keys & 0xFFFFFFFF).astype(np.int32), _scores(keys)


_NONE = 2**63 - 1  # a place without a document


def _keys(scores: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers that are smaller for a greater score, then for a lower id: the bits of a float order like integers once the negative ones are flipped."""
    import numpy as np

    bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0, which it equals
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)
    return (~ordered << 32) | ids


def _scores(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    import numpy as np

    ordered = (~(keys >> 32)).astype(np.int32)
    return np.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(np.float32)


def _check(queries: NDArray[np.float32], documents: NDArray[np.float32], k: int) -> None:
    import numpy as np

    if k < 1:
        raise SettingsError(f"k is {k}; it must be 1 or more")
    for what, vectors in (("queries", queries), ("documents", documents)):
        if vectors.ndim != 2:
            raise SettingsError(f"the {what} have the shape {vectors.shape}; (texts, dimensions) is expected")
        bad = np.flatnonzero(~np.isfinite(vectors @ np.ones(vectors.shape[1], dtype=np.float32)))  # a sum of a row with NaN is NaN
        if len(bad):
            raise SettingsError(f"the vector of row {bad[0]} of the {what} is not finite ({len(bad)} such rows); encode them again")
    if not len(documents):
        raise SettingsError("there are no documents to search")
    if queries.shape[1] != documents.shape[1]:
        raise SettingsError(f"queries have {queries.shape[1]} dimensions, documents {documents.shape[1]}; encode both with the same model")


def _has_faiss() -> bool:
    """Whether FAISS is there to take. On macOS its OpenMP and torch's end a process that loads both, so there it is taken only by name."""
    return sys.platform != "darwin" and importlib.util.find_spec("faiss") is not None


def _faiss(queries: NDArray[np.float32], documents: NDArray[np.float32], k: int, name: str) -> Run:
    """FAISS finds a few more than k; where scores are equal over the edge of those, the row is searched again by torch, which keeps the order."""
    import numpy as np

    try:
        import faiss
    except ImportError:
        raise SettingsError("the backend 'faiss' needs faiss-cpu; run: pip install 'luthier[faiss]'") from None
    right, kept = np.ascontiguousarray(documents, dtype=np.float32), min(k, len(documents))
    wanted = min(k + _SPARE, len(documents))
    ids, best = np.full((len(queries), k), -1, dtype=np.int32), np.full((len(queries), k), -np.inf, dtype=np.float32)
    for at in range(0, len(queries), _QUERIES):
        left = np.ascontiguousarray(queries[at : at + _QUERIES], dtype=np.float32)
        with _threads_of_torch(faiss):
            scores, found = faiss.knn(left, right, wanted, metric=faiss.METRIC_INNER_PRODUCT)
        keys = np.sort(_keys(scores, found), axis=1)
        rows = slice(at, at + len(left))
        ids[rows, :kept], best[rows, :kept] = (keys[:, :kept] & 0xFFFFFFFF).astype(np.int32), _scores(keys[:, :kept])
        tied = np.flatnonzero((_scores(keys[:, kept - 1]) == _scores(keys[:, -1])) & (wanted < len(documents)))
        if len(tied):
            ids[at + tied], best[at + tied] = _search_rows(np.ascontiguousarray(left[tied]), right, k, BLOCK[1])
    return Run(ids, best, name)


@contextmanager
def _threads_of_torch(faiss: Any) -> Iterator[None]:
    """FAISS with as many threads as torch has been given."""
    import torch

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
