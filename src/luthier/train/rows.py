"""Rows of training data from files, each refused by its file and line where it cannot be trained on, all in the account."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from luthier.errors import BadRowError
from luthier.records import JSON, Conversation, PreferencePair, SkippedRows, read_rows
from luthier.records.account import note, note_row
from luthier.records.files import set_aside
from luthier.records.filled_nulls import FILLED_NULLS
from luthier.records.formats import Read, understand
from luthier.records.pairs import to_pair, understand_pair
from luthier.records.sources import Source, typed

Row = TypeVar("Row", Conversation, PreferencePair)
T = TypeVar("T")
MUTE = "rows in which the assistant says and calls nothing: an end at once is what they teach"


@dataclass(frozen=True)
class TrainingRows(Sequence[Row]):
    """Rows in order, each with the file and line that it came from."""

    rows: list[Row] = field(default_factory=list)
    places: list[tuple[str | Path, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]


def read_training(
    paths: Iterable[str | Path], columns: Mapping[str, str] | None = None, skipped: SkippedRows | None = None
) -> TrainingRows[Conversation]:
    """The conversations of files. columns: names of fields, and the columns that hold them. skipped: takes the bad rows.

    Raises MissingFileError, and BadRowError for what is no conversation or says that it is a bad one.
    """
    made = TrainingRows[Conversation]()
    for path, number, read in _read(paths, _conversation, columns, skipped):
        note_row(f"rows of the layout {read.layout}", read.carried, path, number)
        for reason in read.left_out:
            note("left out", reason, path, number)
        turns = [message for message in read.conversation.messages if message.role == "assistant"]
        if turns and not any((message.content or "").strip() or message.tool_calls for message in turns):
            note("understood", MUTE, path, number)
        made.rows.append(read.conversation)
        made.places.append((path, number))
    return made


def read_training_pairs(
    paths: Iterable[str | Path], columns: Mapping[str, str] | None = None, skipped: SkippedRows | None = None
) -> TrainingRows[PreferencePair]:
    """The same of preference pairs."""
    made = TrainingRows[PreferencePair]()
    for path, number, read in _read(paths, understand_pair, columns, skipped):
        note_row(f"pairs of {read.layout}", read.carried, path, number)
        if read.filled:
            note("left out", FILLED_NULLS, path, number)
        made.rows.append(read.pair)
        made.places.append((path, number))
    return made


def conversations_in(source: Source) -> list[Conversation]:
    """Conversations from anywhere in Python, as `read_training` takes them. Raises SettingsError, MissingFileError, BadRowError."""
    return typed(source, Conversation, lambda row: _conversation(row).conversation)


def pairs_in(source: Source) -> list[PreferencePair]:
    """The same of preference pairs."""
    return typed(source, PreferencePair, to_pair)


def _conversation(row: JSON) -> Read:
    bad = "label" if "completion" in row else "kto_tag"
    value = row.get(bad)
    if value is False or value in ("false", "False"):  # a label of other layouts may mean anything
        raise BadRowError(f"{bad!r} says that this answer is a bad one; leave such rows out, or make pairs for `train preference`")
    return understand(row)


def _read(
    paths: Iterable[str | Path], convert: Callable[[JSON], T], columns: Mapping[str, str] | None, skipped: SkippedRows | None
) -> Iterator[tuple[str | Path, int, T]]:
    for path in paths:
        for number, row in read_rows(Path(path), skipped, columns):
            try:
                json.dumps(row, ensure_ascii=False, default=str).encode()
                read = convert(row)
            except UnicodeEncodeError:
                set_aside(BadRowError("half of a surrogate pair, which is no character", path, number), row, skipped)
            except BadRowError as problem:
                set_aside(problem.at(path, number), row, skipped)
            else:
                yield path, number, read


class RefusedRowError(BadRowError):
    """A row that was read and cannot be trained on. position: from 1, among its like; row: what was read."""

    def __init__(self, problem: str, position: int, row: Any) -> None:
        super().__init__(problem)
        self.row = row
        self.args = (f"row {position}: {problem}",)


@contextmanager
def placing(*read: TrainingRows[Any]) -> Iterator[None]:
    """Around what encodes rows of `read_training`: a refused one is named by its file and line."""
    try:
        yield
    except RefusedRowError as refused:
        for some in read:
            at = next((at for at, row in enumerate(some.rows) if row is refused.row), None)
            if at is not None:
                raise refused.at(*some.places[at]) from refused
        raise
