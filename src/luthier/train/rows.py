"""Rows of training data from files, each refused by its file and line where it cannot be trained on, all in the account."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import Conversation, PreferencePair, read_rows
from luthier.records.account import note, note_row
from luthier.records.filled_nulls import FILLED_NULLS
from luthier.records.formats import understand
from luthier.records.pairs import understand_pair

MUTE = "rows in which the assistant says and calls nothing: an end at once is what they teach"


def read_training(paths: Iterable[str | Path]) -> Iterator[Conversation]:
    """The conversations of files. Raises MissingFileError, and BadRowError for what is no conversation or says that it is a bad one."""
    for path in paths:
        for number, row in read_rows(Path(path)):
            with _placed(path, number):
                json.dumps(row, ensure_ascii=False, default=str).encode()
                bad = "label" if "completion" in row else "kto_tag"
                if row.get(bad) in (False, "false", "False"):  # a label of other layouts may mean anything
                    raise BadRowError(
                        f"{bad!r} says that this answer is a bad one; leave such rows out, or make pairs for `train preference`"
                    )
                read = understand(row)
            note_row(f"rows of the layout {read.layout}", read.carried, path, number)
            for reason in read.left_out:
                note("left out", reason, path, number)
            turns = [message for message in read.conversation.messages if message.role == "assistant"]
            if turns and not any((message.content or "").strip() or message.tool_calls for message in turns):
                note("understood", MUTE, path, number)
            yield read.conversation


def read_training_pairs(paths: Iterable[str | Path]) -> Iterator[PreferencePair]:
    """The preference pairs of files. Raises MissingFileError, BadRowError."""
    for path in paths:
        for number, row in read_rows(Path(path)):
            with _placed(path, number):
                json.dumps(row, ensure_ascii=False, default=str).encode()
                read = understand_pair(row)
            note_row(f"pairs of {read.layout}", read.carried, path, number)
            if read.filled:
                note("left out", FILLED_NULLS, path, number)
            yield read.pair


@contextmanager
def _placed(path: str | Path, number: int) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:
        raise BadRowError("half of a surrogate pair, which is no character", path, number) from None
    except BadRowError as problem:
        raise problem.at(path, number) from None


class RefusedRowError(BadRowError):
    """A row that was read and cannot be trained on. position: from 1, among its like; row: what was read."""

    def __init__(self, problem: str, position: int, row: Any) -> None:
        super().__init__(problem)
        self.row = row
        self.args = (f"row {position}: {problem}",)


@contextmanager
def placing(*read: tuple[Sequence[Any], Sequence[str | Path]]) -> Iterator[None]:
    """Around what encodes rows of `read_training`: a refused one is named by its file and line. read: rows, and the files they came from."""
    try:
        yield
    except RefusedRowError as refused:
        for rows, paths in read:
            at = next((at for at, row in enumerate(rows) if row is refused.row), None)
            if at is not None:
                places = ((path, number) for path in paths for number, _ in read_rows(Path(path)))
                raise refused.at(*next(islice(places, at, None))) from refused
        raise
