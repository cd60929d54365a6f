"""Steps of a chain, in its own tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.models.local import LocalModel
from luthier.probe.steps import MOST_STEPS, sentence_ends, split_steps, token_at, token_ends

TEXTS = st.text(st.sampled_from("abAB .?!\n1日é🎻"), max_size=60)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> object:
    return LocalModel(tiny_model_folder).tokenizer


def pieces(tokenizer: object, text: str, **settings: int) -> tuple[list[str], str]:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    steps = split_steps(tokenizer, ids, **settings)
    return list(steps.texts), steps.statement


@pytest.mark.parametrize(
    ("text", "steps", "statement"),
    [
        ("First we look at it. Then we count three of them.", ["First we look at it.", "Then we count three of them."], ""),
        ("Look at the first line\nLook at the second line", ["Look at the first line", "Look at the second line"], ""),
        ("Step 1: count them all Step 2: add them up", ["Step 1: count them all", "Step 2: add them up"], ""),
        ("We count three of them. So the answer is (B).", ["We count three of them."], "So the answer is (B)."),
        ("We count three.\nThe answer is 3\n", ["We count three."], "The answer is 3"),
        ("The answer is (A).", [], "The answer is (A)."),
        ("The answer is 3. But wait, we forgot to add one more.", ["The answer is 3.", "But wait, we forgot to add one more."], ""),
        (
            "Dr. Smith has 2.5 apples, e.g. Red ones. He eats one of them.",
            ["Dr. Smith has 2.5 apples, e.g. Red ones.", "He eats one of them."],
            "",
        ),
        ("", [], ""),
        ("\n\n", [], ""),
    ],
)
def test_sentences_lines_and_numbered_steps(tokenizer: object, text: str, steps: list[str], statement: str):
    assert pieces(tokenizer, text) == (steps, statement)


def test_short_pieces_join_the_step_before(tokenizer: object):
    found, _ = pieces(tokenizer, "We look at all of the items here. I? Then we count every one of them.", least=4)
    assert found == ["We look at all of the items here. I?", "Then we count every one of them."]


def test_no_more_steps_than_allowed(tokenizer: object):
    text = " ".join("We look at this item now." for _ in range(50))
    found, _ = pieces(tokenizer, text)
    assert len(found) == MOST_STEPS
    assert " ".join(found) == text


@given(text=TEXTS)
def test_boundaries_rise_and_cover_the_chain(tokenizer: object, text: str):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    steps = split_steps(tokenizer, ids)
    assert list(steps.ends) == sorted(set(steps.ends))
    assert all(0 < end <= len(ids) for end in steps.ends)
    assert len(steps.texts) == len(steps.ends)
    together = "".join([*steps.texts, steps.statement])
    assert "".join(together.split()) == "".join(text.split())


@given(text=TEXTS)
def test_ends_of_tokens_are_those_of_the_text(tokenizer: object, text: str):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    ends = token_ends(tokenizer, ids)
    assert ends == sorted(ends)
    assert len(ends) == len(ids)
    if ids:
        assert ends[-1] == len(text)
        assert token_at(ends, len(text)) <= len(ids)


@given(text=TEXTS)
def test_sentence_ends_lie_within_the_text(text: str):
    assert all(0 < place < len(text) for place in sentence_ends(text))
