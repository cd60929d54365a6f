"""Charts as inline SVG, without scripts. Positions are percentages, so that a chart fills any width and its text keeps its size.

Colours come from the page's style sheet through class names. Every text passes through markupsafe's escaping.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.wording import number, percent, percent_range

if TYPE_CHECKING:
    from markupsafe import Markup

Point = tuple[float, float]


def interval_bars(bars: Sequence[tuple[str, JSON]]) -> Markup:
    """Rates on an axis from 0 to 100 %, one bar each with its 95 % interval as a whisker; (class name, score) pairs."""
    from markupsafe import Markup

    grid = Markup("").join(Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(at) for at in (0, 25, 50, 75, 100))
    drawn = Markup("").join(_interval_bar(name, score, 5 + 15 * row) for row, (name, score) in enumerate(bars))
    told = "; ".join(
        f"{name}: {percent(score['rate'])}, 95 % interval {percent_range(score['low'], score['high'])}" for name, score in bars
    )
    return Markup('<svg class="bars" width="100%" height="{height}" role="img" aria-label="{told}">{grid}{drawn}</svg>').format(
        height=10 + 15 * len(bars) - 3, told=told, grid=grid, drawn=drawn
    )


def _interval_bar(name: str, score: JSON, top: int) -> Markup:
    from markupsafe import Markup

    return Markup(
        '<rect class="{name}" x="0" y="{top}" width="{rate}%" height="12" rx="2"/>'
        '<g class="halo"><line x1="{low}%" x2="{high}%" y1="{middle}" y2="{middle}"/></g>'
        '<g class="whisker"><line x1="{low}%" x2="{high}%" y1="{middle}" y2="{middle}"/>'
        '<line x1="{low}%" x2="{low}%" y1="{over}" y2="{under}"/><line x1="{high}%" x2="{high}%" y1="{over}" y2="{under}"/></g>'
    ).format(
        name=name,
        top=top,
        middle=top + 6,
        over=top + 3,
        under=top + 9,
        rate=_share(score["rate"]),
        low=_share(score["low"]),
        high=_share(score["high"]),
    )


def share_bar(share: float, name: str = "plain") -> Markup:
    """One horizontal bar, `share` of the full width."""
    from markupsafe import Markup

    return Markup(
        '<svg class="share" width="100%" height="10" aria-hidden="true"><rect class="track" width="100%" height="10" rx="2"/>'
        '<rect class="{}" width="{}%" height="10" rx="2"/></svg>'
    ).format(name, _share(share))


def curve(points: Sequence[Point], label: str) -> Markup:
    """Finite points in the order of their steps, and their smoothed line. Empty where there are fewer than two."""
    from markupsafe import Markup

    if len(points) < 2:
        return Markup("")
    smoothed = smooth(points)
    left, right = points[0][0], points[-1][0]
    low, high = min(*smoothed, *(y for _, y in points)), max(*smoothed, *(y for _, y in points))
    rows, columns = ticks(low, high), [x for x in ticks(left, right) if left <= x <= right]
    low, high = min(low, rows[0]), max(high, rows[-1])

    def place(x: float, y: float) -> str:
        return f"{100 * (x - left) / ((right - left) or 1):.2f} {100 - 100 * (y - low) / ((high - low) or 1):.2f}"

    dots = " ".join(f"M{place(x, y)}h0" for x, y in points)
    line = "M" + "L".join(place(x, y) for (x, _), y in zip(points, smoothed, strict=True))
    return plot(
        f"{label}: from {number(smoothed[0])} at step {number(left)} to {number(smoothed[-1])} at step {number(right)}",
        [("raw", dots), ("smooth", line)],
        [((y - low) / ((high - low) or 1), f"{y:g}") for y in rows],
        [((x - left) / ((right - left) or 1), f"{x:g}") for x in columns],
    )


def plot(label: str, paths: Sequence[tuple[str, str]], rows: Sequence[tuple[float, str]], columns: Sequence[tuple[float, str]]) -> Markup:
    """A field with two axes. label: what it shows, in words. paths: (class name, SVG path data in a square of 100, y downwards).
    rows, columns: (share of the height from below or of the width, text); each row has a line across.
    """
    from markupsafe import Markup

    drawn = Markup("").join(Markup('<path class="{}" d="{}"/>').format(name, data) for name, data in paths)
    return Markup(
        '<div class="curve"><div class="y-axis">{y_axis}</div><div class="plot" role="img" aria-label="{label}">{lines}'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg></div>'
        '<div class="x-axis">{x_axis}</div></div>'
    ).format(
        label=label,
        drawn=drawn,
        y_axis=_labels("bottom", rows),
        x_axis=_labels("left", columns),
        lines=Markup("").join(Markup('<i style="bottom:{}%"></i>').format(_share(at)) for at, _ in rows),
    )


def diagonal(label: str, points: Sequence[Point]) -> Markup:
    """What happened against what was foretold, both shares, beside the line where the two are equal."""
    axis = [(at / 4, percent(at / 4)) for at in range(5)]
    dots = "M" + "L".join(f"{100 * x:.2f} {100 - 100 * y:.2f}" for x, y in points)
    return plot(label, [("even", "M0 100L100 0"), ("right", dots)], axis, axis)


def _labels(side: str, marks: Sequence[tuple[float, str]]) -> Markup:
    from markupsafe import Markup

    return Markup("").join(Markup('<span style="{}:{}%">{}</span>').format(side, _share(at), text) for at, text in marks)


def thin(points: Sequence[Point], most: int = 400) -> tuple[list[Point], int]:
    """At most that many points, each the mean of equally many neighbours, and how many those are; unfinished ends go along."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    size = max(1, math.ceil(len(finite) / most))
    bins = [finite[at : at + size] for at in range(0, len(finite), size)]
    return [(sum(x for x, _ in each) / len(each), sum(y for _, y in each) / len(each)) for each in bins], size


def smooth(points: Sequence[Point]) -> list[float]:
    """A straight line through each point's neighbours, the nearer the heavier: follows a slope without lagging behind it."""
    reach = max(3, len(points) // 8)
    return [_local_fit(points[max(0, at - reach) : at + reach + 1], x) for at, (x, _) in enumerate(points)]


def _local_fit(near: Sequence[Point], x: float) -> float:
    span = 1.001 * max(abs(each - x) for each, _ in near) or 1.0
    weights = [(1 - (abs(each - x) / span) ** 3) ** 3 for each, _ in near]
    total = sum(weights)
    middle = sum(w * each for w, (each, _) in zip(weights, near, strict=True)) / total
    level = sum(w * y for w, (_, y) in zip(weights, near, strict=True)) / total
    spread = sum(w * (each - middle) ** 2 for w, (each, _) in zip(weights, near, strict=True))
    if spread == 0:
        return level
    slope = sum(w * (each - middle) * (y - level) for w, (each, y) in zip(weights, near, strict=True)) / spread
    return level + slope * (x - middle)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that enclose [low, high]; a range too narrow to label is drawn as one value is."""
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * max(1.0, size):
        high = low + (size if size > 1e-6 else 1.0)
    rough = (high - low) / count
    scale = 10 ** math.floor(math.log10(rough))
    step = next(factor * scale for factor in (1, 2, 2.5, 5, 10) if factor * scale >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _share(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}"
