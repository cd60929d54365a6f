"""Ways to set the temperature, brought to one mean: the same average heat, spent in different places.

A head is always used as fitted without the context's own fold, so every context is held out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.decode.features import Features
from luthier.decode.head import DiversityHead
from luthier.decode.labels import Label
from luthier.decode.mappings import Kind, Mapping, Statistics, clip
from luthier.decode.portable import PortableHead
from luthier.decode.processor import DDS, Level
from luthier.decode.rules import Dynatemp, Edt, EntropyScore, Fixed, Rule
from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch

SOURCES = ("fixed", "head", "portable", "entropy", "dynatemp", "edt", "oracle")
HOTTEST = 64.0  # base temperatures are sought below


@dataclass(frozen=True)
class Arm:
    """One way. source: one of SOURCES; head: which of the heads, for head and portable; sampler: as `samplers.read_sampler` takes it."""

    source: str
    level: Level | float = "sequence"
    mapping: Kind = "inverse_sigmoid"
    sampler: str = "top_p=0.95"
    head: str = ""

    @property
    def name(self) -> str:
        if self.source in ("fixed", "oracle"):
            return f"{self.source}, {self.sampler}"
        who = f"{self.source} {self.head}".strip()
        how = "" if self.source in ("dynatemp", "edt") else f", {self.mapping.replace('_', ' ')}"
        level = self.level if isinstance(self.level, str) else f"mixed {self.level:g}"
        return f"{who}, {level}{how}, {self.sampler}"


@dataclass(frozen=True)
class Bench:
    """What arms are made of: labels with their features, the heads by name, and the vocabulary's size."""

    labels: Sequence[Label]
    features: Features
    heads: MappingType[str, DiversityHead]
    portables: MappingType[str, PortableHead]
    vocabulary: int


def matched(arm: Arm, bench: Bench, target: float, places: Sequence[int]) -> float:
    """The base temperature at which the arm's expected mean over the contexts at `places` is `target`.

    Expected on the positions that were read at temperature 1: the end of each context, for arms of token level also along a reply.
    Raises SettingsError where no base temperature gives it.
    """
    low, high, chosen = 1e-3, HOTTEST, list(places)
    if not float(expected(arm, bench, low)[chosen].mean()) <= target <= float(expected(arm, bench, high)[chosen].mean()):
        raise SettingsError(f"{arm.name}: no base temperature gives a mean of {target:g}; choose one nearer to 1")
    for _ in range(60):
        middle = math.sqrt(low * high)
        if float(expected(arm, bench, middle)[chosen].mean()) < target:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def expected(arm: Arm, bench: Bench, t0: float) -> torch.Tensor:
    """Mean temperature of each context at a base temperature, (contexts,)."""
    import torch

    features, count = bench.features, len(bench.labels)
    each = _temperatures(arm, bench, t0)
    ends = torch.zeros(count)
    ends[features.context[features.first]] = each[features.first]
    sums = torch.zeros(count).index_add(0, features.context, each)
    means = sums / torch.bincount(features.context, minlength=count)
    share = {"sequence": 1.0, "token": 0.0}.get(arm.level) if isinstance(arm.level, str) else arm.level
    return float(share or 0.0) * ends + (1 - float(share or 0.0)) * means


def dds_for(arm: Arm, bench: Bench, t0: float, at: int) -> DDS:
    """How the arm decodes context `at`."""
    context = bench.labels[at].context
    if arm.source == "head":
        return DDS(bench.heads[arm.head].without(context), arm.mapping, t0, arm.level)
    if arm.source == "portable":
        return DDS(bench.portables[arm.head], arm.mapping, t0, arm.level)
    if arm.source == "entropy":
        return DDS(EntropyScore(_entropy_statistics(bench)), arm.mapping, t0, arm.level)
    if arm.source == "oracle":
        return DDS(Fixed(float(_oracle(arm, bench, t0)[at])), level="token")
    rules: dict[str, Rule] = {"fixed": Fixed(t0), "dynatemp": Dynatemp(t0=t0), "edt": Edt(t0)}
    return DDS(rules[arm.source], level="token" if arm.source == "fixed" else arm.level)


def _temperatures(arm: Arm, bench: Bench, t0: float) -> torch.Tensor:
    """At every position that was read, (positions,)."""
    import torch

    features = bench.features
    nats = features.statistics[:, 0] * math.log(bench.vocabulary)
    if arm.source == "fixed":
        return torch.full_like(nats, t0)
    if arm.source == "oracle":
        return _oracle(arm, bench, t0)[features.context]
    if arm.source in ("dynatemp", "edt"):
        rule = Dynatemp(t0=t0) if arm.source == "dynatemp" else Edt(t0)
        return rule.of_entropy(nats, bench.vocabulary)
    statistics = {"entropy": _entropy_statistics}.get(arm.source, lambda _: _scorer(arm, bench).statistics)(bench)
    return clip(t0 * Mapping(arm.mapping, statistics)(position_scores(arm, bench)))


def _scorer(arm: Arm, bench: Bench) -> DiversityHead | PortableHead:
    return bench.heads[arm.head] if arm.source == "head" else bench.portables[arm.head]


def position_scores(arm: Arm, bench: Bench) -> torch.Tensor:
    """The arm's score at every position, (positions,); of a head, each by the network that has not seen the context."""
    import torch

    features = bench.features
    if arm.source == "entropy":
        return features.statistics[:, 0].clamp(0, 1)
    if arm.source == "portable":
        return bench.portables[arm.head].of_statistics(features.statistics)
    head = bench.heads[arm.head]
    scores = torch.zeros(len(features.context))
    folds = {} if head.outcome is None else head.outcome.folds
    fold_of = torch.tensor([folds.get(label.context.key, -1) for label in bench.labels])[features.context]
    for fold in fold_of.unique().tolist():
        rows = fold_of == fold
        at = int(features.context[rows][0])
        scores[rows] = head.without(bench.labels[at].context).scores(features.states[rows])
    return scores


def _oracle(arm: Arm, bench: Bench, t0: float) -> torch.Tensor:
    """Told the kind of each context, as far apart as the mapping puts the outer scores: an upper bound, not a method. (contexts,)"""
    import torch

    chat = torch.tensor([float(label.context.kind == "chat") for label in bench.labels])
    return clip(t0 * Mapping(arm.mapping, Statistics(float(chat.mean()), 0.0, 1.0))(chat))


def _entropy_statistics(bench: Bench) -> Statistics:
    return next(iter(bench.heads.values())).entropy
