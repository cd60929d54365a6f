"""The page of a sharpness probe: every model is on it, and it loads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from luthier.train.sharpness_page import chart, draw
from run_folders import drawn, run_folder


def rise(sigma: float, value: float, error: float | None) -> dict[str, Any]:
    return {"sigma": sigma, "rise": value, "error": error, "draws": []}


def test_the_page_shows_every_model_and_escapes_its_name(tmp_path: Path):
    measured = [
        {"adapter": None, "rows": 64, "loss": 2.5, "rises": [rise(0.05, 0.1, 0.01), rise(0.1, 0.4, 0.02)]},
        {"adapter": "<b>runs/a</b>", "rows": 64, "loss": 1.25, "rises": [rise(0.05, 0.08, None), rise(0.1, -0.3, None)]},
    ]
    settings = {"draws": 4, "places": ["<b>runs/a</b>", "x/rows.jsonl"]}
    text = drawn(run_folder(tmp_path, "probe sharpness", {"sharpness": {"measured": measured}}, settings), draw)
    assert "&lt;b&gt;runs/a&lt;/b&gt;" in text
    assert "<b>runs/a" not in text
    for shown in ("2.5000", "1.2500", "+0.1000 ± 0.0100", "-0.3000", "rows.jsonl", "64 rows"):
        assert shown in text
    assert "nan" not in text
    assert not re.search(r"src=|href=\"http|@import|url\(", text)


@pytest.mark.parametrize("rises", [[rise(0.1, 0.0, 0.0)], [rise(0.1, -1.0, 0.5)], [rise(1e-6, 1e-9, None), rise(1.0, 50.0, 1.0)]])
def test_every_point_lies_within_the_field(rises: list[dict[str, Any]]):
    drawing = str(chart([{"name": "one", "loss": 1.0, "rises": rises}]))
    numbers = [float(number) for path in re.findall(r' d="([^"]*)"', drawing) for number in re.findall(r"-?\d+\.\d+", path)]
    assert numbers
    assert all(-0.01 <= number <= 100.01 for number in numbers)
