from __future__ import annotations

import itertools
import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.evaluate.code import pass_at_k, pass_rate


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(case: tuple[int, int, int]) -> None:
    samples, passed, k = case
    draws = list(itertools.combinations([index < passed for index in range(samples)], k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_holds_for_many_samples() -> None:
    assert pass_at_k(2000, 3, 100) == pytest.approx(1 - comb(1997, 100) / comb(2000, 100), abs=1e-12)


@pytest.mark.parametrize(("samples", "passed", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_impossible_counts_are_refused(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(samples, passed, k)


def test_it_is_unbiased() -> None:
    draw, chance = random.Random(0), 0.2
    seen = [pass_at_k(10, sum(draw.random() < chance for _ in range(10)), 5) for _ in range(4000)]
    assert sum(seen) / len(seen) == pytest.approx(1 - (1 - chance) ** 5, abs=0.02)


def test_the_mean_has_an_interval() -> None:
    greedy = pass_rate([(1, 1)] * 30 + [(1, 0)] * 10, 1)
    assert (greedy.rate, greedy.problems) == (0.75, 40)
    assert greedy.low == pytest.approx(0.598, abs=1e-3)
    many = pass_rate([(10, 10), (10, 0), (10, 5), (10, 1)] * 10, 5)
    assert many.low < many.rate < many.high
    assert many.rate == pytest.approx((1 + 0 + pass_at_k(10, 5, 5) + 0.5) / 4)
    with pytest.raises(ValueError, match="no problem"):
        pass_rate([], 1)
