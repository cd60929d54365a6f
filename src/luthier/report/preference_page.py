"""Pages of preference work: the pairs that were made, with their differences marked, and how training on pairs went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import curve
from luthier.report.templating import write_page

if TYPE_CHECKING:
    from markupsafe import Markup

CURVES = (
    ("loss", "Loss", "what training minimises; that of dpo starts at log 2 = 0.693"),
    ("rewards/margins", "Margin", "reward of the chosen answer less that of the rejected one, in plain log-probabilities"),
    ("rewards/accuracies", "Accuracy", "share of the pairs whose chosen answer has the higher reward"),
    ("rewards/chosen", "Chosen answers", "their reward: below 0 they are less likely than under the reference"),
)


def write_preference_page(results: JSON, steps: Sequence[JSON], path: Path, *, data: Sequence[str], settings: JSON) -> None:
    """One HTML file on a run of `train.preference`: its curves by step, and the evaluation pairs before and after. Raises DiskError.

    steps: rows of metrics.jsonl.
    """
    drawn: list[tuple[str, str, Markup]] = [
        (title, told, curve([(row["step"], row[name]) for row in steps if row.get(name) is not None], title))
        for name, title, told in CURVES
    ]
    names = [
        name
        for name in ("rewards/accuracies", "rewards/margins", "weighted/margins", "logps/chosen", "logps/rejected", "loss")
        if results["before"] is not None and name in results["before"]
    ]
    judged = [(name, results["before"][name], results["after"][name]) for name in names]
    write_page("preference_page.html.j2", path, results=results, curves=drawn, judged=judged, data=data, settings=settings)
