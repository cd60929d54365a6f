"""How sure a measure is: bootstrap intervals and paired comparisons, in which items that are not independent are drawn together, as a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 2000
FEW_DRAWS = 1000  # of a statistic that is computed anew for each
_CELLS = 4_000_000  # of the table of draws held at once


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


class Estimate(NamedTuple):
    """Any statistic with its 95 % interval; None where it is not defined (constant values, one kind only)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of b less that of a over the same items, its 95 % bootstrap interval, and the two-sided p of the sign-flip test."""

    mean: float
    low: float
    high: float
    p: float
    items: int
    clusters: int

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


def bootstrap(values: NDArray[np.float64], clusters: NDArray[np.int32] | None = None, seed: int = 0, draws: int = DRAWS) -> Interval:
    """Percentile bootstrap of the mean over clusters of items. values, clusters: (items,)."""
    return intervals(values[:, None], clusters, seed, draws)[0]


def intervals(values: NDArray[np.float64], clusters: NDArray[np.int32] | None = None, seed: int = 0, draws: int = DRAWS) -> list[Interval]:
    """The same of every column of values, (items, columns), over the same draws of clusters."""
    import numpy as np

    sums, sizes = _cluster_sums(values, clusters)
    draw = np.random.default_rng(seed)
    means = []
    step = max(1, _CELLS // len(sums))
    for start in range(0, draws, step):
        counts = draw.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=min(step, draws - start)).astype(np.float64)
        means.append((counts @ sums) / (counts @ sizes)[:, None])
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
    return [Interval(*(float(part) for part in row)) for row in zip(values.mean(axis=0), low, high, strict=True)]


def paired(
    a: NDArray[np.float64], b: NDArray[np.float64], clusters: NDArray[np.int32] | None = None, seed: int = 0, draws: int = DRAWS
) -> Difference:
    """How much higher `b` is than `a` on the same items, (items,) each. Raises SettingsError where they are not equally many."""
    import numpy as np

    if a.shape != b.shape:
        raise SettingsError(f"{len(a)} items on one side, {len(b)} on the other; compare results on the same ones")
    differences = b - a
    interval = bootstrap(differences, clusters, seed, draws)
    sums, _ = _cluster_sums(differences, clusters)
    draw, seen = np.random.default_rng(seed + 1), abs(sums.sum())
    more, step = 0, max(1, _CELLS // len(sums))
    for start in range(0, draws, step):
        signs = draw.integers(0, 2, size=(min(step, draws - start), len(sums)), dtype=np.int8) * 2.0 - 1.0
        more += int((np.abs(signs @ sums) >= seen - 1e-12).sum())
    return Difference(interval.mean, interval.low, interval.high, (more + 1) / (draws + 1), len(a), len(sums))


def bootstrap_statistic(
    statistic: Callable[[np.ndarray], float | None], clusters: Sequence[object], seed: int = 0, draws: int = FEW_DRAWS
) -> Estimate:
    """`statistic(indices)` on all items, and its percentile interval when whole clusters are drawn again with replacement.

    clusters: one an item; items of a cluster stand or fall together, because they are not independent.
    """
    import numpy as np

    value = statistic(np.arange(len(clusters)))
    if value is None:
        return Estimate(None, None, None)
    members: dict[object, list[int]] = {}
    for at, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(at)
    groups = [np.array(some) for some in members.values()]
    random = np.random.default_rng(seed)
    drawn = [statistic(np.concatenate([groups[at] for at in random.integers(len(groups), size=len(groups))])) for _ in range(draws)]
    found = [one for one in drawn if one is not None]
    if not found:
        return Estimate(value, None, None)
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _cluster_sums(values: NDArray[np.float64], clusters: NDArray[np.int32] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the rows of each cluster, and their number."""
    import numpy as np

    if not len(values):
        raise SettingsError("no items: there is nothing to average")
    if clusters is None:
        return values.astype(np.float64), np.ones(len(values))
    sums = np.zeros((int(clusters.max()) + 1, *values.shape[1:]))
    np.add.at(sums, clusters, values)
    return sums, np.bincount(clusters).astype(np.float64)
