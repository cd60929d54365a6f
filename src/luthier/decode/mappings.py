"""From a diversity score to a factor of the temperature (DDS, arXiv 2406.07850): pure functions of tensors, equal to 1 at the mean score.

The constants are ours, the families are the paper's: linear, exponential and inverse sigmoid, whose names come from scheduled sampling
(arXiv 1506.03099); `logit` covers the other reading of the last name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch

Kind = Literal["linear", "exponential", "inverse_sigmoid", "logit"]
KINDS: tuple[Kind, ...] = ("linear", "exponential", "inverse_sigmoid", "logit")
DEFAULT_K = {"linear": 0.5, "exponential": 2.0, "inverse_sigmoid": 1.5, "logit": 0.25}
LEAST, MOST = 0.1, 2.0  # temperatures outside are clipped: below, greedy loops; above, noise
EDGE = 1e-4  # scores this near to 0 or 1 count as that near: their logit is finite


class Statistics(NamedTuple):
    """Scores of the training contexts: their mean, and their 5th and 95th percentile."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Mapping:
    """One family with its constants, centred and scaled by the training scores.

    k: strength; gamma: steepness of inverse_sigmoid only. Raises SettingsError where f would not rise with the score.
    """

    kind: Kind
    statistics: Statistics
    k: float | None = None
    gamma: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"mapping is {self.kind!r}; choose one of {', '.join(KINDS)}")
        least = {"exponential": 1.0, "inverse_sigmoid": 1.0}.get(self.kind, 0.0)
        k = self.strength
        if not (k >= least if self.kind == "inverse_sigmoid" else k > least) or self.gamma <= 0:
            bound = "at least" if self.kind == "inverse_sigmoid" else "above"
            raise SettingsError(f"{self.kind}: k is {k:g} and gamma {self.gamma:g}; k must be {bound} {least:g}, gamma above 0")
        if not self.statistics.high > self.statistics.low:
            raise SettingsError("all training scores are alike, so they cannot move the temperature; fit the head on other labels")

    @property
    def strength(self) -> float:
        return DEFAULT_K[self.kind] if self.k is None else self.k

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """f of each score in [0, 1]; same shape, finite, rising, 1 at the mean score. It may be 0 or less where it is linear."""
        mean, low, high = self.statistics
        if self.kind == "logit":
            return logit(scores, mean, self.strength)
        z = (scores - mean) / (high - low)
        if self.kind == "linear":
            return linear(z, self.strength)
        if self.kind == "exponential":
            return exponential(z, self.strength)
        return inverse_sigmoid(z, self.strength, self.gamma)


def linear(z: torch.Tensor, k: float = 0.5) -> torch.Tensor:
    """f = 1 + k z. z: (score - mean) / (95th - 5th percentile)."""
    return 1 + k * z


def exponential(z: torch.Tensor, k: float = 2.0) -> torch.Tensor:
    """f = k^z, k > 1."""
    import math

    return (math.log(k) * z).exp()


def inverse_sigmoid(z: torch.Tensor, k: float = 1.5, gamma: float = 3.0) -> torch.Tensor:
    """f = (k + 1) / (k + exp(-gamma z / k)), k >= 1: falls to nearly 0, rises to at most 1 + 1/k."""
    return (k + 1) / (k + (-gamma * z / k).exp())


def logit(scores: torch.Tensor, mean: float, k: float = 0.25) -> torch.Tensor:
    """f = 1 + k (logit s - logit mean)."""
    import math

    middle = min(1 - EDGE, max(EDGE, mean))
    return 1 + k * (scores.logit(eps=EDGE) - math.log(middle / (1 - middle)))


def clip(temperatures: torch.Tensor, least: float = LEAST, most: float = MOST) -> torch.Tensor:
    """Temperatures within [least, most]."""
    return temperatures.clamp(least, most)
