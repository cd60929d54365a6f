"""Bayesian knowledge tracing (Corbett and Anderson, 1995): each concept is known or not, learnt at a rate, guessed and slipped.

Fitted by expectation-maximisation, all concepts at once: every learner's answers on a concept are one sequence. An item of several concepts
is answered by the mean of theirs and counts for each; a concept that training never saw has the mean of all, and an item without concepts
the share of right answers in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

ROUNDS = 15
_START = (0.4, 0.15, 0.2, 0.15)
_LOW, _HIGH = (0.01, 0.001, 0.01, 0.01), (0.99, 0.6, 0.5, 0.4)  # beyond these, known and not known change places
_MARGIN = 1e-6  # of what is known from 0 and 1


class Bkt(NamedTuple):
    """Of each concept: known before the first answer, learnt between two answers, guessed, slipped; (concepts,) each. right: the share of
    right answers in training."""

    known: NDArray[np.float64]
    learns: NDArray[np.float64]
    guess: NDArray[np.float64]
    slip: NDArray[np.float64]
    right: float = 0.5


class _Sequences(NamedTuple):
    """Answers by learner and concept, long sequences first: row r of step t is the t-th answer of sequence r. answer: place in the log."""

    concept: NDArray[np.int64]
    answer: list[NDArray[np.int64]]


def fit_bkt(train: AnswerLog, rounds: int = ROUNDS) -> Bkt:
    """Parameters of every concept of the catalogue."""
    import numpy as np

    many = len(train.catalogue.concepts)
    values = np.tile(np.array(_START)[:, None], many)
    sequences = _sequences(train)
    for _ in range(rounds):
        counts = _expectations(Bkt(*values), sequences, train.correct.astype(np.float64), many)
        # two answers' worth of the start keeps rare concepts off the edges
        values = np.stack([(top + 2 * start) / (below + 2) for (top, below), start in zip(counts, _START, strict=True)])
        values = values.clip(np.array(_LOW)[:, None], np.array(_HIGH)[:, None])
    seen = np.bincount(sequences.concept, minlength=many) > 0
    if seen.any():
        values[:, ~seen] = values[:, seen].mean(axis=1, keepdims=True)
    known, learns, guess, slip = values
    return Bkt(known, learns, guess, slip, float(train.correct.mean()) if len(train) else 0.5)


def predict_bkt(model: Bkt, log: AnswerLog) -> NDArray[np.float64]:
    """The chance of every answer, (answers,)."""
    import numpy as np

    sequences = _sequences(log)
    total, count = np.zeros(len(log)), np.zeros(len(log))
    known = model.known[sequences.concept]
    for answer in sequences.answer:
        some = sequences.concept[: len(answer)]
        known = known[: len(answer)]
        guess, slip = model.guess[some], model.slip[some]
        chance = known * (1 - slip) + (1 - known) * guess
        np.add.at(total, answer, chance)
        np.add.at(count, answer, 1)
        right = log.correct[answer]
        after = right * known * (1 - slip) / chance + (1 - right) * known * slip / (1 - chance)
        known = _inside(after + (1 - after) * model.learns[some])
    return np.where(count > 0, total / np.maximum(count, 1), model.right)


def _expectations(
    model: Bkt, sequences: _Sequences, correct: NDArray[np.float64], many: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Expected (events, opportunities) of each parameter by concept: forward and backward over all sequences at once."""
    import numpy as np

    concept = sequences.concept
    known, forward = model.known[concept], []
    for answer in sequences.answer:
        some, right = concept[: len(answer)], correct[answer]
        known = known[: len(answer)]
        if_known = right * (1 - model.slip[some]) + (1 - right) * model.slip[some]
        if_not = right * model.guess[some] + (1 - right) * (1 - model.guess[some])
        posterior = known * if_known / (known * if_known + (1 - known) * if_not)
        forward.append(_inside(posterior))
        known = _inside(posterior + (1 - posterior) * model.learns[some])
    sums = np.zeros((8, many))
    later = np.zeros(0)
    for step in range(len(forward) - 1, -1, -1):
        some, right = concept[: len(forward[step])], correct[sequences.answer[step]]
        smoothed = forward[step].copy()
        size = len(later)
        if size:  # two states, known stays known: p(known now | all) from p(known next | all)
            before, part = forward[step][:size], some[:size]
            learns = model.learns[part]
            prior_next = before + (1 - before) * learns
            not_yet = (1 - before) * (1 - learns) * (1 - later) / (1 - prior_next)
            learnt = (1 - before) * learns * later / prior_next
            smoothed[:size] = 1 - not_yet - learnt
            _gather(sums, 2, part, learnt)
            _gather(sums, 3, part, learnt + not_yet)
        if step == 0:
            _gather(sums, 0, some, smoothed)
            _gather(sums, 1, some, np.ones(len(some)))
        shares = ((1 - smoothed) * right, 1 - smoothed, smoothed * (1 - right), smoothed)
        for row, share in enumerate(shares, 4):
            _gather(sums, row, some, share)
        later = smoothed
    return [(sums[row], sums[row + 1]) for row in range(0, 8, 2)]


def _inside(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Never quite 0 or 1: a chance of 1 could not be taken back by any answer."""
    return chance.clip(_MARGIN, 1 - _MARGIN)


def _gather(sums: NDArray[np.float64], row: int, concept: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    import numpy as np

    sums[row] += np.bincount(concept, values, sums.shape[1])


def _sequences(log: AnswerLog) -> _Sequences:
    import numpy as np

    answer, concept = log.by_concept()
    key = log.learner[answer].astype(np.int64) * (len(log.catalogue.concepts) + 1) + concept
    order = np.lexsort((answer, key))
    _, starts, lengths = np.unique(key[order], return_index=True, return_counts=True)
    longest = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest], lengths[longest]
    steps = [answer[order][starts[: int((lengths > step).sum())] + step] for step in range(int(lengths[0]) if len(lengths) else 0)]
    return _Sequences(concept[order][starts], steps)
