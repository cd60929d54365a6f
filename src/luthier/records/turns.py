"""Messages and tools as other projects write them: role names, tool calls as text or objects, Python's type names in schemas.

The parts that the layouts of `luthier.records.formats` share. Everything raises BadRowError without a place.
"""

from __future__ import annotations

import json
from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON, Message, Role, Tool, ToolCall
from luthier.records.lines import to_text


def turns_from(value: Any, speaker: Role) -> tuple[Message, ...]:
    """Messages from a list of them, one of them, or a plain string said by `speaker`."""
    if isinstance(value, str):
        return (Message(speaker, value),)
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise BadRowError(f"messages are a list of objects, not {type(value).__name__}")
    return tuple(_message(item, number) for number, item in enumerate(items, 1))


def system_turn(text: Any) -> tuple[Message, ...]:
    """The system message in front of a conversation; none where the text is empty."""
    return (Message("system", text),) if isinstance(text, str) and text.strip() else ()


def tools_from(value: Any) -> tuple[Tool, ...]:
    """The tools in a `tools` field: a list or a single one, as objects or JSON text."""
    listed = _decoded(value or [], "the tools")
    return tuple(tool_from_row(tool) for tool in (listed if isinstance(listed, list) else [listed]))


def tool_from_row(row: Any) -> Tool:
    """A tool from OpenAI's layout (`function` inside) or a bare name/description/parameters object, or either as JSON text."""
    row = _decoded(row, "a tool")
    function = row.get("function", row) if isinstance(row, dict) else row
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRowError("a tool without a name")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    returns = function.get("returns") or function.get("return")
    if not isinstance(parameters, dict):
        raise BadRowError(f"tool {function['name']!r}: parameters are not an object")
    known = returns if isinstance(returns, dict) else None
    return Tool(function["name"], str(function.get("description") or ""), json_schema_types(parameters), known)


def json_schema_types(schema: Any) -> Any:
    """The schema with Python's type names (dict, int, float, list, tuple, any, ...) replaced by JSON Schema's; a copy."""
    if not isinstance(schema, dict):
        return schema
    fixed: JSON = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            name = value if value in _JSON_NAMES else _JSON_NAME.get(value.lower(), value)
            if name:
                fixed[key] = name
        elif key in ("properties", "$defs", "patternProperties") and isinstance(value, dict):
            fixed[key] = {name: json_schema_types(part) for name, part in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            fixed[key] = json_schema_types(value)
        elif key in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            fixed[key] = [json_schema_types(part) for part in value]
        elif key != "required" or value is not None:
            fixed[key] = value
    return fixed


_JSON_NAMES = ("object", "array", "string", "integer", "number", "boolean", "null")
_OTHER_NAMES = {
    "object": "object dict map",
    "array": "array list tuple set",
    "string": "string str",
    "integer": "integer int long",
    "number": "number float double",
    "boolean": "boolean bool",
    "null": "null none",
    "": "any",  # a schema without a type takes anything
}
_JSON_NAME = {word: name for name, words in _OTHER_NAMES.items() for word in words.split()}
_SPEAKERS: dict[Role, str] = {
    "system": "system developer",
    "user": "user human",
    "assistant": "assistant gpt model function_call",
    "tool": "tool observation function",
}
_ROLES: dict[str, Role] = {word: role for role, words in _SPEAKERS.items() for word in words.split()}


def _message(item: Any, number: int) -> Message:
    said = item.get("role", item.get("from")) if isinstance(item, dict) else None
    if not isinstance(said, str) or said not in _ROLES:
        raise BadRowError(f"message {number} has the role {said!r}; known: {', '.join(_ROLES)}")
    role = _ROLES[said]
    content = _text(item.get("content", item.get("value")), role, number)
    written = content if said == "function_call" else item.get("tool_calls") or item.get("function_call") or []
    calls = _calls(written, number)
    if calls and role != "assistant":
        raise BadRowError(f"message {number}: only an assistant calls tools, not {said!r}")
    if said == "function_call" or (calls and not content):
        content = None
    return Message(role, content, calls, item.get("tool_call_id"), item.get("name"))


def _text(content: Any, role: Role, number: int) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and all(_is_text_part(part) for part in content):
        return "".join(part["text"] for part in content)
    if role == "tool":
        return to_text(content)
    raise BadRowError(f"message {number}: the content is neither text nor a list of text parts")


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _calls(value: Any, number: int) -> tuple[ToolCall, ...]:
    """Tool calls from a list of them or a single one, as objects or JSON text."""
    calls = _decoded(value, f"message {number}: the tool calls")
    return tuple(_call(call, number) for call in (calls if isinstance(calls, list) else [calls]))


def _call(call: Any, number: int) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRowError(f"message {number}: a tool call without a name")
    given = function.get("arguments", function.get("parameters"))
    arguments = _decoded(given or {}, f"message {number}: the arguments")
    if not isinstance(arguments, dict):
        raise BadRowError(f"message {number}: the arguments of {function['name']!r} are not an object")
    return ToolCall(function["name"], arguments, call.get("id"))


def _decoded(value: Any, what: str) -> Any:
    """Text as the JSON it holds, anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRowError(f"{what}: not JSON ({error})") from None
