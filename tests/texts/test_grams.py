"""Runs of words, as tuples and as hashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.texts.grams import gram_hashes, normalised_words, windows, word_hashes

words = st.lists(st.sampled_from(["a", "b", "c", "dd", "é", "\ud800"]), max_size=30).map(tuple)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  ...!?  🎻", ()),
        ("What's the TIME, please?", ("what", "s", "the", "time", "please")),
        ("snake_case x=42", ("snake_case", "x", "42")),
        ("Über naïve", ("über", "naïve")),
        ("中文abc字", ("中", "文", "abc", "字")),
        ("これは test です", ("こ", "れ", "は", "test", "で", "す")),
        ("поезд опаздывает", ("поезд", "опаздывает")),
    ],
)
def test_words_of_known_texts(text, expected):
    assert normalised_words(text) == expected


@given(words, st.integers(1, 15))
def test_hashes_are_equal_where_the_runs_are(sequence, size):
    runs = list(windows(sequence, size))
    assert len(runs) == max(0, len(sequence) - size + 1)
    hashes = gram_hashes(word_hashes(sequence), size).tolist()
    assert len(hashes) == len(runs)
    assert len(set(zip(runs, hashes, strict=True))) == len(set(runs)) == len(set(hashes))


def test_the_order_of_words_counts():
    one, other = (gram_hashes(word_hashes(words), 3).tolist() for words in (["a", "b", "c"], ["c", "b", "a"]))
    assert one != other
