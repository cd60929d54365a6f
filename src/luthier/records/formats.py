"""Rows of other projects as Luthier's conversations: a layout is the fields it needs, those it may have, and how it is read.

TRL and OpenAI `messages`, `prompt`/`completion`, ShareGPT, Alpaca, ToolACE, questions with answers. Other fields of a row are carried along in
`extra`; a row that fits no layout is refused by name. Preference pairs are read by `luthier.records.pairs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from luthier.errors import BadRowError, SettingsError
from luthier.records.account import note, note_row
from luthier.records.call_rows import calls_from
from luthier.records.conversations import JSON, Conversation, Message, Tool
from luthier.records.files import SkippedRows, nan_as_null, read_rows, set_aside
from luthier.records.filled_nulls import FILLED_NULLS, with_meant_nulls, without_filled_nulls
from luthier.records.lines import decoded
from luthier.records.numbers import finite_number
from luthier.records.service_rows import alternating_messages, gemini_messages, is_of_service, trace_messages, tree_messages
from luthier.records.text_calls import split_listed_tools, tagged_turns
from luthier.records.tool_rows import tools_from
from luthier.records.toolace import call_turns, split_tools
from luthier.records.turn_calls import seems_to_call, with_calls
from luthier.records.turns import messages_from, system_turn, turns_from

T = TypeVar("T")
TEXT_CALLS = "calls that stay text: the row has no tools"
PART_CALLS = "calls that stay text: not all of a turn could be read as calls"
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_SHOWN = re.compile(r"<(?:image|video|audio)>")


class Parts(NamedTuple):
    """What a layout finds in a row. extra: what it took out of a field and keeps."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    extra: Mapping[str, Any] = MappingProxyType({})
    left_out: tuple[str, ...] = ()


class Read(NamedTuple):
    """A conversation, its layout, and for which reasons something of it was left out or kept as it was."""

    conversation: Conversation
    layout: str
    left_out: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


class Layout(NamedTuple):
    """needs: a row must have them. may: they are used if there; each is a name, or several spellings of one."""

    needs: tuple[str, ...]
    may: tuple[str, ...]
    read: Callable[[JSON], Parts]


def to_conversation(row: JSON, format: str = "auto") -> Conversation:  # noqa: A002  (the word of the field)
    """The conversation in a row. Fields that the layout does not use go to `extra`.

    format: "auto" or the name of a layout (`LAYOUTS`). Raises BadRowError without a place.
    """
    return understand(row, format).conversation


def has_layout(row: JSON) -> bool:
    """Whether a row has the fields of a layout of conversations."""
    return _detect(row) is not None


def understand(row: JSON, format: str = "auto") -> Read:  # noqa: A002
    """The conversation in a row, and how it was read."""
    name = _detect(row) if _known(format) == "auto" else format
    if name is None:
        known = "; ".join(f"{name} ({', '.join(layout.needs)})" for name, layout in LAYOUTS.items())
        raise BadRowError(f"no known layout: {seen(row)}; known are {known}")
    layout = LAYOUTS[name]
    missing = [field for field in layout.needs if row.get(field) is None]
    if missing:
        raise BadRowError(f"{' and '.join(missing)} missing for the layout {name}; {seen(row)}")
    cleaned, filled = without_filled_nulls(row, (*layout.needs, *layout.may))
    found = layout.read(cleaned)
    if not found.messages:
        raise BadRowError("a conversation without messages")
    messages = found.messages if cleaned is row else with_meant_nulls(found.messages, found.tools)
    used = {*layout.needs, *layout.may} - {name for name in (*_SYSTEM[1:], *_THOUGHT) if not _is_placed(name, row, found.messages)}
    extra = {key: value for key, value in row.items() if key not in used} | dict(found.extra)
    refuse_media(extra, messages)
    conversation = Conversation(messages, found.tools, without_written(extra, ("messages", "tools"), name))
    names = [tool.name for tool in found.tools]
    unread = any(seems_to_call(message, names) for message in messages)
    carried = (*carried_fields(extra, messages, found.tools), *([PART_CALLS if names else TEXT_CALLS] if unread else []))
    return Read(conversation, name, (*((FILLED_NULLS,) if filled else ()), *found.left_out), carried)


def refuse_media(extra: JSON, messages: Sequence[Message]) -> None:
    """Raises BadRowError where the words stand for a picture or a sound that is another field's: a text model would learn to answer unseen."""
    field = next((name for name in _MEDIA if _is_medium(extra.get(name))), None)
    if field is not None and any(isinstance(message.content, str) and _SHOWN.search(message.content) for message in messages):
        raise BadRowError(f"the row shows what is in {field!r}, which is no text; leave such rows out")


def _is_medium(value: Any) -> bool:
    """Whether a field holds a picture or a sound, or says where one is: a path, an address, bytes, or a list of them."""
    if isinstance(value, list):
        return any(map(_is_medium, value))
    return isinstance(value, dict | bytes) or (isinstance(value, str) and re.search(r"[./]|^data:", value) is not None)


def read_conversations(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    skipped: SkippedRows | None = None,
    columns: Mapping[str, str] | None = None,
) -> Iterator[Conversation]:
    """Stream the conversations of whatever `read_rows` reads; bad rows raise BadRowError with their line, or go to `skipped`.

    columns: names of fields, and the columns that hold them. What is carried along or left out stands in the account.
    """
    _known(format)
    return _read(read_rows(path, skipped, columns), path, lambda row: understand(row, format), skipped)


def carried_fields(extra: JSON, messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[str]:
    """What of a row is carried along without being understood, by name."""
    yield from (f"field {key!r}" for key, value in extra.items() if value is not None)
    yield from (f"field {key!r} of a message" for message in messages for key in message.extra)
    yield from (f"field {key!r} of a tool call" for message in messages for call in message.tool_calls for key in call.extra)
    yield from (f"field {key!r} of a tool" for tool in tools for key in tool.extra)


def without_written(extra: JSON, names: Sequence[str], layout: str) -> JSON:
    """Other fields without empty ones that the row is written back under. Raises BadRowError where such a field is not empty."""
    full = next((name for name in names if extra.get(name) not in (None, [], "", "[]")), None)
    if full is not None:
        raise BadRowError(f"the row also has {full!r}, which the layout {layout} does not use; keep one of the two")
    return {key: value for key, value in extra.items() if key not in names}


def seen(row: JSON) -> str:
    empty = [name for name, value in row.items() if value is None]
    return f"the row has {', '.join(map(repr, row)) or 'no fields'}" + (f", and null in {', '.join(map(repr, empty))}" if empty else "")


def converted(path: str | Path, number: int, row: JSON, convert: Callable[[JSON], T], skipped: SkippedRows | None) -> Sequence[T]:
    """What `convert` makes of a row, or nothing where the row was set aside."""
    try:
        return (convert(nan_as_null(row, path, number)),)
    except BadRowError as error:
        set_aside(error.at(path, number), row, skipped)
        return ()


def _read(
    rows: Iterator[tuple[int, JSON]], path: str | Path, convert: Callable[[JSON], Read], skipped: SkippedRows | None
) -> Iterator[Conversation]:
    for number, row in rows:
        for read in converted(path, number, row, convert, skipped):
            note_row(f"rows of the layout {read.layout}", read.carried, path, number)
            for reason in read.left_out:
                note("left out", reason, path, number)
            yield read.conversation


def _known(name: str) -> str:
    if name != "auto" and name not in LAYOUTS:
        raise SettingsError(f"unknown row format {name!r}; known: auto, {', '.join(LAYOUTS)}")
    return name


def _detect(row: JSON) -> str | None:
    for name, layout in LAYOUTS.items():
        if name == "messages" and row.get("messages") == [] and row.get("conversations"):
            continue  # of a table that was joined from two
        if not all(row.get(field) is not None for field in layout.needs) or (name == "toolace" and not split_tools(row["system"])[1]):
            continue
        if name not in _SERVICES or is_of_service(name, row):
            return name
    return None


def _from_messages(row: JSON) -> Parts:
    return _with_tools(system_of(row), messages_from(row["messages"]), row)


def _from_sharegpt(row: JSON) -> Parts:
    return _with_tools(system_of(row), messages_from(row["conversations"]), row)


def _from_completion(row: JSON) -> Parts:
    messages = turns_from(row["prompt"], "user") + _thought(row, turns_from(row["completion"], "assistant"))
    return _with_tools(system_of(row), messages, row)


def _from_alpaca(row: JSON) -> Parts:
    asked = "\n\n".join(text_field(row, key) for key in ("instruction", "input", "context") if row.get(key))
    answer = "output" if row.get("output") is not None else "response"
    turns = (*history_turns(row.get("history")), Message("user", asked), *_thought(row, (Message("assistant", _answer(row, answer)),)))
    return Parts(system_of(row) + turns)


def _from_service(messages: list[JSON], row: JSON) -> Parts:
    return _with_tools((), messages_from(messages), row)


def _from_trace(row: JSON, asked: Any, answered: Any) -> Parts:
    messages, beside = trace_messages(asked, answered)
    tools = asked.get("tools") if isinstance(asked, dict) else None
    made = _from_service(messages, row if tools is None else {**row, "tools": tools})
    return made._replace(left_out=tuple(f"field {name!r} of a traced call" for name in sorted(beside)))


def _from_tree(row: JSON) -> Parts:
    messages, others = tree_messages(row)
    return _from_service(messages, row)._replace(left_out=("turns of other branches of a tree",) if others else ())


def _from_question(asks: str, answers: str) -> Callable[[JSON], Parts]:
    def read(row: JSON) -> Parts:
        listed = next((name for name in ("options", "choices", "endings", "mc1_targets") if row.get(name) is not None), None)
        if listed is not None:
            raise BadRowError(f"a question with {listed!r} is no conversation: its answer says nothing without them; {seen(row)}")
        if asks == "input" and isinstance(row["input"], list | dict):  # a call that Langfuse traced
            return _from_trace(row, row["input"], row["output"])
        said = _thought(row, (Message("assistant", _answer(row, answers)),))
        return Parts((*system_of(row), *history_turns(row.get("history")), Message("user", text_field(row, asks)), *said))

    return read


def _from_toolace(row: JSON) -> Parts:
    before, listed, after = split_tools(row["system"])
    tools = one_list(tools_from(listed), tools_from(row.get("tools")))
    names = [tool.name for tool in tools]
    messages = [turn for message in messages_from(row["conversations"]) for turn in call_turns(message, names)]
    return Parts(system_turn(f"{before.strip()}\n{after.strip()}".strip()) + tuple(messages), tools)


def _from_xlam(row: JSON) -> Parts:
    """A question with its calls as JSON text, as xLAM has them; no call at all is an empty turn."""
    calls = calls_from(row["answers"], 2)
    return Parts(
        (Message("user", text_field(row, "query")), Message("assistant", None if calls else "", calls)), tools_from(row.get("tools"))
    )


def system_of(row: JSON) -> tuple[Message, ...]:
    """The system message that stands in a field of its own. Raises BadRowError where it is no text, or two differ."""
    named = [name for name in _SYSTEM if name == "system" or isinstance(row.get(name), str)]  # the other may be a number of one
    return system_turn(_one_of(row, *named))


def _thought(row: JSON, answer: tuple[Message, ...]) -> tuple[Message, ...]:
    """An answer with what was thought before it, where a field of the row beside it says so."""
    told = _one_of(row, *(name for name in _THOUGHT if isinstance(row.get(name), str)))
    if told is None or len(answer) != 1 or answer[0].reasoning is not None:
        return answer
    return (replace(answer[0], reasoning=told),)


def _is_placed(name: str, row: JSON, messages: Sequence[Message]) -> bool:
    """Whether what a field beside the turns says is in them; else it is carried along like any other."""
    value = row.get(name)
    told = [message.content for message in messages if message.role == "system"] if name in _SYSTEM else [one.reasoning for one in messages]
    return value in (None, "") or (isinstance(value, str) and (value in told or not value.strip()))


def _with_tools(system: tuple[Message, ...], messages: tuple[Message, ...], row: JSON) -> Parts:
    """Messages with the tools of the column or of the system text, and calls that stand in tags as calls."""
    if system and messages and messages[0].role == "system":
        if messages[0].content != system[0].content:
            raise BadRowError("the row has a system text in `system` and another in its messages; keep one")
        system = ()
    whole = system + messages
    tools = tools_from(_one_of(row, "tools", "functions"))
    text, listed, taken = split_listed_tools(whole[0].content) if whole and whole[0].role == "system" else ("", [], "")
    if listed:
        tools = one_list(tools_from(listed), tools)
        whole = (*((replace(whole[0], content=text),) if text or whole[0].extra else ()), *whole[1:])
    if not tools:
        return Parts(whole)
    names = [tool.name for tool in tools]
    turns = tuple(with_calls(turn, names) for number, message in enumerate(whole, 1) for turn in tagged_turns(message, number))
    return Parts(turns, tools, {"tools_text": taken} if taken else {})


def one_list(told: tuple[Tool, ...], column: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """The tools told elsewhere in the row and those of its column, which are the same where both are there. Raises BadRowError."""
    if told and column and [tool.name for tool in told] != [tool.name for tool in column]:
        raise BadRowError("the tools in the text are not those in `tools`; keep one of the two")
    return column or told


def _one_of(row: JSON, *names: str) -> Any:
    """The value of whichever field is filled. Raises BadRowError where two are, and differ."""
    given = [name for name in names if row.get(name)]
    if any(row[name] != row[given[0]] for name in given):
        raise BadRowError(f"the row has {' and '.join(map(repr, given))}, which differ; keep one of the two")
    return row[given[0]] if given else None


def history_turns(value: Any) -> tuple[Message, ...]:
    """Earlier turns as LLaMA-Factory keeps them in `history`: a list of pairs of question and answer, or messages."""
    listed = decoded(value or [], "the history")
    if isinstance(listed, list) and all(isinstance(each, dict) for each in listed):
        return messages_from(listed) if listed else ()
    if not isinstance(listed, list) or not all(
        isinstance(e, list | tuple) and len(e) == 2 and all(isinstance(t, str) for t in e) for e in listed
    ):
        raise BadRowError("`history` is neither a list of pairs of question and answer nor messages")
    return tuple(turn for asked, said in listed for turn in (Message("user", asked), Message("assistant", said)))


def _answer(row: JSON, name: str) -> str:
    """An answer, which of a sum may be a number."""
    value = row[name]
    return str(value) if finite_number(value) is not None else text_field(row, name)


def text_field(row: JSON, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise BadRowError(f"`{name}` is {type(value).__name__}, not text; {seen(row)}")
    return value


_SYSTEM = ("system", "system_prompt")
_SERVICES = ("gemini", "chatgpt", "trace", "ultrachat")
_THOUGHT = ("reasoning_content", "thinking")
# The order is the order of detection.
LAYOUTS: dict[str, Layout] = {
    "messages": Layout(("messages",), ("tools", "functions", *_SYSTEM), _from_messages),
    "toolace": Layout(("system", "conversations"), ("tools",), _from_toolace),
    "sharegpt": Layout(("conversations",), (*_SYSTEM, "tools", "functions"), _from_sharegpt),
    "conversation": Layout(
        ("conversation",), (*_SYSTEM, "tools", "functions"), lambda row: _from_sharegpt({**row, "conversations": row["conversation"]})
    ),
    "completion": Layout(("prompt", "completion"), ("tools", "functions", *_SYSTEM, *_THOUGHT), _from_completion),
    "xlam": Layout(("query", "answers"), ("tools",), _from_xlam),
    "alpaca": Layout(("instruction", "output"), ("input", "context", *_SYSTEM, *_THOUGHT, "history"), _from_alpaca),
    "dolly": Layout(("instruction", "response"), ("input", "context", *_SYSTEM, *_THOUGHT, "history"), _from_alpaca),
    **{
        f"{asks}-{answers}": Layout((asks, answers), (*_SYSTEM, *_THOUGHT, "history"), _from_question(asks, answers))
        for asks, answers in (
            ("prompt", "response"),
            ("query", "response"),
            ("question", "response"),
            ("question", "answer"),
            ("problem", "solution"),
            ("query", "answer"),
            ("input", "output"),
        )
    },
    "gemini": Layout(
        ("contents",), ("systemInstruction", "system_instruction", "tools"), lambda row: _from_service(gemini_messages(row), row)
    ),
    "chatgpt": Layout(("mapping", "current_node"), (), _from_tree),
    "trace": Layout(("inputs", "outputs"), ("tools",), lambda row: _from_trace(row, row["inputs"], row["outputs"])),
    "ultrachat": Layout(("data",), (), lambda row: _from_service(alternating_messages(row["data"]), row)),
}
