"""MinHash against exact comparison of all pairs."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.texts import minhash
from luthier.texts.minhash import SIZE, band_rows, first_twins, jaccard, signature

sets_of_numbers = st.frozensets(st.integers(0, 30), max_size=20)


def hashed(numbers):
    return np.array(sorted(numbers), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@given(sets_of_numbers, sets_of_numbers)
def test_jaccard_is_the_share_in_common(left, right):
    assert jaccard(left, right) == jaccard(right, left)
    assert jaccard(left, left) == 1
    if left or right:
        assert jaccard(left, right) == len(left & right) / len(left | right)


def test_signatures_agree_as_often_as_the_sets_overlap():
    draw = random.Random(4)
    for share in (0.2, 0.5, 0.8, 0.95):
        common = [draw.randrange(2**32) for _ in range(round(1000 * share))]
        rest = 1000 - len(common)
        left, right = (frozenset([*common, *(draw.randrange(2**32) for _ in range(rest))]) for _ in range(2))
        agreement = (signature(hashed(left)) == signature(hashed(right))).mean()
        expected = jaccard(left, right)
        assert abs(agreement - expected) < 4 * (expected * (1 - expected) / SIZE) ** 0.5


@given(sets_of_numbers, st.randoms(use_true_random=False))
def test_order_and_repeats_of_elements_do_not_matter(numbers, draw):
    hashes = hashed(numbers)
    again = np.array(draw.sample(hashes.tolist() * 2, 2 * len(hashes)), dtype=np.uint64)
    assert np.array_equal(signature(hashes), signature(again))


def test_a_large_set_is_hashed_in_steps(monkeypatch):
    hashes = hashed(range(1000))
    whole = signature(hashes)
    monkeypatch.setattr(minhash, "_STEP", 7)
    assert np.array_equal(signature(hashes), whole)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_nearly_all_pairs_at_the_threshold(threshold):
    rows = band_rows(threshold)
    assert 1 <= rows <= 16
    assert (1 - threshold**rows) ** (SIZE // rows) <= 0.0015


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.7, 0.8, 1.0]))
def test_twins_are_those_of_all_pairs(seed, threshold):
    draw = random.Random(seed)
    sets = [frozenset(draw.sample(range(16), draw.randint(4, 14))) for _ in range(40)]
    kept, expected = [], {}
    for index, each in enumerate(sets):
        twin = next((other for other in kept if jaccard(each, sets[other]) >= threshold), None)
        if twin is None:
            kept.append(index)
        else:
            expected[index] = twin
    signatures = np.array([signature(hashed(each)) for each in sets])
    found = first_twins(signatures, threshold, lambda later, earlier: jaccard(sets[later], sets[earlier]) >= threshold)
    differing = {index for index in range(40) if found.get(index) != expected.get(index)}
    assert len(differing) <= 2  # a band may miss a pair just at the threshold


def test_no_sets_have_no_twins():
    assert first_twins(np.empty((0, SIZE), dtype=np.uint32), 0.8, lambda later, earlier: True) == {}


def test_a_set_that_repeats_another_is_nobodys_twin():
    same = np.array([signature(hashed(range(10)))] * 4)
    pairs = {(1, 0), (2, 1), (3, 0)}
    assert first_twins(same, 0.8, lambda later, earlier: (later, earlier) in pairs) == {1: 0, 3: 0}
