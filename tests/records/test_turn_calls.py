"""Turns that write calls as text in rows with tools: read where all of a turn is calls, else told; ToolACE's list of tools in any writing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.records import Account, Message, ToolCall, read_conversations, to_conversation, write_jsonl
from luthier.records.toolace import split_tools

SCHEMA = {"type": "object", "properties": {"port": {"type": "string"}}}
TOOLS = [{"name": name, "description": "It's a [tide].", "parameters": SCHEMA} for name in ("tide", "pay")]
ASKED = {"role": "user", "content": "Tide?"}
TIDE, PAY = ToolCall("tide", {"port": "Brest"}), ToolCall("pay", {"port": "it's"})
ONE, TWO = '{"name": "tide", "arguments": {"port": "Brest"}}', '{"name": "pay", "arguments": {"port": "it\'s"}}'


def turn(text: str) -> Message:
    return to_conversation({"messages": [ASKED, {"role": "assistant", "content": text}], "tools": TOOLS}).messages[1]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("<functioncall> " + ONE, (TIDE,)),
        ('<functioncall> {"name": "tide", "arguments": \'{"port": "Brest"}\'} <|endoftext|>', (TIDE,)),
        ('<functioncall> {"name": "pay", "arguments": \'{"port": "it\'s"}\'}', (PAY,)),
        (f"<functioncall>{ONE}</functioncall>\n<functioncall>{TWO}</functioncall>", (TIDE, PAY)),
        ('<|python_tag|>{"name": "tide", "parameters": {"port": "Brest"}}<|eom_id|>', (TIDE,)),
        ('<|python_tag|>tide.call(port="Brest")', (TIDE,)),
        (f"[TOOL_CALLS] [{ONE}, {TWO}]</s>", (TIDE, PAY)),
        ('[TOOL_CALLS]tide[ARGS]{"port": "Brest"}[TOOL_CALLS]pay[ARGS]{"port": "it\'s"}', (TIDE, PAY)),
        (ONE, (TIDE,)),
        (f"[\n  {ONE},\n  {TWO}\n]", (TIDE, PAY)),
        (f"```json\n{ONE}\n```", (TIDE,)),
        (f"```\n[{ONE}, {TWO}]\n```", (TIDE, PAY)),
        ('[tide(port="Brest"), pay(port="it\'s")]', (TIDE, PAY)),
    ],
)
def test_a_turn_of_calls_alone_calls(text: str, calls: tuple[ToolCall, ...]) -> None:
    assert turn(text) == Message("assistant", None, calls)


def test_words_before_a_mark_stay() -> None:
    assert turn(f"I look.\n<functioncall> {ONE}") == Message("assistant", "I look.", (TIDE,))


@pytest.mark.parametrize(
    "text",
    [
        f"<functioncall> {ONE} and so on",
        "<functioncall> {oops",
        f"[TOOL_CALLS] {ONE} {TWO}",
        f"Call it so:\n```json\n{ONE}\n```\nThen read on.",
        "<|python_tag|>print('x')",
        '<invoke name="tide">',
    ],
)
def test_what_is_not_calls_alone_stays_text_and_is_told(tmp_path: Path, text: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"messages": [ASKED, {"role": "assistant", "content": text}], "tools": TOOLS}])
    with Account() as account:
        (found,) = read_conversations(tmp_path / "in.jsonl")
    assert found.messages[1] == Message("assistant", text)
    assert [entry.reason for entry in account.of("carried")] == ["calls that stay text: not all of a turn could be read as calls"]


@pytest.mark.parametrize(
    "text", ['{"name": "sail", "arguments": {}}', '{"name": "tide"}', "[1, 2]", "Use print(x=1).", "```json\n{}\n```", "[sail(a=1)]"]
)
def test_what_calls_no_tool_on_offer_is_text_like_any_other(tmp_path: Path, text: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"messages": [ASKED, {"role": "assistant", "content": text}], "tools": TOOLS}])
    with Account() as account:
        (found,) = read_conversations(tmp_path / "in.jsonl")
    assert found.messages[1] == Message("assistant", text)
    assert not account.of("carried")


@pytest.mark.parametrize("mark", ["<functioncall>", "<tool_call>", "<|python_tag|>", "[TOOL_CALLS]"])
def test_without_tools_every_mark_stays_text_and_is_told(tmp_path: Path, mark: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"messages": [ASKED, {"role": "assistant", "content": mark + ONE}]}])
    with Account() as account:
        (found,) = read_conversations(tmp_path / "in.jsonl")
    assert found.messages[1].content == mark + ONE
    assert [entry.reason for entry in account.of("carried")] == ["calls that stay text: the row has no tools"]


def test_words_of_a_person_are_no_calls() -> None:
    row = {"messages": [{"role": "user", "content": ONE}, {"role": "assistant", "content": "x"}], "tools": TOOLS}
    assert to_conversation(row).messages[0] == Message("user", ONE)


@pytest.mark.parametrize("listed", [json.dumps(TOOLS), json.dumps(TOOLS, indent=2), str(TOOLS), "[ " + str(TOOLS)[1:]])
def test_toolaces_list_of_tools_is_found_in_any_writing(listed: str) -> None:
    system = f"Don't guess; [{{x}}] is none. Functions:\n{listed}. \nAnswer [func(a=b)], don't explain."
    row = {"system": system, "conversations": [{"from": "user", "value": "Tide?"}, {"from": "assistant", "value": '[tide(port="Brest")]'}]}
    found = to_conversation(row)
    assert [tool.name for tool in found.tools] == ["tide", "pay"]
    assert found.messages[2] == Message("assistant", None, (TIDE,))
    assert found.messages[0].content == "Don't guess; [{x}] is none. Functions:\n. \nAnswer [func(a=b)], don't explain."


@pytest.mark.parametrize("text", ["[{", "[{'name': 'x'", "[ {} ]", "[{" * 5000, "[{'" * 5000, None, 3])
def test_a_text_without_a_list_of_tools_has_none(text: object) -> None:
    assert split_tools(text)[1] == []
