"""Rows of training data from files, each refused by its file and line where it cannot be trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, read_rows, to_conversation


def read_training(paths: Iterable[str | Path], convert: Callable[[JSON], Any] = to_conversation) -> Iterator[Any]:
    """What `convert` makes of the rows of files. Raises MissingFileError, BadRowError."""
    for path in paths:
        for number, row in read_rows(Path(path)):
            try:
                json.dumps(row, ensure_ascii=False).encode()
                yield convert(row)
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
