"""How well a score orders contexts: Spearman's correlation, the area under the ROC curve, and bootstrap intervals of any statistic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

DRAWS = 1000


class Interval(NamedTuple):
    """A measured value with its 95 % interval; None where it is not defined (constant values, one kind only)."""

    value: float | None
    low: float | None
    high: float | None


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean. (n,) -> (n,)."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: np.ndarray = (ends - (counts - 1) / 2)[place]
    return shared


def spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Rank correlation in [-1, 1]; None where either side is constant."""
    import numpy as np

    a, b = (ranks(np.asarray(values)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive's score lies above a negative's, ties counting half; None where one kind is missing."""
    import numpy as np

    positive = np.asarray(positive, dtype=bool)
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return None
    return float((ranks(np.asarray(scores))[positive].sum() - many * (many + 1) / 2) / (many * few))


def bootstrap(
    statistic: Callable[[np.ndarray], float | None], clusters: Sequence[object], seed: int = 0, draws: int = DRAWS
) -> Interval:
    """`statistic(indices)` on all items, and its percentile interval when whole clusters are drawn again with replacement.

    clusters: one an item; items of a cluster stand or fall together, because they are not independent.
    """
    import numpy as np

    value = statistic(np.arange(len(clusters)))
    if value is None:
        return Interval(None, None, None)
    members: dict[object, list[int]] = {}
    for at, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(at)
    groups = [np.array(some) for some in members.values()]
    random = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([groups[at] for at in random.integers(len(groups), size=len(groups))]))
        for _ in range(draws)
    ]
    found = [one for one in drawn if one is not None]
    if not found:
        return Interval(value, None, None)
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(value, float(low), float(high))
