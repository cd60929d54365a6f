"""The rows of a pool as the bytes they were, so that one row in is one row out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.records import JSON, SkippedRows, read_rows
from luthier.records.files import read_lines
from luthier.records.lines import to_line


def raw_lines(source: str | Path | Sequence[JSON]) -> Iterator[tuple[int, bytes]]:
    """(number, line without its end) of every row: the very bytes of a JSONL file, JSON text of any other source."""
    lines = read_lines(source) if isinstance(source, str | Path) else None
    if lines is not None:
        yield from ((number, line.rstrip(b"\r\n")) for number, line in lines)
    elif isinstance(source, str | Path):
        yield from ((number, to_line(row)[:-1]) for number, row in read_rows(source, SkippedRows()))
    else:
        yield from ((number, to_line(row)[:-1]) for number, row in enumerate(source, 1))
