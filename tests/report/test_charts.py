from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luthier.report.charts import curve, smooth, thin, ticks
from luthier.report.wording import duration, number, percent, percent_range

finite = st.floats(-1e6, 1e6)


@given(finite, finite)
def test_ticks_enclose_the_range_evenly(one: float, other: float) -> None:
    low, high = sorted((one, other))
    marks = ticks(low, high)
    steps = [after - before for before, after in pairwise(marks)]
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 8
    assert max(steps) - min(steps) <= slack


def test_ticks_are_round() -> None:
    assert ticks(0.4, 2.3) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert ticks(1, 100) == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.0, 5e-324), (-5e-324, 0.0), (1e5, 1e5 + 1e-9), (-3.0, -3.0)])
def test_a_range_too_narrow_to_label_still_gets_distinct_marks(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert len(set(marks)) == len(marks) >= 2
    assert marks[0] <= high
    assert marks[-1] >= low


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(2, 60))
def test_a_straight_line_is_its_own_smoothing(slope: float, level: float, count: int) -> None:
    points = [(float(x), level + slope * x) for x in range(count)]
    assert smooth(points) == pytest.approx([y for _, y in points], abs=1e-6)


@given(st.lists(st.tuples(finite, finite), max_size=900))
def test_thinning_keeps_the_mean(points: list[tuple[float, float]]) -> None:
    thinned, size = thin(points, most=50)
    assert len(thinned) <= 50
    counts = [min(size, len(points) - at) for at in range(0, len(points), size)]
    total = sum(count * y for count, (_, y) in zip(counts, thinned, strict=True))
    assert total == pytest.approx(sum(y for _, y in points), abs=1e-3, rel=1e-6)


def test_thinning_drops_what_is_not_finite() -> None:
    assert thin([(1, 2.0), (2, float("nan")), (3, float("inf")), (4, 5.0)]) == ([(1, 2.0), (4, 5.0)], 1)


@example([(0.0, 0.0), (0.0, 5e-324)])
@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-5, 50)), min_size=2, max_size=60))
def test_the_curve_stays_inside_its_frame(points: list[tuple[float, float]]) -> None:
    drawn = str(curve(sorted(points), "loss"))
    line = drawn.split('class="smooth" d="M')[1].split('"', maxsplit=1)[0]
    for pair in line.split("L"):
        assert all(-0.01 <= float(value) <= 100.01 for value in pair.split())


def test_one_point_is_no_curve() -> None:
    assert str(curve([(1, 2)], "loss")) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(20111), "20,111"),
        (number(3.94), "3.94"),
        (number(266.6), "266.6"),
        (number(2913.0), "2,913"),
        (number(4884480), "4.88 million"),
        (number(0), "0"),
        (number(True), "True"),
        (number(float("nan")), "nan"),
        (percent(0.52), "52 %"),
        (percent(0.0375), "3.8 %"),
        (percent(1), "100 %"),
        (percent(None), "–"),
        (percent_range(0.4232, 0.6154), "42.3–61.5 %"),
        (duration(7.4), "7.4 s"),
        (duration(59.99), "1 min"),
        (duration(60), "1 min"),
        (duration(563.4), "9 min 23 s"),
        (duration(3900), "1 h 5 min"),
        (duration(None), "–"),
    ],
)
def test_numbers_as_people_write_them(said: str, expected: str) -> None:
    assert said.replace("\u202f", " ") == expected
