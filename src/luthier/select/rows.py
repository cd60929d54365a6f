"""What of a row is measured: what the model will see, and nothing of ids, sources or scores."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from luthier.errors import BadRowError
from luthier.records import JSON, Message, SkippedRows, Tool, read_rows, to_conversation, to_pair
from luthier.records.account import note
from luthier.records.files import finite_rows, is_nan, set_aside
from luthier.records.formats import has_layout
from luthier.records.lines import to_text
from luthier.records.pairs import is_pair
from luthier.records.parquet import ColumnRow

Fields = Literal["all", "prompt", "response"]


class PoolRow(NamedTuple):
    """A row of the pool: its line or position in the file, the row itself and the text that is measured. mute: a conversation whose
    assistant says and calls nothing."""

    number: int
    row: JSON
    text: str
    mute: bool = False


def row_text(row: JSON, fields: Fields = "all") -> str:
    """The turns as `role: content` lines, tool calls as JSON; of a preference pair the prompt and both answers; else `text`.

    fields: "response" leaves out what the assistant does not say, "prompt" what it does. Tool definitions are never part of it.
    Empty where nobody says anything. Raises BadRowError for a row of no known layout.
    """
    return str(row["text"]) if _is_text(row) else _text(_turns(row), fields)


def _turns(row: JSON) -> tuple[Message, ...]:
    if is_pair(row):
        pair = to_pair(row)
        return (*pair.prompt, *pair.chosen, *pair.rejected)
    return to_conversation(row).messages


def _text(messages: Sequence[Message], fields: Fields) -> str:
    if not any(_said(message) for message in messages):
        return ""
    return "".join(_turn(message) for message in messages if fields == "all" or _answers(message) == (fields == "response"))


def _is_mute(messages: Sequence[Message]) -> bool:
    """Whether an assistant has turns, and says and calls nothing in any of them."""
    turns = [message for message in messages if _answers(message)]
    return bool(turns) and not any(_said(message) for message in turns)


class Exchange(NamedTuple):
    """The last thing the assistant says in a row, and all that comes before it."""

    before: tuple[Message, ...]
    tools: tuple[Tool, ...]
    answer: str


def last_exchange(row: JSON) -> Exchange:
    """The last answer of a row, tool calls as JSON; of a preference pair the chosen one; a `text` row is an answer to nothing.

    A row in which no assistant speaks has an empty answer. Raises BadRowError for a row of no known layout.
    """
    if _is_text(row):
        return Exchange((), (), str(row["text"]))
    if is_pair(row):
        pair = to_pair(row)
        messages, tools = (*pair.prompt, *pair.chosen), pair.tools
    else:
        conversation = to_conversation(row)
        messages, tools = conversation.messages, conversation.tools
    last = max((at for at, message in enumerate(messages) if _answers(message)), default=None)
    return Exchange(messages, tools, "") if last is None else Exchange(messages[:last], tools, _said(messages[last]))


def read_pool(source: str | Path | Iterable[JSON], fields: Fields = "all", skipped: SkippedRows | None = None) -> Iterator[PoolRow]:
    """Stream a file in any format that `read_rows` takes, or rows in memory, with the text of each.

    Raises BadRowError, with file and line, for a row of no known layout; with `skipped` it is set aside and counted.
    """
    path = source if isinstance(source, str | Path) else "rows"
    numbered = read_rows(source, skipped) if isinstance(source, str | Path) else finite_rows(enumerate(source, 1), path, skipped)
    for number, row in numbered:
        try:
            turns = () if _is_text(row) else _turns(row)
        except BadRowError as error:
            set_aside(error.at(path, number), row, skipped)
        else:
            note("understood", "rows of a pool", path, number)
            yield PoolRow(number, row, _text(turns, fields) if turns else str(row.get("text") or ""), _is_mute(turns))


def rows_at(source: str | Path | Iterable[JSON], numbers: Container[int]) -> dict[int, JSON]:
    """The rows at these lines or positions, by number."""
    numbered = read_rows(source, SkippedRows()) if isinstance(source, str | Path) else enumerate(source, 1)
    return {number: row for number, row in numbered if number in numbers}


def quality_of(row: JSON, column: str) -> float | None:
    """The number in a column of scores or weights, as a number or its text; None where there is none. Raises BadRowError without a place."""
    value = row.get(column)
    missing = isinstance(row, ColumnRow) and is_nan(value)  # as data frames write what is not there
    if value is None or value == "" or missing:
        return None
    try:
        number = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRowError(f"column {column!r} is {str(value)[:40]!r}, which is no number")
    return number


def weight_of(row: JSON, column: str) -> float | None:
    """The same for a weight, which is 0 (never picked) or more. Raises BadRowError without a place."""
    number = quality_of(row, column)
    if number is not None and number < 0:
        raise BadRowError(f"column {column!r} is {number:g}; a weight is 0 or more, and a row of 0 is never picked")
    return number


def _is_text(row: JSON) -> bool:
    """Whether a row is a text and nothing else that is said; in a conversation or a pair, `text` is a field like others."""
    return isinstance(row.get("text"), str) and not is_pair(row) and not has_layout(row)


def _turn(message: Message) -> str:
    return f"{message.role}: {_said(message)}\n"


def _said(message: Message) -> str:
    calls = [to_text({"name": call.name, "arguments": call.arguments}) for call in message.tool_calls]
    return " ".join(part for part in (message.content, *calls) if part and part.strip())


def _answers(message: Message) -> bool:
    return message.role == "assistant"
