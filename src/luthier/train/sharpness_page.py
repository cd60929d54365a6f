"""What a sharpness probe shows: how much the loss rises with the strength of the noise, for each model, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import plot, ticks
from luthier.report.page import Page
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

COLOURS = 4  # lines that can be told apart; further ones begin again
TITLE = "How much the loss rises under noise"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier probe sharpness`."""
    found = run.results("sharpness")
    if not found:
        return Page(TITLE)
    measured = [{**one, "name": name(one)} for one in found["measured"]]
    values = {"lines": measured, "chart": chart(measured), "draws": run.settings.get("draws"), "colours": COLOURS}
    return Page(TITLE, "train/sharpness.html.j2", values, tuple(Path(place).name for place in run.settings.get("places", ())[-1:]))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    said = []
    for one in run.results("sharpness")["measured"]:
        errors = ["" if rise["error"] is None else f" ± {rise['error']:.4f}" for rise in one["rises"]]
        rises = "   ".join(f"sigma {rise['sigma']:g}: {rise['rise']:+.4f}{error}" for rise, error in zip(one["rises"], errors, strict=True))
        said.append(f"{name(one)}: loss {one['loss']:.4f}   {rises}")
    return [*said, str(run.path / "report.html")]


def name(one: JSON) -> str:
    """Of a measured model."""
    return str(one["adapter"] or "before training")


def chart(lines: Sequence[JSON]) -> Markup:
    """Rise over strength: a line a model, with a whisker of one standard error each way."""
    sigmas = sorted({one["sigma"] for line in lines for one in line["rises"]})
    reach = [0.0, *(one["rise"] + side * _whisker(one) for line in lines for one in line["rises"] for side in (-1, 1))]
    marks = ticks(min(reach), max(reach))
    low, high = min(marks[0], *reach), max(marks[-1], *reach)
    widest = sigmas[-1]

    def place(sigma: float, rise: float) -> str:
        return f"{100 * sigma / widest:.2f} {100 - 100 * (rise - low) / ((high - low) or 1):.2f}"

    paths = []
    for number, line in enumerate(lines):
        points = [place(0, 0), *(place(one["sigma"], one["rise"]) for one in line["rises"])]
        whiskers = " ".join(
            f"M{place(one['sigma'], one['rise'] - _whisker(one))}L{place(one['sigma'], one['rise'] + _whisker(one))}"
            for one in line["rises"]
        )
        paths += [(f"line c{number % COLOURS}", "M" + "L".join(points)), (f"error c{number % COLOURS}", whiskers)]
    told = "; ".join(f"{line['name']}: " + ", ".join(f"{one['rise']:+.3f} at {one['sigma']:g}" for one in line["rises"]) for line in lines)
    rows = [((mark - low) / ((high - low) or 1), f"{mark:g}") for mark in marks]
    return plot(
        f"Rise of the loss by strength of the noise. {told}", paths, rows, [(sigma / widest, f"{sigma:g}") for sigma in (0, *sigmas)]
    )


def _whisker(one: JSON) -> float:
    return float(one["error"] or 0.0)
