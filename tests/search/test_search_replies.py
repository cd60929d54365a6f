"""What a model's answers mean: fenced, bare, cut off, nonsense; nothing raises, and what fails is counted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.search import replies

LIST = '[{"thought": "Sort the list first.", "score": 0.6}, {"thought": "Use a set.", "score": 0.2}]'


def counted() -> Counter[str]:
    return Counter()


@pytest.mark.parametrize(
    "text", [LIST, f"```json\n{LIST}\n```", f"Here they are:\n{LIST}\nGood luck!", f'{{"thoughts": {LIST}}}', LIST.replace("], [", "")[:-1]]
)
def test_thoughts_are_read_however_they_are_wrapped(text: str) -> None:
    found = replies.thoughts(text, counted())
    assert [thought.text for thought in found] == ["Sort the list first.", "Use a set."]
    assert sum(thought.prior for thought in found) == pytest.approx(1)
    assert found[0].prior == pytest.approx(0.75)


def test_a_list_that_was_cut_off_gives_what_is_whole() -> None:
    assert [thought.text for thought in replies.thoughts(LIST[:60], counted())] == ["Sort the list first."]


def test_scores_are_texts_negative_or_missing() -> None:
    counts = counted()
    text = '[{"thought": "a b", "score": "0.5"}, {"thought": "c d", "score": -3}, {"thought": "e f"}]'
    assert [thought.prior for thought in replies.thoughts(text, counts)] == [1.0, 0.0, 0.0]
    assert counts["thoughts: no score"] == 1
    nothing = replies.thoughts('[{"thought": "a", "score": 0}, {"thought": "b", "score": 0}]', counts)
    assert [thought.prior for thought in nothing] == [0.5, 0.5]


def test_same_thoughts_become_one_and_blank_ones_go() -> None:
    counts = counted()
    text = '[{"thought": "Use a set!", "score": 0.2}, {"thought": "use  a set", "score": 0.2}, {"thought": "  ", "score": 1}]'
    assert [(one.text, one.prior) for one in replies.thoughts(text, counts)] == [("Use a set!", 1.0)]
    assert counts["thoughts: repeated"] == 1


def test_a_list_in_words_is_read_and_counted() -> None:
    counts = counted()
    assert [one.text for one in replies.thoughts("1. Sort it\n2) Count it\n- Walk it", counts)] == ["Sort it", "Count it", "Walk it"]
    assert counts["thoughts: no JSON"] == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"reason": "2 of 3", "score": 0.5}', 0.5),
        ('I saw 7 tests. {"score": "-0.25"}', -0.25),
        ("score: 0.4 of 1", 0.4),
        ('{"score": 12}', 1.0),
        ("I give it 9 out of 10", None),
        ("", None),
        ('{"score": NaN}', None),
    ],
)
def test_an_estimate_is_its_named_field_within_its_range(text: str, found: float | None) -> None:
    assert replies.estimate(text, counted()) == found


def test_an_estimate_that_is_missing_is_counted() -> None:
    counts = counted()
    replies.estimate("No idea", counts)
    assert counts == {"estimate: missing": 1}


def test_a_rethought_thought_is_the_first_paragraph_without_code() -> None:
    assert replies.thought("Thought: Use a heap instead.\n\nIt is faster.", counted()) == "Use a heap instead."
    assert replies.thought('{"thought": "Use a heap."}', counted()) == "Use a heap."
    counts = counted()
    assert replies.thought("```python\nx = 1\n```", counts) == ""
    assert counts == {"rethink: no thought": 1}


def test_verdicts_on_blocks() -> None:
    found = replies.verdicts('[{"name": "BLOCK-1", "correct": "false", "explanation": "off by one"}]', counted())
    assert found == [replies.BlockVerdict("BLOCK-1", False, "off by one")]


def test_calls_are_taken_where_their_arguments_are_literals() -> None:
    counts = counted()
    text = "1. `f([1, 2], 'a)')`\nf(x)\nf(3) == 4\nassert f((1,)) == 2  # edge\ng(1)"
    assert replies.calls_in(text, "f", counts) == ["f([1, 2], 'a)')", "f(3)", "f((1,))"]
    assert counts["inputs: no literal call"] == 1


PIECES = st.sampled_from(
    ['[{"thought": "', '", "score": ', "0.5", "}", "]", "```", "score", "{", "[", '"', "\\", "\n", "f(", ")", "1e999", "BLOCK", "é"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_nothing_raises(text: str) -> None:
    counts = counted()
    found = replies.thoughts(text, counts)
    assert all(replies.normal(one.text) and 0 <= one.prior <= 1 + 1e-9 for one in found)
    told = replies.estimate(text, counts)
    assert told is None or -1 <= told <= 1
    replies.thought(text, counts)
    replies.verdicts(text, counts)
    replies.calls_in(text, "f", counts)
    assert 0 <= replies.place_of(text, 3, counts) < 3


def test_deep_nesting_is_no_end_of_the_world() -> None:
    assert replies.thoughts("[" * 5000, counted()) == []
