"""One run out of several: by rank (RRF, Cormack et al., SIGIR 2009) or by score scaled to [0, 1] within a query.

Fusion helps some pairs and hurts others; choose the weights on a development split and measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.metrics import Run
from luthier.evaluate.retrieval.settings import Fusion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RRF = 60.0  # the constant of the paper: damps the first ranks


def fuse(runs: Sequence[Run], method: Fusion = "rrf", weights: Sequence[float] | None = None, k: int | None = None) -> Run:
    """Add up what the runs say of each document. weights: one a run, 1 where left out; k: documents kept, as many as the longest run has.

    A document that a run lacks gets nothing from it. Raises SettingsError.
    """
    import numpy as np

    if not runs or method not in get_args(Fusion):
        raise SettingsError("fusion takes one run or more, and the method 'rrf' or 'minmax'")
    shares = [1.0] * len(runs) if weights is None else list(weights)
    if len(shares) != len(runs) or len({len(run.documents) for run in runs}) != 1:
        raise SettingsError(f"{len(runs)} runs with {len(shares)} weights; one weight a run, and runs of the same queries, are expected")
    worth = [share * (_by_rank(run) if method == "rrf" else _by_score(run)) for run, share in zip(runs, shares, strict=True)]
    documents = np.concatenate([run.documents for run in runs], axis=1).astype(np.int64)
    values = np.concatenate(worth, axis=1)
    rows = np.arange(len(documents))[:, None].repeat(documents.shape[1], axis=1)
    span = int(documents.max(initial=0)) + 1
    alive = documents >= 0
    keys, places = np.unique((rows * span + documents)[alive], return_inverse=True)
    sums = np.bincount(places, weights=values[alive], minlength=len(keys)).astype(np.float64)
    return _ranked(keys // span, keys % span, sums, len(documents), k or max(run.documents.shape[1] for run in runs))


def _by_rank(run: Run) -> NDArray[np.float64]:
    import numpy as np

    return np.broadcast_to(1.0 / (RRF + np.arange(1, run.documents.shape[1] + 1)), run.documents.shape)


def _by_score(run: Run) -> NDArray[np.float64]:
    import numpy as np

    alive = run.documents >= 0
    low = np.where(alive, run.scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(alive, run.scores, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        scaled = (run.scores - low) / np.maximum(high - low, 1e-12)
    return np.where(alive, scaled, 0.0)


def _ranked(rows: NDArray[np.int64], documents: NDArray[np.int64], sums: NDArray[np.float64], queries: int, k: int) -> Run:
    import numpy as np

    order = np.lexsort((documents, -sums, rows))
    rows, documents, sums = rows[order], documents[order], sums[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < k
    ids = np.full((queries, k), -1, dtype=np.int32)
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    ids[rows[kept], place[kept]], scores[rows[kept], place[kept]] = documents[kept], sums[kept]
    return Run(ids, scores, "fused")
