"""Luthier's messages as the OpenAI chat API writes them, and its replies as completions.

Knows nothing about servers: `luthier.models.endpoint` sends and receives these rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from luthier.errors import EngineError
from luthier.models.protocol import Completion
from luthier.records import JSON, Message, ToolCall

CHARACTERS_PER_TOKEN = 4  # a rough guess, used for a prompt's share of the budget and where a server reports no usage


def message_rows(messages: Sequence[Message]) -> list[JSON]:
    """Messages as OpenAI wants them: arguments as JSON text, and an id on every call and every answer to one.

    Tool messages without an id answer the calls before them in order. Raises EngineError where there is none left.
    """
    rows: list[JSON] = []
    unanswered: list[str] = []
    for number, message in enumerate(messages, 1):
        row: JSON = {"role": message.role, "content": message.content if message.content is not None else ""}
        if message.tool_calls:
            unanswered = [call.id or f"call_{number}_{place}" for place, call in enumerate(message.tool_calls, 1)]
            row["content"] = message.content  # null where there are only calls
            row["tool_calls"] = [_call_row(call, name) for call, name in zip(message.tool_calls, unanswered, strict=True)]
        if message.role == "tool":
            row["tool_call_id"] = message.tool_call_id or (unanswered[0] if unanswered else None)
            if row["tool_call_id"] is None:
                raise EngineError(f"message {number} is a tool's answer, but no call before it is open; give it a tool_call_id")
            unanswered = [name for name in unanswered if name != row["tool_call_id"]]
        rows.append(row)
    return rows


def _call_row(call: ToolCall, name: str) -> JSON:
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}}


def read_reply(reply: Any, prompt_tokens: int) -> Completion:
    """The first choice of a chat completion. prompt_tokens: what to count where the server reports no usage."""
    choice = reply.choices[0]
    text = _calls_text(choice.message.tool_calls) if choice.message.tool_calls else choice.message.content or ""
    used = reply.usage
    return Completion(
        text=text,
        finish="length" if choice.finish_reason == "length" else "stop",
        prompt_tokens=used.prompt_tokens if used else prompt_tokens,
        completion_tokens=used.completion_tokens if used else len(text) // CHARACTERS_PER_TOKEN + 1,
    )


def _calls_text(calls: Sequence[Any]) -> str:
    """Bracket syntax; arguments that are no JSON object stay as the model wrote them, for the reader to judge."""
    from luthier.records.calls import render_calls

    read: list[ToolCall] = []
    for call in calls:
        try:
            arguments = json.loads(call.function.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return "[" + ", ".join(f"{each.function.name}({each.function.arguments})" for each in calls) + "]"
        read.append(ToolCall(call.function.name, arguments))
    return render_calls(read)


def prompt_tokens(request: JSON) -> int:
    """About how many tokens the messages and tools of a request take."""
    return len(json.dumps([request["messages"], request.get("tools", [])], ensure_ascii=False)) // CHARACTERS_PER_TOKEN + 1
