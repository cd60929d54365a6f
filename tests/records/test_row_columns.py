"""Columns beside the turns that say something of them: a system prompt, what was thought, a verdict, history, weights, numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError
from luthier.records import Message, read_rows
from luthier.records.formats import to_conversation
from luthier.records.pairs import to_pair
from luthier.select.rows import row_text

ASKED = [{"role": "user", "content": "tea?"}, {"role": "assistant", "content": "four"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": ASKED},
        {"conversations": [{"from": "human", "value": "tea?"}, {"from": "gpt", "value": "four"}]},
        {"conversations": {"from": ["human", "gpt"], "value": ["tea?", "four"]}},
        {"instruction": "tea?", "output": "four"},
        {"prompt": "tea?", "completion": "four"},
        {"prompt": "tea?", "response": "four"},
        {"question": "tea?", "answer": "four"},
    ],
)
def test_a_system_prompt_of_a_column_is_the_system_turn(row: dict[str, Any]) -> None:
    read = to_conversation(row | {"system_prompt": "Be brief."})
    assert [message.content for message in read.messages] == ["Be brief.", "tea?", "four"]
    assert read.messages[0].role == "system"
    with pytest.raises(BadRowError, match="'system' and 'system_prompt', which differ"):
        to_conversation(row | {"system_prompt": "Be brief.", "system": "Be long."})


def test_a_system_prompt_stands_before_pairs_too() -> None:
    pair = to_pair({"prompt": "tea?", "chosen": "four", "rejected": "ten", "system_prompt": "Be brief."})
    assert pair.prompt == (Message("system", "Be brief."), Message("user", "tea?"))


@pytest.mark.parametrize("name", ["reasoning_content", "thinking"])
@pytest.mark.parametrize(
    "row", [{"prompt": "tea?", "response": "four"}, {"prompt": "tea?", "completion": "four"}, {"instruction": "tea?", "output": "four"}]
)
def test_what_was_thought_is_of_the_answer(row: dict[str, Any], name: str) -> None:
    assert to_conversation(row | {name: "two and two"}).messages[-1].reasoning == "two and two"
    assert to_conversation(row | {name: None}).messages[-1].reasoning is None
    assert to_conversation(row | {name: True}).extra == {name: True}  # a switch, not a thought


def test_a_thought_without_a_place_is_carried_along() -> None:
    row = {"prompt": "a", "completion": [{"role": "assistant", "content": c} for c in "bc"], "thinking": "T"}
    assert to_conversation(row).extra == {"thinking": "T"}
    row = {"prompt": "a", "completion": [{"role": "assistant", "content": "b", "reasoning_content": "own"}], "thinking": "T"}
    assert to_conversation(row).extra == {"thinking": "T"}


def test_a_number_of_a_system_prompt_is_no_text_of_one() -> None:
    assert to_conversation({"messages": ASKED, "system_prompt": 7}).extra == {"system_prompt": 7}


def test_columns_of_pairs_beside_a_conversation_are_carried_along() -> None:
    row = {"prompt": "q", "response": "r", "response_a": "a", "response_b": "b"}
    assert row_text(row) == "user: q\nassistant: r\n"
    assert to_conversation(row).extra == {"response_a": "a", "response_b": "b"}


def test_a_history_that_is_no_list_is_a_field_like_others() -> None:
    pair = to_pair({"prompt": "q", "chosen": "a", "rejected": "b", "history": "some plain text"})
    assert (len(pair.prompt), pair.extra) == (1, {"history": "some plain text"})


def test_lists_of_turns_have_one_length() -> None:
    with pytest.raises(BadRowError, match="lists of 2, 1 parts"):
        to_conversation({"conversations": {"from": ["human", "gpt"], "value": ["tea?"]}})


@pytest.mark.parametrize(("flag", "weight"), [({"loss": False}, 0.0), ({"loss": True}, 1.0), ({"train": False}, 0.0), ({}, None)])
def test_a_turn_says_whether_it_is_learned(flag: dict[str, Any], weight: float | None) -> None:
    assert to_conversation({"messages": [ASKED[0], ASKED[1] | flag]}).messages[-1].weight == weight


def test_parts_of_a_turn_that_are_weighed_are_refused() -> None:
    with pytest.raises(BadRowError, match="message 2: `train_detail`"):
        to_conversation({"messages": [ASKED[0], ASKED[1] | {"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]}]})


def test_a_number_is_an_answer() -> None:
    assert to_conversation({"question": "2 + 2", "answer": 4}).messages[-1].content == "4"
    with pytest.raises(BadRowError, match="`answer` is bool"):
        to_conversation({"question": "2 + 2 = 4?", "answer": True})


@pytest.mark.parametrize(
    ("row", "asked", "better"),
    [
        ({"history": "tea?", "human_ref_A": "four", "human_ref_B": "ten", "labels": 1}, ["tea?"], "four"),
        ({"history": "tea?", "human_ref_A": "four", "human_ref_B": "ten", "labels": "0"}, ["tea?"], "ten"),
        ({"prompt": "tea?", "response_0": "four", "response_1": "ten", "better_response_id": "1"}, ["tea?"], "ten"),
        ({"prompt": "and?", "history": '[["tea?", "four"]]', "chosen": "five", "rejected": "ten"}, ["tea?", "four", "and?"], "five"),
    ],
)
def test_pairs_of_tables(row: dict[str, Any], asked: list[str], better: str) -> None:
    pair = to_pair(row)
    assert [message.content for message in pair.prompt] == asked
    assert pair.chosen[-1].content == better


def test_a_verdict_that_says_nothing_is_what_is_refused() -> None:
    with pytest.raises(BadRowError, match="not a preference pair: `winner` is 'tie', and does not say which answer is better; 'a'"):
        to_pair({"prompt": "tea?", "response_a": "four", "response_b": "ten", "winner": "tie"})


def test_a_pair_about_a_picture_is_refused() -> None:
    with pytest.raises(BadRowError, match="shows what is in 'images'"):
        to_pair({"prompt": "<image> What is it?", "chosen": "A cat.", "rejected": "A dog.", "images": ["a/b.png"]})


def test_pictures_of_a_data_set_are_not_decoded(tmp_path: Path) -> None:
    import datasets

    table = datasets.Dataset.from_dict({"question": ["tea?"], "image": [{"bytes": b"no picture", "path": None}]})
    features = datasets.Features({"question": datasets.Value("string"), "image": datasets.Image()})
    table.cast(features).save_to_disk(str(tmp_path / "set"))
    ((_, row),) = read_rows(tmp_path / "set")
    assert row["image"] == {"bytes": b"no picture", "path": None}
