"""The rows of a pool as the bytes they were, so that one row in is one row out."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import BadRowError
from luthier.records import JSON, SkippedRows, atomic_write, read_rows, write_parquet
from luthier.records.files import nan_as_null, read_lines
from luthier.records.filled_nulls import as_said
from luthier.records.formats import LAYOUTS
from luthier.records.lines import to_line
from luthier.records.pairs import SPEAKING
from luthier.select.rows import rows_at

SPOKEN = tuple(dict.fromkeys([*(name for layout in LAYOUTS.values() for name in (*layout.needs, *layout.may)), *SPEAKING]))


def raw_lines(source: str | Path | Sequence[JSON]) -> Iterator[tuple[int, bytes]]:
    """(number, line without its end) of every row: the very bytes of a JSONL file, JSON text of any other source, without the
    nulls that columns put into calls."""
    lines = read_lines(source) if isinstance(source, str | Path) else None
    if lines is not None:
        yield from ((number, line.rstrip(b"\r\n")) for number, line in lines)
    elif isinstance(source, str | Path):
        yield from ((number, _line(dict(as_said(row, SPOKEN)), source, number)) for number, row in read_rows(source, SkippedRows()))
    else:
        yield from ((number, _line(row, None, number)) for number, row in enumerate(source, 1))


def _line(row: JSON, source: str | Path | None, number: int) -> bytes:
    """A row as JSON text; NaN, as data frames write what is missing, is null. Raises BadRowError with the place."""
    try:
        return to_line(nan_as_null(row, source, number))[:-1]
    except BadRowError as problem:
        raise problem.at(source or "the rows", number) from None


def write_rows(source: str | Path | Sequence[JSON], numbers: Sequence[int], out: str | Path) -> None:
    """The rows of these numbers in that order, each line as it was in a JSONL pool; gzip or Parquet where `out` says so. Raises DiskError."""
    target = Path(out)
    if target.suffix == ".parquet":
        found = rows_at(source, set(numbers))
        write_parquet(target, [dict(as_said(found[number], SPOKEN)) for number in numbers])
        return
    place = {number: at for at, number in enumerate(numbers)}
    lines: list[bytes] = [b""] * len(place)
    for number, line in raw_lines(source):
        if number in place:
            lines[place[number]] = line
    data = b"".join(line + b"\n" for line in lines)
    with atomic_write(target, "wb") as stream:
        stream.write(gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)
