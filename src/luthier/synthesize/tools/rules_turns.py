"""Rules about turns: D1 (fields), S1 (names of responses), S2 (type label), S3 (order of roles), S4 (responses follow calls)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from luthier.records import Conversation, Message, ToolCall
from luthier.records.calls import CallSyntaxError, is_call_attempt, parse_calls
from luthier.synthesize.tools.grounding import letters
from luthier.synthesize.tools.lint import Finding

WITHOUT_CALLS = ("missing_argument", "irrelevant", "chat")


def needed_fields(conversation: Conversation) -> list[Finding]:
    """Rule D1."""
    return [Finding("D1", problem, path) for path, problem in _lacks(conversation)]


def response_names(conversation: Conversation) -> list[Finding]:
    """Rule S1."""
    return [
        Finding("S1", "the response's name differs from the call's", f"messages[{turn}].name")
        for turn, message, answered in _answers(conversation)
        if answered is not None and message.name is not None and message.name != answered.call.name
    ]


def type_label(conversation: Conversation) -> list[Finding]:
    """Rule S2. A label other than ToolACE's says nothing about calls and is let through."""
    problem = _label_problem(conversation)
    label = [Finding("S2", problem, "extra.type")] if problem else []
    names = tuple(tool.name for tool in conversation.tools)
    prose = [
        Finding("S2", "a text turn holds calls as text", f"messages[{turn}].content")
        for turn, message in enumerate(conversation.messages)
        if message.role == "assistant" and not message.tool_calls and _is_call_text(message.content or "", names)
    ]
    return label + prose


def role_order(conversation: Conversation) -> list[Finding]:
    """Rule S3: an optional system turn, then user -> assistant -> (tools -> assistant | user), and the assistant last."""
    findings: list[Finding] = []
    before = "start"
    for turn, message in enumerate(conversation.messages):
        now = "calls" if message.role == "assistant" and message.tool_calls else message.role
        if now not in _FOLLOWERS[before]:
            findings.append(Finding("S3", f"a {message.role} turn cannot stand here", f"messages[{turn}].role"))
        before = now
    if before not in ("assistant", "calls"):
        findings.append(Finding("S3", "the assistant does not have the last word", f"messages[{len(conversation.messages) - 1}].role"))
    return findings


def responses_follow_calls(conversation: Conversation) -> list[Finding]:
    """Rule S4. Calls in the last turn wait for their answers and are fine."""
    orphans = [
        Finding("S4", "a tool response answers no call", f"messages[{turn}]") for turn, _, place in _answers(conversation) if place is None
    ]
    answered = {place[:2] for _, _, place in _answers(conversation) if place is not None}
    open_calls = [
        Finding("S4", "a call is never answered", f"messages[{turn}].tool_calls[{index}]")
        for turn, message in enumerate(conversation.messages[:-1])
        for index in range(len(message.tool_calls))
        if (turn, index) not in answered
    ]
    return orphans + open_calls


class _Place(NamedTuple):
    """Where a call stands: the same call may be made twice."""

    turn: int
    place: int
    call: ToolCall


_FOLLOWERS: dict[str, tuple[str, ...]] = {
    "start": ("system", "user"),
    "system": ("user",),
    "user": ("assistant", "calls"),
    "assistant": ("user",),
    "calls": ("tool",),
    "tool": ("tool", "assistant", "calls"),
}


def _lacks(conversation: Conversation) -> Iterator[tuple[str, str]]:
    roles = [message.role for message in conversation.messages]
    for role in ("user", "assistant"):
        if role not in roles:
            yield "messages", f"there is no {role} turn"
    if not conversation.tools and any(message.tool_calls for message in conversation.messages):
        yield "tools", "there are calls but no tools"
    ids: set[str] = set()
    for turn, message in enumerate(conversation.messages):
        path = f"messages[{turn}]"
        if not (message.content or "").strip() and not message.tool_calls:
            yield path, f"the {message.role} turn is empty"
        if message.tool_calls and message.role != "assistant":
            yield path, f"a {message.role} turn makes calls"
        if message.role == "tool" and message.tool_call_id is None and message.name is None:
            yield path, "the tool turn names neither call nor tool"
        for index, call in enumerate(message.tool_calls):
            if call.id is not None and call.id in ids:
                yield f"{path}.tool_calls[{index}].id", "two calls have the same id"
            ids.update([] if call.id is None else [call.id])


def _answers(conversation: Conversation) -> Iterator[tuple[int, Message, _Place | None]]:
    """Every tool turn with the place of the call it answers: by id, or where there are no ids by position. None where there is none."""
    waiting: list[_Place] = []
    for turn, message in enumerate(conversation.messages):
        if message.role != "tool":
            waiting = [_Place(turn, index, call) for index, call in enumerate(message.tool_calls)]
            continue
        at = next((at for at, one in enumerate(waiting) if message.tool_call_id in (one.call.id, None) or one.call.id is None), None)
        yield turn, message, waiting.pop(at) if at is not None else None


def _label_problem(conversation: Conversation) -> str | None:
    label = conversation.extra.get("type")
    counts = [len(message.tool_calls) for message in conversation.messages if message.tool_calls]
    if label == "single" and counts != [1]:
        return "`single` means exactly one call"
    if label == "parallel" and max(counts, default=0) < 2:
        return "`parallel` means two or more calls in one turn"
    if label == "dependent" and not _depends(conversation):
        return "`dependent` means a later call that uses an earlier result"
    return f"`{label}` means no call" if label in WITHOUT_CALLS and counts else None


def _depends(conversation: Conversation) -> bool:
    results, said = "", ""
    for message in conversation.messages:
        if message.role == "tool":
            results += " " + letters(message.content or "")
        elif message.role != "assistant":
            said += " " + letters(message.content or "")
        for call in message.tool_calls:
            plain = [letters(str(leaf)) for leaf in _leaves(call.arguments)]
            if any(leaf and leaf in results and leaf not in said for leaf in plain):
                return True
    return False


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _is_call_text(text: str, names: tuple[str, ...]) -> bool:
    if not is_call_attempt(text):
        return False
    try:
        return bool(parse_calls(text, names))
    except CallSyntaxError:
        return _is_json_call(text)


def _is_json_call(text: str) -> bool:
    stripped = text.strip().removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    entries = value if isinstance(value, list) else [value]
    return bool(entries) and all(isinstance(entry, dict) and "name" in entry and "arguments" in entry for entry in entries)
