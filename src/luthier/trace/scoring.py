"""How good predicted chances are, with intervals: learners are drawn anew, because one learner's answers hang together.

All measures are weighted sums over answers sorted once, so a draw of learners costs one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from luthier.statistics.ranks import area_under_curve
from luthier.statistics.resampling import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.records import JSON
    from luthier.trace.answers import AnswerLog

DRAWS = 200
BINS = 10
POSITIONS = ((1, 10), (11, 50), (51, 200), (201, None))


@dataclass(frozen=True)
class ChanceScores:
    """How good the chances of so many answers of so many learners are; no estimates without answers. ece: expected calibration error."""

    answers: int
    learners: int
    auc: Estimate | None = None
    accuracy: Estimate | None = None
    log_loss: Estimate | None = None
    brier: Estimate | None = None
    ece: Estimate | None = None

    def to_row(self) -> JSON:
        estimates = {name: getattr(self, name) for name in ("auc", "accuracy", "log_loss", "brier", "ece")}
        counts = {"answers": self.answers, "learners": self.learners}
        return counts | {name: one._asdict() for name, one in estimates.items() if one is not None}


class Bin(NamedTuple):
    """The answers whose chance lies in one bin: how many, their mean chance and the share of right ones."""

    answers: int
    chance: float
    right: float


def score(
    chance: NDArray[np.float64], correct: NDArray[np.float32], learner: NDArray[np.int32], *, draws: int = DRAWS, seed: int = 0
) -> ChanceScores:
    """AUC, accuracy, log-loss, Brier score and calibration error with 95 % intervals over learners; (answers,) each.

    AUC is None where all answers are alike.
    """
    import numpy as np

    if not len(chance):
        return ChanceScores(0, 0)
    _, place = np.unique(learner, return_inverse=True)
    people = int(place.max()) + 1
    weights = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=draws).astype(np.float64)
    measure = _measures(chance, correct)
    whole = measure(np.ones(len(chance)))
    drawn = [measure(row[place]) for row in weights]
    found: dict[str, Estimate] = {}
    for name, value in whole.items():
        some = [each for each in (row[name] for row in drawn) if each is not None]
        low, high = np.percentile(some, [2.5, 97.5]) if some and value is not None else (None, None)
        found[name] = Estimate(value, None if low is None else float(low), None if high is None else float(high))
    return ChanceScores(len(chance), people, **found)


def auc_difference(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    correct: NDArray[np.float32],
    learner: NDArray[np.int32],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """How much higher the AUC of `one` is than that of `other` on the same answers, with its interval over learners."""
    import numpy as np

    _, place = np.unique(learner, return_inverse=True)
    people = int(place.max()) + 1
    sides = [_auc_of(np.argsort(each, kind="stable"), each, correct > 0.5) for each in (one, other)]

    def difference(weight: NDArray[np.float64]) -> float | None:
        a, b = (side(weight) for side in sides)
        return None if a is None or b is None else a - b

    rng = np.random.default_rng(seed)
    drawn = [difference(row[place]) for row in rng.multinomial(people, np.full(people, 1 / people), size=draws).astype(np.float64)]
    some = [each for each in drawn if each is not None]
    low, high = (float(each) for each in np.percentile(some, [2.5, 97.5])) if some else (None, None)
    return Estimate(difference(np.ones(len(one))), low, high)


def within_learners(chance: NDArray[np.float64], log: AnswerLog) -> float | None:
    """The mean AUC within a learner: what is left when knowing who is good does not help. None where no learner has both kinds of answers."""
    found = []
    for place in range(len(log.learners)):
        some = log.of_learner(place)
        area = area_under_curve(chance[some], log.correct[some] > 0.5)
        if area is not None:
            found.append(area)
    return sum(found) / len(found) if found else None


def calibration_error(chance: NDArray[np.float64], correct: NDArray[np.float32], bins: int = BINS) -> float:
    """Expected calibration error over equally wide bins of the chance."""
    import numpy as np

    found = _measures(chance, correct, bins)(np.ones(len(chance)))["ece"]
    return 0.0 if found is None else found


def reliability(chance: NDArray[np.float64], correct: NDArray[np.float32], bins: int = BINS) -> list[Bin]:
    """The bins with answers, of equally wide ones."""
    import numpy as np

    number = np.minimum((chance * bins).astype(int), bins - 1)
    return [
        Bin(int(some.sum()), float(chance[some].mean()), float(correct[some].mean()))
        for some in (number == each for each in range(bins))
        if some.any()
    ]


def position_of(log: AnswerLog) -> NDArray[np.int64]:
    """(answers,): 1 for a learner's first answer."""
    import numpy as np

    return np.arange(len(log)) - log.starts[log.learner] + 1


def first_attempts(log: AnswerLog) -> NDArray[np.bool_]:
    """(answers,): whether the learner answers the item for the first time."""
    import numpy as np

    key = log.learner.astype(np.int64) * len(log.catalogue.items) + log.item
    _, first = np.unique(key, return_index=True)
    found = np.zeros(len(log), dtype=bool)
    found[first] = True
    return found


def _measures(
    chance: NDArray[np.float64], correct: NDArray[np.float32], bins: int = BINS
) -> Callable[[NDArray[np.float64]], dict[str, float | None]]:
    import numpy as np

    chance = np.clip(chance.astype(np.float64), 1e-7, 1 - 1e-7)
    right = correct.astype(np.float64)
    hit = ((chance >= 0.5) == (right > 0.5)).astype(np.float64)
    loss = -(right * np.log(chance) + (1 - right) * np.log(1 - chance))
    square = (chance - right) ** 2
    number = np.minimum((chance * bins).astype(int), bins - 1)
    area = _auc_of(np.argsort(chance, kind="stable"), chance, right > 0.5)

    def measure(weight: NDArray[np.float64]) -> dict[str, float | None]:
        total = weight.sum()
        gap = np.bincount(number, weight * (chance - right), bins)
        return {
            "auc": area(weight),
            "accuracy": float(weight @ hit / total),
            "log_loss": float(weight @ loss / total),
            "brier": float(weight @ square / total),
            "ece": float(np.abs(gap).sum() / total),
        }

    return measure


def _auc_of(
    order: NDArray[np.int64], chance: NDArray[np.float64], right: NDArray[np.bool_]
) -> Callable[[NDArray[np.float64]], float | None]:
    """The AUC of weighted answers; ties count half."""
    import numpy as np

    ordered, marks = chance[order], right[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))

    def area(weight: NDArray[np.float64]) -> float | None:
        sorted_weight = weight[order]
        positive = np.add.reduceat(sorted_weight * marks, begins)
        negative = np.add.reduceat(sorted_weight * ~marks, begins)
        pairs = positive.sum() * negative.sum()
        if not pairs:
            return None
        below = np.cumsum(negative) - negative
        return float((positive @ (below + negative / 2)) / pairs)

    return area
