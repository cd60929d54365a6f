"""Luthier's messages as the OpenAI chat API writes them, and its replies as completions.

Knows nothing about servers: `luthier.models.endpoint` sends and receives these rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from luthier.errors import BadRowError, EngineError
from luthier.models.protocol import Completion
from luthier.records import JSON, Message, ToolCall
from luthier.records.lines import decoded

SHOWN = 200  # characters of a server's own words in an error
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
    """The first choice of a chat completion, given as the object of the `openai` client. prompt_tokens: what to count where the server reports
    no usage. Raises EngineError where it is none: nothing that a server sends has to have the types of the client."""
    body = reply.model_dump(mode="json", warnings=False) if hasattr(reply, "model_dump") else None
    if not isinstance(body, dict):
        raise EngineError("does not answer with chat completions")
    if body.get("error"):
        raise EngineError(f"answers with an error ({_words(body['error'])})")
    choice = _first(body.get("choices"), "choices")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise EngineError("sent a choice without a message")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise EngineError("sent tool calls that are no list")
    text = _calls_text(calls) if calls else _content(message)
    finish = choice.get("finish_reason")
    usage = body.get("usage")
    used: JSON = usage if isinstance(usage, dict) else {}
    return Completion(
        text=text,
        finish="length" if finish == "length" else "refused" if finish == "content_filter" else "stop",
        prompt_tokens=_count(used, "prompt_tokens", prompt_tokens),
        completion_tokens=_count(used, "completion_tokens", len(text) // CHARACTERS_PER_TOKEN + 1),
    )


def _first(value: Any, what: str) -> JSON:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        raise EngineError(f"does not answer with chat completions: no {what}")
    return value[0]


def _content(message: JSON) -> str:
    """The text of a message; of a content in parts, those of text. A refusal is what the model said."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict)]
        if len(parts) == len(content):
            return "".join(part for part in parts if isinstance(part, str))
    if content is None or content == "":
        refusal = message.get("refusal")
        return refusal if isinstance(refusal, str) else ""
    if not isinstance(content, str):
        raise EngineError(f"sent a message whose content is {type(content).__name__}, not text")
    return content


def _count(used: JSON, name: str, guess: int) -> int:
    value = used.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else guess


def _words(error: Any) -> str:
    told = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(told).split())[:SHOWN]


def _calls_text(calls: Sequence[Any]) -> str:
    """Bracket syntax; arguments that are no JSON object stay as the model wrote them, for the reader to judge."""
    from luthier.records.calls import render_calls

    given_functions = [call.get("function") if isinstance(call, dict) else None for call in calls]
    functions: list[JSON] = [each for each in given_functions if isinstance(each, dict) and isinstance(each.get("name"), str)]
    if len(functions) < len(calls):
        raise EngineError("sent a tool call without a function and its name")
    read: list[ToolCall] = []
    for function in functions:
        given = function.get("arguments")
        try:
            arguments = decoded(given or "{}", "the arguments")
        except BadRowError:
            arguments = None
        if not isinstance(arguments, dict):
            return "[" + ", ".join(f"{each['name']}({each.get('arguments')})" for each in functions) + "]"
        read.append(ToolCall(function["name"], arguments))
    return render_calls(read)


def prompt_tokens(request: JSON) -> int:
    """About how many tokens the messages and tools of a request take."""
    return len(json.dumps([request["messages"], request.get("tools", [])], ensure_ascii=False)) // CHARACTERS_PER_TOKEN + 1
