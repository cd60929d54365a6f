"""The page of preference tuning: curves by step, held-out pairs before and after, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.train.preference.page import draw
from run_folders import drawn, run_folder

NAMES = ("loss", "rewards/margins", "rewards/accuracies", "rewards/chosen")


def page(folder: Path, results: dict[str, Any], steps: int) -> str:
    rows = [{"step": n, **dict.fromkeys(NAMES, 0.5 + n)} for n in range(1, steps + 1)]
    settings = {"data": ["<p>.jsonl"], "model": "m", "training": {"delta": 3.0}, "delta": None, "loss": None}
    return drawn(run_folder(folder, "train preference", {"train": results}, settings, {"metrics.jsonl": rows}), draw)


def test_the_page_of_a_run_shows_curves_and_what_was_judged(tmp_path: Path):
    measured = {"rewards/accuracies": 0.25, "logps/chosen": -12.5, "loss": 0.693}
    results = {
        "steps": 5,
        "bridged": 4,
        "method": "bmc",
        "made": "adapter",
        "loss": 0.5,
        "evaluated": None,
        "pairs": {"kept": 20, "identical": 1, "empty": 0, "too_long": 2},
        "before": measured,
        "after": {**measured, "rewards/accuracies": 0.75},
    }
    text = page(tmp_path / "a", results, 5)
    for shown in ("0.250", "0.750", "-12.500", "&lt;p&gt;.jsonl", "1 pairs with identical answers", "δ 3.0"):
        assert shown in text
    assert text.count('class="plot"') == 4
    assert "Too few steps for a curve." in page(tmp_path / "b", {**results, "before": None, "after": None}, 1)


def test_a_run_without_results_has_a_page(tmp_path: Path):
    assert "still going on" not in drawn(run_folder(tmp_path, "train preference", {}), draw)
