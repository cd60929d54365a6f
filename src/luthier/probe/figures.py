"""What the statistics of probed chains hold: of some chains, by the number of steps, of an early end, of the places of options.

Rates have their Wilson interval, means are over chains. `to_row` is what stands in run.json; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from luthier.probe.chain_trace import ScoreKind
from luthier.records import JSON
from luthier.statistics.rates import Rate


@dataclass(frozen=True)
class Bin:
    """Chains whose score lies in [low, high): how many there are, how many are right, and their mean score."""

    low: float
    high: float
    chains: int
    right: int
    score: float | None


@dataclass(frozen=True)
class Known:
    """What is known of chains whose question has an answer. early, late: chains that hold their answer from the start, and the others.

    separation: area under the ROC curve of each score, right chains against wrong ones; None where one of the two is missing.
    """

    right_before: Rate
    right_after: Rate
    right_stated: Rate
    right_early: Rate
    right_late: Rate
    helpful: Rate
    harmful: Rate
    chance: float | None
    separation: dict[ScoreKind, float | None]
    separation_stated: dict[ScoreKind, float | None]
    reliability: list[Bin]


@dataclass(frozen=True)
class Place:
    """One place of an option: of how many questions, mean confidence before the chain, how often it is held then and how often right."""

    place: int
    questions: int
    confidence: float
    held: int
    right: int


@dataclass(frozen=True)
class PositionBias:
    """The places of options, and the largest difference between how often one is held and how often it is right, as a share."""

    places: list[Place]
    largest: float


@dataclass(frozen=True)
class Summary:
    """All statistics of some chains. forwarded, naive: tokens that probing put through the model, and would have without shared prefixes.

    known: None where no question has a known answer.
    """

    chains: int
    questions: int
    steps: float | None
    tokens: int
    forwarded: int
    naive: int
    early: Rate
    changes: float | None
    decision_share: float | None
    area_over_curve: float | None
    confidence_before: float | None
    confidence_after: float | None
    mass_before: float | None
    mass_after: float | None
    valid: Rate
    states: Rate
    agrees_before: Rate
    agrees_after: Rate
    position: PositionBias
    known: Known | None

    def to_row(self) -> JSON:
        """All in one object; what needs known answers is absent without."""
        row = asdict(self)
        return row | (row.pop("known") or {})


@dataclass(frozen=True)
class StepBand:
    """Chains of so many steps: early answering, and the rates of right answers before and after the chain."""

    steps: str
    chains: int
    early: Rate
    right_before: Rate
    right_after: Rate


@dataclass(frozen=True)
class Cut:
    """What ending the chains by a rule would have saved and cost. right_full: of whole chains; same_answer: as at their end."""

    same: int
    margin: float
    tokens: int
    of_tokens: int
    right: Rate
    right_full: Rate
    same_answer: Rate


@dataclass(frozen=True)
class Statistics:
    """The statistics of all chains, of each group where there are several, by the number of steps, and of early ends."""

    all: Summary
    groups: dict[str, Summary]
    by_steps: list[StepBand]
    early_exit: list[Cut]

    def to_row(self) -> JSON:
        return {
            "all": self.all.to_row(),
            "groups": {name: one.to_row() for name, one in self.groups.items()},
            "by_steps": [asdict(one) for one in self.by_steps],
            "early_exit": [asdict(one) for one in self.early_exit],
        }
