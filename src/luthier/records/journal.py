"""A list of finished rows that survives `kill -9`: long work appends to it, and the same command continues from it.

One JSON line a row. A line that was only half written when the process died is cut off when the journal is opened again;
everything before it stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.files import disk_error
from luthier.records.lines import parse_row, to_line

_BLOCK = 1 << 16


class Journal:
    """Append-only rows on disk. Use as a context manager, or close it.

    Iterating gives the rows so far, also while appending. One process writes a journal at a time.
    """

    def __init__(self, path: str | Path) -> None:
        """Open or begin the journal; raises DiskError."""
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+", buffering=0)
            self._end = _whole_lines(self._file.fileno())
            self._file.truncate(self._end)
        except OSError as error:
            raise disk_error(error, path) from error

    def append(self, row: JSON) -> None:
        """Add one row; when this returns, a kill of the process no longer loses it. After DiskError the journal is as before."""
        line = to_line(row)
        left = memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(self._end)
            raise disk_error(error, self.path) from error
        self._end += len(line)

    def __iter__(self) -> Iterator[JSON]:
        """The rows in order; raises BadRowError for a line that something else has damaged."""
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield parse_row(line)
                except BadRowError as error:
                    raise error.at(self.path, number) from None

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _whole_lines(descriptor: int) -> int:
    """The size of the file up to and including its last newline."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
