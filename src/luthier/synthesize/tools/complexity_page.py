"""What a run of `luthier synthesize complexity` shows: how the losses lie, the range, and dialogues with the steps that led there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.talk import dialogue
from luthier.report.wording import number, percent
from luthier.run.record import RunRecord

DIALOGUES = "dialogues.jsonl"
TITLE = "How hard the dialogues are"
BINS = 16
SHOWN = 10


def histogram(columns: Sequence[Sequence[float]]) -> JSON:
    """How many of each column lie in each of equally wide bins; `edges` has one more than there are bins."""
    everything = [value for column in columns for value in column]
    low, high = min(everything), max(everything)
    width = (high - low) / BINS or 1.0
    counts = [[0] * BINS for _ in columns]
    for place, column in enumerate(columns):
        for value in column:
            counts[place][min(BINS - 1, math.floor((value - low) / width))] += 1
    return {"edges": [low + at * width for at in range(BINS + 1)], "counts": counts}


def draw(run: RunRecord) -> Page:
    """The page of a run; without measures yet, its shell."""
    bounds, found = run.results("range"), run.results("dialogues")
    if not found:
        return Page(TITLE)
    counts, edges = found["histogram"]["counts"], found["histogram"]["edges"]
    highest = max(max(column) for column in counts) or 1
    values = {
        "bounds": bounds,
        "found": found,
        "steered": bool(found["operators"]),
        "bins": [
            {
                "from": edges[at],
                "to": edges[at + 1],
                "inside": edges[at + 1] > bounds["low"] and edges[at] < bounds["high"],
                "before": counts[0][at],
                "after": counts[1][at],
                "before_share": counts[0][at] / highest,
                "after_share": counts[1][at] / highest,
            }
            for at in range(len(counts[0]))
        ],
        "talks": [(dialogue(row), row["complexity"]) for row in run.sample(DIALOGUES, SHOWN) if isinstance(row.get("complexity"), dict)],
    }
    return Page(TITLE, "synthesize/tools/complexity.html.j2", values, tags=(str(run.settings.get("model", "")),))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    bounds, found = run.results("range"), run.results("dialogues")
    told = [
        f"worth training on: a loss of {bounds['low']:.2f} to {bounds['high']:.2f} nats a token",
        f"  low: {bounds['low_by']}",
        f"  high: {bounds['high_by']}",
        f"{number(bounds['solved'])} of {number(bounds['prior'])} dialogues of the prior set are answered right",
        f"as they came: {_where(found['before'], found['dialogues'])}",
    ]
    if found["operators"]:
        steps = ", ".join(f"{name} {number(count)}" for name, count in found["operators"].items())
        told += [f"steered:      {_where(found['after'], found['dialogues'])}", f"steps: {steps}"]
    return [*told, str(run.path / DIALOGUES), str(run.path / "report.html")]


def _where(places: JSON, count: int) -> str:
    return f"{percent(round(places['inside'] / count, 3))} inside, {number(places['below'])} too easy, {number(places['above'])} too hard"
