from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.select import compression_ratio
from luthier.select.profile import ratio_by_group, ratio_profile


@settings(max_examples=40)
@given(st.lists(st.text(max_size=30), max_size=30))
def test_the_short_window_is_the_ratio_of_the_law(texts: list[str]) -> None:
    assert ratio_profile(texts)["32K"] == pytest.approx(compression_ratio(texts))


def test_repeats_far_apart_show_in_a_long_window_only() -> None:
    draw = random.Random(0)
    rows = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=1000)) for _ in range(400)]
    once, thrice = ratio_profile(rows), ratio_profile(rows * 3)
    assert thrice["32K"] == pytest.approx(once["32K"], rel=0.01)
    assert thrice["1M"] > 2.5 * once["1M"]
    assert thrice["all"] > 2.5 * once["all"]


def test_groups_are_measured_apart_largest_first() -> None:
    texts, groups = [b"a" * 500, b"bcd", b"efg"], ["x", "y", "y"]
    parts = ratio_by_group(texts, groups)
    assert list(parts) == ["y", "x"]
    assert parts["x"]["32K"] == pytest.approx(500 / len(zlib.compress(b"a" * 500, 9)))
    assert ratio_profile([]) == {"32K": 0, "1M": 0, "all": 0}
