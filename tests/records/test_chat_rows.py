"""Chat rows as other projects write them: reasoning, weights, refusals, calls, tools, lists as text, layouts side by side."""

import json

import pytest

from luthier.errors import BadRowError
from luthier.records import (
    Account,
    Conversation,
    Message,
    SkippedRows,
    Tool,
    ToolCall,
    read_conversations,
    to_conversation,
    to_pair,
    write_jsonl,
)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "Weather.", CITY)
OPENAI = WEATHER.to_row()
ASKED = {"role": "user", "content": "Riga?"}
CALL = ToolCall("weather", {"city": "Riga"})


def said(**fields):
    return to_conversation({"messages": [ASKED, {"role": "assistant", **fields}]}).messages[1]


def rows_of(conversation: Conversation):
    return conversation.to_row()


# --- reasoning ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "Rain.", "reasoning_content": "Look."},
        {"content": "Rain.", "reasoning": "Look."},
        {"content": "Rain.", "thinking": "Look."},
        {"content": [{"type": "thinking", "thinking": "Look."}, {"type": "text", "text": "Rain."}]},
        {"content": [{"type": "reasoning", "reasoning": "Look."}, {"type": "text", "text": "Rain."}]},
        {"content": [{"type": "reasoning", "text": "Look."}, {"type": "output_text", "text": "Rain."}]},
    ],
)
def test_reasoning_is_kept_apart_from_what_is_said(fields):
    assert said(**fields) == Message("assistant", "Rain.", reasoning="Look.")
    assert said(**fields).to_row() == {"role": "assistant", "content": "Rain.", "reasoning_content": "Look."}


def test_a_signature_of_the_reasoning_is_carried_along():
    parts = [{"type": "thinking", "thinking": "Look.", "signature": "s1"}, {"type": "text", "text": "Rain."}]
    turn = said(content=parts)
    assert (turn.content, turn.reasoning, turn.extra) == ("Rain.", "Look.", {"content_parts": parts})


def test_reasoning_that_is_told_twice_keeps_both():
    assert said(content="x", reasoning_content="a", thinking="b") == Message("assistant", "x", reasoning="a", extra={"thinking": "b"})


def test_reasoning_without_an_answer_is_a_turn():
    assert said(content="", reasoning_content="Look.") == Message("assistant", "", reasoning="Look.")


# --- weights ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "weight"),
    [({"weight": 0}, 0), ({"weight": 1}, 1), ({"weight": 0.5}, 0.5), ({"train": False}, 0), ({"train": True}, 1), ({"weight": None}, None)],
)
def test_weights_of_turns(fields, weight):
    assert said(content="x", **fields).weight == weight


@pytest.mark.parametrize("weight", ["1", True, -1, [1]])
def test_weights_that_are_none_are_refused_by_name(weight):
    with pytest.raises(BadRowError, match="message 2: the weight is"):
        said(content="x", weight=weight)


# --- refusals and parts -------------------------------------------------------------------------------------------------------


def test_a_refusal_is_what_was_said():
    turn = said(content=None, refusal="I may not.")
    assert (turn.content, turn.extra) == ("I may not.", {"refusal": "I may not."})
    assert to_conversation({"messages": [turn.to_row()]}).messages == (turn,)
    assert said(content=[{"type": "refusal", "refusal": "No."}]).content == "No."


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "boat.png"}, "text": ""},
        {"type": "image", "image": "x", "text": "a boat"},
        {"type": "input_audio", "input_audio": {"data": ""}},
        {"type": "video", "video": "v", "text": None},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "file", "file": {}},
    ],
)
def test_parts_that_are_no_text_are_refused_by_their_type(part):
    with pytest.raises(BadRowError, match=f"message 1: .*{part['type']}"):
        to_conversation({"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]})


def test_a_message_that_says_nothing_is_refused():
    with pytest.raises(BadRowError, match=r"message 1 says nothing: .*'role', 'body'"):
        to_conversation({"messages": [{"role": "user", "body": "Riga?"}]})


# --- tool calls ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Riga"}'}},
        {"id": "c", "type": "tool_call", "name": "weather", "args": {"city": "Riga"}},
        {"id": "c", "type": "tool_use", "name": "weather", "input": {"city": "Riga"}},
        {"id": "c", "name": "weather", "parameters": {"city": "Riga"}},
        {"call_id": "c", "type": "function_call", "name": "weather", "arguments": '{"city": "Riga"}'},
        {"id": "c", "functionCall": {"name": "weather", "args": {"city": "Riga"}}},
        {"id": "c", "tool_name": "weather", "parameters": {"city": "Riga"}},
        {"id": "c", "function": {"name": "weather", "arguments": '"{\\"city\\": \\"Riga\\"}"'}},
        json.dumps({"id": "c", "name": "weather", "arguments": {"city": "Riga"}}),
    ],
)
def test_every_shape_of_a_call_reads_the_same(call):
    assert said(content="", tool_calls=[call]).tool_calls == (ToolCall("weather", {"city": "Riga"}, "c"),)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"name": "weather", "argz": {"city": "Riga"}}, "the call of 'weather' has no arguments; it has 'name', 'argz'"),
        ({"name": "weather", "arguments": {"a": 1}, "args": {"a": 2}}, "told twice and differ"),
        ({"type": "custom", "custom": {"name": "sql", "input": "select"}}, "of the type 'custom'"),
        ({"name": "weather", "arguments": '{"n": NaN}'}, "NaN is not a JSON number"),
        ({"name": "weather", "arguments": '{"n": 1e999}'}, "too large"),
        ({"name": "weather", "arguments": "[1]"}, "not an object"),
        ({"name": "weather", "arguments": "{'city': Riga}"}, "not JSON"),
    ],
)
def test_calls_that_cannot_be_read_are_refused_by_name(call, problem):
    with pytest.raises(BadRowError, match=problem):
        said(content="", tool_calls=[call])


def test_arguments_as_python_prints_them_are_read():
    (call,) = said(content="", tool_calls=[{"name": "weather", "arguments": "{'city': \"l'Aber\", 'now': True}"}]).tool_calls
    assert call.arguments == {"city": "l'Aber", "now": True}


@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
def test_a_row_may_be_a_bare_list_of_turns(tmp_path, name):
    turns = [ASKED, {"role": "assistant", "content": "Rain."}]
    rows = [turns, {"messages": turns}, [{"from": "human", "value": "Riga?"}, {"from": "gpt", "value": "Sun."}], [1, 2]]
    text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(text)
    skipped = SkippedRows(str(tmp_path / "bad.jsonl"))
    found = list(read_conversations(tmp_path / name, skipped=skipped))
    assert [[turn.content for turn in row.messages][-1] for row in found] == ["Rain.", "Rain.", "Sun."]
    assert (skipped.count, "a list where an object of fields was expected" in skipped.problems[0]) == (1, True)


def test_a_bad_call_is_set_aside_and_the_rows_after_it_are_read(tmp_path):
    bad = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"n": NaN}'}}]}
    write_jsonl(tmp_path / "in.jsonl", [{"messages": [ASKED, bad]}, {"instruction": "a", "output": "b"}])
    (tmp_path / "in.jsonl").open("a").write('{"instruction": "a", "output": "b", "score": 1e999}\n')
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert len(list(read_conversations(tmp_path / "in.jsonl", skipped=skipped))) == 1
    assert [problem.split("in.jsonl")[1][:3] for problem in skipped.problems] == [":1:", ":3:"]
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2


def test_anthropics_turns_of_results_become_turns_of_the_tool():
    row = {
        "messages": [
            ASKED,
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Riga"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]},
                    {"type": "text", "text": "And?"},
                ],
            },
        ]
    }
    assert to_conversation(row).messages == (
        Message("user", "Riga?"),
        Message("assistant", "Let me see.", (ToolCall("weather", {"city": "Riga"}, "t1"),)),
        Message("tool", "rain", tool_call_id="t1"),
        Message("user", "And?"),
    )


# --- tool definitions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tools",
    [
        [OPENAI],
        [OPENAI["function"]],
        [{"name": "weather", "description": "Weather.", "input_schema": CITY}],
        [{"name": "weather", "description": "Weather.", "inputSchema": CITY}],
        [{"type": "function", "name": "weather", "description": "Weather.", "parameters": CITY}],
        [{"functionDeclarations": [{"name": "weather", "description": "Weather.", "parameters": CITY}]}],
        [{"toolSpec": {"name": "weather", "description": "Weather.", "inputSchema": {"json": CITY}}}],
        {"weather": {"description": "Weather.", "parameters": CITY}},
        [{"name": "weather", "description": "Weather.", "parameters": {"city": {"type": "str"}}}],
        [{"name": "weather", "description": "Weather.", "parameters": [{"name": "city", "type": "string", "required": True}]}],
        [
            {
                "api_name": "weather",
                "api_description": "Weather.",
                "required_parameters": [{"name": "city", "type": "STRING"}],
                "optional_parameters": [],
            }
        ],
        json.dumps([OPENAI]),
        [json.dumps(OPENAI)],
    ],
)
def test_every_writing_of_a_tool_reads_the_same(tools):
    assert to_conversation({"messages": [ASKED], "tools": tools}).tools == (WEATHER,)


def test_maps_of_parameters_say_what_is_optional_and_which_types_are_meant():
    tool = {
        "name": "f",
        "parameters": {"n": {"type": "int, optional", "default": 6}, "many": {"type": "List[str]"}, "any": {"type": "dict"}},
    }
    schema = to_conversation({"messages": [ASKED], "tools": [tool]}).tools[0].parameters
    assert schema == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "default": 6},
            "many": {"type": "array", "items": {"type": "string"}},
            "any": {"type": "object"},
        },
        "required": ["many", "any"],
    }


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        ({"name": "f", "parameters": {"city": "the town"}}, "no JSON Schema; they have 'city'"),
        ({"name": "f", "parameters": CITY, "input_schema": {"type": "object"}}, "parameters and input_schema, which differ"),
        ({"type": "web_search", "name": "f"}, "of the type 'web_search'"),
        ({"description": "nameless"}, "a tool without a name; it has 'description'"),
        ({"name": "f", "description": ["x"]}, "the description is not text"),
    ],
)
def test_tools_that_cannot_be_read_are_refused_by_name(tool, problem):
    with pytest.raises(BadRowError, match=problem):
        to_conversation({"messages": [ASKED], "tools": [tool]})


def test_other_fields_of_tools_and_calls_come_out_as_they_went_in():
    row = {
        "messages": [
            ASKED,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "index": 0, "function": {"name": "weather", "arguments": {}}}],
            },
        ],
        "tools": [{"type": "function", "function": {**OPENAI["function"], "strict": True, "returns": {"type": "string"}}}],
    }
    assert rows_of(to_conversation(row)) == row


# --- text calls ---------------------------------------------------------------------------------------------------------------

HERMES = (
    "You are a function calling AI model. Here are the tools: <tools> "
    + json.dumps(OPENAI)
    + " </tools> Answer within <tool_call> tags: <tool_call>\n{'name': <function-name>}\n</tool_call>"
)
TAGGED = '<tool_call>\n{"name": "weather", "arguments": {"city": "Riga"}}\n</tool_call>'


LISTED, CALLED = f"<tools>{json.dumps(OPENAI)}</tools>", '<tool_call>{"name": "x", "arguments": {}}</tool_call>'


@pytest.mark.parametrize(
    ("system", "stays"),
    [
        (
            f"You are Ivy. You can call functions within <tools></tools>: {LISTED} To call, write {CALLED}. Be brief.",
            "You are Ivy.\nBe brief.",
        ),
        (f"You are Ivy.\n\nHere are your tools:\n{LISTED}\nBe brief.", "You are Ivy.\nBe brief."),
        (f"You are Ivy. Tools stand in <tools></tools>. Call with <tool_call></tool_call>. Now:\n{LISTED}", "You are Ivy."),
        (f"Use these tools: {LISTED}. Write {CALLED} and nothing else!\nBe brief.", "Be brief."),
        (f"Print no <tool_call> tags. You are Ivy. {LISTED} Be brief.", "Print no <tool_call> tags. You are Ivy.\nBe brief."),
        (f"{LISTED}\nbe brief", "be brief"),
        (LISTED, ""),
    ],
)
def test_the_sentences_about_tools_go_with_them_and_are_kept_beside_the_row(system, stays):
    found = to_conversation({"messages": [{"role": "system", "content": system}, ASKED, {"role": "assistant", "content": "x"}]})
    assert [turn.content for turn in found.messages if turn.role == "system"] == ([stays] if stays else [])
    assert found.tools == (WEATHER,)
    assert LISTED in found.extra["tools_text"]


@pytest.mark.parametrize(
    ("system", "tools", "call"),
    [
        (HERMES, None, TAGGED),
        (HERMES, json.dumps([OPENAI]), TAGGED),
        ("Be brief.", [OPENAI], TAGGED),
        (HERMES, None, "<tool_call>\n{'arguments': {'city': 'Riga'}, 'name': 'weather'}\n</tool_call>"),
        ("# Tools\n\nYou may call functions:\n<tools>\n" + json.dumps(OPENAI) + "\n</tools>", None, TAGGED.removesuffix("</tool_call>")),
    ],
)
def test_calls_between_tags_are_calls(system, tools, call):
    row = {
        "conversations": [
            {"from": "system", "value": system},
            {"from": "human", "value": "Riga?"},
            {"from": "gpt", "value": call},
            {"from": "tool", "value": '<tool_response>\n{"name": "weather", "content": "rain"}\n</tool_response>'},
            {"from": "gpt", "value": "Rain."},
        ],
        **({} if tools is None else {"tools": tools}),
    }
    found = to_conversation(row)
    assert found.tools == (WEATHER,)
    assert [m for m in found.messages if m.role != "system"] == [
        Message("user", "Riga?"),
        Message("assistant", None, (CALL,)),
        Message("tool", "rain", name="weather"),
        Message("assistant", "Rain."),
    ]
    assert not any("<tool" in (message.content or "") for message in found.messages)
    assert to_conversation(found.to_row()) == found


def test_text_beside_a_call_stays_and_several_calls_are_several():
    row = {"messages": [ASKED, {"role": "assistant", "content": f"I look.\n{TAGGED}\n{TAGGED}"}], "tools": [OPENAI]}
    assert to_conversation(row).messages[1] == Message("assistant", "I look.", (CALL, CALL))


def test_a_broken_call_between_tags_is_refused():
    with pytest.raises(BadRowError, match="message 2: a <tool_call> that is not JSON"):
        to_conversation({"messages": [ASKED, {"role": "assistant", "content": "<tool_call>{oops</tool_call>"}], "tools": [OPENAI]})


def test_tags_without_tools_stay_text_and_are_told(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"messages": [ASKED, {"role": "assistant", "content": TAGGED}]}])
    with Account() as account:
        (found,) = read_conversations(tmp_path / "in.jsonl")
    assert found.messages[1].content == TAGGED
    assert any("calls that stay text" in entry.reason for entry in account.of("carried"))


def test_toolace_rows_with_a_column_of_tools():
    listed = [{"name": "Find Tide", "description": "Tide.", "parameters": {"type": "dict", "properties": {"port": {"type": "string"}}}}]
    row = {
        "system": "Use: " + json.dumps(listed),
        "tools": "[]",
        "conversations": [{"from": "user", "value": "Tide?"}, {"from": "assistant", "value": '[Find Tide(port="Brest")]'}],
    }
    found = to_conversation(row)
    assert [tool.name for tool in found.tools] == ["Find Tide"]
    assert "tools" not in found.extra
    assert to_conversation({**row, "tools": json.dumps(listed)}).tools == found.tools
    with pytest.raises(BadRowError, match="are not those in `tools`"):
        to_conversation({**row, "tools": [OPENAI]})


# --- lists as text, null columns, several layouts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"messages": json.dumps([ASKED, {"role": "assistant", "content": "Rain."}])},
        {"conversations": json.dumps([{"from": "human", "value": "Riga?"}, {"from": "gpt", "value": "Rain."}])},
        {"messages": [json.dumps(ASKED), json.dumps({"role": "assistant", "content": "Rain."})]},
        {"prompt": json.dumps([ASKED]), "completion": json.dumps([{"role": "assistant", "content": "Rain."}])},
        {"messages": None, "conversations": [{"from": "human", "value": "Riga?"}, {"from": "gpt", "value": "Rain."}]},
        {"conversations": None, "messages": None, "instruction": "Riga?", "input": None, "output": "Rain.", "tools": None},
        {"conversation": [{"role": "Human", "content": "Riga?"}, {"role": "Assistant", "content": "Rain."}]},
        {"question": "Riga?", "answer": "Rain."},
        {"problem": "Riga?", "solution": "Rain."},
        {"prompt": "Riga?", "response": "Rain."},
        {"instruction": "Riga?", "response": "Rain.", "context": ""},
        {"query": "Riga?", "response": "Rain."},
        {"instruction": "Riga?", "output": "Rain.", "history": []},
    ],
)
def test_layouts_that_say_the_same(row):
    found = to_conversation(row)
    assert (found.messages, found.tools) == ((Message("user", "Riga?"), Message("assistant", "Rain.")), ())
    assert "messages" not in found.extra


@pytest.mark.parametrize("text", ["[{'role': 'user', 'content': Riga}]", "Riga?", '{"role": "king"}', "[1, 2]", '"text"'])
def test_text_in_a_field_of_messages_is_never_a_turn(text):
    with pytest.raises(BadRowError):
        to_conversation({"messages": text})


def test_a_layout_beside_another_is_carried_along_or_refused():
    row = {"messages": [ASKED], "conversations": [{"from": "human", "value": "other"}]}
    assert to_conversation(row).extra == {"conversations": row["conversations"]}
    with pytest.raises(BadRowError, match="the row also has 'messages', which the layout sharegpt does not use"):
        to_conversation(row, "sharegpt")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "2+2?", "options": ["3", "4"], "answer": "B"}, "a question with 'options' is no conversation"),
        ({"instruction": "x", "output": [4]}, "`output` is list, not text"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, "`history` is neither"),
        ({"system": "A", "messages": [{"role": "system", "content": "B"}, ASKED]}, "a system text in `system` and another"),
        ({"system": ["A"], "messages": [ASKED]}, "the system text is list"),
        ({"tools": [OPENAI], "functions": [{"name": "other"}], "messages": [ASKED]}, "'tools' and 'functions', which differ"),
    ],
)
def test_rows_that_would_be_read_wrongly_are_refused(row, problem):
    with pytest.raises(BadRowError, match=problem):
        to_conversation(row)


def test_earlier_turns_of_alpaca_rows_come_first():
    row = {
        "instruction": "And Calais?",
        "input": "",
        "output": "4 m.",
        "history": json.dumps([["Tide in Brest?", "3 m."]]),
        "system": "Be brief.",
    }
    assert [(m.role, m.content) for m in to_conversation(row).messages] == [
        ("system", "Be brief."),
        ("user", "Tide in Brest?"),
        ("assistant", "3 m."),
        ("user", "And Calais?"),
        ("assistant", "4 m."),
    ]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("bot", "assistant"),
        ("prompter", "user"),
        ("observation", "tool"),
        ("function_response", "tool"),
        ("tool_response", "tool"),
        ("ipython", "tool"),
        ("GPT", "assistant"),
        ("developer", "system"),
    ],
)
def test_names_of_speakers_in_use(name, role):
    assert to_conversation({"conversations": [{"from": name, "value": "x"}]}).messages[0].role == role


def test_what_stands_in_and_beside_results_of_tools_is_kept():
    thought, text = {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "3", "cached": True}
    results = [{"type": "tool_result", "tool_use_id": "t", "content": [thought, text]}]
    row = {"messages": [{"role": "user", "content": results, "time": 4}, {"role": "user", "content": [*results, "go on"]}]}
    first, second, third = to_conversation(row).messages
    assert (first.role, first.content, first.extra) == ("tool", "3", {"time": 4, "content_parts": [thought, text]})
    assert (second.role, third.role, third.content) == ("tool", "user", "go on")


def test_parts_that_hold_their_value_under_that_name():
    parts = [{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": "Let me see."}]
    called = [*parts, {"type": "tool_call", "value": '{"name": "f", "arguments": {"a": 1}}'}]
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "q"}], "loss_weight": 0.0},
            {"role": "assistant", "content": called, "loss_weight": 1.0},
            {"role": "tool", "content": [{"type": "text", "value": "3"}]},
        ]
    }
    user, assistant, tool = to_conversation(row).messages
    assert (user.content, user.weight, tool.content) == ("q", 0.0, "3")
    assert (assistant.content, assistant.reasoning, assistant.weight) == ("Let me see.", "Hm.", 1.0)
    assert assistant.tool_calls == (ToolCall("f", {"a": 1}),)
    assert to_conversation(
        {"messages": [*row["messages"][:1], {"role": "assistant", "content": [{"type": "text", "value": "a", "text": "b"}]}]}
    ).messages[1].extra == {"content_parts": [{"type": "text", "value": "a", "text": "b"}]}


def test_pairs_of_whole_dialogues_under_names_of_messages():
    asked = {"role": "user", "content": [{"type": "text", "value": "q"}]}
    row = {
        "chosen_messages": [asked, {"role": "assistant", "content": "a"}],
        "rejected_messages": [asked, {"role": "assistant", "content": "b"}],
    }
    pair = to_pair(row)
    assert [turn.content for side in (pair.prompt, pair.chosen, pair.rejected) for turn in side] == ["q", "a", "b"]


def test_an_empty_list_of_messages_beside_a_full_one_and_tools_that_are_the_text_null() -> None:
    told = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]
    read = to_conversation({"messages": [], "conversations": told, "tools": "null"})
    assert [turn.content for turn in read.messages] == ["Hi", "Yes?"]
    assert read.tools == ()
    assert "messages" not in read.extra
