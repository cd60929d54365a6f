"""Rows of other projects as Luthier's typed rows.

Conversations: TRL and OpenAI `messages`, `prompt`/`completion`, ShareGPT, Alpaca, ToolACE. Pairs: `prompt`/`chosen`/`rejected`.
A row that fits no layout is refused by name, with the fields it has. Message fields beyond the typed ones are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from luthier.errors import BadRowError, SettingsError
from luthier.records.conversations import JSON, Conversation, Message, PreferencePair, Tool
from luthier.records.files import SkippedRows, read_rows, set_aside
from luthier.records.lines import to_text
from luthier.records.toolace import call_turns, split_tools
from luthier.records.turns import system_turn, tools_from, turns_from

T = TypeVar("T")


def to_conversation(row: JSON, format: str = "auto") -> Conversation:  # noqa: A002  (the word of the field)
    """The conversation in a row. Fields that the layout does not use go to `extra`.

    format: "auto", "messages", "completion", "sharegpt", "alpaca" or "toolace". Raises BadRowError without a place.
    """
    if format != "auto" and format not in _LAYOUTS:
        raise SettingsError(f"unknown row format {format!r}; known: auto, {', '.join(_LAYOUTS)}")
    name = _detect(row) if format == "auto" else format
    fields, read = _LAYOUTS[name]
    missing = [field for field in fields if row.get(field) is None]
    if missing:
        raise BadRowError(f"{' and '.join(missing)} missing for the layout {name}; {_seen(row)}")
    messages, tools = read(row)
    if not messages:
        raise BadRowError("a conversation without messages")
    used = {*fields, *_OPTIONAL[name]}
    return Conversation(messages, tools, {key: value for key, value in row.items() if key not in used})


def to_pair(row: JSON) -> PreferencePair:
    """The preference pair in a row: `prompt`, `chosen`, `rejected`, each messages or a string.

    A prompt that the answers repeat is cut from them; without `prompt`, what both answers begin with is the prompt (as in TRL).
    """
    if row.get("chosen") is None or row.get("rejected") is None:
        raise BadRowError(f"not a preference pair: prompt, chosen and rejected are expected; {_seen(row)}")
    prompt = turns_from(row.get("prompt") or [], "user")
    chosen, rejected = turns_from(row["chosen"], "assistant"), turns_from(row["rejected"], "assistant")
    if not prompt:
        prompt = chosen[: _shared(chosen, rejected)]
    chosen, rejected = _without(prompt, chosen), _without(prompt, rejected)
    if not prompt or not chosen or not rejected:
        raise BadRowError("a preference pair needs a prompt and two answers that differ; one of them is empty")
    extra = {key: value for key, value in row.items() if key not in ("prompt", "chosen", "rejected", "tools")}
    return PreferencePair(prompt, chosen, rejected, tools_from(row.get("tools")), extra)


def read_conversations(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    skipped: SkippedRows | None = None,
) -> Iterator[Conversation]:
    """Stream the conversations of a file or `datasets` folder; bad rows raise BadRowError with their line, or go to `skipped`."""
    if format != "auto" and format not in _LAYOUTS:
        raise SettingsError(f"unknown row format {format!r}; known: auto, {', '.join(_LAYOUTS)}")
    return _read(path, lambda row: to_conversation(row, format), skipped)


def read_pairs(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[PreferencePair]:
    """Stream the preference pairs of a file or `datasets` folder."""
    return _read(path, to_pair, skipped)


Parts = tuple[tuple[Message, ...], tuple[Tool, ...]]


def _from_messages(row: JSON) -> Parts:
    return turns_from(row["messages"], "user"), tools_from(row.get("tools"))


def _from_completion(row: JSON) -> Parts:
    return turns_from(row["prompt"], "user") + turns_from(row["completion"], "assistant"), tools_from(row.get("tools"))


def _from_sharegpt(row: JSON) -> Parts:
    return system_turn(row.get("system")) + turns_from(row["conversations"], "user"), tools_from(row.get("tools"))


def _from_alpaca(row: JSON) -> Parts:
    asked = "\n\n".join(str(row[key]) for key in ("instruction", "input") if row.get(key))
    return (*system_turn(row.get("system")), Message("user", asked), Message("assistant", str(row["output"]))), ()


def _from_toolace(row: JSON) -> Parts:
    before, listed, after = split_tools(row["system"])
    tools = tools_from(listed)
    names = [tool.name for tool in tools]
    messages = [turn for message in turns_from(row["conversations"], "user") for turn in call_turns(message, names)]
    return system_turn(f"{before.strip()}\n{after.strip()}".strip()) + tuple(messages), tools


# The fields a layout needs, those it may have, and how it is read; the order is the order of detection.
_LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[JSON], Parts]]] = {
    "messages": (("messages",), _from_messages),
    "toolace": (("system", "conversations"), _from_toolace),
    "sharegpt": (("conversations",), _from_sharegpt),
    "completion": (("prompt", "completion"), _from_completion),
    "alpaca": (("instruction", "output"), _from_alpaca),
}
_OPTIONAL = {
    "messages": ("tools",),
    "toolace": (),
    "sharegpt": ("system", "tools"),
    "completion": ("tools",),
    "alpaca": ("input", "system"),
}


def _detect(row: JSON) -> str:
    for name, (fields, _) in _LAYOUTS.items():
        if all(row.get(field) is not None for field in fields) and (name != "toolace" or split_tools(row["system"])[1]):
            return name
    known = "; ".join(f"{name} ({', '.join(fields)})" for name, (fields, _) in _LAYOUTS.items())
    raise BadRowError(f"no known layout: {_seen(row)}; known are {known}")


def _seen(row: JSON) -> str:
    return f"the row has {', '.join(map(repr, row)) or 'no fields'}"


def _read(path: str | Path, convert: Callable[[JSON], T], skipped: SkippedRows | None) -> Iterator[T]:
    rows = read_rows(path, skipped)
    return (item for number, row in rows for item in _converted(path, number, row, convert, skipped))


def _converted(path: str | Path, number: int, row: JSON, convert: Callable[[JSON], T], skipped: SkippedRows | None) -> Sequence[T]:
    try:
        return (convert(row),)
    except BadRowError as error:
        set_aside(error.at(path, number), to_text(row), skipped)
        return ()


def _shared(one: Sequence[Message], two: Sequence[Message]) -> int:
    """How many messages both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def _without(prompt: tuple[Message, ...], answer: tuple[Message, ...]) -> tuple[Message, ...]:
    return answer[len(prompt) :] if answer[: len(prompt)] == prompt else answer
