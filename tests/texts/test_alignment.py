"""Alignment of two sequences: shortest, with the stated choice among shortest ways, whatever the items are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from luthier.texts.alignment import align, edit_distance, edit_masks, normalised_distance

WORDS = st.lists(st.integers(0, 5), max_size=24)


def table_walk(a: list[int], b: list[int]) -> list[tuple[int | None, int | None]]:
    """The textbook algorithm: the whole table, then back from the ends by match, substitution, deletion, insertion."""
    costs = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            costs[i][j] = min(costs[i - 1][j - 1] + (a[i - 1] != b[j - 1]), costs[i - 1][j] + 1, costs[i][j - 1] + 1)
    steps: list[tuple[int | None, int | None]] = []
    i, j = len(a), len(b)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
            i, j = i - 1, j - 1
            steps.append((i, j))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            steps.append((i, None))
        else:
            j -= 1
            steps.append((None, j))
    return steps[::-1]


@given(WORDS, WORDS)
def test_the_way_is_the_textbooks(a: list[int], b: list[int]):
    assert align(a, b) == table_walk(a, b)


@given(WORDS, WORDS)
def test_the_distance_is_that_of_the_way(a: list[int], b: list[int]):
    """rapidfuzz counts, and the way is walked by ourselves: each is the other's oracle."""
    assert edit_distance(a, b) == sum(i is None or j is None or a[i] != b[j] for i, j in align(a, b))


@given(WORDS, WORDS)
def test_what_is_not_marked_is_common_to_both_in_order(a: list[int], b: list[int]):
    gone, new = edit_masks(a, b)
    assert [x for x, mark in zip(a, gone, strict=True) if not mark] == [x for x, mark in zip(b, new, strict=True) if not mark]


def test_long_sequences_agree_too():
    from random import Random

    random = Random(0)
    a = [random.randrange(50) for _ in range(700)]
    b = [item for item in a if random.random() > 0.1]
    b[100:110] = [99] * 25
    assert edit_distance(a, b) == Levenshtein.distance(a, b)
    assert normalised_distance(a, b) == pytest.approx(Levenshtein.normalized_distance(a, b))


def test_texts_align_as_letters_or_as_words():
    assert edit_masks("kitten", "sitting") == ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 0, 1])
    assert edit_masks([], ["a"]) == ([], [1])
    assert normalised_distance([], []) == 0
    assert edit_distance([-1, "a"], [-2, "a"]) == 1  # of one hash, and not equal
