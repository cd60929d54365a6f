"""The leaderboard's own sums over categories, where all of them were scored: published figures are these, not single categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from luthier.records import JSON
from luthier.statistics.rates import Z95

SIMPLE = ("simple_python", "simple_java", "simple_javascript")


class Mean(NamedTuple):
    """A weighted mean of rates with its 95 % interval; items: of all of them."""

    rate: float
    low: float
    high: float
    items: int


class Sum(NamedTuple):
    """A figure of the leaderboard for one way of decoding."""

    name: str
    decoding: str
    official: Mean
    strict: Mean


def sums(scores: Sequence[JSON]) -> list[Sum]:
    """The sums of a score table (rows of `Score.to_row`), for each decoding, as far as all items' categories are in it.

    Non-live AST is the mean of four categories, the first of them the mean of the three languages; live AST counts every item alike.
    """
    found = []
    for decoding in dict.fromkeys(str(row["decoding"]) for row in scores):
        table = {str(row["category"]): row for row in scores if row["decoding"] == decoding and "official" in row}
        for name, weights in _weights(table).items():
            if table.keys() >= weights.keys():
                found.append(Sum(name, decoding, *(_mean(table, weights, rule) for rule in ("official", "strict"))))
    return found


def _weights(table: Mapping[str, JSON]) -> dict[str, dict[str, float]]:
    """The weight of each category in each sum."""
    live = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
    counts = {name: int(table[name]["items"]) for name in live if name in table}
    total = max(1, sum(counts.values()))
    return {
        "non-live AST": {**dict.fromkeys(SIMPLE, 1 / 12), **dict.fromkeys(("multiple", "parallel", "parallel_multiple"), 1 / 4)},
        "live AST": {name: counts.get(name, 0) / total for name in live},
    }


def _mean(table: Mapping[str, JSON], weights: Mapping[str, float], rule: str) -> Mean:
    """The weighted mean of independent rates. Their variances are of rates moved towards a half (Agresti and Coull), so that 0 of 5 has one."""
    rate = variance = 0.0
    items = 0
    for name, weight in weights.items():
        share, count = float(table[name][rule]["rate"]), int(table[name]["items"])
        moved = (share * count + 2) / (count + 4)
        rate += weight * share
        variance += weight**2 * moved * (1 - moved) / (count + 4)
        items += count
    reach = Z95 * math.sqrt(variance)
    return Mean(rate, max(0.0, rate - reach), min(1.0, rate + reach), items)
