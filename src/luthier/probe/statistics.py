"""What many probed chains say together (Chain-of-Probe, sections 3 and 4): early answering, its necessity, and what chains change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from luthier.probe.chain_trace import SCORES, ChainTrace, ScoreKind
from luthier.probe.figures import Bin, Cut, Known, Place, PositionBias, Statistics, StepBand, Summary
from luthier.probe.online import EarlyExit
from luthier.statistics.ranks import area_under_curve
from luthier.statistics.rates import Rate, wilson

STEP_BANDS = ((0, 0), (1, 2), (3, 4), (5, 8), (9, 16), (17, 32))
BINS = 10
VALID_MASS = 0.5  # less: the probe does not ask for the options, and what it reads means little


def statistics(traces: Sequence[ChainTrace]) -> Statistics:
    """The statistics of all chains, by group and by number of steps."""
    groups = _by_group(traces)
    return Statistics(summary(traces), groups if len(groups) > 1 else {}, by_steps(traces), early_exits(traces))


def summary(traces: Sequence[ChainTrace]) -> Summary:
    """All statistics of some chains."""
    known = [trace for trace in traces if trace.question.answer is not None]
    stated = [trace for trace in traces if trace.stated is not None]
    return Summary(
        chains=len(traces),
        questions=len({question_key(trace) for trace in traces}),
        steps=_mean([len(trace.steps) for trace in traces]),
        tokens=sum(trace.tokens for trace in traces),
        forwarded=sum(trace.forwarded for trace in traces),
        naive=sum(trace.naive for trace in traces),
        early=_rate(traces, lambda trace: trace.early),
        changes=_mean([trace.changes for trace in traces]),
        decision_share=_mean([trace.decision_step / len(trace.steps) for trace in traces if trace.steps]),
        area_over_curve=_mean([trace.area_over_curve for trace in traces]),
        confidence_before=_mean([float(trace.conf[0, trace.final]) for trace in traces]),
        confidence_after=_mean([trace.score("final") for trace in traces]),
        mass_before=_mean([float(trace.mass[0]) for trace in traces]),
        mass_after=_mean([float(trace.mass[-1]) for trace in traces]),
        valid=_rate(traces, lambda trace: trace.mass[0] >= VALID_MASS),
        states=wilson(len(stated), len(traces)),
        agrees_before=_rate(stated, lambda trace: trace.answers[0] == trace.stated),
        agrees_after=_rate(stated, lambda trace: trace.final == trace.stated),
        position=_position_bias(traces),
        known=_known(known) if known else None,
    )


def early_exits(traces: Sequence[ChainTrace]) -> list[Cut]:
    """What cutting the chains early would have saved, and cost, under several rules: the beginning of a chain does not depend on its end."""
    known = [trace for trace in traces if trace.question.answer is not None and trace.steps]
    rows = []
    for rule in (EarlyExit(1, 0.0), EarlyExit(2, 0.0), EarlyExit(2, 0.25), EarlyExit(2, 0.5), EarlyExit(3, 0.25)):
        stops = [exit_step(trace, rule) for trace in known]
        held = [trace.answers[stop] for trace, stop in zip(known, stops, strict=True)]
        spent = [trace.ends[stop - 1] if stop < len(trace.steps) else trace.tokens for trace, stop in zip(known, stops, strict=True)]
        rows.append(
            Cut(
                same=rule.same,
                margin=rule.margin,
                tokens=sum(spent),
                of_tokens=sum(trace.tokens for trace in known),
                right=wilson(sum(answer == trace.question.answer for answer, trace in zip(held, known, strict=True)), len(known)),
                right_full=_rate(known, lambda trace: bool(trace.right)),
                same_answer=wilson(sum(answer == trace.final for answer, trace in zip(held, known, strict=True)), len(known)),
            )
        )
    return rows if known else []


def exit_step(trace: ChainTrace, rule: EarlyExit) -> int:
    """The step after which a rule would have ended the chain, the last one where it never would."""
    rows = trace.conf.tolist()
    return next((step for step in range(1, len(rows)) if rule.is_met(rows[: step + 1])), len(rows) - 1)


def _by_group(traces: Sequence[ChainTrace]) -> dict[str, Summary]:
    groups: dict[str, list[ChainTrace]] = {}
    for trace in traces:
        groups.setdefault(trace.question.group, []).append(trace)
    return {name: summary(each) for name, each in sorted(groups.items())}


def by_steps(traces: Sequence[ChainTrace]) -> list[StepBand]:
    """Early answering and what the chain is worth, by the number of steps: chains that the answer does not need are short, if the paper is right."""
    rows = []
    for low, high in STEP_BANDS:
        here = [trace for trace in traces if low <= len(trace.steps) <= high]
        if here:
            known = [trace for trace in here if trace.question.answer is not None]
            rows.append(
                StepBand(
                    steps=f"{low}–{high}" if high > low else str(low),
                    chains=len(here),
                    early=_rate(here, lambda trace: trace.early),
                    right_before=_rate(known, lambda trace: trace.answers[0] == trace.question.answer),
                    right_after=_rate(known, lambda trace: bool(trace.right)),
                )
            )
    return rows


def question_key(trace: ChainTrace) -> tuple[str, tuple[str, ...]]:
    """What tells questions apart."""
    return trace.question.question, trace.question.options


def _position_bias(traces: Sequence[ChainTrace]) -> PositionBias:
    """By the place of an option: mean confidence before the chain, how often it is held then, and how often it is right.

    A model without a bias holds each place about as often as it is right. One row a question: chains of one question share theirs.
    """
    import numpy as np

    first: dict[tuple[str, tuple[str, ...]], ChainTrace] = {}
    for trace in traces:
        first.setdefault(question_key(trace), trace)
    most = max((len(trace.question.options) for trace in first.values()), default=0)
    places = []
    for place in range(most):
        having = [trace for trace in first.values() if len(trace.question.options) > place]
        places.append(
            Place(
                place=place,
                questions=len(having),
                confidence=float(np.mean([trace.conf[0, place] for trace in having])),
                held=sum(trace.answers[0] == place for trace in having),
                right=sum(trace.question.answer == place for trace in having),
            )
        )
    return PositionBias(places, max((abs(one.held - one.right) / one.questions for one in places), default=0.0))


def separation(traces: Sequence[ChainTrace], kind: ScoreKind, *, stated: bool = False) -> float | None:
    """The area under the ROC curve of a score, right chains against wrong ones; None where one of the two is missing.

    stated: judges the answers that the chains state, else those probed after them.
    """
    right = [(trace.stated if stated else trace.final) == trace.question.answer for trace in traces]
    return area_under_curve([trace.score(kind) for trace in traces], right)


def reliability(traces: Sequence[ChainTrace], kind: ScoreKind = "final") -> list[Bin]:
    """Chains by their score, in ten bins: how many are right, and what the score says on average."""
    bins: list[list[ChainTrace]] = [[] for _ in range(BINS)]
    for trace in traces:
        bins[min(BINS - 1, max(0, int(BINS * trace.score(kind))))].append(trace)
    return [
        Bin(at / BINS, (at + 1) / BINS, len(each), sum(bool(trace.right) for trace in each), _mean([trace.score(kind) for trace in each]))
        for at, each in enumerate(bins)
        if each
    ]


def _known(known: Sequence[ChainTrace]) -> Known:
    early = [trace for trace in known if trace.early]
    late = [trace for trace in known if not trace.early]
    said = [trace for trace in known if trace.stated is not None]
    return Known(
        right_before=_rate(known, lambda trace: trace.answers[0] == trace.question.answer),
        right_after=_rate(known, lambda trace: bool(trace.right)),
        right_stated=_rate(said, lambda trace: trace.stated == trace.question.answer),
        right_early=_rate(early, lambda trace: bool(trace.right)),
        right_late=_rate(late, lambda trace: bool(trace.right)),
        helpful=_rate(known, lambda trace: trace.helpful),
        harmful=_rate(known, lambda trace: trace.harmful),
        chance=_mean([1 / len(trace.question.options) for trace in known]),
        separation={kind: separation(known, kind) for kind in SCORES},
        separation_stated={kind: separation(said, kind, stated=True) for kind in SCORES},
        reliability=reliability(known),
    )


def _rate(traces: Iterable[ChainTrace], holds: Callable[[ChainTrace], bool]) -> Rate:
    marks = [bool(holds(trace)) for trace in traces]
    return wilson(sum(marks), len(marks))


def _mean(values: Sequence[float]) -> float | None:
    return float(sum(values) / len(values)) if values else None
