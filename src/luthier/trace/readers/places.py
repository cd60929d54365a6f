"""Where an answer stands: files and lines for messages, which are looked up only when something is wrong."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

from luthier.errors import BadRowError, MissingFileError
from luthier.records.delimited import told_separator
from luthier.records.encodings import not_utf8

_QUOTED = re.compile(r'"[^"]*+"')
_FILE = 1 << 40  # a place is the number of its file and its line in one integer, as collectors keep it


def place_of(file: int, line: int) -> int:
    return file * _FILE + line


def located(problem: BadRowError, paths: Sequence[Path], *, tables: bool = False) -> BadRowError:
    """The same problem with file and line, where its line is a place; tables: whether lines of CSV files count records."""
    file, line = divmod(problem.line or 1, _FILE)
    path = paths[file]
    return problem.at(path, RecordLines(path).of(line) if problem.line and tables and is_table(path) else line)


def is_table(path: Path) -> bool:
    """Whether a file's name says CSV or TSV, packed or not."""
    return Path(path.name.lower().removesuffix(".gz")).suffix in (".csv", ".tsv", ".txt")


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked. Raises MissingFileError."""
    try:
        return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as problem:
        raise MissingFileError(f"cannot read {path}: {problem.strerror or problem}") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line. Raises BadRowError for a line that is not UTF-8 and for damaged gzip data, MissingFileError."""
    number = 0
    with closing(opened(path)) as stream:
        try:
            for number, line in enumerate(stream, 1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadRowError(_not_utf8(path), path, number) from None
        except (OSError, EOFError, zlib.error):
            raise BadRowError("the file is damaged or cut off after this line; make or fetch it again", path, number or 1) from None


def _not_utf8(path: Path) -> str:
    with closing(opened(path)) as stream:
        return not_utf8(stream.read(64))


class Dialect(NamedTuple):
    """What stands between the cells of a table, and whether quotes may enclose them. Exports with tabs quote nothing, unless their header does."""

    sign: str
    quoted: bool

    @property
    def quoting(self) -> int:
        return csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE


def dialect_of(header: str, told: str | None = None) -> Dialect:
    """The dialect that a header line shows, or that the line before it has `told`."""
    if told == "\t" or (told is None and "\t" in header):
        cells = header.strip("\r\n").split("\t")
        return Dialect("\t", all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells))
    bare = _QUOTED.sub("", header)
    return Dialect(told or (";" if bare.count(";") > bare.count(",") else ","), True)


class Head(NamedTuple):
    """How a table begins: the line of its header, 2 where a line of Excel's such as `sep=;` stands first, the header, and its dialect."""

    line: int
    header: str
    dialect: Dialect


def head_of(path: Path) -> Head:
    """Raises as `lines_of` does."""
    lines = lines_of(path)
    line, header = next(lines, (1, ""))
    told = told_separator(header)
    if told is not None:
        line, header = next(lines, (2, ""))
    return Head(line, header, dialect_of(header, told))


class Record(NamedTuple):
    """A row of a table: the line where it begins, and its cells."""

    line: int
    cells: list[str]


def records_of(path: Path) -> Iterator[Record]:
    """The rows of a table after its header, blank lines left out; a cell may hold line breaks."""
    head = head_of(path)
    with closing(opened(path)) as stream:
        text = (line.decode("utf-8", "replace") for line in islice(stream, head.line, None))
        reader = csv.reader(text, delimiter=head.dialect.sign, quoting=head.dialect.quoting)  # type: ignore[arg-type]
        start = first = head.line + 1
        try:
            for cells in reader:
                if cells:
                    yield Record(start, cells)
                start = first + reader.line_num
        except csv.Error as problem:
            raise BadRowError(f"not a row of a table ({problem})", path, start) from None


class RecordLines:
    """Lines of a table's rows, counted from 2 as if every row were a line, among rows as wide as the header. Ascending questions read the file once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._width = len(header_of(path))
        self._records, self._number, self._line = records_of(path), 1, 1

    def of(self, number: int) -> int:
        """The line where the row begins."""
        if number < self._number:
            self._records, self._number = records_of(self.path), 1
        for record in self._records:
            if len(record.cells) == self._width:
                self._number, self._line = self._number + 1, record.line
            if self._number >= number:
                break
        return self._line


def header_of(path: Path) -> list[str]:
    """The names of a table's columns. Raises BadRowError for an empty file."""
    head = head_of(path)
    if not head.header.strip():
        raise BadRowError("the file has no header; give columns such as learner, item, correct", path, head.line)
    cells = header_cells(head.header, head.dialect)
    if cells is None:
        raise BadRowError("the header is not a row of a table; lines must end with a line feed", path, head.line)
    return cells


def header_cells(line: str, dialect: Dialect | None = None) -> list[str] | None:
    """The names in a header line; None where it is none."""
    try:
        dialect = dialect or dialect_of(line)
        read = csv.reader([line], delimiter=dialect.sign, quoting=dialect.quoting)  # type: ignore[arg-type]
        return [name.strip() for name in next(read, [])]
    except csv.Error:
        return None


class Clock:
    """Either all answers have a time or none has: an answer without one has no place among the others."""

    def __init__(self) -> None:
        self._timed: bool | None = None

    def check(self, timed: bool) -> None:
        """Raises BadRowError."""
        if self._timed is None:
            self._timed = timed
        elif self._timed != timed:
            raise BadRowError("a time is here and none before" if timed else "the time is missing; answers before this one have it")
