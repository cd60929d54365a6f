"""Dialogue rows as the report shows them: turns of a chat, tool calls as text, tools as signatures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from luthier.records import JSON, ToolCall
from luthier.records.calls import render_calls
from luthier.report.wording import text


@dataclass(frozen=True)
class Turn:
    role: str
    text: str
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """A tool as one line of code: `get_weather(city: string, days?: integer)`."""

    name: str
    arguments: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Dialogue:
    id: str
    type: str
    title: str
    turns: tuple[Turn, ...]
    tools: tuple[Signature, ...]


def dialogue(row: JSON) -> Dialogue:
    """A TRL row; fields that are not as expected are shown as they stand."""
    turns = tuple(_turn(message) for message in _list(row.get("messages")) if isinstance(message, dict))
    tools = tuple(_signature(tool) for tool in _list(row.get("tools")) if isinstance(tool, dict))
    return Dialogue(text(row.get("id", "")), text(row.get("type", "")), first_user_text(row), turns, tools)


def first_user_text(row: JSON) -> str:
    for message in _list(row.get("messages")):
        if isinstance(message, dict) and message.get("role") == "user":
            return text(message.get("content") or "")
    return ""


def question_text(question: Any) -> str:
    """A benchmark's question: a string, or BFCL's turns of messages."""
    if isinstance(question, list):
        return "\n".join(question_text(part) for part in question)
    if isinstance(question, dict) and "content" in question:
        return text(question["content"])
    return text(question)


def _turn(message: JSON) -> Turn:
    calls = tuple(_call(call) for call in _list(message.get("tool_calls")) if isinstance(call, dict))
    return Turn(text(message.get("role", "")), text(message.get("content") or ""), calls)


def _call(call: JSON) -> str:
    function = call.get("function")
    function = function if isinstance(function, dict) else call
    name, arguments = text(function.get("name", "?")), _loaded(function.get("arguments", {}))
    if not isinstance(arguments, dict):
        return f"{name}({text(arguments)})"
    return render_calls([ToolCall(name, arguments)])[1:-1]


def _signature(tool: JSON) -> Signature:
    function = tool.get("function")
    function = function if isinstance(function, dict) else tool
    schema = _loaded(function.get("parameters", {}))
    schema = schema if isinstance(schema, dict) else {}
    properties, required = schema.get("properties"), _list(schema.get("required"))
    arguments = tuple(
        f"{name}{'' if name in required else '?'}: {_type(kind)}"
        for name, kind in (properties.items() if isinstance(properties, dict) else ())
    )
    return Signature(text(function.get("name", "?")), arguments, text(function.get("description") or ""))


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if isinstance(schema.get("enum"), list) and len(schema["enum"]) <= 4:
        return " | ".join(text(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_type(schema.get('items'))}[]"
    return " | ".join(map(text, kind)) if isinstance(kind, list) else text(kind)


def _list(value: Any) -> list[Any]:
    """Parquet and some exporters keep nested lists as JSON text."""
    found = _loaded(value)
    return found if isinstance(found, list) else []


def _loaded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
