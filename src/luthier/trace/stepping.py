"""A trained SINKT one answer at a time, in NumPy: the state of a learner is a few small arrays, and an update costs the same after ten answers
as after ten thousand.

The part of the predictor that only depends on the item is computed once for each item. Every number of a row is computed from that row
alone, so predictions do not change by a bit when items are added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from luthier.errors import BadRowError
from luthier.trace.evidence import COLUMNS, evidence_columns
from luthier.trace.item_rates import COLUMNS as RATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.trace.sinkt import Sinkt

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class LearnerState:
    """What is known of a learner: hidden (state,), answers and right ones overall, and by concept (concepts,). version: of the graph."""

    hidden: Floats
    answers: float
    right: float
    concept_answers: Floats
    concept_right: Floats
    version: str

    def to_row(self) -> dict[str, Any]:
        """The state as JSON values; concepts without answers are left out."""
        seen = np.flatnonzero(self.concept_answers)
        return {
            "version": self.version,
            "hidden": [float(each) for each in self.hidden],
            "answers": self.answers,
            "right": self.right,
            "concepts": {str(at): [float(self.concept_answers[at]), float(self.concept_right[at])] for at in seen},
        }

    @staticmethod
    def of_row(row: dict[str, Any]) -> LearnerState:
        """The state that `to_row` wrote. Raises BadRowError."""
        try:
            many = 1 + max((int(at) for at in row["concepts"]), default=-1)
            answers, right = np.zeros(many, dtype=np.float32), np.zeros(many, dtype=np.float32)
            for at, (count, good) in row["concepts"].items():
                answers[int(at)], right[int(at)] = count, good
            hidden = np.array(row["hidden"], dtype=np.float32)
            return LearnerState(hidden, float(row["answers"]), float(row["right"]), answers, right, str(row["version"]))
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise BadRowError(f"not the state of a learner ({type(problem).__name__}: {problem})") from None


class ItemTable(NamedTuple):
    """Rows of items: question vectors with residual and mean concept vectors, (n, d); how training answered them, (n, 2); all their parts of
    the predictor's first layer together, (n, d)."""

    question: Floats
    concept: Floats
    rates: Floats
    part: Floats

    def joined(self, other: ItemTable) -> ItemTable:
        return ItemTable(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class Stepper:
    """The weights of a SINKT as arrays. Its predictor must be the `mlp`."""

    def __init__(self, sinkt: Sinkt) -> None:
        weights = {name: each.detach().numpy() for name, each in sinkt.state_dict().items()}
        self.dim, self.wide = sinkt.settings.dim, sinkt.settings.state_dim
        self._evidence = sinkt.settings.evidence
        self._input, self._input_bias = weights["gru.weight_ih_l0"], weights["gru.bias_ih_l0"]
        self.recurrent, self._recurrent_bias = weights["gru.weight_hh_l0"], weights["gru.bias_hh_l0"]
        first, self._bias = weights["predictor.0.weight"], weights["predictor.0.bias"]
        self._of_state = np.ascontiguousarray(first[:, : self.wide])
        self._of_item = np.ascontiguousarray(first[:, self.wide : self.wide + 2 * self.dim])
        rest = np.ascontiguousarray(first[:, self.wide + 2 * self.dim :].T)
        self._of_evidence, self._of_rates = rest[:COLUMNS], rest[COLUMNS:]
        self._last, self._last_bias = weights["predictor.3.weight"][0], weights["predictor.3.bias"][0]

    def start(self, concepts: int, version: str) -> LearnerState:
        counts = np.zeros(concepts, dtype=np.float32)
        return LearnerState(np.zeros(self.wide, dtype=np.float32), 0.0, 0.0, counts, counts.copy(), version)

    def table(self, question: Floats, concept: Floats, rates: Floats | None = None) -> ItemTable:
        """The rows of items from their vectors and rates, each from itself alone; without rates they are items that training does not know."""
        known = np.zeros((len(question), RATES), dtype=np.float32) if rates is None else rates
        both = np.concatenate([question, concept], axis=1)
        part = np.stack([self._of_item @ row for row in both]) if len(both) else np.zeros((0, self.dim), np.float32)
        if self._evidence:
            for column, weight in enumerate(self._of_rates):
                part = part + known[:, column, None] * weight
        return ItemTable(question, concept, known, part.astype(np.float32))

    def update(self, state: LearnerState, concept: Floats, members: tuple[int, ...], correct: float) -> LearnerState:
        """The state after one answer: concept is the item's u, (d,), members its concepts; section 3.3 of the paper."""
        given = np.concatenate([concept * np.float32(correct), concept * np.float32(1 - correct)])
        a = self._input @ given + self._input_bias
        b = self.recurrent @ state.hidden + self._recurrent_bias
        wide = self.wide
        reset, keep = _sigmoid(a[:wide] + b[:wide]), _sigmoid(a[wide : 2 * wide] + b[wide : 2 * wide])
        new = np.tanh(a[2 * wide :] + reset * b[2 * wide :])
        hidden = (1 - keep) * new + keep * state.hidden
        answers, right = _grown(state.concept_answers, members), _grown(state.concept_right, members)
        for member in members:
            answers[member] += 1
            right[member] += correct
        return replace(
            state, hidden=hidden, answers=state.answers + 1, right=state.right + correct, concept_answers=answers, concept_right=right
        )

    def logits(self, state: LearnerState, part: Floats, concept_answers: Floats, concept_right: Floats) -> NDArray[np.float64]:
        """(n,): of items with `part` rows of a table and the learner's counts on each item's concepts, (n,)."""
        inner = part + (self._of_state @ state.hidden + self._bias)
        if self._evidence:
            seen = evidence_columns(
                np.array(state.answers), np.array(state.right), concept_answers.astype(np.float64), concept_right.astype(np.float64)
            )
            for column in range(seen.shape[1]):
                inner = inner + seen[:, column, None] * self._of_evidence[column]
        found: NDArray[np.float64] = (np.tanh(inner) * self._last).sum(axis=1, dtype=np.float64) + self._last_bias
        return found


def _grown(counts: Floats, members: tuple[int, ...]) -> Floats:
    """A copy that has a place for every member."""
    wanted = max(members, default=-1) + 1
    if wanted <= len(counts):
        return counts.copy()
    return np.concatenate([counts, np.zeros(wanted - len(counts), dtype=np.float32)])


def _sigmoid(values: Floats) -> Floats:
    return (1 / (1 + np.exp(-values))).astype(np.float32)
