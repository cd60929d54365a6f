"""Nothing that is read gets lost: it is in what comes out, in the account, or the row is refused by name."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.records import Account, SkippedRows, read_conversations, read_pairs, write_jsonl
from luthier.records.account import MOST_REASONS, note
from luthier.records.choices import read_choices

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAID = [{"role": "user", "content": "Riga?"}, {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]}]
CALLED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Riga?"},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Ask the service.",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Riga", "more": {"a": 1}}}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "It rains."}, {"type": "text", "text": "Rain."}], "weight": 1},
]
OPENAI = [{"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": CITY}}]
HERMES = "You call functions. <tools>[" + json.dumps(OPENAI[0]) + "]</tools>"
ROWS = {
    "conversations": [
        {"messages": CALLED, "tools": OPENAI},
        {"messages": CALLED, "tools": [{"name": "weather", "description": "Weather.", "input_schema": CITY}]},
        {"messages": SAID, "tools": [{"functionDeclarations": [{"name": "weather", "parameters": CITY}]}]},
        {"messages": SAID, "tools": [{"name": "weather", "parameters": {"city": {"type": "str"}, "hour": {"type": "int, optional"}}}]},
        {
            "messages": [
                {"role": "user", "content": "Riga?"},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "."}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "3"}]},
                        {"type": "text", "text": "go on"},
                    ],
                },
                {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "args": {"a": 1}, "type": "tool_call"}]},
            ]
        },
        {
            "conversations": [
                {"from": "system", "value": HERMES},
                {"from": "human", "value": "Riga?"},
                {"from": "gpt", "value": '<tool_call>{"name": "weather", "arguments": {"city": "Riga"}}</tool_call>'},
                {"from": "tool", "value": '<tool_response>{"name": "weather", "content": {"sky": "rain"}}</tool_response>'},
                {"from": "gpt", "value": "Rain."},
            ]
        },
        {
            "system": 'Use [{"name": "weather", "description": "", "parameters": {}}] well.',
            "conversations": [
                {"from": "user", "value": "Riga?"},
                {"from": "assistant", "value": "[weather()]"},
                {"from": "tool", "value": '[{"name": "weather", "results": "rain"}]'},
            ],
        },
        {"prompt": SAID[:1], "completion": SAID[1:]},
        {"instruction": "Riga?", "input": "", "output": "Rain.", "history": [["Oslo?", "Snow."]]},
        {"question": "Riga?", "answer": "Rain.", "system_prompt": "Be brief."},
    ],
    "pairs": [
        {"prompt": SAID[:1], "chosen": SAID[1:], "rejected": [{"role": "assistant", "content": "Sun."}]},
        {"instruction": "Q", "input": "", "chosen": "A", "rejected": "B", "system": "S"},
        {
            "conversations": [{"from": "human", "value": "Q"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go"},
        {
            "input": {"messages": SAID[:1], "tools": OPENAI},
            "preferred_output": SAID[1:],
            "non_preferred_output": [{"role": "assistant", "content": "Sun."}],
        },
        {"prompt": "Q", "response_0": "A", "response_1": "B", "better_response_id": 1},
    ],
    "choices": [
        {"question": "Which is red?", "options": ["Mars", "Venus"], "answer": "A", "subject": "sky"},
        {"question": "Which is red?", "choices": {"text": ["Mars", "Venus"], "label": ["1", "2"]}, "answerKey": "1"},
        {"doc": {"question": "Which is red?", "choices": ["Mars", "Venus"], "answer": 0}, "resps": [["Mars."]], "doc_id": 4},
        {
            "question": {"stem": "Which is red?", "choices": [{"text": "Mars", "label": "A"}, {"text": "Venus", "label": "B"}]},
            "answerKey": "A",
        },
        {"Question": "Which is red?", "Correct Answer": "Mars", "Incorrect Answer 1": "Venus", "Incorrect Answer 2": "Pluto"},
        {"question": "Which is red?", "A": "Mars", "B": "Venus", "answer": "A"},
    ],
}


def objects_in(value):
    """All objects in a row, itself first."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for each in inside for found in objects_in(each)]


def read(kind: str, path: Path, skipped: SkippedRows) -> str:
    if kind == "choices":
        return repr(list(read_choices(path, skipped)))
    reader = {"conversations": read_conversations, "pairs": read_pairs}[kind]
    return json.dumps([row.to_row() for row in reader(path, skipped=skipped)])


@pytest.mark.parametrize("kind", ROWS)
def test_the_rows_are_read_as_they_stand(kind, tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", ROWS[kind])
    skipped = SkippedRows()
    with Account() as account:
        read(kind, tmp_path / "rows.jsonl", skipped)
    assert skipped.problems == []
    assert sum(entry.rows for entry in account.of("understood")) == len(ROWS[kind])


@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data(), value=st.sampled_from(["sentinel", 7, True, ["sentinel"], {"deep": "sentinel"}]))
@settings(max_examples=150, deadline=None)
def test_a_field_added_anywhere_is_found_again(kind, data, value, tmp_path_factory):
    row = copy.deepcopy(data.draw(st.sampled_from(ROWS[kind])))
    place = data.draw(st.sampled_from(objects_in(row)))
    name = data.draw(st.sampled_from(["zzfield", "zz_field", "ZZ field"]))
    place[name] = value
    path = tmp_path_factory.mktemp("account") / "row.jsonl"
    write_jsonl(path, [row])
    skipped = SkippedRows()
    with Account() as account:
        out = read(kind, path, skipped)
    assert name in out or any(name in entry.reason for entry in account.entries) or (skipped.count and name in skipped.problems[0])


def test_rows_are_counted_once_however_often_they_are_read(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"messages": SAID, "id": n} for n in range(5)] + [{"foo": 1}])
    with Account() as outer, Account() as account:
        for _ in range(3):
            list(read_conversations(tmp_path / "rows.jsonl", skipped=SkippedRows()))
    assert account.to_row() == outer.to_row()
    assert [(entry.fate, entry.rows) for entry in account.entries] == [("understood", 5), ("carried", 5), ("refused", 1)]
    assert account.of("refused")[0].first == f"{tmp_path / 'rows.jsonl'}:6"
    assert account.lines()[0] == "read: rows of the layout messages (5 rows)"
    note("carried", "after it was closed")
    assert len(account.entries) == 3


def test_the_account_does_not_grow_with_names_from_outside():
    with Account() as account:
        for line in range(1, 10_000):
            note("carried", f"field {line}", "rows.jsonl", line)
    assert len(account.entries) == MOST_REASONS + 1
    assert sum(entry.rows for entry in account.entries) == 9_999
    assert len(account.lines()[0]) < 2_000


def test_refusals_of_one_kind_are_one_reason(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"messages": [{"role": f"role{n}", "content": "x"}]} for n in range(9)])
    with Account() as account:
        list(read_conversations(tmp_path / "rows.jsonl", skipped=SkippedRows()))
    assert [entry.rows for entry in account.of("refused")] == [9]


def test_without_a_place_for_bad_rows_the_first_one_is_raised(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"foo": 1}])
    with Account(), pytest.raises(BadRowError, match="no known layout"):
        list(read_conversations(tmp_path / "rows.jsonl"))


def test_an_account_apart_tells_the_others_nothing():
    with Account() as outer, Account(apart=True) as apart:
        note("carried", "field 'id'", "rows.jsonl", 3)
    assert (outer.entries, len(apart.entries)) == ([], 1)
