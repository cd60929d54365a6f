"""Conversations as services keep and log them, brought into the form of OpenAI's messages: Gemini's `contents`, ChatGPT's export as a tree, the
inputs and outputs of traces (LangSmith, Langfuse), UltraChat's list of alternating texts.

Everything raises BadRowError without a place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.lines import to_text

_GEMINI_PARTS = frozenset({"text", "thought", "thoughtSignature", "functionCall", "function_call", "functionResponse", "function_response"})


def is_of_service(layout: str, row: JSON) -> bool:
    """Whether the fields that give a row its layout hold what they hold there; their names alone may mean anything."""
    if layout == "gemini":
        return _are_objects(row["contents"])
    if layout == "trace":
        return isinstance(row["inputs"], dict) or _are_objects(row["inputs"])
    if layout == "ultrachat":
        return isinstance(row["data"], list) and len(row["data"]) > 1 and all(isinstance(text, str) for text in row["data"])
    return isinstance(row["mapping"], dict)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def gemini_messages(row: JSON) -> list[JSON]:
    """Gemini's and Vertex AI's `contents`, behind `systemInstruction`."""
    told = row.get("systemInstruction") or row.get("system_instruction")
    before = [{"role": "system", "content": _text_of(told)}] if told else []
    contents = row["contents"]
    if not isinstance(contents, list) or not all(isinstance(turn, dict) and isinstance(turn.get("parts"), list) for turn in contents):
        raise BadRowError("`contents` is no list of turns with `parts`")
    return [*before, *(message for number, turn in enumerate(contents, 1) for message in _gemini_turn(turn, number))]


def _text_of(told: Any) -> str:
    """A system instruction: a text, or an object with parts of text."""
    if isinstance(told, str):
        return told
    parts = told.get("parts") if isinstance(told, dict) else None
    parts = [parts] if isinstance(parts, dict) else parts
    if not isinstance(parts, list) or not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise BadRowError("the system instruction is neither a text nor parts of text")
    return "\n".join(part["text"] for part in parts)


def _gemini_turn(turn: JSON, number: int) -> Iterator[JSON]:
    said, thought, calls = list[str](), list[str](), list[JSON]()
    for part in turn["parts"]:
        odd = sorted(set(part) - _GEMINI_PARTS) if isinstance(part, dict) else ["no object"]
        if odd:
            raise BadRowError(f"message {number}: a part has {odd[0]!r}, which is no text, call or answer of a function")
        answer, call = (
            part.get(camel) or part.get(snake)
            for camel, snake in (("functionResponse", "function_response"), ("functionCall", "function_call"))
        )
        if isinstance(answer, dict):
            yield {"role": "tool", "name": answer.get("name"), "content": to_text(answer.get("response"))}
        elif isinstance(call, dict):
            calls.append({"type": "function", "function": {"name": call.get("name"), "arguments": call.get("args") or {}}})
        else:
            (thought if part.get("thought") is True else said).append(str(part.get("text") or ""))
    if not (said or thought or calls):
        return
    message: JSON = {"role": turn.get("role") or "user", "content": "".join(said)}
    yield message | ({"reasoning_content": "".join(thought)} if thought else {}) | ({"tool_calls": calls} if calls else {})


def tree_messages(row: JSON) -> tuple[list[JSON], int]:
    """ChatGPT's export: the turns from the root to `current_node`, which is what was shown last, and how many are on other branches. Turns that
    are not shown, of the service itself, are none."""
    nodes, at = row["mapping"], row.get("current_node")
    if not isinstance(nodes, dict) or not isinstance(at, str) or at not in nodes:
        raise BadRowError("`mapping` and `current_node` are no conversation of ChatGPT's export")
    messages: list[JSON] = []
    others = sum(_shown(node) is not None for node in nodes.values())
    for _ in range(len(nodes) + 1):
        if not isinstance(at, str) or not isinstance(nodes.get(at), dict):
            return messages[::-1], others
        said, at = _shown(nodes[at]), nodes[at].get("parent")
        if said is None:
            continue
        others -= 1
        author, content = said.get("author") or {}, said.get("content") or {}
        parts = content.get("parts", [content["text"]] if isinstance(content.get("text"), str) else [])
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise BadRowError(f"a turn of the kind {content.get('content_type')!r} is no text")
        if any(part.strip() for part in parts):
            messages.append({"role": author.get("role"), "content": "\n".join(parts)})
    raise BadRowError("the tree of turns leads round in a circle")


def _shown(node: Any) -> JSON | None:
    """The message of a node of the tree, where it has one that people see."""
    said = node.get("message") if isinstance(node, dict) else None
    hidden = isinstance(said, dict) and (said.get("metadata") or {}).get("is_visually_hidden_from_conversation")
    return said if isinstance(said, dict) and not hidden and (said.get("author") or {}).get("role") != "system" else None


def trace_messages(asked: Any, answered: Any) -> tuple[list[JSON], set[str]]:
    """The messages of a traced call, what went in and the message that came out, however deep it lies, and the fields beside them."""
    beside: set[str] = set()
    before = _within(asked, ("messages", "input", "question", "prompt"), beside)
    after = _within(answered, ("choices", "message", "messages", "output", "answer", "content", "text"), beside)
    before = [{"role": "user", "content": before}] if isinstance(before, str) else before
    if not _are_objects(before):
        raise BadRowError("what went in is no list of messages")
    answer = {"role": "assistant", "content": after} if isinstance(after, str) else after
    if not isinstance(answer, dict) or answer.get("role") not in ("assistant", "ai", None) or not {"content", "tool_calls"} & answer.keys():
        raise BadRowError("what came out is no message of the assistant")
    return [*before, {**answer, "role": "assistant"}], beside - {"tools"}


def _within(value: Any, names: tuple[str, ...], beside: set[str]) -> Any:
    """What lies in the first of these fields, and in the first of those inside it. beside: takes the others."""
    for _ in range(4):
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "role" not in value[0]:
            (value,) = value
        name = next((name for name in names if name in value), None) if isinstance(value, dict) and "role" not in value else None
        if name is None:
            break
        beside |= {other for other in value if other != name}
        value = value[name]
    return value[0] if isinstance(value, list) and len(value) == 1 and names[0] == "choices" else value


def alternating_messages(texts: Any) -> list[JSON]:
    """UltraChat's list of texts, the user's first."""
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
