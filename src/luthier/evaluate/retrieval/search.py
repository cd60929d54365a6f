"""Exact nearest neighbours by blocked matrix products: only scores that can still enter a query's best are ever looked at.

Each query keeps the score of its k-th best so far. A block of scores is compared with it, and the few that pass are collected,
and merged when they have become many. No score matrix is held beyond one block, and equal scores come in the order of the corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.metrics import Run

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

BLOCK = (
    512,
    16384,
)  # queries, documents: scores of a block stay in the processor's cache, and the product is large enough to run at full rate
BACKENDS = ("torch", "faiss")


def search(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    k: int = 100,
    *,
    block: tuple[int, int] = BLOCK,
    backend: str = "torch",
    name: str = "",
) -> Run:
    """The k documents with the greatest dot product for each query, best first; cosine for unit vectors.

    queries: (queries, d); documents: (documents, d). Where there are fewer than k documents the rest of a row is -1 with the score -inf.
    backend: "torch", or "faiss" (extra `faiss`), whose order of equal scores is its own. Raises SettingsError for shapes that do not fit or vectors that are not finite.
    """
    import numpy as np

    _check(queries, documents, k)
    if backend == "faiss":
        return _faiss(queries, documents, k, name)
    if backend != "torch":
        raise SettingsError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    import torch

    right = torch.from_numpy(np.ascontiguousarray(documents, dtype=np.float32))
    found = [
        _search_rows(
            torch.from_numpy(np.ascontiguousarray(queries[at : at + block[0]], dtype=np.float32)), right, k, block[1]
        )
        for at in range(0, len(queries), block[0])
    ]
    if not found:
        return Run(np.zeros((0, k), dtype=np.int32), np.zeros((0, k), dtype=np.float32), name)
    return Run(torch.cat([ids for ids, _ in found]).numpy(), torch.cat([scores for _, scores in found]).numpy(), name)


def merge_runs(runs: list[Run], offsets: list[int], k: int) -> Run:
    """One run out of runs over parts of a corpus; offsets: the row of each part's first document. Searching parts changes nothing."""
    import numpy as np

    parts = [np.where(run.documents >= 0, run.documents + first, -1) for run, first in zip(runs, offsets, strict=True)]
    documents, scores = np.concatenate(parts, axis=1), np.concatenate([run.scores for run in runs], axis=1)
    order = np.lexsort((documents, -scores.astype(np.float64), documents < 0), axis=1)[:, :k]
    return Run(
        np.take_along_axis(documents, order, axis=1).astype(np.int32), np.take_along_axis(scores, order, axis=1), runs[0].name
    )  # fmt: skip


def _search_rows(
    queries: torch.Tensor, documents: torch.Tensor, k: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np
    import torch

    best = _Best(len(queries), min(k, len(documents)))
    buffer = torch.empty(len(queries) * min(width, len(documents)))
    passed = np.empty(len(buffer), dtype=bool)
    for start in range(0, len(documents), width):
        part = documents[start : start + width]
        block = buffer[: len(queries) * len(part)].view(len(queries), len(part))
        torch.mm(queries, part.T, out=block)
        least = best.threshold if best.full else _first_threshold(block, best.k)
        rows, columns = _at_least(block, least, passed)
        best.add(rows, columns + start, block[rows, columns])
    ids, values = best.merged()
    missing = k - ids.shape[1]
    if missing > 0:
        ids = torch.nn.functional.pad(ids, (0, missing), value=-1)
        values = torch.nn.functional.pad(values, (0, missing), value=float("-inf"))
    return ids, values


def _first_threshold(block: torch.Tensor, k: int) -> torch.Tensor:
    """A score that at least k documents of the block reach, (rows, 1): the k-th greatest maximum of small groups. -inf where k are not there."""
    rows, width = block.shape
    if width < k:
        return block.new_full((rows, 1), float("-inf"))
    size = max(1, width // (2 * k))
    return _maxima(block, size).topk(k, dim=1).values[:, -1:]


def _at_least(block: torch.Tensor, least: torch.Tensor, passed: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of the scores that reach their row's threshold. NumPy compares and counts several times as fast as torch here."""
    import numpy as np
    import torch

    hits = passed[: block.numel()].reshape(block.shape)
    np.greater_equal(block.numpy(), least.numpy(), out=hits)
    places = torch.from_numpy(np.flatnonzero(hits))
    return places // block.shape[1], places % block.shape[1]


def _maxima(block: torch.Tensor, size: int) -> torch.Tensor:
    """The greatest score of each run of `size` columns, the last run shorter, (rows, runs)."""
    import torch

    whole = block.shape[1] // size * size
    found = block[:, :whole].unflatten(1, (-1, size)).amax(-1) if whole else block.new_empty((len(block), 0))
    return found if whole == block.shape[1] else torch.cat([found, block[:, whole:].amax(1, keepdim=True)], dim=1)


class _Best:
    """The k best of each row so far, and those collected since. threshold: (rows, 1), the score that a newcomer must reach."""

    def __init__(self, rows: int, k: int) -> None:
        import torch

        self.rows, self.k = rows, k
        self.keys = torch.full((rows, k), torch.iinfo(torch.int64).min)
        self.threshold = torch.full((rows, 1), float("-inf"))
        self.waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.count = 0
        self.full = False

    def add(self, rows: torch.Tensor, ids: torch.Tensor, scores: torch.Tensor) -> None:
        self.waiting.append((rows, _keys(scores, ids)))
        self.count += len(rows)
        if not self.full or self.count > self.rows * self.k // 4:
            self._merge()

    def _merge(self) -> None:
        """Put what waits into a table as wide as the longest row, and keep the best."""
        import torch

        rows = torch.cat([rows for rows, _ in self.waiting])
        keys = torch.cat([keys for _, keys in self.waiting])
        order = torch.argsort(rows, stable=True)
        rows, keys = rows[order], keys[order]
        counts = torch.bincount(rows, minlength=self.rows)
        places = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        table = torch.full((self.rows, int(counts.max())), torch.iinfo(torch.int64).min)
        table[rows, places] = keys
        self.keys = torch.cat([self.keys, table], dim=1).topk(self.k, dim=1).values
        self.full = bool((self.keys[:, -1] != torch.iinfo(torch.int64).min).all())
        if self.full:
            self.threshold = _scores(self.keys[:, -1:])
        self.waiting, self.count = [], 0

    def merged(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids, int32, and scores, (rows, k), best first, the lower id first among equals."""
        import torch

        if self.waiting:
            self._merge()
        return (0xFFFFFFFF - (self.keys & 0xFFFFFFFF)).to(torch.int32), _scores(self.keys)


def _keys(scores: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Integers that order by score, then by lower id: the bits of a float order like integers once the negative ones are flipped."""
    import torch

    bits = (scores + 0.0).view(torch.int32)  # -0 becomes 0, which it equals
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (ordered << 32) | (0xFFFFFFFF - ids)


def _scores(keys: torch.Tensor) -> torch.Tensor:
    import torch

    ordered = (keys >> 32).to(torch.int32)
    return torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)


def _check(queries: NDArray[np.float32], documents: NDArray[np.float32], k: int) -> None:
    import numpy as np

    if k < 1:
        raise SettingsError(f"k is {k}; it must be 1 or more")
    for what, vectors in (("queries", queries), ("documents", documents)):
        if vectors.ndim != 2:
            raise SettingsError(f"the {what} have the shape {vectors.shape}; (texts, dimensions) is expected")
        bad = np.flatnonzero(
            ~np.isfinite(vectors @ np.ones(vectors.shape[1], dtype=np.float32))
        )  # a sum of a row with NaN is NaN
        if len(bad):
            raise SettingsError(
                f"the vector of row {bad[0]} of the {what} is not finite ({len(bad)} such rows); encode them again"
            )
    if not len(documents):
        raise SettingsError("there are no documents to search")
    if queries.shape[1] != documents.shape[1]:
        raise SettingsError(
            f"queries have {queries.shape[1]} dimensions, documents {documents.shape[1]}; encode both with the same model"
        )


def _faiss(queries: NDArray[np.float32], documents: NDArray[np.float32], k: int, name: str) -> Run:
    import numpy as np

    try:
        import faiss
    except ImportError:
        raise SettingsError("the backend 'faiss' needs faiss-cpu; run: pip install 'luthier[faiss]'") from None
    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(np.ascontiguousarray(documents, dtype=np.float32))
    scores, ids = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    return Run(ids.astype(np.int32), np.where(ids >= 0, scores, -np.inf).astype(np.float32), name)
