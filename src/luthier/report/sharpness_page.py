"""The page of a sharpness probe: how much the loss rises with the strength of the noise, for each model, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.report.charts import plot, ticks
from luthier.report.templating import write_page

if TYPE_CHECKING:
    from markupsafe import Markup

COLOURS = 4  # lines that can be told apart; further ones begin again


class Rise(NamedTuple):
    """The rise of the loss at one strength of the noise, and its standard error (None after a single draw)."""

    sigma: float
    rise: float
    error: float | None


@dataclass(frozen=True)
class Line:
    """One model: its name, its loss without noise, and its rises by strength."""

    name: str
    loss: float
    rises: Sequence[Rise]


def write_sharpness_page(lines: Sequence[Line], path: Path, *, data: str, rows: int, draws: int) -> None:
    """Draw the lines as one HTML file that loads nothing. Raises DiskError."""
    write_page("sharpness_page.html.j2", path, lines=lines, chart=chart(lines), data=data, rows=rows, draws=draws, colours=COLOURS)


def chart(lines: Sequence[Line]) -> Markup:
    """Rise over strength: a line a model, with a whisker of one standard error each way."""
    sigmas = sorted({one.sigma for line in lines for one in line.rises})
    reach = [0.0, *(one.rise + side * _whisker(one) for line in lines for one in line.rises for side in (-1, 1))]
    marks = ticks(min(reach), max(reach))
    low, high = min(marks[0], *reach), max(marks[-1], *reach)
    widest = sigmas[-1]

    def place(sigma: float, rise: float) -> str:
        return f"{100 * sigma / widest:.2f} {100 - 100 * (rise - low) / ((high - low) or 1):.2f}"

    paths = []
    for number, line in enumerate(lines):
        points = [place(0, 0), *(place(one.sigma, one.rise) for one in line.rises)]
        whiskers = " ".join(
            f"M{place(one.sigma, one.rise - _whisker(one))}L{place(one.sigma, one.rise + _whisker(one))}" for one in line.rises
        )
        paths += [(f"line c{number % COLOURS}", "M" + "L".join(points)), (f"error c{number % COLOURS}", whiskers)]
    told = "; ".join(f"{line.name}: " + ", ".join(f"{one.rise:+.3f} at {one.sigma:g}" for one in line.rises) for line in lines)
    rows = [((mark - low) / ((high - low) or 1), f"{mark:g}") for mark in marks]
    return plot(
        f"Rise of the loss by strength of the noise. {told}", paths, rows, [(sigma / widest, f"{sigma:g}") for sigma in (0, *sigmas)]
    )


def _whisker(one: Rise) -> float:
    return one.error or 0.0
