"""From verdicts to figures with intervals: by scenario and noise, of refusing, on retained facts, and how one arm differs from another (sec. 3.5).

Noise levels of one question are not independent, so whatever spans levels resamples questions; a single level is a plain proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.evaluate.fusion.asking import Answer
from luthier.evaluate.fusion.scores import Abstention, CoveragePoint, FusionScores, Mean, Refusing, RetainedScores, ScenarioScores, Span
from luthier.evaluate.fusion.scoring import Scorer, Verdict
from luthier.records.fusion import SCENARIOS, FusionItem, Scenario
from luthier.statistics.rates import Rate, wilson
from luthier.statistics.resampling import Difference, bootstrap, bootstrap_statistic, paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Statistic = Callable[[Sequence[tuple[bool, bool]]], float | None]
COLLAPSED = 0.95  # share of one behaviour, refusing or answering, from which a model has lost the other
CURVE = tuple(step / 10 for step in range(1, 11))  # coverages of the abstention curve


@dataclass(frozen=True)
class Judged:
    """An item, what was said to it, and the verdict."""

    item: FusionItem
    answer: Answer
    verdict: Verdict


def judge(items: Sequence[FusionItem], answers: Sequence[Answer], scorer: Scorer) -> list[Judged]:
    """Verdicts on the answers, which are those to the items, in order. Raises SettingsError where they are not."""
    if [item.id for item in items] != [answer.item for answer in answers]:
        raise SettingsError("the answers are not those to these items; evaluate into another folder")
    return [Judged(item, answer, scorer.judge(item, answer.text)) for item, answer in zip(items, answers, strict=True)]


def measure(judged: Sequence[Judged], retention: Sequence[Judged] = (), seed: int = 0) -> FusionScores:
    """All figures of one arm. retention: the closed-book answers on infused facts, which say what is retained."""
    retained = frozenset(fact for one in retention if one.verdict.right for fact in one.item.needed_ids)
    by = {name: [one for one in judged if one.item.scenario == name] for name in SCENARIOS}
    kept: dict[Scenario, RetainedScores] = {
        name: _on_retained(by[name], retained, seed) for name in SCENARIOS if name in ("S2", "S3") and by[name] and retention
    }
    return FusionScores(
        items=len(judged),
        truncated=sum(one.answer.truncated for one in (*judged, *retention)),
        retention=_plain(retention, _right) if retention else None,
        scenarios={name: _scenario(some, seed) for name, some in by.items() if some},
        retained=kept,
        refusing=_refusing(judged, seed),
        gap=_gap(by, seed),
        sources=_sources(by["S2"], seed),
        abstention=_abstention(judged),
    )


def compare(before: Sequence[Judged], after: Sequence[Judged], seed: int = 0) -> dict[Scenario, Difference]:
    """How much higher R_acc of each scenario is in the second arm, on the same items, with intervals and p."""
    import numpy as np

    pairs = {one.item.id: (one, other) for one, other in zip(before, after, strict=True) if one.item.id == other.item.id}
    made: dict[Scenario, Difference] = {}
    for name in SCENARIOS:
        some = [pair for pair in pairs.values() if pair[0].item.scenario == name]
        if some:
            a, b = (np.array([float(pair[side].verdict.right) for pair in some]) for side in (0, 1))
            made[name] = paired(a, b, _clusters([pair[0] for pair in some]), seed)
    return made


def _scenario(some: Sequence[Judged], seed: int) -> ScenarioScores:
    levels = sorted({one.item.noise for one in some})
    most = [one for one in some if one.item.noise == levels[-1]]
    placed = any(one.item.gold_place is not None for one in most) and levels[-1] > 0
    places = {name: _plain([one for one in most if _place(one.item) == name], _right) for name in ("first", "middle", "last")}
    forms = sorted({one.item.form for one in some})
    return ScenarioScores(
        right=_over(some, _right, seed),
        cover=_over(some, lambda one: one.verdict.cover, seed),
        refused=_over(some, _refused, seed),
        misled=_over(some, lambda one: float(one.verdict.misled), seed),
        questions=len({one.item.base for one in some}),
        by_noise={str(level): _plain([one for one in some if one.item.noise == level], _right) for level in levels},
        by_form={form: _over([one for one in some if one.item.form == form], _right, seed) for form in forms},
        noise_drop={str(level): _drop(some, levels[0], level, seed) for level in levels[1:]},
        by_place=places if placed else None,
    )


def _right(one: Judged) -> float:
    return float(one.verdict.right)


def _refused(one: Judged) -> float:
    return float(one.verdict.refused)


def _place(item: FusionItem) -> str:
    return "first" if item.gold_place == 0 else "last" if item.gold_place == len(item.context) - 1 else "middle"


def _plain(some: Sequence[Judged], value: Callable[[Judged], float]) -> Rate:
    """A proportion of independent items."""
    return wilson(round(sum(value(one) for one in some)), len(some))


def _over(some: Sequence[Judged], value: Callable[[Judged], float], seed: int) -> Mean:
    """A mean over items, its interval over questions; where all are alike, that of as many questions (Wilson)."""
    import numpy as np

    if not some:
        return Mean(0.0, 0.0, 1.0, 0, 0)
    values = np.array([value(one) for one in some])
    clusters = _clusters(some)
    count = int(clusters.max()) + 1
    interval = bootstrap(values, clusters, seed)
    if values.min() == values.max() and values[0] in (0.0, 1.0):
        bounds = wilson(count if values[0] else 0, count)
        return Mean(float(values[0]), bounds.low, bounds.high, len(some), count)
    return Mean(interval.mean, interval.low, interval.high, len(some), count)


def _clusters(some: Sequence[Judged]) -> NDArray[np.int32]:
    import numpy as np

    places: dict[str, int] = {}
    return np.array([places.setdefault(one.item.base, len(places)) for one in some], dtype=np.int32)


def _drop(some: Sequence[Judged], least: int, level: int, seed: int) -> Difference | None:
    """R_acc without noise less R_acc at a level, on the questions that have both."""
    import numpy as np

    one, other = ({each.item.base: _right(each) for each in some if each.item.noise == noise} for noise in (level, least))
    both = sorted(one.keys() & other.keys())
    if not both:
        return None
    return paired(np.array([one[base] for base in both]), np.array([other[base] for base in both]), seed=seed)


def _on_retained(some: Sequence[Judged], retained: AbstractSet[str], seed: int) -> RetainedScores:
    """A scenario on the items whose memory facts the model answers closed-book: fusion apart from memory."""
    kept = [one for one in some if all(need.fact in retained for need in one.item.needed if need.part == "memory")]
    return RetainedScores(_over(kept, _right, seed), _over(kept, lambda one: one.verdict.cover, seed), _over(kept, _refused, seed))


def _refusing(judged: Sequence[Judged], seed: int) -> Refusing:
    """Precision, recall and F1 of refusing where S4 wants it, and whether the model does one thing only."""
    pairs = [(one.item.scenario == "S4", one.verdict.refused) for one in judged]
    bases = [one.item.base for one in judged]
    precision, recall, f1 = (
        Span(*bootstrap_statistic(partial(_at, statistic, pairs), bases, seed)) for statistic in (_precision, _recall, _f1)
    )
    share = sum(refused for _, refused in pairs) / max(1, len(pairs))
    never = share <= 1 - COLLAPSED and any(wanted for wanted, _ in pairs)
    return Refusing(precision, recall, f1, share, "always" if share >= COLLAPSED else "never" if never else None)


def _at(statistic: Statistic, pairs: Sequence[tuple[bool, bool]], places: np.ndarray) -> float | None:
    return statistic([pairs[at] for at in places])


def _precision(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    made = [wanted for wanted, refused in pairs if refused]
    return sum(made) / len(made) if made else None


def _recall(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    made = [refused for wanted, refused in pairs if wanted]
    return sum(made) / len(made) if made else None


def _f1(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    hits = sum(wanted and refused for wanted, refused in pairs)
    either = sum(wanted for wanted, _ in pairs) + sum(refused for _, refused in pairs)
    return 2 * hits / either if either else None


def _gap(by: dict[Scenario, list[Judged]], seed: int) -> Span | None:
    """min(R_acc of S1, R_acc of S3) less R_acc of S2: what is lost when two sources that each suffice for their own must be joined."""
    some = [*by["S1"], *by["S2"], *by["S3"]]
    if not (by["S1"] and by["S2"] and by["S3"]):
        return None

    def gap(places: np.ndarray) -> float | None:
        rates = []
        for name in ("S1", "S3", "S2"):
            values = [some[at].verdict.right for at in places if some[at].item.scenario == name]
            if not values:
                return None
            rates.append(sum(values) / len(values))
        return float(min(rates[:2]) - rates[2])

    return Span(*bootstrap_statistic(gap, [one.item.base for one in some], seed))


def _sources(some: Sequence[Judged], seed: int) -> dict[str, Mean] | None:
    """Of the two halves of S2 answers, how often each is stated."""
    return {part: _over(some, partial(_half, part), seed) for part in ("external", "memory")} if some else None


def _half(part: str, one: Judged) -> float:
    """Share of the facts of a part that an answer states."""
    pairs = [stated for need, stated in zip(one.item.needed, one.verdict.stated, strict=True) if need.part == part]
    return sum(pairs) / len(pairs) if pairs else 0.0


def _abstention(judged: Sequence[Judged]) -> Abstention | None:
    """Accuracy of the answers the model is surest of, by share of all items; None where confidence was not measured. Refusals stay in."""
    known = [one for one in judged if one.answer.confidence is not None]
    if not known:
        return None
    ordered = sorted(known, key=lambda one: -(one.answer.confidence or 0.0))
    points = []
    for coverage in CURVE:
        some = ordered[: max(1, round(coverage * len(ordered)))]
        points.append(CoveragePoint(coverage, **_plain(some, _right).to_row()))
    return Abstention(tuple(points), sum(point.rate for point in points) / len(points))
