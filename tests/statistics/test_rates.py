"""Wilson intervals: known values, and what any interval of a proportion must satisfy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.statistics.rates import Z95, mcnemar, wilson


@pytest.mark.parametrize(
    ("correct", "items", "low", "high"),
    [
        (159, 400, 0.351, 0.446),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1, 0.2065, 1.0),
        (81, 263, 0.2553, 0.3662),
        (0, 240, 0.0, 0.01575),
    ],
)
def test_known_values(correct: int, items: int, low: float, high: float):
    rate = wilson(correct, items)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-4)
    assert rate.rate == correct / items
    assert rate.to_row() == {"correct": correct, "items": items, "rate": rate.rate, "low": rate.low, "high": rate.high}


COUNTS = st.integers(1, 5000).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items)))


@given(COUNTS)
def test_the_bounds_are_where_the_score_test_just_rejects(counts: tuple[int, int]):
    """Independent of the closed form: at a bound p, the observed share lies z standard errors of p away."""
    correct, items = counts
    rate = wilson(correct, items)
    assert 0 <= rate.low <= rate.rate <= rate.high <= 1
    assert (rate.low == 0) == (correct == 0)
    assert (rate.high == 1) == (correct == items)
    for bound in (rate.low, rate.high):
        if 0 < bound < 1:
            error = math.sqrt(bound * (1 - bound) / items)
            assert abs(rate.rate - bound) / error == pytest.approx(Z95, rel=1e-6)


@given(COUNTS)
def test_right_and_wrong_are_mirror_images(counts: tuple[int, int]):
    correct, items = counts
    rate, mirror = wilson(correct, items), wilson(items - correct, items)
    assert (rate.low, rate.high) == pytest.approx((1 - mirror.high, 1 - mirror.low), abs=1e-12)


@given(COUNTS)
def test_ten_times_the_items_give_a_narrower_interval(counts: tuple[int, int]):
    correct, items = counts
    few, many = wilson(correct, items), wilson(10 * correct, 10 * items)
    assert many.high - many.low < few.high - few.low


def test_without_items_nothing_is_known():
    assert wilson(0, 0).to_row() == {"correct": 0, "items": 0, "rate": 0.0, "low": 0.0, "high": 1.0}


@pytest.mark.parametrize(("correct", "items"), [(-1, 5), (6, 5), (1, 0)])
def test_counts_without_meaning_are_refused(correct: int, items: int):
    with pytest.raises(ValueError, match=f"{correct} correct of {items} items"):
        wilson(correct, items)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_sign_test(gained: int, lost: int):
    from scipy.stats import binomtest

    told = mcnemar(gained, lost)
    assert told == mcnemar(lost, gained)
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert told == pytest.approx(expected, rel=1e-9)
