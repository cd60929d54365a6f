"""Tables of separated values: CSV, TSV with and without quotes, and columns between blanks; cells of any length, rows by their line.

Tab-separated files are written in two ways: as the cells are, or as spreadsheets and pandas do, with quotes round a cell that holds a
tab, a line end or a quote. Which it is stands in the file: nothing that holds a quote is left bare by the second way.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError
from luthier.records.encodings import not_utf8

Row = tuple[int, list[str]]
LARGEST = 4 << 30  # bytes of a table, which is held whole
COMMAS = (",", ";", "\t")
_SEPARATOR = re.compile(r'("?)sep=([,;\t])\1', re.IGNORECASE)
_IN_QUOTES = re.compile(r'"[^"]*+"')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def inert(value: Any) -> Any:
    """A cell for a table that people open: a text that a spreadsheet would run as a formula gets a quote in front, all else stays."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def read_delimited(path: Path) -> Iterator[Row]:
    """(line, cells) of a .csv, .tsv or other text file, each also with .gz; blank lines are passed over. The file is held in memory.

    Any other name than .csv and .tsv: cells lie between blanks, as in the judgements of trec_eval.
    Raises MissingFileError, BadRowError with the line.
    """
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    text = _text(path)
    first, end, _ = text.partition("\n")
    told = told_separator(first) if kind in (".csv", ".tsv") else None
    if told is not None:
        yield from _quoted(text, told, path, len(first) + len(end))
    elif kind == ".csv":
        yield from _quoted(text, separator_of(first), path)
    elif kind == ".tsv" and _has_quotes(text):
        yield from _quoted(text, "\t", path)
    else:
        yield from _bare(text, "\t" if kind == ".tsv" else None)


def is_quoted(path: Path) -> bool:
    """Whether the cells of a tab-separated file are written with quotes. Raises as `read_delimited`."""
    return _has_quotes(_text(path))


def told_separator(line: str) -> str | None:
    """What the first line of a table says that stands between its cells, as Excel reads and writes it: `sep=;`; None where it says nothing of it."""
    told = _SEPARATOR.fullmatch(line.rstrip("\r\n"))
    return None if told is None else told[2]


def separator_of(header: str) -> str:
    """What stands most often between the cells of a header, outside quotes; a comma where nothing does."""
    return max(COMMAS, key=_IN_QUOTES.sub("", header).count)


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise BadRowError(f"more than {LARGEST >> 30} GiB of text; write JSONL or Parquet", path)
        text = data.decode("utf-8-sig")
        return text if "\n" in text else text.replace("\r", "\n")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise BadRowError(not_utf8(problem.object), path, line) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadRowError("the gzip data is damaged or cut off; make or fetch the file again", path) from None
    except OSError as problem:
        raise MissingFileError(f"cannot read {path}: {problem.strerror or problem}") from problem


def _bare(text: str, delimiter: str | None) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip("\r"):
            cells = line.removesuffix("\r").split(delimiter)
            if cells:
                yield number, cells


def _cells(delimiter: str) -> re.Pattern[str]:
    """A cell in quotes or bare, and what ends it."""
    return re.compile(rf'(?:"((?:[^"]|"")*+)"\r?|(?!")([^{delimiter}\n]*+))({delimiter}|\n|\Z)')


def filled(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows of a table with names in its first one, without the empty rows and the empty last columns that spreadsheets leave."""
    width = 0
    for line, cells in rows:
        if not width:  # the names
            width, whole = len(_without_last(cells)), len(cells)
            width = whole if whole - width == 1 else width  # a single column without a name is one
        if any(cells):
            yield line, cells[:width] if len(cells) == whole and not any(cells[width:]) else cells


def _without_last(cells: list[str]) -> list[str]:
    """Cells up to the last one with something in it."""
    return cells[: next((at for at in range(len(cells), 0, -1) if cells[at - 1].strip()), 0)]


def _quoted(text: str, delimiter: str, path: Path, start: int = 0) -> Iterator[Row]:
    """As RFC 4180 has it; a cell that does not begin with a quote may hold some. start: of the table in the text, at the beginning of a line."""
    pattern, at, line = _cells(delimiter), start, 1 + text.count("\n", 0, start)
    begun, cells = line, list[str]()
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise BadRowError("a cell begins with a quote and does not end with one; quotes within it are written twice", path, line)
        inner = found[1]
        ended = found[3] != delimiter
        bare = found[2] or ""
        cells.append(inner.replace('""', '"') if inner is not None else bare.removesuffix("\r") if ended else bare)
        line += text.count("\n", at, found.end())
        at = found.end()
        if not ended and at == len(text):
            cells.append("")
            ended = True
        if ended:
            if cells != [""]:
                yield begun, cells
            begun, cells = line, []


def _has_quotes(text: str) -> bool:
    """Whether tab-separated text is written with quotes: every cell with a quote stands in quotes, and one of them had to, or all of the first
    row do."""
    if '"' not in text:
        return False
    pattern, at, needed = _cells("\t"), 0, False
    while at < len(text):
        found = pattern.match(text, at)
        if found is None or (found[1] is None and '"' in found[2]):
            return False
        needed = needed or (found[1] is not None and any(sign in found[1] for sign in '\t\n\r"'))
        at = found.end()
    return needed or all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in text.partition("\n")[0].rstrip("\r").split("\t"))
