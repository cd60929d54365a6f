"""The charts of the selection page stand where their numbers say, and within their frames."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.select.page_charts import ratio_bands, score_curve, score_steps, short, size_class, size_histogram, size_label, verdict

RANDOM = [{"32K": 3.0, "all": 4.0}, {"32K": 3.2, "all": 4.5}, {"32K": 3.1, "all": 4.2}]


def test_the_verdict_compares_with_the_whole_band() -> None:
    assert verdict({"32K": 2.9, "all": 3.9}, RANDOM).endswith("the picks are less redundant at every window.")
    assert verdict({"32K": 3.0, "all": 4.5}, RANDOM).endswith("no different at every window.")
    assert verdict({"32K": 3.3, "all": 3.9}, RANDOM).endswith("less redundant at all, more redundant at 32K.")
    assert verdict({"32K": 1.0}, []) == ""


def test_a_band_stands_at_its_ratios() -> None:
    rows, marks = ratio_bands({"32K": 2.0, "all": 3.0}, RANDOM)
    assert [(row.window, row.chance, row.value) for row in rows] == [("32K", "3.00–3.20", "2.00"), ("all", "4.00–4.50", "3.00")]
    low, high = float(marks[0]), float(marks[-1])
    drawn = re.findall(r'cx="([\d.]+)%"', str(rows[1].chart))
    assert float(drawn[0]) == pytest.approx(100 * (3.0 - low) / (high - low), abs=0.01)
    strokes = [float(at) for at in re.findall(r'class="chance" x1="([\d.]+)%"', str(rows[1].chart))]
    assert strokes == pytest.approx([100 * (value - low) / (high - low) for value in (4.0, 4.2, 4.5)], abs=0.01)


@given(st.integers(1, 2**60))
def test_a_size_lies_in_its_class(size: int) -> None:
    k = size_class(size)
    assert 2**k <= size**2 * (1 + 1e-12)
    assert size**2 < 2 ** (k + 1) * (1 + 1e-12)


def test_a_histogram_has_its_known_places() -> None:
    """Classes 8 and 9 (16 bytes and more): three rows and one; the picks are of the second alone."""
    drawn = str(size_histogram({8: 3, 9: 1}, {9: 1}))
    assert '<path class="band" d="M0 100L0.00 25.00L50.00 25.00L50.00 75.00L100.00 75.00L100 100Z"/>' in drawn
    assert '<path class="taken" d="M0 100L0.00 100.00L50.00 100.00L50.00 0.00L100.00 0.00L100 100"/>' in drawn
    assert ">16</span>" in drawn
    assert str(size_histogram({}, {})) == ""


@given(st.lists(st.floats(-1e6, 1e6), max_size=300))
def test_every_score_lies_within_its_chart(scores: list[float]) -> None:
    drawn = str(score_curve(score_steps(scores)))
    places = [float(each) for d in re.findall(r' d="([^"]+)"', drawn) for each in re.findall(r"-?\d+\.\d+", d)]
    assert all(-0.01 <= place <= 100.01 for place in places)
    assert bool(drawn) == bool(scores)
    assert ('class="band"' in drawn) == (len(scores) > 60)


def test_axis_labels_are_short() -> None:
    assert [short(value) for value in (0, 2.5, 837, 20_000, 1_234_567)] == ["0", "2.5", "837", "20k", "1.235M"]
    assert [size_label(size) for size in (16, 1024, 1536, 1 << 21)] == ["16", "1\u202fKi", "1.5\u202fKi", "2\u202fMi"]
