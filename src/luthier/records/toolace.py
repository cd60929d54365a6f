"""The ToolACE layout: the tools as a JSON list inside the system text, calls and results written into the turns.

Calls are `[name(argument=value), ...]` with Python literals (`luthier.records.calls`); results are a JSON list of `name` and `results`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from luthier.errors import BadRowError
from luthier.records.calls import CallSyntaxError, is_call_attempt, parse_calls
from luthier.records.conversations import Message
from luthier.records.lines import parse_text, python_value, to_text

_LIST = re.compile(r"\[\s*+\{")
_SIGN = re.compile(r"\\.|[\"'\[\]]", re.DOTALL)  # an escaped sign is none
_MOST_LISTS = 8  # that a text is searched for one of tools


def split_tools(text: Any) -> tuple[str, list[Any], str]:
    """A system text parted around the JSON list of tools in it; an empty list where there is none."""
    if not isinstance(text, str):
        return "", [], ""
    for found in islice(_LIST.finditer(text), _MOST_LISTS):
        start, end = found.start(), _end(text, found.start())
        try:
            value = parse_text(text[start:end])
        except BadRowError:
            value = python_value(text[start:end])
        if isinstance(value, list) and all(isinstance(tool, dict) and "name" in tool for tool in value):
            return text[:start], value, text[end:]
    return text, [], ""


def _end(text: str, start: int) -> int:
    """Where the list ends that begins there, in JSON or in Python's writing."""
    depth, quote = 0, ""
    for sign in _SIGN.finditer(text, start):
        letter = sign[0]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
            if depth == 0:
                return sign.end()
    return len(text)


def call_turns(message: Message, names: Sequence[str]) -> Iterator[Message]:
    """Bracket calls become tool calls; a list of results becomes one tool turn a result."""
    text = (message.content or "").strip()
    if message.role == "assistant" and text.startswith("["):
        try:
            calls = parse_calls(text, names)
        except CallSyntaxError as error:
            if is_call_attempt(text):
                raise BadRowError(f"an assistant turn tries to call a tool, but {error}") from None
            calls = ()
        yield replace(message, content=None, tool_calls=calls) if calls else message
    elif message.role == "tool":
        yield from _results(message, text)
    else:
        yield message


def _results(message: Message, text: str) -> Iterator[Message]:
    try:
        results = json.loads(text)
    except (ValueError, RecursionError):
        results = []
    if not _is_results(results):
        yield message
        return
    for item in results:
        content = item["results"] if isinstance(item["results"], str) else to_text(item["results"])
        more = {key: value for key, value in item.items() if key not in ("name", "results")}
        yield Message("tool", content, name=str(item["name"]), extra={**message.extra, **more})


def _is_results(value: Any) -> bool:
    named = isinstance(value, list) and all(isinstance(item, dict) and {"name", "results"} <= item.keys() for item in value)
    return named and bool(value)
