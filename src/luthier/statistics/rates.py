"""Rates with their uncertainty: the Wilson score interval of a proportion, and the exact test of two on the same items."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """`correct` of `items`, with the Wilson interval [low, high] at 95 %."""

    correct: int
    items: int
    rate: float
    low: float
    high: float

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


def wilson(correct: int, items: int, z: float = Z95) -> Rate:
    """The rate and its Wilson score interval. Without items the rate is 0 and the interval is the whole of [0, 1]."""
    if not 0 <= correct <= items:
        raise ValueError(f"{correct} correct of {items} items")
    if items == 0:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    share = correct / items
    middle = share + z * z / (2 * items)
    spread = z * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    scale = 1 + z * z / items
    low = 0.0 if correct == 0 else max(0.0, (middle - spread) / scale)
    high = 1.0 if correct == items else min(1.0, (middle + spread) / scale)
    return Rate(correct, items, share, low, high)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p that as many items change from wrong to right as back (McNemar's test); 1 where none changes."""
    changed, fewer = gained + lost, min(gained, lost)
    ways = sum(math.comb(changed, count) for count in range(fewer + 1))
    return min(1.0, 2 * ways / (1 << changed))
