"""Choosing among several chains of one question (Chain-of-Probe, section 4): strategies side by side on the same candidates.

A strategy gives one answer, a place among the options. Majority vote counts the answers that the chains state; most others look at the probes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from luthier.errors import SettingsError
from luthier.probe.chain_trace import ChainTrace, Mix, ScoreKind
from luthier.probe.statistics import question_key

if TYPE_CHECKING:
    from luthier.probe.judge import ChainJudge

Strategy = Literal["first", "no-cot", "vote", "cop", "confidence", "weighted", "tree", "resample"]
STRATEGIES: tuple[Strategy, ...] = ("first", "no-cot", "vote", "cop", "confidence", "weighted", "tree", "resample")


def choose(
    traces: Sequence[ChainTrace],
    strategy: Strategy = "weighted",
    *,
    score: ScoreKind = "mean",
    mix: Mix | None = None,
    judge: ChainJudge | None = None,
) -> int:
    """The answer to one question from its chains.

    `first`: of the first chain; `no-cot`: the probe before any chain; `vote`: majority of the answers that chains state, or of the
    probed ones where none states any, ties to the larger summed confidence; `cop`: the chain with the highest score; `confidence`: the final confidences of all chains added up; `weighted`: votes
    weighted by score; `tree`: a vote of the chains that `judge` accepts, of all where it accepts none; `resample`: the first chain that it
    accepts, as if one after the other were drawn, the least suspect one where it accepts none.
    """
    if not traces:
        raise SettingsError("no chains to choose from")
    if strategy == "first":
        return held(traces[0])
    if strategy == "no-cot":
        return traces[0].answers[0]
    if strategy == "cop":
        return held(max(traces, key=lambda trace: trace.score(score, mix)))
    if strategy in ("tree", "resample"):
        if judge is None:
            raise SettingsError(f"the strategy {strategy!r} needs a tree that judges chains; fit one with `luthier probe tree fit`")
        if strategy == "resample":
            tried = drawn_until_accepted(traces, judge)
            return held(tried[-1] if judge.accepts(tried[-1]) else min(tried, key=judge.predict))
        accepted = [trace for trace in traces if judge.accepts(trace)]
        return _vote(accepted or traces, lambda trace: 1.0)
    if strategy == "weighted":
        scores = [trace.score(score, mix) for trace in traces]
        least = min(0.0, *scores)  # gains may be negative, votes may not
        weights = {id(trace): value - least for trace, value in zip(traces, scores, strict=True)}
        return _vote(traces, lambda trace: weights[id(trace)])
    if strategy == "confidence":
        return int(sum(trace.conf[-1] for trace in traces).argmax())
    return _vote([trace for trace in traces if trace.stated is not None] or traces, lambda trace: 1.0)


def drawn_until_accepted(traces: Sequence[ChainTrace], judge: ChainJudge) -> list[ChainTrace]:
    """The chains in their order up to the first that the tree accepts, all of them where it accepts none."""
    stop = next((at for at, trace in enumerate(traces) if judge.accepts(trace)), len(traces) - 1)
    return list(traces[: stop + 1])


def held(trace: ChainTrace) -> int:
    """A chain's answer: what it states, else what the probe after it reads."""
    return trace.final if trace.stated is None else trace.stated


def by_question(traces: Sequence[ChainTrace]) -> list[list[ChainTrace]]:
    """The chains of each question, in their order."""
    groups: dict[tuple[str, tuple[str, ...]], list[ChainTrace]] = {}
    for trace in traces:
        groups.setdefault(question_key(trace), []).append(trace)
    return [sorted(each, key=lambda trace: trace.number) for each in groups.values()]


def chosen_right(
    questions: Sequence[Sequence[ChainTrace]],
    strategy: Strategy,
    *,
    score: ScoreKind = "mean",
    mix: Mix | None = None,
    judge: ChainJudge | None = None,
) -> list[bool]:
    """For each question whether the strategy's answer is the right one."""
    return [choose(each, strategy, score=score, mix=mix, judge=judge) == each[0].question.answer for each in questions]


class Tokens(NamedTuple):
    """What a strategy costs: tokens generated, and tokens of probes and chains read for them."""

    generated: int
    probed: int


def tokens_spent(questions: Sequence[Sequence[ChainTrace]], strategy: Strategy, judge: ChainJudge | None = None) -> Tokens:
    """Over all questions; the prompts are the same for all strategies and not counted."""
    if strategy == "no-cot":
        return Tokens(0, 0)
    if strategy == "first":
        used = [[each[0]] for each in questions]
    elif strategy == "resample" and judge is not None:
        used = [drawn_until_accepted(each, judge) for each in questions]
    else:
        used = [list(each) for each in questions]
    chains = [trace for each in used for trace in each]
    probes = 0 if strategy in ("first", "vote") else sum(trace.forwarded for trace in chains)
    return Tokens(sum(trace.tokens for trace in chains), probes)


def fit_mix(traces: Sequence[ChainTrace], *, ridge: float = 1.0, rounds: int = 25) -> Mix:
    """Weights of the score `mix` from chains with known answers: logistic regression of "the chain's answer is right", by Newton's method.

    ridge: penalty on the weights, which are of standardised ingredients. Raises SettingsError where all are right, or none is.
    """
    import numpy as np

    known = [trace for trace in traces if trace.question.answer is not None]
    y = np.array([held(trace) == trace.question.answer for trace in known], dtype=float)
    if len(known) < 2 or y.min() == y.max():
        raise SettingsError("the score 'mix' needs chains with right and with wrong answers to be fitted on")
    raw = np.array([trace.ingredients() for trace in known])
    spread = np.where(raw.std(axis=0) > 1e-12, raw.std(axis=0), 1.0)
    x = np.column_stack([np.ones(len(raw)), (raw - raw.mean(axis=0)) / spread])
    weights = np.zeros(x.shape[1])
    penalty = ridge * np.diag([0.0, *[1.0] * raw.shape[1]])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (y - p) - penalty @ weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + penalty + 1e-9 * np.eye(x.shape[1])
        move = np.linalg.solve(curvature, gradient)
        weights += move
        if np.abs(move).max() < 1e-10:
            break
    return Mix(*(float(w) for w in weights[1:] / spread))


def _vote(traces: Sequence[ChainTrace], weight: Callable[[ChainTrace], float]) -> int:
    """The answer with the most weight; ties go to the larger sum of final confidences, then to the first option."""
    size = traces[0].conf.shape[1]
    votes = [0.0] * size
    for trace in traces:
        votes[held(trace)] += weight(trace)
    summed = sum(trace.conf[-1] for trace in traces)
    return max(range(size), key=lambda place: (round(votes[place], 12), float(summed[place]), -place))
