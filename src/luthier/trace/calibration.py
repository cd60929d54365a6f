"""Chances that mean what they say: two numbers fitted on validation answers (Platt scaling), and how far mastery may lie from its estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luthier.statistics.logits import sigmoid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

EVIDENCE = (0, 1, 3, 6, 11)  # answers on a concept from which each spread counts
_SPREADS = 41
_LOOK_AHEAD = 5  # answers on the concept that show how well it is mastered
_STEPS = 50


class Platt(NamedTuple):
    """chance = sigmoid(scale * logit + shift)."""

    scale: float = 1.0
    shift: float = 0.0

    def chance(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return sigmoid(self.scale * logits + self.shift)


def fit_platt(logits: NDArray[np.float64], correct: NDArray[np.float32]) -> Platt:
    """The scale and shift of least log-loss, by Newton's method; the identity where the answers are all alike or too few to tell."""
    import numpy as np

    if len(correct) < 20 or correct.min() == correct.max():
        return Platt()
    scale, shift = 1.0, 0.0
    inputs = np.stack([logits, np.ones(len(logits))])
    for _ in range(_STEPS):
        chance = sigmoid(scale * logits + shift)
        gradient = inputs @ (chance - correct) + 1e-3 * np.array([scale - 1, shift])
        bend = (inputs * (chance * (1 - chance))) @ inputs.T + 1e-3 * np.eye(2)
        step = np.linalg.solve(bend, gradient)
        scale, shift = scale - float(step[0]), shift - float(step[1])
        if np.abs(step).max() < 1e-9:
            break
    return Platt(scale, shift) if scale > 0 else Platt()


def fit_spreads(logit: NDArray[np.float64], log: AnswerLog) -> list[float]:
    """Standard deviations of true mastery around its estimate, in logits, by how many answers on the concept came before (`EVIDENCE`).

    logit: of each answer given those before. A learner's next answers on a concept are binomial around a mastery that is normal around the
    estimate; the spread of greatest likelihood is taken (Gauss-Hermite). A bucket with few groups borrows that of less evidence.
    """
    import numpy as np

    groups = _groups(logit, log)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()
    found: list[float] = []
    for number in range(len(EVIDENCE)):
        some = groups[groups[:, 0] == number]
        if len(some) < 30:
            found.append(found[-1] if found else 1.0)
            continue
        _, mean, right, answers = some.T
        likelihood = []
        for spread in np.linspace(0.0, 3.0, _SPREADS):
            chance = sigmoid(mean[:, None] + spread * nodes)
            terms = right[:, None] * np.log(chance) + (answers - right)[:, None] * np.log(1 - chance)
            likelihood.append(float(np.log((np.exp(terms) * weights).sum(axis=1)).sum()))
        found.append(float(np.linspace(0.0, 3.0, _SPREADS)[int(np.argmax(likelihood))]))
    return found


def spread_at(spreads: list[float], evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The spread for each number of answers on a concept."""
    import numpy as np

    bucket = np.searchsorted(np.array(EVIDENCE), evidence, side="right") - 1
    return np.array(spreads)[bucket]


def _groups(logit: NDArray[np.float64], log: AnswerLog) -> NDArray[np.float64]:
    """(groups, 4): evidence bucket, the logit estimated there, right ones and number of the learner's answers on the same concepts from there."""
    import numpy as np

    sets = log.catalogue.concept_sets
    key = log.learner.astype(np.int64) * (int(sets.max(initial=-1)) + 1) + sets[log.item]
    order = np.lexsort((np.arange(len(log)), key))
    _, starts, sizes = np.unique(key[order], return_index=True, return_counts=True)
    right = np.concatenate([[0.0], np.cumsum(log.correct[order], dtype=np.float64)])
    rows = []
    for bucket, anchor in enumerate(EVIDENCE):
        long = sizes >= anchor + 2
        begin = starts[long] + anchor
        ahead = np.minimum(sizes[long] - anchor, _LOOK_AHEAD)
        rows.append(
            np.stack(
                [np.full(len(begin), float(bucket)), logit[order][begin], right[begin + ahead] - right[begin], ahead.astype(np.float64)],
                axis=1,
            )
        )
    return np.concatenate(rows)
