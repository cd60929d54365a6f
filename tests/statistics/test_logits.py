"""Chances to logits and back, beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from luthier.statistics.logits import logit, sigmoid


@given(st.lists(st.floats(1e-4, 1 - 1e-4), min_size=1, max_size=20))
def test_logits_are_scipys_and_sigmoid_undoes_them(shares: list[float]) -> None:
    logits = logit(np.array(shares))
    assert np.allclose(logits, special.logit(shares), rtol=1e-12, atol=1e-12)
    assert np.allclose(sigmoid(logits), shares, rtol=1e-10)


def test_shares_at_the_ends_are_taken_to_lie_at_the_edge() -> None:
    assert logit(np.array([0.0, 1.0]), edge=0.01).tolist() == pytest.approx([special.logit(0.01), special.logit(0.99)])


@pytest.mark.filterwarnings("error")
def test_a_far_value_neither_overflows_nor_leaves_zero_to_one() -> None:
    assert sigmoid(np.array([-1e308, 0.0, 1e308])).tolist() == pytest.approx([0.0, 0.5, 1.0], abs=1e-200)
