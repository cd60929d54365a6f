"""Tool calls that stand as tagged text in the turns, as Hermes and Qwen write them: `<tools>`, `<tool_call>`, `<tool_response>`.

Used where a row says which tools it has, in a column or in its system text; elsewhere tags are text like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from luthier.errors import BadRowError
from luthier.records.call_rows import calls_from
from luthier.records.conversations import Message
from luthier.records.lines import parse_text, python_value, to_text

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_ANSWER, _ANSWERED = "<tool_response>", "</tool_response>"
_BOILERPLATE = ("You are a function calling AI model", "# Tools\n")  # where the published instructions on calling begin
_MOST_INTRODUCING = 8  # sentences before the tools that tell of the tags
_REST_OF_SENTENCE = re.compile(r"[^\S\n]*+(?:(?![A-Z])[^.!?\n]*+[.!?]*+)?")  # nothing where another sentence or line begins
_SPACES = re.compile(r"\s*+")
_BETWEEN = re.compile(r"[\s,;]*+")


def split_listed_tools(text: Any) -> tuple[str, list[Any], str]:
    """A system text without its instructions on calling, the tools between `<tools>` tags, and what was taken out.

    The list is empty where there is none.
    """
    if not isinstance(text, str) or "<tools>" not in text:
        return (text if isinstance(text, str) else ""), [], ""
    start, end, tools = _listed(text)
    if not tools:
        return text, [], ""
    begin = next((text.rfind(words, 0, start) for words in _BOILERPLATE if words in text[:start]), None)
    begin = _introduced(text, start) if begin is None else begin
    stop = text.rfind(_CLOSE) + len(_CLOSE) if _CLOSE in text[end:] else end + len("</tools>")
    rest = _REST_OF_SENTENCE.match(text, stop)
    stop = rest.end() if rest else stop
    return f"{text[:begin].rstrip()}\n{text[stop:].lstrip()}".strip(), tools, text[begin:stop]


def _introduced(text: str, place: int) -> int:
    """Where what leads to a place begins: the sentence on its line, or on one that ends with a colon, and those before it that tell of the tags."""
    head = text[:place].rstrip()
    begin = place
    if head and not head.endswith((".", "!", "?")) and (head.endswith(":") or "\n" not in text[len(head) : place]):
        begin = _sentence_start(head)
    for _ in range(_MOST_INTRODUCING):
        before = _sentence_start(text[:begin].rstrip())
        if "<tool" not in text[before:begin]:
            break
        begin = before
    return begin


def _sentence_start(text: str) -> int:
    """Where the last sentence of a text begins."""
    return max((text.rfind(sign) + len(sign) for sign in (". ", "! ", "? ", "\n") if sign in text), default=0)


def _listed(text: str) -> tuple[int, int, list[Any]]:
    """Where the first tags stand that have tools between them: published instructions speak of the tags before they use them."""
    start = text.find("<tools>")
    while start >= 0:
        end = text.find("</tools>", start)
        tools = _values(text[start + len("<tools>") : end]) if end >= 0 else []
        if tools:
            return start, end, tools
        start = text.find("<tools>", end) if end >= 0 else -1
    return -1, -1, []


def tagged_turns(message: Message, number: int) -> Iterator[Message]:
    """Calls between tags become tool calls, answers between tags one tool turn each; the text before the first tag stays."""
    text = message.content or ""
    if message.role == "assistant" and _OPEN in text and not message.tool_calls:
        before, parts, after = _tagged(text, _OPEN, _CLOSE)
        calls = calls_from([_object(part, number) for part in parts], number)
        said = f"{before.strip()}\n{after.strip()}".strip()
        yield Message(
            "assistant", said or None, calls, name=message.name, reasoning=message.reasoning, weight=message.weight, extra=message.extra
        )
    elif message.role in ("tool", "user") and text.lstrip().startswith(_ANSWER):
        before, parts, after = _tagged(text, _ANSWER, _ANSWERED)
        if before.strip() or after.strip():
            raise BadRowError(f"message {number}: text beside a <tool_response>")
        for part in parts:
            yield _answer(part, message)
    else:
        yield message


def _answer(text: str, message: Message) -> Message:
    try:
        value = parse_text(text)
    except BadRowError:
        value = None
    if isinstance(value, dict) and set(value) <= {"name", "content", "tool_call_id"} and "content" in value:
        content = value["content"] if isinstance(value["content"], str) else to_text(value["content"])
        name = value.get("name") if isinstance(value.get("name"), str) else message.name
        return Message("tool", content, tool_call_id=value.get("tool_call_id") or message.tool_call_id, name=name, extra=message.extra)
    return Message("tool", text.strip(), tool_call_id=message.tool_call_id, name=message.name, extra=message.extra)


def _tagged(text: str, opening: str, closing: str) -> tuple[str, list[str], str]:
    """What stands before the first tag, between the tags, and everywhere else. A last tag may be left open."""
    before, *pieces = text.split(opening)
    inside, rest = [], []
    for piece in pieces:
        part, _, after = piece.partition(closing)
        inside.append(part)
        rest.append(after.strip())
    return before, inside, "\n".join(filter(None, rest))


def _object(text: str, number: int) -> Any:
    """A call as JSON, or in quotes of Python, as the first of these data sets have it."""
    try:
        return parse_text(text)
    except BadRowError as error:
        value = python_value(text)
        if isinstance(value, dict):
            return value
        raise BadRowError(f"message {number}: a <tool_call> that is {error.problem}") from None


def _values(text: str) -> list[Any]:
    """The JSON values in a text, one after another (Qwen writes one tool a line), or within one list; empty where it is none."""
    reader, at, found = json.JSONDecoder(), 0, list[Any]()
    text = text.strip()
    while at < len(text):
        try:
            value, at = reader.raw_decode(text, at)
        except (ValueError, RecursionError):
            value = python_value(text)
            return value if isinstance(value, list) else []
        found += value if isinstance(value, list) else [value]
        at = _SPACES.match(text, at).end()  # type: ignore[union-attr]
    return found if all(isinstance(tool, dict) for tool in found) else []


def json_values(text: str) -> list[Any]:
    """The JSON values that a text begins with, with spaces, commas or semicolons between them; what follows is not read.

    Raises BadRowError where one is broken.
    """
    text, at, found = text.strip(), 0, list[Any]()
    while text[at : at + 1] in ("{", "["):
        value, at = json_value(text, at)
        found.append(value)
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
    return found


def json_value(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins there, and where it ends. Raises BadRowError."""
    try:
        return json.JSONDecoder(parse_constant=_no_number).raw_decode(text, at)
    except (ValueError, RecursionError) as problem:
        raise BadRowError(f"no JSON ({problem})") from None


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
