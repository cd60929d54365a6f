"""How well a score orders items: ranks, Spearman's correlation, the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean. (n,) -> (n,)."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: np.ndarray = (ends - (counts - 1) / 2)[place]
    return shared


def spearman(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float | None:
    """Rank correlation in [-1, 1]; None where either side is constant."""
    import numpy as np

    a, b = (ranks(np.asarray(values)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def area_under_curve(scores: Sequence[float] | np.ndarray, positive: Sequence[bool] | np.ndarray) -> float | None:
    """The area under the ROC curve: the chance that a positive's score lies above a negative's, ties counting half; None where one kind is missing."""
    import numpy as np

    marks = np.asarray(positive, dtype=bool)
    many, few = int(marks.sum()), int((~marks).sum())
    if not many or not few:
        return None
    return float((ranks(np.asarray(scores))[marks].sum() - many * (many + 1) / 2) / (many * few))
