"""What turns a step of decoding into temperatures: a score with a mapping, or a rule that looks at the entropy of the step alone.

All take the states and the logits of a step and give one temperature a row, so they can be exchanged: the learned score (DDS,
arXiv 2406.07850), llama.cpp's dynamic temperature, EDT (arXiv 2403.14541), a fixed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from luthier.decode.mappings import LEAST, MOST, Mapping, Statistics, clip
from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Scorer(Protocol):
    """Gives each row of a step its diversity score in [0, 1]."""

    @property
    def reads_states(self) -> bool: ...

    @property
    def statistics(self) -> Statistics: ...

    def scores(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        """states: (rows, width), the vectors that made the logits, None unless `reads_states`; logits: (rows, vocabulary). Returns (rows,)."""
        ...


@runtime_checkable
class Rule(Protocol):
    """Gives each row of a step its temperature."""

    @property
    def reads_states(self) -> bool: ...

    def temperatures(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        """Arguments as those of a scorer. Returns (rows,), float32, above 0."""
        ...


@dataclass(frozen=True)
class ScoreRule:
    """T = t0 f(s), clipped: the dynamic temperature of the paper."""

    scorer: Scorer
    mapping: Mapping
    t0: float = 1.0
    least: float = LEAST
    most: float = MOST

    def __post_init__(self) -> None:
        _check_range(self.least, self.most)
        _check_t0(self.t0)

    @property
    def reads_states(self) -> bool:
        return self.scorer.reads_states

    def temperatures(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return clip(self.t0 * self.mapping(self.scorer.scores(states, logits)), self.least, self.most)


@dataclass(frozen=True)
class Fixed:
    """The same temperature for every row and step."""

    t0: float = 1.0
    reads_states = False

    def __post_init__(self) -> None:
        _check_t0(self.t0)

    def temperatures(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return logits.new_full((len(logits),), self.t0)


@dataclass(frozen=True)
class Dynatemp:
    """T = least + (most - least) (H / log V)^exponent, as in llama.cpp; H: entropy of the step, nats; V: size of the vocabulary.

    t0 scales the result, so that rules can be compared at equal mean temperature.
    """

    least: float = 0.1
    most: float = 2.0
    exponent: float = 1.0
    t0: float = 1.0
    reads_states = False

    def __post_init__(self) -> None:
        _check_range(self.least, self.most)
        _check_t0(self.t0)

    def temperatures(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return self.of_entropy(entropy(logits), logits.shape[-1])

    def of_entropy(self, nats: torch.Tensor, vocabulary: int) -> torch.Tensor:
        """The temperature at these entropies; same shape."""
        share = (nats / math.log(vocabulary)).clamp(0, 1)
        return clip(self.t0 * (self.least + (self.most - self.least) * share**self.exponent))


@dataclass(frozen=True)
class Edt:
    """T = t0 base^(theta / H), clipped (EDT, arXiv 2403.14541): near 0 where the model is sure, towards t0 where it is not."""

    t0: float = 1.0
    base: float = 0.8
    theta: float = 1.0
    reads_states = False

    def __post_init__(self) -> None:
        _check_t0(self.t0)
        if not 0 < self.base < 1 or self.theta <= 0:
            raise SettingsError(f"EDT: base is {self.base:g} and theta {self.theta:g}; base lies between 0 and 1, theta above 0")

    def temperatures(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return self.of_entropy(entropy(logits), logits.shape[-1])

    def of_entropy(self, nats: torch.Tensor, vocabulary: int) -> torch.Tensor:
        """The temperature at these entropies; same shape. The vocabulary plays no part."""
        exponent = self.theta / nats.clamp(min=1e-6)
        return clip(self.t0 * (math.log(self.base) * exponent).exp())


@dataclass(frozen=True)
class EntropyScore:
    """The normalised entropy H / log V as the score: what the learned head has to beat, under the same mapping."""

    statistics: Statistics
    reads_states = False

    def scores(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return (entropy(logits) / math.log(logits.shape[-1])).clamp(0, 1)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of each row's distribution at temperature 1, nats; tokens at minus infinity count nothing. (rows, V) -> (rows,)."""
    import torch

    return torch.special.entr(logits.float().softmax(-1)).sum(-1)


def _check_range(least: float, most: float) -> None:
    if not 0 < least < most:
        raise SettingsError(f"temperatures are clipped to {least:g}-{most:g}; give a range above 0")


def _check_t0(t0: float) -> None:
    if not (t0 > 0 and math.isfinite(t0)):
        raise SettingsError(f"the base temperature is {t0:g}; it must be above 0")
