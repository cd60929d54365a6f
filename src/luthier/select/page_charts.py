"""The charts of a selection's page: ratios beside those of chance, scores by rank, sizes of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

from luthier.report.charts import plot, ticks
from luthier.report.wording import THIN, number

if TYPE_CHECKING:
    from markupsafe import Markup

WINDOWS = {"32K": "32 KiB back", "1M": "1 MiB back", "all": "the whole set"}
STEPS = 60  # points of the curve of scores at most


def verdict(ratio: Mapping[str, float], randoms: Sequence[Mapping[str, float]]) -> str:
    """Where the picks lie against the random selections, in a sentence; empty where there are none to compare with."""
    if not randoms:
        return ""
    found: dict[str, list[str]] = {"less redundant": [], "no different": [], "more redundant": []}
    for window, value in ratio.items():
        band = [each[window] for each in randoms]
        place = "less redundant" if value < min(band) else "more redundant" if value > max(band) else "no different"
        found[place].append(window)
    said = [
        f"{place} {'at every window' if len(windows) == len(ratio) else 'at ' + ' and '.join(windows)}"
        for place, windows in found.items()
        if windows
    ]
    return f"Against {len(randoms)} random selections of as many bytes, the picks are {', '.join(said)}."


class Band(NamedTuple):
    """One window's drawn row: its name, what it looks back on, the chart, and the two sides in figures."""

    window: str
    reach: str
    chart: Markup
    chance: str
    value: str


def ratio_bands(ratio: Mapping[str, float], randoms: Sequence[Mapping[str, float]]) -> tuple[Sequence[Band], Sequence[str]]:
    """The picks' ratio (a dot) beside the random ones (strokes on a bar), one row a window on a common axis, and the axis' labels."""
    if not randoms:
        return [], []
    every = [value for each in (ratio, *randoms) for value in each.values()]
    marks = ticks(min(every), max(every))
    low, high = marks[0], marks[-1]
    rows = []
    for window, value in ratio.items():
        band = sorted(each[window] for each in randoms)
        chance = f"{band[0]:.2f}–{band[-1]:.2f}" if f"{band[0]:.2f}" != f"{band[-1]:.2f}" else f"{band[0]:.2f}"
        told = f"R {window}: picks {value:.2f}, random {chance}"
        places = [100 * (each - low) / (high - low) for each in (*band, value)]
        lines = [100 * at / (len(marks) - 1) for at in range(len(marks))]
        rows.append(Band(window, WINDOWS.get(window, ""), _band(told, places, lines), chance, f"{value:.2f}"))
    return rows, [f"{mark:g}" for mark in marks]


def _band(told: str, places: Sequence[float], lines: Sequence[float]) -> Markup:
    """places: percent of the width; the last one is that of the picks, the others are in order."""
    from markupsafe import Markup

    *chance, value = [f"{place:.2f}" for place in places]
    grid = Markup("").join(Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(f"{at:.2f}") for at in lines)
    strokes = Markup("").join(Markup('<line class="chance" x1="{0}%" x2="{0}%" y1="5" y2="21"/>').format(at) for at in chance)
    return Markup(
        '<svg class="band-row" width="100%" height="26" role="img" aria-label="{told}">{grid}'
        '<line class="reach" x1="{low}%" x2="{high}%" y1="13" y2="13"/>{strokes}<circle class="after" cx="{value}%" cy="13" r="6"/></svg>'
    ).format(told=told, grid=grid, strokes=strokes, low=chance[0], high=chance[-1], value=value)


@dataclass(frozen=True)
class ScoreSteps:
    """Scores by rank: how many, ranks a step, and the nine deciles of each step."""

    count: int
    size: int
    deciles: list[list[float]]


def score_steps(scores: Sequence[float]) -> ScoreSteps:
    """Scores by rank in at most 60 steps of equally many ranks."""
    size = max(1, math.ceil(len(scores) / STEPS))
    steps = [scores[at : at + size] for at in range(0, len(scores), size)]
    tenths = [quantiles(step, n=10, method="inclusive") if len(step) > 1 else [step[0]] * 9 for step in steps]
    return ScoreSteps(len(scores), size, tenths)


def score_curve(scores: ScoreSteps) -> Markup:
    """Median score by rank with the middle 80 % as a band. Empty where there are no scores."""
    from markupsafe import Markup

    count, size, tenths = scores.count, scores.size, scores.deciles
    if not count:
        return Markup("")
    places = [at + (min(size, count - at) + 1) / 2 for at in range(0, count, size)]
    marks = ticks(min(each[0] for each in tenths), max(each[-1] for each in tenths))
    low, high = marks[0], marks[-1]
    last = max(2, count)

    def path(decile: int) -> list[str]:
        return [
            f"{100 * (rank - 1) / (last - 1):.2f} {100 - 100 * (each[decile] - low) / (high - low):.2f}"
            for rank, each in zip(places, tenths, strict=True)
        ]

    paths = [("taken", f"M{'L'.join(path(4))}h0")]
    if size > 1:
        paths.insert(0, ("band", f"M{'L'.join([*path(8), *reversed(path(0))])}Z"))
    first, end = min(size, count), count - size * (len(tenths) - 1)
    told = f"Score by rank: median {number(tenths[0][4])} of the first {number(first)}, {number(tenths[-1][4])} of the last {number(end)}"
    between = [round(mark) for mark in ticks(1, last, 3) if 0.15 * last < mark < 0.8 * last]
    ranks = [1, *dict.fromkeys(between), count] if count > 1 else [1]
    columns = [((rank - 1) / (last - 1), short(rank)) for rank in dict.fromkeys(ranks)]
    return plot(told, paths, [((mark - low) / (high - low), short(mark)) for mark in marks], columns)


def size_class(size: int) -> int:
    """The class of a text of `size` bytes, 1 or more: k where it has 2^(k/2) bytes or more and fewer than 2^((k+1)/2)."""
    return math.floor(2 * math.log2(size))


def size_histogram(pool: Mapping[int, int], taken: Mapping[int, int]) -> Markup:
    """Share of the rows by class of size, of the pool as an area and of the picks as a line, on a log axis. Empty without rows."""
    from markupsafe import Markup

    if not pool:
        return Markup("")
    first, last = min(pool), max(pool) + 1
    shares = [[100 * counts.get(k, 0) / max(1, sum(counts.values())) for k in range(first, last)] for counts in (pool, taken)]
    marks = ticks(0, max(map(max, shares)))
    high = marks[-1]

    def steps(values: Sequence[float]) -> str:
        corners = []
        for at, value in enumerate(values):
            y = 100 - 100 * value / high
            corners += [f"{100 * at / len(values):.2f} {y:.2f}", f"{100 * (at + 1) / len(values):.2f} {y:.2f}"]
        return "M0 100L" + "L".join(corners) + "L100 100"

    paths = [("band", f"{steps(shares[0])}Z")] + ([("taken", steps(shares[1]))] if taken else [])
    powers = [k for k in range(first, last + 1) if k % 2 == 0]
    columns = [((k - first) / (last - first), size_label(1 << k // 2)) for k in powers[:: math.ceil(len(powers) / 5)]]
    told = f"Row sizes: pool from {size_label(2 ** (first / 2))} to {size_label(2 ** (last / 2))} bytes, most rows {_most(pool)}"
    told += f"; picks, most rows {_most(taken)}" if taken else "; no picks"
    return plot(told, paths, [(mark / high, f"{mark:g}{THIN}%") for mark in marks], columns)


def _most(counts: Mapping[int, int]) -> str:
    top = max(counts, key=lambda k: (counts[k], -k))
    return f"{size_label(2 ** (top / 2))} to {size_label(2 ** ((top + 1) / 2))}"


def size_label(size: float) -> str:
    """`512`, `4 Ki`, `2 Mi`: bytes in powers of 1,024."""
    for unit, scale in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if size >= scale:
            return f"{round(size / scale, 1):g}{THIN}{unit}"
    return f"{round(size):g}"


def short(value: float) -> str:
    """A number that fits beside an axis: `3.5`, `20k`, `1.2M`."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:.4g}{unit}"
    return f"{value:.4g}"
