"""The figures of one arm on a fusion suite, as they are measured and as JSON. Rates are of 0 to 1, intervals of 95 %."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from luthier.records import JSON
from luthier.records.fusion import Scenario
from luthier.statistics.rates import Rate
from luthier.statistics.resampling import Difference


@dataclass(frozen=True)
class Mean:
    """A mean over items, its interval over their questions."""

    rate: float
    low: float
    high: float
    items: int
    questions: int


@dataclass(frozen=True)
class Span:
    """A figure that is no plain mean, with its interval; None where it is not defined."""

    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ScenarioScores:
    """right: R_acc; cover: R_cover; misled: a value of a distractor was taken. by_noise: R_acc by number of distractors; noise_drop: how much
    lower it is than at the least noise; by_place: R_acc at the greatest noise by where the gold passage stands, None without one."""

    right: Mean
    cover: Mean
    refused: Mean
    misled: Mean
    questions: int
    by_noise: dict[str, Rate]
    by_form: dict[str, Mean]
    noise_drop: dict[str, Difference | None]
    by_place: dict[str, Rate] | None


@dataclass(frozen=True)
class RetainedScores:
    """A scenario on the items whose memory facts the model answers closed-book."""

    right: Mean
    cover: Mean
    refused: Mean


@dataclass(frozen=True)
class Refusing:
    """Refusing where S4 wants it; share: of all answers; collapsed: whether the model does one thing only."""

    precision: Span
    recall: Span
    f1: Span
    share: float
    collapsed: Literal["always", "never"] | None


@dataclass(frozen=True)
class CoveragePoint:
    """R_acc of the answers that the model is surest of, `coverage` of all."""

    coverage: float
    correct: int
    items: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Abstention:
    """The curve of abstention, and the area under it."""

    points: tuple[CoveragePoint, ...]
    area: float


@dataclass(frozen=True)
class FusionScores:
    """All figures of one arm. retention: closed-book answers on infused facts; gap: what is lost when two sources must be joined; sources:
    how often each half of an S2 answer is stated. None where there is nothing to measure it on."""

    items: int
    truncated: int
    retention: Rate | None
    scenarios: dict[Scenario, ScenarioScores]
    retained: dict[Scenario, RetainedScores]
    refusing: Refusing
    gap: Span | None
    sources: dict[str, Mean] | None
    abstention: Abstention | None

    def to_row(self) -> JSON:
        """As JSON; scenarios without a gold passage have no `by_place`."""
        row: JSON = asdict(self)
        for one in row["scenarios"].values():
            if one["by_place"] is None:
                del one["by_place"]
        return row
