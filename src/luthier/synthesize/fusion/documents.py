"""Documents of many kinds as rows of tables and as dated texts: CSV, JSON and JSONL, and the tables inside Markdown and HTML.

What a column means is not known here; `facts` knows.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import JSON, SkippedRows, read_rows
from luthier.records.account import note
from luthier.records.delimited import is_quoted, read_delimited, separator_of, told_separator
from luthier.records.encodings import not_utf8
from luthier.records.files import set_aside
from luthier.synthesize.fusion.markup import Markup, tables_of
from luthier.synthesize.fusion.pages import HtmlPage
from luthier.texts.dates import Order, order_in

TEXTS = (".txt", ".md", ".markdown", ".html", ".htm", ".rst")
ROWS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
LARGEST_TEXT = 32 << 20  # bytes of a text that is read whole; rows are streamed
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(\d\d)[-_]?(\d\d)(?!\d)")
_FRONT = re.compile(r"\A---[^\S\n]*+\n(.*?)\n---[^\S\n]*+\n", re.DOTALL)
_FRONT_DATE = re.compile(r"^(?:date|updated|published|last_modified)\s*:\s*['\"]?(\d{4}-\d\d-\d\d)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """A row of a table, with the date of its document where the row has none, and its place."""

    cells: JSON
    date: str | None
    place: str


@dataclass(frozen=True)
class Text:
    """A document's running text. order: what stands first in its dates of numbers, as far as they show it."""

    text: str
    title: str
    date: str | None
    place: str
    order: Order | None = None


@dataclass
class Reading:
    """What was read, and what was not."""

    files: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    repeated: int = 0  # cells of columns that stand twice in a header, with two values
    covered: int = 0  # values around a list whose objects use their names
    beyond: int = 0  # cells behind the last column of their table
    struck: int = 0  # texts that are struck out
    notes: int = 0  # raised signs that stand for notes


def read_documents(paths: Iterable[str | Path], reading: Reading | None = None, skipped: SkippedRows | None = None) -> Iterator[Row | Text]:
    """Rows and texts of files and of the files under folders, in the order of their names.

    skipped: takes bad rows and unreadable files. Raises MissingFileError, BadRowError, and SettingsError for a text above 32 MiB.
    """
    told = reading if reading is not None else Reading()
    for path in _files(paths):
        found = False
        try:
            for one in _read(path, skipped, told):
                found = True
                note("understood", "documents", path)
                yield one
        except BadRowError as problem:
            set_aside(problem, "", skipped)
            continue
        (told.files if found else told.empty).append(str(path))


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    for each in paths:
        path = Path(each)
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and _suffix(one) in (*TEXTS, *ROWS))
        elif not path.exists():
            raise MissingFileError(f"{path} does not exist")
        elif _suffix(path) not in (*TEXTS, *ROWS):
            raise SettingsError(f"{path}: documents are {', '.join((*TEXTS, *ROWS))}, or folders of them")
        else:
            yield path


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read(path: Path, skipped: SkippedRows | None, reading: Reading) -> Iterator[Row | Text]:
    kind, date = _suffix(path), _named_date(path.name)
    if kind in (".csv", ".tsv"):
        yield from (Row(cells, date, f"{path}:{number}") for number, cells in _separated(path, kind, skipped, reading))
    elif kind in ROWS:
        for number, row in read_rows(path, skipped):
            yield from (Row(cells, date, f"{path}:{number}") for cells in flat_rows(row, reading))
    else:
        yield from _text(path, kind, date, reading)


def _text(path: Path, kind: str, date: str | None, reading: Reading) -> Iterator[Row | Text]:
    text = _whole(path)
    front = _FRONT.match(text) if kind in (".md", ".markdown") else None
    if front is not None:
        stated = _FRONT_DATE.search(front[1])
        date = stated[1] if stated else date
        text = text[front.end() :]
    if kind in (".html", ".htm"):
        seen: HtmlPage | Markup = (page := HtmlPage(text))
        date, text, tables = page.date or date, page.text(), page.tables
    else:
        text, tables, beyond = tables_of(text, comments=kind not in (".md", ".markdown"))
        reading.beyond += beyond
        seen = markup = Markup(text)
        if kind in (".md", ".markdown"):
            text, tables = markup.text(text), [[[markup.plain(cell) for cell in row] for row in table] for table in tables]
    reading.struck, reading.notes = reading.struck + seen.struck, reading.notes + seen.notes
    for number, table in enumerate(tables, 1):
        yield from (Row(cells, date, f"{path}#table{number}") for cells in _headed(table, reading))
    if text.strip():
        yield Text(text.strip(), path.stem, date, str(path), order_in(text).order)


def _whole(path: Path) -> str:
    size = path.stat().st_size
    if size > LARGEST_TEXT:
        raise SettingsError(
            f"{path}: {size / 2**20:.0f} MiB of running text; split it into files of at most {LARGEST_TEXT >> 20} MiB, or give rows (JSONL, CSV), which are streamed"
        )
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise BadRowError(not_utf8(data), path, line) from None


def _separated(path: Path, kind: str, skipped: SkippedRows | None, reading: Reading) -> Iterator[tuple[int, JSON]]:
    """Rows of a CSV or TSV file by line; one that does not fit its header is bad. Whether TSV has quotes its cells show."""
    with _opened(path) as raw:
        lines = io.TextIOWrapper(raw, "utf-8-sig", newline="")  # type: ignore[type-var]
        table: Iterator[tuple[int, list[str]]] = _Table(path, lines) if kind == ".csv" else _tabbed(path)
        _, header = next(table, (0, list[str]()))
        for line, cells in table if header else ():
            problem = _misfit(cells, header, table.lines if isinstance(table, _Table) else 1 + "".join(cells).count("\n"))
            if problem:
                set_aside(BadRowError(problem, path, line), ",".join(cells), skipped)
            elif cells:
                yield line, _named(header, cells, reading)


def _tabbed(path: Path) -> Iterator[tuple[int, list[str]]]:
    quoted = is_quoted(path)
    for line, cells in read_delimited(path):
        yield line, cells if quoted else [_unquoted(cell) for cell in cells]


class _Table:
    """Lists of cells of CSV with the line on which each begins. Raises BadRowError with that line."""

    def __init__(self, path: Path, lines: Iterable[str]) -> None:
        self.line, self.lines = 1, 0
        self._path, self._read = path, list[str]()
        read = iter(self._kept(lines))
        try:
            header = next(read, "")
            sign = told_separator(header)
            self._before = 0 if sign is None else 1  # the line that tells it
            header = header if sign is None else next(read, "")
        except UnicodeDecodeError:
            raise BadRowError(not_utf8(_beginning(path)), path, _undecodable(path)) from None
        self._reader = csv.reader(chain([header] if header else [], read), delimiter=sign or separator_of(header))

    def __iter__(self) -> _Table:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        self.line = self._before + self._reader.line_num + 1
        if self._reader.line_num:  # else the header was looked at before
            self._read = []
        try:
            cells = next(self._reader)
            self.lines = self._before + self._reader.line_num - self.line + 1
        except UnicodeDecodeError:
            raise BadRowError(not_utf8(_beginning(self._path)), self._path, _undecodable(self._path)) from None
        except csv.Error as problem:
            raise BadRowError(f"not readable as CSV ({problem})", self._path, self.line) from None
        if _never_closed(self._read):
            raise BadRowError("a quote opens here that is not closed", self._path, self.line)
        return self.line, cells

    def _kept(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self._read.append(line)
            yield line


def _never_closed(lines: list[str]) -> bool:
    """Whether the lines of one row end within quotes; the reader of CSV takes that for the end of the file."""
    if sum(line.count('"') for line in lines) % 2 == 0:
        return False
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as problem:
        return "unexpected end" in str(problem)
    return False


def _misfit(cells: list[str], header: list[str], lines: int) -> str:
    """What is wrong with a row; empty where nothing is."""
    if len(cells) > len(header):
        return f"{len(cells)} cells under {len(header)} columns"
    if lines > 1 and len(cells) < len(header):
        return f"a quote takes {lines} lines into one row of {len(cells)} cells under {len(header)} columns"
    return ""


def _unquoted(cell: str) -> str:
    """A cell of TSV that stands in quotes where others do not, as it was meant."""
    inner = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else cell


def _named(header: Sequence[str], cells: Sequence[Any], reading: Reading) -> JSON:
    """Cells by their column; those that a short row lacks are empty. Of a column that stands twice the cells must agree; else neither is taken, and it is counted."""
    row: JSON = {}
    torn = set[str]()
    for name, cell in zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False):
        if name in row and row[name] != cell and name.strip():
            torn.add(name) if cell and row[name] else None
            cell = row[name] or cell  # noqa: PLW2901
        row[name] = cell
    reading.repeated += len(torn)
    return {name: cell for name, cell in row.items() if name not in torn}


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _beginning(path: Path) -> bytes:
    with _opened(path) as stream:
        return bytes(stream.read(64))


def _undecodable(path: Path) -> int:
    """The first line that is no UTF-8."""
    with _opened(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def flat_rows(row: JSON, reading: Reading | None = None) -> Iterator[JSON]:
    """The row itself, or a row for each object in its lists, with what stands around them. Objects within a row are opened, `place.city`.

    reading: counts the outer values whose names the objects of a list have too, and use themselves.
    """
    flat = dict(_unfolded(row))
    lists = {
        name: value for name, value in flat.items() if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    }
    outer = {name: value for name, value in flat.items() if name not in lists}
    if not lists:
        yield flat
    for objects in lists.values():
        for inner in objects:
            if reading is not None:
                reading.covered += len(outer.keys() & inner.keys())
            yield from flat_rows({**outer, **inner}, reading)


def _unfolded(row: JSON, within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict) and value:
            yield from _unfolded(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _headed(table: list[list[str]], reading: Reading) -> Iterator[JSON]:
    header, *rows = table
    for cells in rows:
        reading.beyond += sum(map(bool, cells[len(header) :]))
        yield _named(header, cells, reading)


def _named_date(name: str) -> str | None:
    found = _DATE.search(name)
    return f"{found[1]}-{found[2]}-{found[3]}" if found else None
