"""How often a model solves programming problems: pass@k of n samples, with what chance could have made of it.

The estimator is that of Chen et al. 2021 (arXiv 2107.03374, sec. 2.1); its interval resamples the problems.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from luthier.statistics.rates import wilson

DRAWS = 2000


@dataclass(frozen=True)
class PassRate:
    """pass@k over `problems`, with its 95 % interval [low, high]."""

    k: int
    problems: int
    rate: float
    low: float
    high: float

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that one of k programs, drawn of `samples` of which `passed` are right, is right: 1 - C(n-c, k) / C(n, k).

    Unbiased for the chance of k fresh samples. Raises ValueError unless 0 <= passed <= samples and 1 <= k <= samples.
    """
    if not (0 <= passed <= samples and 1 <= k <= samples):
        raise ValueError(f"pass@{k} of {passed} right ones among {samples}")
    return 1.0 - math.prod(1.0 - k / left for left in range(samples - passed + 1, samples + 1)) if samples - passed >= k else 1.0


def pass_rate(counts: Sequence[tuple[int, int]], k: int, seed: int = 0) -> PassRate:
    """Mean pass@k of problems, given (samples, passed) of each.

    The interval is Wilson's where every problem has one sample, else that of DRAWS resamplings of the problems. Raises ValueError
    where there is no problem, or fewer than k samples of one.
    """
    if not counts:
        raise ValueError("pass@k of no problem")
    each = [pass_at_k(samples, passed, k) for samples, passed in counts]
    if all(samples == 1 for samples, _ in counts):
        found = wilson(sum(passed for _, passed in counts), len(counts))
        return PassRate(k, len(counts), found.rate, found.low, found.high)
    draw = random.Random(seed)
    means = sorted(math.fsum(draw.choices(each, k=len(each))) / len(each) for _ in range(DRAWS))
    low, high = means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]
    return PassRate(k, len(counts), math.fsum(each) / len(each), low, high)
