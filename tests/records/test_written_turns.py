"""Turns that stand in a cell as text: lists of messages as JSON and Python write them, dialogues with marks of who speaks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.errors import BadRowError
from luthier.records import Message, PreferencePair, read_pairs, to_conversation, to_pair

ASKED, SAID, OTHER = (
    {"role": "user", "content": "It's\n{3}?"},
    {"role": "assistant", "content": 'a "b"'},
    {"role": "assistant", "content": "B"},
)
Q, YES, NO = (Message(each["role"], each["content"]) for each in (ASKED, SAID, OTHER))  # type: ignore[arg-type]
WRITINGS: dict[str, Callable[[list[Any]], str]] = {
    "compact": lambda turns: json.dumps(turns, separators=(",", ":")),
    "indented": lambda turns: json.dumps(turns, indent=1),
    "spaced": lambda turns: "  [ \n\t" + json.dumps(turns)[1:],
    "python": str,
    "python spaced": lambda turns: " [ " + str(turns)[1:] + "\n",
    "numpy": lambda turns: str(np.array(turns, dtype=object)),
}


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_lists_of_messages_are_turns_however_they_are_written(write: Callable[[list[Any]], str]) -> None:
    assert to_conversation({"prompt": write([ASKED]), "completion": write([SAID])}).messages == (Q, YES)
    assert to_conversation({"prompt": write([ASKED, OTHER, ASKED]), "completion": "x"}).messages[:3] == (Q, NO, Q)
    assert to_conversation({"messages": write([ASKED, SAID])}).messages == (Q, YES)
    assert to_conversation({"conversations": write([ASKED, SAID])}).messages == (Q, YES)
    expected = PreferencePair((Q,), (YES,), (NO,))
    assert to_pair({"prompt": write([ASKED]), "chosen": write([SAID]), "rejected": write([OTHER])}) == expected
    assert to_pair({"chosen": write([ASKED, SAID]), "rejected": write([ASKED, OTHER])}) == expected


@pytest.mark.parametrize("write", [json.dumps, str])
def test_one_message_may_be_written_alone(write: Callable[[Any], str]) -> None:
    expected = PreferencePair((Q,), (YES,), (NO,))
    assert to_pair({"prompt": write(ASKED), "chosen": write(SAID), "rejected": write(OTHER)}) == expected


def test_a_table_that_pandas_wrote(tmp_path: Path) -> None:
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "chosen", "rejected"], [str([ASKED]), str([SAID]), str([OTHER])]])
    assert list(read_pairs(tmp_path / "pairs.csv")) == [PreferencePair((Q,), (YES,), (NO,))]


@pytest.mark.parametrize(
    "text",
    [
        "[{'a': 1}]",
        '[{"name": "f", "content": 3}]',
        '{"role": "user", "rights": 3}',
        '{"role": "king", "content": "x"}',
        "[{x",
        "[1, 2]",
        "{'a'",
        '[{"role": "user", "content": "x"}] is a list of messages: why?',
        "Write [{'role': 'user', 'content': 'x'}]",
    ],
)
def test_any_other_text_is_said_as_it_stands(text: str) -> None:
    assert to_conversation({"prompt": text, "completion": "x"}).messages[0] == Message("user", text)


@pytest.mark.parametrize(
    "text", ["[{'role': 'user', 'content': Riga}]", '[{"role": "user", "content": "a" "b"}, ]x]', "[{'content': array(x), 'role': 'user'}]"]
)
def test_a_list_of_messages_that_cannot_be_read_is_no_turn(text: str) -> None:
    for row in ({"prompt": text, "completion": "x"}, {"prompt": "x", "chosen": text, "rejected": "y"}):
        with pytest.raises(BadRowError, match="a text that begins like a list of messages cannot be read as one"):
            (to_pair if "chosen" in row else to_conversation)(row)
