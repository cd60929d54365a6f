"""The order-free state of a learner: item response theory with an ability for each concept around a common one.

A right answer to item i has the chance sigmoid(a_i (x_c - b_i)): b is the item's difficulty, a its discrimination (1 in the 1PL model), x_c
the learner's ability in the item's concept. Abilities lie around the learner's own, x_c ~ N(theta, spread^2), theta ~ N(mean, sd^2), so a
concept with few answers is drawn towards the others. The order of answers does not count (a pupil's does: that is what recurrent states are
for); that of a model's evaluation has no meaning.

The state holds, for each concept, the slope and the curvature of the log-likelihood at fixed abilities: sums over answers, whatever their number.
Everything else is Newton's method on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import SettingsError
from luthier.statistics.rates import Z95

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

REACH, STEP = 8.0, 0.5  # abilities at which slopes are kept, in logits: between them a cubic errs by 2e-5 an answer
NODES = round(2 * REACH / STEP) + 1
GRAIN = 2.0**30  # sums of multiples of 1 / GRAIN are exact, so no order of answers gives other bits
_ROUNDS, _TOLERANCE, _STRIDE = 60, 1e-9, 2.0


class Posterior(NamedTuple):
    """What is known of a learner, in logits: the common ability and its standard deviation, (...), and those of each group, (..., groups).

    Groups are the concepts and, last, the items without one.
    """

    ability: Array
    sd: Array
    group_ability: Array
    group_sd: Array


class MasteryArrays(NamedTuple):
    """Of each concept the chance of a right answer to its items, its 95 % interval, and the answers it rests on; (concepts,) each."""

    probability: Array
    low: Array
    high: Array
    evidence: Array


@dataclass(frozen=True)
class AbilityModel:
    """Items and the population of learners; see `luthier.trace.item_response` for fitting them.

    difficulty, discrimination, difficulty_sd: (items,), logits; None for discriminations of 1 and difficulties that are certain.
    concepts_of: of each item the places of its concepts; concepts: their number. mean, sd: of abilities in the population; spread: of a
    learner's abilities between concepts; 0 leaves one ability. Raises SettingsError.
    """

    difficulty: Array
    concepts_of: Sequence[tuple[int, ...]] = ()
    concepts: int = 0
    discrimination: Array | None = None
    difficulty_sd: Array | None = None
    mean: float = 0.0
    sd: float = 1.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        if self.concepts_of and len(self.concepts_of) != len(self.difficulty):
            raise SettingsError(f"{len(self.difficulty)} difficulties for {len(self.concepts_of)} items")
        if not self.sd > 0 or self.spread < 0:
            raise SettingsError(f"sd is {self.sd} and spread {self.spread}; the first must be above 0, the other not below")

    # --- one learner --------------------------------------------------------------------------------------------------------

    def start(self) -> Array:
        """The state of a learner without answers, (groups, 2 NODES + 1): slopes, curvatures, and the number of answers."""
        import numpy as np

        return np.zeros((self.concepts + 1, 2 * NODES + 1))

    def update(self, state: Array, item: int, correct: float) -> Array:
        """The state after one more answer; correct: in [0, 1]. Constant time, and the order of updates does not change a bit of it.

        An answer to an item of several concepts counts for each with an equal part of its weight. Raises SettingsError.
        """
        import numpy as np

        if not 0 <= correct <= 1:
            raise SettingsError(f"correct is {correct}; it must lie between 0 and 1")
        changed = state.copy()
        places = list(self.groups_of[item])
        changed[places, :-1] += self._rows(np.array([item]), np.array([correct]), len(places))[0]
        changed[places, -1] += 1
        return changed

    def predict(self, state: Array, items: Sequence[int] | NDArray[Any]) -> Array:
        """Chances of right answers, (items,), or (..., items) for states (..., groups, :), with the doubt about ability and difficulty in them."""
        import numpy as np

        known, items = self.posterior(state), np.asarray(items, dtype=np.int64)
        shares = self.shares[items]
        middle = known.group_ability @ shares.T
        variance = known.group_sd**2 @ shares.T  # concepts of an item err alike: no less than their mean
        if self.difficulty_sd is not None:
            variance = variance + self.difficulty_sd[items] ** 2
        return squashed(self.slopes[items] * (middle - self.difficulty[items]), self.slopes[items] ** 2 * variance)

    def mastery(self, state: Array) -> MasteryArrays:
        """The chance of a right answer to a concept's items, averaged over them; of a concept without items, to one of difficulty 0."""
        import numpy as np

        known = self.posterior(state)
        middle, sd = known.group_ability[..., :-1], known.group_sd[..., :-1]
        mean = np.mean([self._success(middle + sd * at) for at in _QUANTILES], axis=0)
        low, high = self._success(middle - Z95 * sd), self._success(middle + Z95 * sd)
        return MasteryArrays(mean, low, high, state[..., :-1, -1])

    # --- any number of learners ---------------------------------------------------------------------------------------------

    def state_of(self, items: NDArray[Any], correct: NDArray[Any]) -> Array:
        """The state after many answers at once, equal to updates in any order. items, correct: (answers,)."""
        import numpy as np

        state, items = self.start(), np.asarray(items, dtype=np.int64)
        sizes = self._sizes[items]
        for size in np.unique(sizes):
            at = np.flatnonzero(sizes == size)
            groups = np.array([self.groups_of[item] for item in items[at]]).T
            rows = self._rows(items[at], np.asarray(correct)[at], int(size))
            for part in groups:
                np.add.at(state[:, :-1], part, rows)
                np.add.at(state[:, -1], part, 1)
        return state

    def posterior(self, state: Array) -> Posterior:
        """Mode and curvature of the learner's abilities given the answers (Newton's method, Laplace's approximation).

        state: (..., groups, :). The Hessian is an arrow, the common ability at its tip, so a step costs as much as there are groups.
        """
        import numpy as np

        if self.spread == 0:
            return self._single(state)
        common = np.full(state.shape[:-2], self.mean)
        groups = np.full(state.shape[:-1], self.mean)
        pull = 1 / self.spread**2
        for _ in range(_ROUNDS):
            slope, curvature = log_likelihood_slopes(state, groups)
            toward = slope - (groups - common[..., None]) * pull
            total = (self.mean - common) / self.sd**2 + ((groups - common[..., None]) * pull).sum(-1)
            stiffness = pull + curvature
            tip = 1 / self.sd**2 + (pull * curvature / stiffness).sum(-1)
            step = np.clip((total + (pull / stiffness * toward).sum(-1)) / tip, -_STRIDE, _STRIDE)
            steps = np.clip((toward + pull * step[..., None]) / stiffness, -_STRIDE, _STRIDE)
            common, groups = common + step, groups + steps
            if max(np.abs(step).max(initial=0), np.abs(steps).max(initial=0)) < _TOLERANCE:
                break
        _, curvature = log_likelihood_slopes(state, groups)
        stiffness = pull + curvature
        variance = 1 / (1 / self.sd**2 + (pull * curvature / stiffness).sum(-1))
        return Posterior(common, variance**0.5, groups, (1 / stiffness + (pull / stiffness) ** 2 * variance[..., None]) ** 0.5)

    def _single(self, state: Array) -> Posterior:
        """One ability for all groups."""
        import numpy as np

        whole = state.sum(axis=-2, keepdims=True)
        ability = np.full(whole.shape[:-1], self.mean)
        for _ in range(_ROUNDS):
            slope, curvature = log_likelihood_slopes(whole, ability)
            step = (slope + (self.mean - ability) / self.sd**2) / (curvature + 1 / self.sd**2)
            ability = ability + np.clip(step, -_STRIDE, _STRIDE)
            if np.abs(step).max(initial=0) < _TOLERANCE:
                break
        _, curvature = log_likelihood_slopes(whole, ability)
        sd = (curvature + 1 / self.sd**2) ** -0.5
        wide = np.ones(state.shape[:-1])
        return Posterior(ability[..., 0], sd[..., 0], ability * wide, sd * wide)

    # --- tables -------------------------------------------------------------------------------------------------------------

    @cached_property
    def groups_of(self) -> list[tuple[int, ...]]:
        """Of each item its concepts, or the group of items without one."""
        if not self.concepts_of:
            return [(self.concepts,)] * len(self.difficulty)
        return [tuple(places) or (self.concepts,) for places in self.concepts_of]

    @cached_property
    def slopes(self) -> Array:
        """(items,): the discriminations, 1 in the 1PL model."""
        import numpy as np

        return np.ones(len(self.difficulty)) if self.discrimination is None else self.discrimination

    @cached_property
    def shares(self) -> Array:
        """(items, groups): how much of an item is whose."""
        import numpy as np

        shares = np.zeros((len(self.difficulty), self.concepts + 1))
        for item, groups in enumerate(self.groups_of):
            shares[item, list(groups)] = 1 / len(groups)
        return shares

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        import numpy as np

        return np.array([len(groups) for groups in self.groups_of], dtype=np.int64)

    @cached_property
    def _wrong(self) -> Array:
        """Slope and curvature of the log-likelihood of a wrong answer at the nodes, (items, 2 NODES)."""
        import numpy as np

        a = self.slopes[:, None]
        p = 1 / (1 + np.exp(-a * (_nodes() - self.difficulty[:, None])))
        return np.concatenate([-a * p, a * a * p * (1 - p)], axis=1)

    def _rows(self, items: NDArray[Any], correct: NDArray[Any], size: int) -> Array:
        """The same of answers to items of `size` concepts each, for one of them: (answers, 2 NODES), in whole grains."""
        import numpy as np

        rows: Array = self._wrong[items]
        rows[:, :NODES] += (self.slopes[items] * correct)[:, None]
        whole: Array = np.rint(rows * (GRAIN / size)) / GRAIN
        return whole

    @cached_property
    def _mean_success(self) -> Array:
        """(concepts, NODES): mean chance of a right answer to a concept's items, by ability."""
        import numpy as np

        ability, shares = _nodes(), self.shares[:, :-1] > 0
        totals = np.zeros((self.concepts, NODES))
        for node, x in enumerate(ability):
            totals[:, node] = shares.T @ (1 / (1 + np.exp(-self.slopes * (x - self.difficulty))))
        counts = shares.sum(axis=0)[:, None]
        plain = 1 / (1 + np.exp(-ability))
        return np.where(counts > 0, totals / np.maximum(counts, 1), plain)

    def _success(self, ability: Array) -> Array:
        """The same at abilities (..., concepts)."""
        import numpy as np

        at = np.clip((ability + REACH) / STEP, 0, NODES - 1)
        left = np.minimum(at.astype(np.int64), NODES - 2)
        table = np.broadcast_to(self._mean_success, (*ability.shape, NODES))
        below, above = (np.take_along_axis(table, (left + more)[..., None], -1)[..., 0] for more in (0, 1))
        return below + (at - left) * (above - below)


_QUANTILES = (-1.6449, -1.0364, -0.6745, -0.3853, -0.1257, 0.1257, 0.3853, 0.6745, 1.0364, 1.6449)  # middles of tenths of N(0, 1)


def squashed(logit: Array, variance: Array) -> Array:
    """Mean of sigmoid(x) for x ~ N(logit, variance), by the probit approximation (MacKay 1992)."""
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(logit / np.sqrt(1 + np.pi * variance / 8), -500, 500)))


def log_likelihood_slopes(state: Array, ability: Array) -> tuple[Array, Array]:
    """First and negative second derivative of the log-likelihood at any ability: cubic Hermite between nodes, constant beyond them.

    state: (..., groups, 2 NODES + 1); ability: (..., groups). Returns two arrays (..., groups).
    """
    import numpy as np

    at = np.clip((ability + REACH) / STEP, 0, NODES - 1)
    left = np.minimum(at.astype(np.int64), NODES - 2)
    u = at - left
    places = np.stack([left, left + 1, left + NODES, left + 1 + NODES], axis=-1)
    y0, y1, c0, c1 = np.moveaxis(np.take_along_axis(state, places, -1), -1, 0)
    d0, d1 = -STEP * c0, -STEP * c1
    slope = (1 + 2 * u) * (1 - u) ** 2 * y0 + u * (1 - u) ** 2 * d0 + u * u * (3 - 2 * u) * y1 + u * u * (u - 1) * d1
    change = 6 * u * (u - 1) * (y0 - y1) + (1 - u) * (1 - 3 * u) * d0 + u * (3 * u - 2) * d1
    inside = np.abs(ability) < REACH
    return slope, np.where(inside, np.maximum(-change / STEP, 0), 0)


def _nodes() -> Array:
    import numpy as np

    return np.linspace(-REACH, REACH, NODES)
