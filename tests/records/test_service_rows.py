"""Conversations as services keep and log them are those of OpenAI's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError
from luthier.records import JSON, Account, Message, ToolCall, read_conversations, to_conversation

ASKED, SAID = Message("user", "Tide at Brest?"), Message("assistant", "3 m.")
IN, OUT = ASKED.to_row(), SAID.to_row()
TIDE = {"name": "tide", "description": "Tide height.", "parameters": {"type": "OBJECT", "properties": {"harbour": {"type": "STRING"}}}}


def part(role: str, **parts: Any) -> JSON:
    return {"role": role, "parts": [parts]}


def node(parent: str | None, role: str, *parts: Any, **more: Any) -> JSON:
    return {"parent": parent, "message": {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, **more}}


TREE = {
    "title": "Tides",
    "mapping": {
        "a": {"parent": None, "message": None},
        "b": node("a", "system", ""),
        "c": node("b", "user", "Tide at Brest?"),
        "d": node("c", "assistant", "I do not know."),
        "e": node("c", "assistant", "3 m."),
        "f": node("b", "user", "hidden", metadata={"is_visually_hidden_from_conversation": True}),
    },
    "current_node": "e",
}


@pytest.mark.parametrize(
    "row",
    [
        {"contents": [part("user", text="Tide at Brest?"), part("model", text="3 m.")]},
        TREE,
        {"inputs": {"messages": [IN]}, "outputs": {"message": OUT}},
        {"inputs": {"messages": [IN]}, "outputs": {"choices": [{"message": OUT}]}},
        {"inputs": {"question": "Tide at Brest?"}, "outputs": {"answer": "3 m."}},
        {"inputs": [IN], "outputs": "3 m."},
        {"input": [IN], "output": OUT},
        {"input": [IN], "output": "3 m."},
        {"input": {"messages": [IN]}, "output": {"role": "ai", "content": "3 m."}},
        {"data": ["Tide at Brest?", "3 m."]},
        {"messages": [{"role": "User", "content": "Tide at Brest?"}, {"role": "Chatbot", "content": "3 m."}]},  # Cohere
        {
            "messages": [{"role": "user", "content": [{"text": "Tide at Brest?"}]}, {"role": "assistant", "content": [{"text": "3 m."}]}]
        },  # Bedrock
    ],
)
def test_every_service_says_the_same(row: JSON) -> None:
    assert to_conversation(row).messages == (ASKED, SAID)


def test_geminis_calls_and_thoughts() -> None:
    contents = [
        part("user", text="Tide at Brest?"),
        {
            "role": "model",
            "parts": [{"text": "Look it up.", "thought": True}, {"functionCall": {"name": "tide", "args": {"harbour": "Brest"}}}],
        },
        part("user", functionResponse={"name": "tide", "response": {"height": 3}}),
        part("model", text="3 m."),
    ]
    row = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents, "tools": [{"functionDeclarations": [TIDE]}]}
    found = to_conversation(row)
    assert [turn.role for turn in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert (found.messages[0].content, found.messages[2].reasoning, found.messages[3].content) == (
        "Be brief.",
        "Look it up.",
        '{"height": 3}',
    )
    assert found.messages[2].tool_calls == (ToolCall("tide", {"harbour": "Brest"}),)
    assert found.tools[0].parameters["properties"] == {"harbour": {"type": "string"}}


def test_systems_in_parts_stand_before_the_rest() -> None:
    found = to_conversation({"system": [{"text": "Be"}, {"text": "brief."}], "messages": [IN, OUT]})
    assert found.messages[0] == Message("system", "Be\nbrief.")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    traced = {"inputs": {"messages": [IN], "temperature": 0.2, "tools": [TIDE]}, "outputs": {"message": OUT, "usage": {}}}
    (tmp_path / "in.json").write_text(json.dumps([TREE, traced]))
    with Account() as account:
        found = list(read_conversations(tmp_path / "in.json"))
    assert [tool.name for tool in found[1].tools] == ["tide"]
    told = {entry.reason for entry in account.of("left out")}
    assert told == {"turns of other branches of a tree", "field 'temperature' of a traced call", "field 'usage' of a traced call"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"contents": [part("user", inlineData={"mimeType": "image/png"})]}, "message 1: a part has 'inlineData'"),
        ({"contents": [{"role": "user", "text": "x"}]}, "no list of turns with `parts`"),
        ({"contents": [part("user", text="x")], "systemInstruction": 5}, "the system instruction is neither"),
        ({"contents": "a table of"}, "no known layout"),
        ({"data": {"messages": []}}, "no known layout"),
        ({"inputs": "text", "outputs": "text"}, "no known layout"),
        ({"inputs": {"messages": []}, "outputs": OUT}, "what went in is no list of messages"),
        ({"inputs": {"messages": [IN]}, "outputs": {"score": 1}}, "what came out is no message"),
        ({"mapping": {}, "current_node": "x"}, "no conversation of ChatGPT's export"),
        ({"mapping": {"x": node(None, "user", {"asset_pointer": "p"})}, "current_node": "x"}, "is no text"),
        ({"mapping": {"x": node("x", "user", "Hi")}, "current_node": "x"}, "leads round in a circle"),
    ],
)
def test_what_is_no_conversation_is_refused(row: JSON, problem: str) -> None:
    with pytest.raises(BadRowError, match=problem):
        to_conversation(row)
