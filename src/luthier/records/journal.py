"""A list of finished rows that survives `kill -9`: long work appends to it, and the same command continues from it.

One JSON line a row. A line that was only half written when the process died is cut off when the journal is opened again;
everything before it stands. A file of another kind is refused as it is.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from luthier.errors import BadRowError, LuthierError
from luthier.records.conversations import JSON
from luthier.records.files import disk_error
from luthier.records.lines import parse_row, to_line


class Journal:
    """Append-only rows on disk. Use as a context manager, or close it.

    Iterating gives the rows so far, also while appending. One process writes a journal at a time.
    """

    def __init__(self, path: str | Path, fields: Sequence[str] = ()) -> None:
        """Open or begin the journal. fields: what every row of its kind has.

        Raises DiskError; LuthierError where another process writes it; BadRowError, and changes nothing, where the file holds something else.
        """
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise disk_error(error, path) from error
        try:
            self._lock()
            self._end = self._recognised(fields)
            self._file.truncate(self._end)
        except OSError as error:
            self._file.close()
            raise disk_error(error, path) from error
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LuthierError(f"{self.path}: another run is writing it; wait for it or choose another file") from None

    def _recognised(self, fields: Sequence[str]) -> int:
        """The size of the rows that are whole; every one of them, and the beginning of a torn one, is of this journal's kind."""
        end = number = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    if not _begins_row(line, fields):
                        raise self._foreign(number)
                    break
                try:
                    row = parse_row(line)
                except BadRowError as error:
                    raise error.at(self.path, number) from None
                if any(name not in row for name in fields):
                    raise self._foreign(number)
                end += len(line)
        return end

    def _foreign(self, number: int) -> BadRowError:
        return BadRowError("not a row of the kind that is written here; choose another file", self.path, number)

    def append(self, row: JSON) -> None:
        """Add one row; when this returns, a kill of the process no longer loses it. After DiskError the journal is as before."""
        self.extend([row])

    def extend(self, rows: Sequence[JSON]) -> None:
        """Add rows in one write: after DiskError none of them is there; a kill on the way leaves the first of them, each whole."""
        lines = b"".join(to_line(row) for row in rows)
        left = memoryview(lines)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(self._end)
            raise disk_error(error, self.path) from error
        self._end += len(lines)

    def descriptor(self) -> int:
        """A descriptor of one's own, to wait with for the disk (`os.fdatasync`) while rows are added; close it."""
        return os.dup(self._file.fileno())

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


def _begins_row(line: bytes, fields: Sequence[str]) -> bool:
    """Whether a line that was cut off can be the beginning of a row with these fields, one of which comes first; a lost block reads as zeros."""
    starts = [b'{"' + name.encode() + b'"' for name in fields] or [b"{"]
    return not line.strip(b"\0") or any(line.startswith(start) or start.startswith(line) for start in starts)
