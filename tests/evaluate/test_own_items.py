"""Own dialogues as items: which decisions are asked, what is right, and what the table says of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from luthier.errors import BadRowError, SettingsError
from luthier.evaluate.own_items import OwnItem, read_own_items
from luthier.evaluate.tool_verdicts import judge
from luthier.evaluate.tools import prompt_for, scores
from luthier.models import Completion
from luthier.records import Message, Tool, ToolCall, write_jsonl
from luthier.records.calls import render_calls

SEAT = {
    "type": "object",
    "properties": {
        "flight": {"type": "string"},
        "seats": {"type": "array", "items": {"type": "string"}},
        "class": {"type": "string", "enum": ["first", "second"], "default": "second"},
        "fare": {"type": "object", "properties": {"sum": {"type": "number"}, "currency": {"type": "string"}}},
    },
    "required": ["flight"],
}
BOOK = Tool("bookSeat", "Books seats.", SEAT)
LIST = Tool("listFlights", "Lists flights.", {"type": "object", "properties": {}})
SAID = "Which flight shall I book?"


def row(*messages: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"messages": list(messages), "tools": [BOOK.to_row(), LIST.to_row()], **other}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(text: str, **other: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **other}


def calls(*made: ToolCall) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [call.to_row() for call in made]}


TWO_STEPS = row(
    {"role": "system", "content": "Be brief."},
    says("Hello!"),
    user("Book a seat on the first flight."),
    calls(ToolCall("listFlights", {}, "c1")),
    {"role": "tool", "content": '["LX1"]', "tool_call_id": "c1", "name": "listFlights"},
    calls(ToolCall("bookSeat", {"flight": "LX1"}, "c2")),
    {"role": "tool", "content": "ok", "tool_call_id": "c2", "name": "bookSeat"},
    says("Your seat is booked."),
    id="two",
    type="dependent",
)


def written(tmp_path: Path, *rows: dict[str, Any]) -> str:
    write_jsonl(tmp_path / "own.jsonl", rows)
    return str(tmp_path / "own.jsonl")


def test_every_turn_of_the_assistant_after_a_question_is_one_decision(tmp_path: Path):
    items = read_own_items([written(tmp_path, TWO_STEPS, row(user("Book!"), says(SAID)))])
    assert [(item.id, item.category, len(item.messages), [call.name for call in item.calls], item.abstain) for item in items] == [
        ("two#1", "dependent", 3, ["listFlights"], False),
        ("two#2", "dependent", 5, ["bookSeat"], False),
        ("two#3", "dependent", 7, [], True),
        ("own-2", "no call", 1, [], True),
    ]
    assert items[1].messages[-1].content == '["LX1"]'
    assert items[3].said == SAID


def test_turns_of_no_weight_are_not_asked_and_ids_stay_apart(tmp_path: Path):
    twin = row(user("List them."), calls(ToolCall("listFlights")), id="a")
    silent = row(user("Hm"), says("Yes?", weight=0), user("List!"), calls(ToolCall("listFlights")), id="b")
    items = read_own_items([written(tmp_path, twin, twin, silent)])
    assert [item.id for item in items] == ["a", "a (own-2)", "b"]
    assert [item.category for item in items] == ["calls"] * 3


def test_a_limit_takes_evenly_spaced_dialogues_whole(tmp_path: Path):
    rows = [{**TWO_STEPS, "id": f"d{number}"} for number in range(10)]
    assert {item.dialogue for item in read_own_items([written(tmp_path, *rows)], 5)} == {"d0", "d2", "d4", "d6", "d8"}


def test_a_limit_leaves_each_type_its_share(tmp_path: Path):
    kinds = ["single"] * 30 + ["irrelevant", "parallel"] * 5 + ["missing_argument"] * 10
    Random(1).shuffle(kinds)
    rows = [{**TWO_STEPS, "type": kind, "id": f"d{number}"} for number, kind in enumerate(kinds)]
    items = read_own_items([written(tmp_path, *rows)], 10)
    dialogues = {item.dialogue: item.category for item in items}
    assert Counter(dialogues.values()) == {"single": 6, "missing_argument": 2, "irrelevant": 1, "parallel": 1}
    assert list(dialogues) == sorted(dialogues, key=lambda name: int(name[1:]))
    assert len(read_own_items([written(tmp_path, *rows)], 99)) == len(rows) * 3


def test_files_without_tool_dialogues_and_broken_rows_are_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"own\.jsonl: no dialogues with tools there"):
        read_own_items([written(tmp_path, {"messages": [user("hi"), says("hello")]})])
    with pytest.raises(BadRowError, match=r"own\.jsonl:2"):
        read_own_items([written(tmp_path, TWO_STEPS, {"messages": 5})])


def item(*made: ToolCall) -> OwnItem:
    return OwnItem("i", "i", "single", (Message("user", "?"),), (BOOK, LIST), made, "" if made else SAID)


def verdict(asked: OwnItem, text: str, finish: str = "stop") -> tuple[bool, bool]:
    judged = judge(asked, Completion(text, finish, 1, 1), "free")
    assert judged.official is None
    assert judged.right is not None
    assert bool(judged.reason) != judged.strict
    assert judged.right or not judged.strict
    return judged.right, judged.strict


BOOKED = ToolCall("bookSeat", {"flight": "LX 1", "seats": ["1A", "1B"], "fare": {"sum": 5, "currency": "CHF"}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (render_calls([BOOKED]), (True, True)),
        (json.dumps({"name": BOOKED.name, "arguments": BOOKED.arguments}), (True, True)),
        ('[bookSeat(fare={"currency": "CHF", "sum": 5.0}, flight="LX 1", seats=["1A", "1B"])]', (True, True)),
        ('[bookSeat(flight="lx1", seats=["1a", "1B"], fare={"sum": 5, "currency": "CHF"})]', (True, False)),
        ('[bookSeat(flight="LX 1", seats=["1A", "1B"], fare={"sum": 5, "currency": "CHF"}, class="second")]', (True, False)),
        ('[bookSeat(flight="LX 1", seats=["1A", "1B"], fare={"sum": 5, "currency": "CHF"}, class="first")]', (False, False)),
        ('[bookSeat(flight="LX 1", seats=["1B", "1A"], fare={"sum": 5, "currency": "CHF"})]', (False, False)),
        ('[bookSeat(flight="LX 1", seats=["1A", "1B"], fare={"sum": 5})]', (False, False)),
        ('[bookSeat(flight="LX 1", seats=["1A", "1B"])]', (False, False)),
        ("[listFlights()]", (False, False)),
        (render_calls([BOOKED, BOOKED]), (False, False)),
        ("I shall book it.", (False, False)),
        ("[bookSeat(", (False, False)),
    ],
)
def test_right_is_the_same_call_and_strict_the_same_letters(text: str, expected: tuple[bool, bool]):
    assert verdict(item(BOOKED), text) == expected


def test_behind_a_result_one_word_will_do():
    asked = OwnItem("i", "i", "single", (Message("user", "?"), Message("tool", "ok")), (BOOK,), (), "It worked.")
    assert verdict(asked, "Done.") == (True, True)
    assert verdict(asked, "Done") == (True, False)
    assert verdict(asked, "[bookSeat()].") == (False, False)


def test_several_calls_may_come_in_any_order_and_each_counts_once():
    one, other = ToolCall("bookSeat", {"flight": "LX1"}), ToolCall("bookSeat", {"flight": "LX2"})
    assert verdict(item(one, other), render_calls([other, one])) == (True, True)
    assert verdict(item(one, other), render_calls([one, one])) == (False, False)
    assert verdict(item(one, other), render_calls([one])) == (False, False)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("Which flight, please?", "stop", (True, True)),
        ("Which flight, please", "length", (True, False)),
        ("hm", "stop", (True, False)),
        ("[listFlights()]", "stop", (False, False)),
        ("[listFlights(", "length", (False, False)),
        ("bookSeat('LX1')", "stop", (False, False)),
    ],
)
def test_where_the_assistant_should_speak_a_call_is_wrong(text: str, finish: str, expected: tuple[bool, bool]):
    assert verdict(item(), text, finish) == expected


def test_whole_dialogues_are_counted_where_some_have_several_decisions(tmp_path: Path):
    items = read_own_items([written(tmp_path, TWO_STEPS, {**TWO_STEPS, "id": "other"})])
    said = [render_calls(one.calls) if one.calls else "It is booked." for one in items]
    said[0] = "I do not know."
    rows = [judge(one, Completion(text, "stop", 1, 1), "free").to_row() for one, text in zip(items, said, strict=True)]
    (line,) = scores(rows)
    assert line.official is None
    assert line.right is not None
    assert line.dialogues is not None
    assert (line.right.correct, line.right.items, line.dialogues.correct, line.dialogues.items) == (5, 6, 1, 2)
    assert line.to_row()["dialogues"]["rate"] == 0.5


def test_a_type_that_is_called_as_a_category_of_the_benchmark_has_a_row_of_its_own():
    told = {"decoding": "free", "strict": True, "form": "", "attempted": False, "called": True, "abstain": False}
    own = [{**told, "id": str(n), "dialogue": str(n), "category": kind, "right": True} for n, kind in enumerate(("parallel", "single"))]
    others = [{**told, "id": f"parallel_{n}", "category": "parallel", "official": n > 0} for n in range(3)]
    found = {score.category: score for score in scores([*own, *others])}
    assert list(found) == ["own dialogues", "own parallel", "single", "parallel"]
    assert found["parallel"].official is not None
    assert found["parallel"].official.items == 3
    assert [score.category for score in scores(own)] == ["own dialogues", "parallel", "single"]


def test_constrained_answers_may_always_be_a_sentence():
    first = (prompt_for(item(BOOKED), "constrained").grammar or "").splitlines()[0]
    assert "SENTENCE" in first
    assert prompt_for(item(), "free").grammar is None


def test_guided_answers_are_any_text_or_well_formed_calls():
    first = (prompt_for(item(BOOKED), "guided", "hermes").grammar or "").splitlines()[0]
    assert first.startswith('start: "<tool_call>"')
    assert "| text (" in first
    assert "SENTENCE" not in first
