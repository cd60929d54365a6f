"""Every layout becomes the same typed rows; rows of ours come back as they were; anything else is refused in one line."""

import json
from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, SettingsError
from luthier.records import Conversation, Message, PreferencePair, Tool, ToolCall
from luthier.records.files import SkippedRows, read_rows, write_jsonl, write_parquet
from luthier.records.formats import read_conversations, to_conversation
from luthier.records.pairs import read_pairs, to_pair
from luthier.records.tool_rows import json_schema_types, tool_from_row

TEXT = st.text(max_size=8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
CALLS = st.builds(ToolCall, TEXT, st.dictionaries(TEXT, JSON_VALUES, max_size=3), st.none() | TEXT)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT),
    st.builds(
        Message, st.just("assistant"), st.none() | st.text(min_size=1, max_size=8), st.lists(CALLS, min_size=1, max_size=2).map(tuple)
    ),
    st.builds(Message, st.just("tool"), TEXT, st.just(()), st.none() | TEXT, st.none() | TEXT),
)
SCHEMAS = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(TEXT, st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"])})),
    }
)
TOOLS = st.lists(st.builds(Tool, TEXT, TEXT, SCHEMAS), max_size=3).map(tuple)
EXTRA = st.dictionaries(st.sampled_from(["id", "source", "score", "prompt"]), JSON_VALUES, max_size=3)
TURNS = st.lists(MESSAGES, min_size=1, max_size=4).map(tuple)
CONVERSATIONS = st.builds(Conversation, TURNS, TOOLS, EXTRA)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
WEATHER_TOOL = Tool("weather", "Weather now", WEATHER["function"]["parameters"])
CALL = ToolCall("weather", {"city": "Riga"})
DIALOGUE = (Message("user", "Riga?"), Message("assistant", None, (CALL,)), Message("tool", "rain"), Message("assistant", "Rain."))


@given(conversation=CONVERSATIONS)
@settings(max_examples=150, deadline=None)
def test_our_rows_come_back_as_they_were(conversation):
    assert to_conversation(conversation.to_row()) == conversation
    assert to_conversation(json.loads(json.dumps(conversation.to_row()))) == conversation


@given(conversations=st.lists(CONVERSATIONS, max_size=4))
@settings(max_examples=40, deadline=None)
def test_our_rows_come_back_through_files(tmp_path_factory, conversations):
    folder = tmp_path_factory.mktemp("formats")
    rows = [conversation.to_row() for conversation in conversations]
    write_jsonl(folder / "rows.jsonl.gz", rows)
    write_parquet(folder / "rows.parquet", rows)
    assert list(read_conversations(folder / "rows.jsonl.gz")) == conversations
    assert list(read_conversations(folder / "rows.parquet")) == conversations


@given(prompt=TURNS, chosen=MESSAGES, rejected=MESSAGES, tools=TOOLS)
@settings(max_examples=80, deadline=None)
def test_our_pairs_come_back_as_they_were(prompt, chosen, rejected, tools):
    pair = PreferencePair(prompt, (chosen,), (rejected,), tools, {"id": 3})
    assume(prompt[0] not in (chosen, rejected))
    assert to_pair(json.loads(json.dumps(pair.to_row()))) == pair


def call_row(arguments, **more):
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": arguments}, **more}],
    }


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [message.to_row() for message in DIALOGUE], "tools": [WEATHER]},
        {
            "messages": [DIALOGUE[0].to_row(), call_row('{"city": "Riga"}'), *[m.to_row() for m in DIALOGUE[2:]]],
            "tools": json.dumps([WEATHER]),
        },
        {
            "messages": [DIALOGUE[0].to_row(), call_row({"city": "Riga"}) | {"content": None}, *[m.to_row() for m in DIALOGUE[2:]]],
            "tools": [json.dumps(WEATHER)],
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Riga?"}]},
                {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Riga"}'}},
                {"role": "function", "content": "rain"},
                {"role": "assistant", "content": "Rain.", "tool_calls": None, "name": None},
            ],
            "tools": [WEATHER["function"]],
        },
        {
            "prompt": [message.to_row() for message in DIALOGUE[:3]],
            "completion": [{"role": "assistant", "content": "Rain."}],
            "tools": [WEATHER],
        },
        {
            "conversations": [
                {"from": "human", "value": "Riga?"},
                {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Riga"}}'},
                {"from": "observation", "value": "rain"},
                {"from": "gpt", "value": "Rain."},
            ],
            "tools": json.dumps([WEATHER["function"]]),
            "system": "",
        },
    ],
)
def test_every_writing_of_a_tool_dialogue_reads_the_same(row):
    assert to_conversation(row) == Conversation(DIALOGUE, (WEATHER_TOOL,))


@pytest.mark.parametrize(
    ("row", "name", "messages", "extra"),
    [
        ({"prompt": "2+2?", "completion": "4", "id": 7}, "completion", [("user", "2+2?"), ("assistant", "4")], {"id": 7}),
        (
            {"system": "Be brief.", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}], "id": "a"},
            "sharegpt",
            [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho")],
            {"id": "a"},
        ),
        ({"instruction": "Add", "input": "2 and 2", "output": "4"}, "alpaca", [("user", "Add\n\n2 and 2"), ("assistant", "4")], {}),
        ({"instruction": "Greet", "input": "", "output": "Hi"}, "alpaca", [("user", "Greet"), ("assistant", "Hi")], {}),
        ({"messages": [{"role": "developer", "content": "Be brief."}]}, "messages", [("system", "Be brief.")], {}),
    ],
)
def test_plain_layouts(row, name, messages, extra):
    wanted = Conversation(tuple(Message(role, content) for role, content in messages), (), extra)
    assert to_conversation(row) == wanted
    assert to_conversation(row, name) == wanted


def toolace_row(*answers):
    tools = [
        {
            "name": "Market Trends API",
            "description": "Trends",
            "parameters": {"type": "dict", "properties": {"days": {"type": "int"}}, "required": None},
            "required": None,
        },
        {
            "name": "quote",
            "description": "Quote",
            "parameters": {"type": "dict", "properties": {"type": {"type": "any"}, "at": {"type": "list", "items": {"type": "float"}}}},
        },
    ]
    system = f"You may call these:\n{json.dumps(tools)}.\nToday is Monday."
    turns = [{"from": "user", "value": "Go"}, *[{"from": who, "value": text} for who, text in answers]]
    return {"system": system, "conversations": turns, "id": 1}


def test_toolace_calls_results_and_types():
    row = toolace_row(
        ("assistant", '[Market Trends API(days=3), quote(type="x", at=[1.5, 2])]'),
        ("tool", '[{"name": "Market Trends API", "results": {"up": true}}, {"name": "quote", "results": "9"}]'),
        ("assistant", "Up."),
        ("assistant", "[1] is a footnote."),
        ("tool", "plain"),
    )
    read = to_conversation(row)
    assert read.messages == (
        Message("system", "You may call these:\n.\nToday is Monday."),
        Message("user", "Go"),
        Message("assistant", None, (ToolCall("Market Trends API", {"days": 3}), ToolCall("quote", {"type": "x", "at": [1.5, 2]}))),
        Message("tool", '{"up": true}', name="Market Trends API"),
        Message("tool", "9", name="quote"),
        Message("assistant", "Up."),
        Message("assistant", "[1] is a footnote."),
        Message("tool", "plain"),
    )
    assert read.tools[0].parameters == {"type": "object", "properties": {"days": {"type": "integer"}}}
    assert read.tools[1].parameters == {"type": "object", "properties": {"type": {}, "at": {"type": "array", "items": {"type": "number"}}}}
    assert read.extra == {"id": 1}


def test_a_toolace_call_that_cannot_be_read_is_refused():
    with pytest.raises(BadRowError, match="tries to call a tool, but character"):
        to_conversation(toolace_row(("assistant", "[quote(type=x+1)]")))


def test_type_names_are_mended_at_every_depth_and_only_where_types_stand():
    schema = {
        "type": "dict",
        "properties": {
            "type": {"type": "String"},
            "pair": {"type": "tuple", "items": {"type": "Float"}},
            "n": {"anyOf": [{"type": "int"}, {"type": "none"}]},
        },
        "enum": [{"type": "dict"}],
        "additionalProperties": False,
    }
    assert json_schema_types(schema) == {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "pair": {"type": "array", "items": {"type": "number"}},
            "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "enum": [{"type": "dict"}],
        "additionalProperties": False,
    }
    assert schema["type"] == "dict"
    assert tool_from_row({"name": "f"}) == Tool("f", "", {"type": "object", "properties": {}})
    assert tool_from_row({"name": "f", "returns": {"type": "string"}}).returns == {"type": "string"}


A, B = {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
Q = {"role": "user", "content": "Q"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": [Q], "chosen": [A], "rejected": [B]},
        {"prompt": "Q", "chosen": [Q, A], "rejected": [Q, B]},
        {"chosen": [Q, A], "rejected": [Q, B]},
        {"prompt": None, "chosen": [Q, A], "rejected": [Q, B]},
        {"prompt": "Q", "chosen": A, "rejected": B},
    ],
)
def test_every_writing_of_a_pair_reads_the_same(row):
    assert to_pair({**row, "id": 1}) == PreferencePair(
        (Message("user", "Q"),), (Message("assistant", "A"),), (Message("assistant", "B"),), (), {"id": 1}
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            {"text": "x", "n": 1},
            r"no known layout: the row has 'text', 'n'; known are messages \(messages\); .*alpaca \(instruction, output\)",
        ),
        ({}, "the row has no fields"),
        ({"messages": []}, "without messages"),
        ({"messages": [Q], "tools": 3}, "a tool without a name"),
        ({"messages": "text"}, "the messages: not JSON"),
        ({"messages": 3}, "messages are a list of objects, not int"),
        ({"messages": [3]}, "message 1 has the role None"),
        ({"messages": [Q, {"role": "king", "content": ""}]}, "message 2 has the role 'king'; known: system"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "message 1: the content is neither text"),
        ({"messages": [call_row("{oops")]}, "message 1: the arguments of 'weather': not JSON"),
        ({"messages": [call_row([1])]}, "the arguments of 'weather' are not an object"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "a tool call without a name"),
        ({"messages": [call_row({}) | {"role": "user"}]}, "only an assistant calls tools"),
        ({"messages": [Q], "tools": "[oops"}, "the tools: not JSON"),
        ({"messages": [Q], "tools": [{"name": "f", "parameters": 1}]}, "tool 'f': parameters are not an object"),
        ({"messages": [Q], "tools": [{"name": "f", "parameters": [1]}]}, "tool 'f': a parameter without a name"),
    ],
)
def test_rows_that_are_refused(row, problem):
    with pytest.raises(BadRowError, match=problem):
        to_conversation(row)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": [Q]}, "not a preference pair: prompt, chosen and rejected are expected; the row has 'messages'"),
        ({"prompt": "Q", "chosen": "A", "rejected": None}, "not a preference pair"),
        ({"chosen": "A", "rejected": "B"}, "a preference pair without a prompt: the two answers begin with nothing in common"),
    ],
)
def test_pairs_that_are_refused(row, problem):
    with pytest.raises(BadRowError, match=problem):
        to_pair(row)


ANYTHING = st.recursive(
    st.none() | st.integers() | st.sampled_from(["user", "[f(a=", "[{", '[{"name": 1}]', "assistant", "{}"]) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "tool_calls", "function", "name", "arguments", "parameters"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "tools", "conversations", "system", "prompt", "completion", "instruction", "output", "chosen", "rejected"]
)


@given(row=st.dictionaries(FIELDS, ANYTHING, max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_row_is_read_or_refused_plainly(row):
    for read in (to_conversation, to_pair):
        with suppress(BadRowError):
            assert read(row)


def test_an_unknown_format_and_a_format_that_does_not_fit(tmp_path):
    with pytest.raises(SettingsError, match="unknown row format 'chatml'; known: auto, messages, toolace"):
        to_conversation({"messages": [Q]}, "chatml")
    with pytest.raises(SettingsError, match="unknown row format"):
        read_conversations(tmp_path / "none.jsonl", "chatml")
    with pytest.raises(BadRowError, match="output missing for the layout alpaca; the row has 'instruction'"):
        to_conversation({"instruction": "x"}, "alpaca")


def test_bad_rows_of_a_file_are_named_or_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"messages": [Q]}, {"text": "x"}, {"messages": [A]}])
    with path.open("a") as file:
        file.write("oops\n")
    with pytest.raises(BadRowError, match=r"rows\.jsonl:2: no known layout"):
        list(read_conversations(path))
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert len(list(read_conversations(path, skipped=skipped))) == 2
    assert skipped.count == 2
    aside = [row for _, row in read_rows(tmp_path / "bad.jsonl")]
    assert [(row["line"], row["raw"]) for row in aside] == [(2, '{"text": "x"}'), (4, "oops")]
    with pytest.raises(BadRowError, match=r"rows\.jsonl:1: not a preference pair"):
        list(read_pairs(path))
