"""The page of preference pairs that were made, with their differences marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from luthier.records import JSON
from luthier.report.charts import share_bar
from luthier.report.differences import marked
from luthier.report.templating import write_page

SHOWN = 10  # pairs on the page


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
