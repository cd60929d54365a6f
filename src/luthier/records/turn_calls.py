"""Turns that are calls in the text of some model: `<functioncall>` (Glaive), `<|python_tag|>` (Llama), `[TOOL_CALLS]` (Mistral), JSON, a code block of it.

Used where a row says which tools it has. A turn is read only where nothing of it is lost: words may stand before a mark, none behind the calls.
Whatever else looks like a call stays text, and can be told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luthier.errors import BadRowError
from luthier.records.call_forms import attempts_by_mark, is_call, read_calls
from luthier.records.call_rows import calls_from
from luthier.records.calls import CallSyntaxError, parse_calls
from luthier.records.conversations import Message, ToolCall
from luthier.records.lines import parse_text, python_value

_MARKS = ("<functioncall>", "<|python_tag|>", "[TOOL_CALLS]")
_ENDS = ("<|endoftext|>", "<|eom_id|>", "<|eot_id|>", "<|im_end|>", "</functioncall>", "</s>")
_FENCED = re.compile(r"```[ \t]*+(?:json|tool_call|tool_code)?+[ \t]*+\n(.*)\n[ \t]*+```", re.DOTALL)
_QUOTED = '"arguments": \''


def with_calls(message: Message, names: Sequence[str]) -> Message:
    """The turn with the calls that it writes as calls; itself where it writes none. names: the tools on offer."""
    if not _may_call(message):
        return message
    text = message.content or ""
    mark = next((mark for mark in _MARKS if mark in text), "")
    before, *parts = text.split(mark) if mark else ("", text)
    try:
        calls = tuple(call for part in parts for call in _calls(part, mark, names))
    except (BadRowError, CallSyntaxError):
        return message
    if not calls or (not mark and not all(call.name in names for call in calls)):
        return message
    return replace(message, content=before.strip() or None, tool_calls=calls)


def seems_to_call(message: Message, names: Sequence[str]) -> bool:
    """Whether a turn that calls nothing holds a mark of calls, or what could be read as calls of tools on offer."""
    if not _may_call(message):
        return False
    text = message.content or ""
    if attempts_by_mark(text):
        return True
    found = read_calls(text, names).calls if names else None
    return bool(found) and all(call.name in names for call in found or ())


def _may_call(message: Message) -> bool:
    return message.role == "assistant" and bool(message.content) and not message.tool_calls


def _calls(part: str, mark: str, names: Sequence[str]) -> tuple[ToolCall, ...]:
    """All the calls in a text that holds nothing else. Raises BadRowError or CallSyntaxError."""
    text = part.strip()
    while end := next((end for end in _ENDS if text.endswith(end)), ""):
        text = text.removesuffix(end).rstrip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1].strip()
    if text.startswith("{") or re.match(r"\[\s*+\{", text):
        values = _values(text)
        if not values or not all(map(is_call, values)):
            raise BadRowError("no calls")
        return calls_from(values, 1)
    name, args, body = text.partition("[ARGS]")
    if args and mark == "[TOOL_CALLS]":
        return calls_from([{"name": name.strip(), "arguments": parse_text(body)}], 1)
    if mark == "<|python_tag|>":
        return parse_calls(text.replace(".call(", "(", 1), names)
    return parse_calls(text, names) if text.startswith("[") else ()


def _values(text: str) -> list[Any]:
    """The objects of a text in JSON or Python's writing; Glaive puts the arguments into single quotes, whatever is in them."""
    try:
        value = parse_text(text)
    except BadRowError:
        head, quoted, arguments = text.partition(_QUOTED)
        value = python_value(text)
        if value is None and quoted and arguments.endswith("'}"):
            value = {**parse_text(head.rstrip().removesuffix(",") + "}"), "arguments": parse_text(arguments.removesuffix("'}"))}
    return value if isinstance(value, list) else [value]
