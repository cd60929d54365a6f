"""Messages as other projects write them: role names, content parts, reasoning, weights, refusals, tool calls and their answers.

A field that is not understood is carried along in `Message.extra`. Everything raises BadRowError without a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from luthier.errors import BadRowError
from luthier.records.call_rows import calls_from
from luthier.records.conversations import JSON, Message, Role, ToolCall
from luthier.records.lines import decoded, parse_text, python_value, to_text
from luthier.records.numbers import finite_number, shown

CONTENTS = ("content", "value", "text")
REASONING = ("reasoning_content", "reasoning", "thinking", "thought")
_CALLS = ("tool_calls", "function_call", "tool_call")
_NO_TEXT = "the content is neither text nor a list of text parts"
_SPEAKERS: dict[Role, str] = {
    "system": "system developer",
    "user": "user human prompter",
    "assistant": "assistant gpt model chatgpt chatbot bot ai bing bard function_call function-call tool_call tool_calls tool-call",
    "tool": "tool observation function function_response function-response tool_response tool-response tool_result tool_results ipython",
}
_ROLES: dict[str, Role] = {word: role for role, words in _SPEAKERS.items() for word in words.split()}
_CALLERS = ("function_call", "function-call", "tool_call", "tool_calls", "tool-call")
_WRITTEN = re.compile(r"\s*+(?P<list>\[\s*+)?+\{\s*+[\"'](?P<key>\w*+)[\"']")
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHTS = {"thinking": "thinking", "reasoning": "reasoning"}


def turns_from(value: Any, speaker: Role) -> tuple[Message, ...]:
    """Messages from a list of them, one of them, either as text in JSON or Python's writing, or a plain string said by `speaker`."""
    if isinstance(value, str):
        listed = _listed(value)
        if listed is None:
            return (Message(speaker, value),)
        value = listed
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise BadRowError(f"messages are a list of objects, not {type(value).__name__}")
    return tuple(turn for number, item in enumerate(items, 1) for turn in _turns(item, number))


def messages_from(value: Any) -> tuple[Message, ...]:
    """The messages in a field that holds nothing else: text there is a list of them written as JSON, never a turn."""
    listed = _listed(value) if isinstance(value, str) else value
    if listed is None:
        listed = decoded(value, "the messages")
    if isinstance(listed, str):
        raise BadRowError("messages are a list of objects, not text")
    return turns_from(_by_turns(listed), "user")


def _by_turns(value: Any) -> Any:
    """Messages as a list of objects, also out of an object of lists, as `datasets` keeps sequences: `{"from": [...], "value": [...]}`."""
    if not isinstance(value, dict) or not value or not all(isinstance(each, list) for each in value.values()):
        return value
    if len(set(map(len, value.values()))) > 1:
        raise BadRowError(f"the messages are lists of {', '.join(map(str, map(len, value.values())))} parts; a message has one of each")
    return [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]


def system_turn(text: Any) -> tuple[Message, ...]:
    """The system message in front of a conversation; none where the text is empty. Raises BadRowError for anything but text."""
    if isinstance(text, list) and text and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in text):
        text = "\n".join(part["text"] for part in text)  # of Bedrock and Anthropic
    if text is not None and not isinstance(text, str):
        raise BadRowError(f"the system text is {type(text).__name__}, not text")
    return (Message("system", text),) if text and text.strip() else ()


def _listed(text: str) -> list[Any] | None:
    """The messages that a text writes, as JSON or as Python does; None where it is a text like any other.

    Raises BadRowError for what begins and ends like a list of messages, and cannot be read.
    """
    begun = _WRITTEN.match(text)
    if begun is None:
        return None
    try:
        value = parse_text(text)
    except BadRowError as error:
        value = python_value(text)
        if value is None and begun["list"] and begun["key"] in ("role", "from", *CONTENTS) and text.rstrip().endswith("]"):
            raise BadRowError(f"a text that begins like a list of messages cannot be read as one: {error.problem}") from None
    if isinstance(value, dict) and any(key in value for key in (*CONTENTS, *_CALLS)):
        value = [value]
    return value if isinstance(value, list) and value and all(isinstance(each, dict) and _role(each) in _ROLES for each in value) else None


def _role(item: JSON) -> Any:
    said = item.get("role") if item.get("role") is not None else item.get("from")
    return said.strip().lower() if isinstance(said, str) else said


def _turns(item: Any, number: int) -> Iterator[Message]:
    """A message, or several: results of tools that Anthropic puts into a user's turn are turns of their own."""
    item = decoded(item, f"message {number}") if isinstance(item, str) else item
    said = _role(item) if isinstance(item, dict) else None
    if not isinstance(said, str) or said not in _ROLES:
        raise BadRowError(f"message {number} has the role {said!r}; known: {', '.join(_ROLES)}")
    parts = item.get("content")
    results = [part for part in parts if isinstance(part, dict) and part.get("type") == "tool_result"] if isinstance(parts, list) else []
    if results:
        rest = [part for part in parts if part not in results]
        beside = {} if rest else {key: value for key, value in item.items() if key not in ("role", "from", "content") and value is not None}
        yield from (_result(part, number, {} if at else beside) for at, part in enumerate(results))
        if not rest:
            return
        item = {**item, "content": rest}
    yield _message(item, said, number)


def _message(item: JSON, said: str, number: int) -> Message:
    role = _ROLES[said]
    place = next((key for key in CONTENTS if item.get(key) is not None), next((key for key in CONTENTS if key in item), None))
    given = None if place is None else item[place]
    content, thought, calls, odd = _content(given, role, number)
    calls_key = next((key for key in _CALLS if item.get(key)), None)
    if calls_key is not None:
        calls = (*calls, *calls_from(item[calls_key], number))
    elif said in _CALLERS and content is not None:
        calls, content = (*calls, *calls_from(content, number)), None
    if calls and role != "assistant":
        raise BadRowError(f"message {number}: only an assistant calls tools, not {said!r}")
    reasoning, reasoning_key = _reasoning(item, thought, role)
    weight, weight_key = _weight(item, number)
    used = {"role" if item.get("role") is not None else "from", place, calls_key, reasoning_key, weight_key, "tool_call_id", "name"}
    extra = {key: value for key, value in item.items() if key not in used and value is not None and (value or key not in _CALLS)}
    if odd:
        extra["content_parts"] = given
    if not content and not calls and isinstance(item.get("refusal"), str):
        content = item["refusal"]
    if place is None and not calls and content is None and reasoning is None:
        raise BadRowError(f"message {number} says nothing: no content and no call; it has {', '.join(map(repr, item))}")
    named = (_text_or_none(item, "tool_call_id", number), _text_or_none(item, "name", number))
    return Message(role, content or None if calls else content, calls, *named, reasoning, weight, extra)


def _content(given: Any, role: Role, number: int) -> tuple[str | None, str | None, tuple[ToolCall, ...], bool]:
    """The text of a content, the thoughts and the calls among its parts, and whether a part has fields that are not understood."""
    if given is None or isinstance(given, str):
        return given, None, (), False
    if isinstance(given, dict) and str(given.get("type")) in (*_TEXTS, *_THOUGHTS):
        given = [given]
    if not isinstance(given, list) or not all(isinstance(part, str | dict) for part in given):
        return _as_text(given, role, number)
    texts, thoughts, calls, odd = list[str](), list[str](), list[ToolCall](), False
    for part in given:
        kind = "text" if isinstance(part, str) else str(part.get("type") or "text")
        field = _TEXTS.get(kind) or _THOUGHTS.get(kind)
        if isinstance(part, str):
            texts.append(part)
        elif kind in ("tool_use", "tool_call", "function_call"):
            calls += calls_from(part["value"] if isinstance(part.get("value"), str) else [part], number)
            odd = odd or (isinstance(part.get("value"), str) and part.keys() > {"type", "value"})
        elif field is not None and isinstance(said := next((part[key] for key in (field, "text", "value") if key in part), None), str):
            (texts if kind in _TEXTS else thoughts).append(said)
            odd = odd or any(value not in (None, [], {}) for key, value in part.items() if key not in ("type", field, "text", "value"))
            odd = odd or kind == "refusal" or any(part.get(key, said) not in (said, "", None) for key in ("text", "value"))
        elif role == "tool":
            return _as_text(given, role, number)
        else:
            raise BadRowError(f"message {number}: {_NO_TEXT}; a part of the type {str(kind)!r} is not understood")
    return "".join(texts), "\n".join(thoughts) or None, tuple(calls), odd


def _as_text(given: Any, role: Role, number: int) -> tuple[str, None, tuple[()], bool]:
    if role == "tool":  # what a tool gave back, as it stands
        return to_text(given), None, (), False
    raise BadRowError(f"message {number}: {_NO_TEXT}")


def _result(part: JSON, number: int, beside: JSON) -> Message:
    """beside: fields of the turn it stands in, where that has no other part to carry them."""
    content, thought, calls, odd = _content(part.get("content"), "tool", number)
    call_id = part.get("tool_use_id")
    extra = {key: value for key, value in part.items() if key not in ("type", "content", "tool_use_id") and value is not None}
    if odd or thought or calls:
        extra["content_parts"] = part["content"]
    extra = {**beside, **extra}
    return Message("tool", content or "", tool_call_id=None if call_id is None else str(call_id), extra=extra)


def _reasoning(item: JSON, thought: str | None, role: Role) -> tuple[str | None, str | None]:
    """What was thought before it was said, and the field that says so; several different ones are carried along."""
    if role != "assistant":
        return None, None
    key = next((key for key in REASONING if isinstance(item.get(key), str) and item[key]), None)
    if key is None:
        return thought, next((key for key in REASONING if item.get(key) == ""), None)
    return (item[key] if thought is None else f"{item[key]}\n{thought}"), key


def _weight(item: JSON, number: int) -> tuple[float | None, str | None]:
    """The weight of a turn, and the field that says so: `weight` or `loss_weight`, a number from 0, or `train` or `loss`, true or false."""
    named = next((name for name in ("weight", "loss_weight") if item.get(name) is not None), "")
    if named:
        value = item[named]
        weight = finite_number(value)
        if weight is None or weight < 0:
            raise BadRowError(f"message {number}: the weight is {shown(value)}; give a number from 0")
        return value, named
    if item.get("train_detail") is not None:
        raise BadRowError(f"message {number}: `train_detail` weighs parts of a turn, which is not understood; give the turn a `weight`")
    flag = next((name for name in ("train", "loss") if isinstance(item.get(name), bool)), None)
    return (None, None) if flag is None else (float(item[flag]), flag)


def _text_or_none(item: JSON, key: str, number: int) -> str | None:
    value = item.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRowError(f"message {number}: `{key}` is {type(value).__name__}, not text")
