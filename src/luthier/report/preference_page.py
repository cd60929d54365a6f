"""Pages of preference work: the pairs that were made, with their differences marked, and how training on pairs went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import curve, share_bar
from luthier.report.differences import marked
from luthier.report.templating import write_page

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 10  # pairs on the page
CURVES = (
    ("loss", "Loss", "what training minimises; that of dpo starts at log 2 = 0.693"),
    ("rewards/margins", "Margin", "reward of the chosen answer less that of the rejected one, in plain log-probabilities"),
    ("rewards/accuracies", "Accuracy", "share of the pairs whose chosen answer has the higher reward"),
    ("rewards/chosen", "Chosen answers", "their reward: below 0 they are less likely than under the reference"),
)


def write_pairs_page(report: JSON, rows: Sequence[JSON], path: Path, *, data: Sequence[str], seed: int) -> None:
    """One HTML file on the pairs of `synthesize.pairs.make_pairs`: counts, distances before and after bridging, ten pairs. Raises DiskError."""
    chosen = sorted(Random(seed).sample(range(len(rows)), min(SHOWN, len(rows))))
    widest = max(*report["before"], *report["after"], 1)
    bins = [
        {
            "range": f"{at / 10:.1f}–{(at + 1) / 10:.1f}",
            "before": before,
            "after": after,
            "before_bar": share_bar(before / widest, "before"),
            "after_bar": share_bar(after / widest, "after"),
        }
        for at, (before, after) in enumerate(zip(report["before"], report["after"], strict=True))
    ]
    write_page("pairs_page.html.j2", path, report=report, bins=bins, data=data, pairs=[_shown(rows[at], at + 1) for at in chosen])


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


def _shown(row: JSON, number: int) -> JSON:
    rejected, chosen, original = (row[name][-1]["content"] for name in ("rejected", "chosen", "original_chosen"))
    left, right = marked(rejected, chosen)
    return {
        "number": number,
        "asked": row["prompt"][-1]["content"],
        "rejected": left,
        "chosen": right,
        "bridged": row["bridged"],
        "original": original if original != chosen else None,
    }
