"""The page of a sharpness probe: every model is on it, and it loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luthier.report.sharpness_page import Line, Rise, chart, write_sharpness_page


def test_the_page_shows_every_model_and_escapes_its_name(tmp_path: Path):
    lines = [
        Line("before training", 2.5, [Rise(0.05, 0.1, 0.01), Rise(0.1, 0.4, 0.02)]),
        Line("<b>runs/a</b>", 1.25, [Rise(0.05, 0.08, None), Rise(0.1, -0.3, None)]),
    ]
    page = tmp_path / "page.html"
    write_sharpness_page(lines, page, data="rows.jsonl", rows=64, draws=4)
    text = page.read_text()
    assert "&lt;b&gt;runs/a&lt;/b&gt;" in text
    assert "<b>runs/a" not in text
    for shown in ("2.5000", "1.2500", "+0.1000 ± 0.0100", "-0.3000", "rows.jsonl", "64 rows"):
        assert shown in text
    assert "nan" not in text
    assert not re.search(r"src=|href=\"http|@import|url\(", text)


@pytest.mark.parametrize("rises", [[Rise(0.1, 0.0, 0.0)], [Rise(0.1, -1.0, 0.5)], [Rise(1e-6, 1e-9, None), Rise(1.0, 50.0, 1.0)]])
def test_every_point_lies_within_the_field(rises: list[Rise]):
    drawn = str(chart([Line("one", 1.0, rises)]))
    numbers = [float(number) for path in re.findall(r' d="([^"]*)"', drawn) for number in re.findall(r"-?\d+\.\d+", path)]
    assert numbers
    assert all(-0.01 <= number <= 100.01 for number in numbers)
