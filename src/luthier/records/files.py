"""Rows on disk: written whole or not at all, read one by one, and named by file and line where they are bad.

Reads JSONL (plain or gzip), JSON, Parquet and folders of `datasets`. What the fields of a row mean is not known here:
`luthier.records.formats` knows.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import gzip
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar, cast

from luthier.errors import BadRowError, DiskError, MissingFileError, SettingsError
from luthier.records.account import note, note_refusal
from luthier.records.conversations import JSON
from luthier.records.delimited import filled, read_delimited
from luthier.records.dialects import finite
from luthier.records.hub import column_rows, dataset_named, hub_rows
from luthier.records.lines import as_row, parse_row, parse_value, to_line
from luthier.records.parquet import ColumnRow, table_rows, to_table

T = TypeVar("T")
_LONGEST_ASIDE = 1 << 20  # bytes that are read of a file to see whether it holds rows set aside


@dataclass
class SkippedRows:
    """Counts bad rows and sets them aside: in `where`, one JSON line each (file, line, problem, raw text), if a path is given.

    A file of rows that were set aside before is begun afresh at the first bad row; any other is refused. `problems` keeps every message.
    """

    where: Path | None = None
    count: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.where = None if self.where is None else Path(self.where)  # a text is a path too

    def add(self, error: BadRowError, raw: str) -> None:
        """Set one row aside. Raises SettingsError where `where` is the very file that is being read, or holds something else than rows set aside."""
        if self.where is not None:
            if error.path is not None and self.where.exists() and Path(error.path).exists() and self.where.samefile(error.path):
                raise SettingsError(f"bad rows cannot be set aside in {self.where}: it is the file they come from")
            row = {"file": str(error.path), "line": error.line, "problem": error.problem, "raw": raw}
            try:
                if not self.count:
                    self._refuse_other(self.where, set(row))
                self.where.parent.mkdir(parents=True, exist_ok=True)
                with self.where.open("ab" if self.count else "wb") as file:
                    file.write(to_line(row))
            except OSError as problem:
                raise disk_error(problem, self.where) from problem
        self.count += 1
        self.problems.append(str(error))

    @staticmethod
    def _refuse_other(where: Path, fields: set[str]) -> None:
        if not where.is_file():
            return
        with where.open("rb") as file:
            first = file.readline(_LONGEST_ASIDE)
        try:
            mine = not first or set(json.loads(first)) == fields
        except (ValueError, TypeError):
            mine = len(first) == _LONGEST_ASIDE and first.startswith(b'{"file":')  # a row with a very long raw text
        if not mine:
            raise SettingsError(f"bad rows cannot be set aside in {where}: it holds something else; name another file")


@contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file that appears under `path` only when the block ends well; until then, and after an error, the old one stays.

    Text is UTF-8 with `\\n` line ends. Missing folders are made. Devices and pipes are written to directly. Raises DiskError.
    """
    target = Path(path).resolve()
    direct = target.exists() and not target.is_file() and not target.is_dir()
    text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
    in_block, draft = False, None
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = None if direct else target.with_name(draft_name(target.name))
        with target.open(mode, **text) if draft is None else os.fdopen(_claim(draft), mode, **text) as file:
            in_block = True
            yield file
            in_block = False
            if draft is not None:
                file.flush()
                os.fsync(file.fileno())
                _take_place(draft, target)
                draft = None
    except OSError as error:
        if in_block and error.errno not in _DISK_TROUBLE:  # the caller's own business, a file it reads for example
            raise
        raise disk_error(error, path) from error
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()


def draft_name(name: str) -> str:
    """The name under which a file is written until it is whole: always the same, so that the next write sweeps what a kill left."""
    short = name.encode()[:200].decode(errors="ignore")
    return f".{short}.part"


def _claim(draft: Path) -> int:
    """The draft, empty and locked by this process; one that another process writes at the moment is waited for."""
    while True:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if draft.exists() and os.path.samestat(os.fstat(descriptor), draft.stat()):  # not one that was just finished
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def write_jsonl(path: str | Path, rows: Iterable[JSON]) -> int:
    """Write one JSON object a line, gzip-packed where `path` ends in .gz; the same rows give the same bytes. Returns their number."""
    count = 0
    with atomic_write(path, "wb") as file, _packed(path, file) as sink:
        for count, row in enumerate(rows, 1):
            try:
                line = to_line(row)
            except BadRowError as error:
                raise BadRowError(f"row {count} {error.problem}", path) from None
            sink.write(line)
    return count


def write_parquet(path: str | Path, rows: Iterable[JSON]) -> int:
    """Write rows as Parquet so that `read_rows` gives them back equal; all rows are held in memory. Returns their number."""
    import pyarrow.parquet as pq

    try:
        table = to_table(rows)
    except BadRowError as error:
        if error.path is not None:  # a row that was being read, not one to be written
            raise
        raise BadRowError(f"row {error.line}: {error.problem}", path) from None
    with atomic_write(path, "wb") as file:
        pq.write_table(table, file)
    return int(table.num_rows)


def read_rows(path: str | Path, skipped: SkippedRows | None = None, columns: Mapping[str, str] | None = None) -> Iterator[tuple[int, JSON]]:
    """Stream (number, row): the line in JSONL, the position from 1 elsewhere. A .json array is parsed whole.

    path: .jsonl, .ndjson, .json (each also with .gz), .csv, .tsv, .parquet, a folder that `datasets` saved, or a data set of the hub as
    `ORG/NAME[@revision][:split]`. skipped: takes the bad rows; without it the first one raises BadRowError. A file that is damaged as a whole
    always raises. columns: names of fields, and the columns that hold them (`{"messages": "dialog"}`).
    """
    rows = _rows(path, skipped)
    return rows if not columns else renamed(rows, columns, path, skipped)


def renamed(
    rows: Iterable[tuple[int, JSON]], columns: Mapping[str, str], path: str | Path, skipped: SkippedRows | None = None
) -> Iterator[tuple[int, JSON]]:
    """The rows with these columns under other names. A row that lacks one of them is bad; a field whose name is taken is left out."""
    for number, row in rows:
        missing = next((f"{name}={column}" for name, column in columns.items() if column not in row), None)
        if missing is not None:
            column = missing.partition("=")[2]
            set_aside(BadRowError(f"no column {column!r} ({missing}); the row has {', '.join(map(repr, row))}", path, number), row, skipped)
            continue
        for name in columns:
            if row.get(name) is not None and name not in columns.values():
                note("left out", f"field {name!r}, as {columns[name]!r} takes its name", path, number)
        rest = {name: value for name, value in row.items() if name not in columns.values() and name not in columns}
        new = {**rest, **{name: row[column] for name, column in columns.items()}}
        typed = {name for name in new if columns.get(name, name) in row.json} if isinstance(row, ColumnRow) else set()
        yield number, ColumnRow(new, frozenset(typed)) if isinstance(row, ColumnRow) else new


def mapping(given: Sequence[str]) -> dict[str, str]:
    """FIELD=COLUMN texts, as `--map` takes them, as `columns`. Raises SettingsError."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise SettingsError(f"--map {text}: write it as FIELD=COLUMN")
        if name in found:
            raise SettingsError(f"--map {text}: {name} is {found[name]!r} already")
        found[name] = column
    return found


def _rows(path: str | Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    source = Path(path)
    if not source.exists():
        if (named := dataset_named(path)) is not None:
            return finite_rows(hub_rows(named), path, skipped)
        raise MissingFileError(f"{path} does not exist")
    if source.is_dir():
        return _folder_rows(source, skipped)
    kind = Path(source.name.lower().removesuffix(".gz")).suffix
    if kind == ".parquet":
        return finite_rows(_parquet_rows(source, skipped), path, skipped)
    if kind == ".json":
        return _json_rows(source, skipped)
    if kind in (".csv", ".tsv"):
        return _table_rows(source, skipped)
    if kind in (".jsonl", ".ndjson") or not source.is_file():  # a pipe carries lines
        return _line_rows(source, skipped)
    raise MissingFileError(f"{path}: rows are read from .jsonl, .jsonl.gz, .json, .csv, .tsv, .parquet or a folder saved by datasets")


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]] | None:
    """Stream (number, bytes of the line) of a JSONL file, plain or gzip; None where `path` holds rows in another form."""
    source = Path(path)
    kind = Path(source.name.lower().removesuffix(".gz")).suffix
    return _lines(source) if kind in (".jsonl", ".ndjson") and source.is_file() else None


def evenly(rows: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of the rows, evenly spaced and in their order; all of them where it is None."""
    return list(rows) if limit is None or limit >= len(rows) else [rows[at * len(rows) // limit] for at in range(limit)]


def refuse_same(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Raises SettingsError where an output is also an input, under whatever name."""
    for path in inputs:
        if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
            raise SettingsError(f"{out}: is read and would be written over; choose another --out")


def refuse_taken(out: str | Path, inputs: Iterable[str | Path] = (), *, replace: bool = False) -> None:
    """Raises SettingsError where an output is also an input, or, unless `replace`, something that is there already: a file or folder that is not empty."""
    refuse_same(out, inputs)
    place = Path(out)
    held = any(place.iterdir()) if place.is_dir() else place.is_file() and place.stat().st_size > 0
    if held and not replace:
        raise SettingsError(f"{out}: is there already; choose another --out, or --replace")


def disk_error(error: OSError, path: str | Path) -> DiskError:
    """What went wrong while writing `path`, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(f"no space left on device while writing {path}; free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DiskError(f"no permission to write {path}; choose another place or change its permissions")
    if error.errno == errno.EISDIR:
        return DiskError(f"{path} is a folder; name a file in it")
    return DiskError(f"cannot write {path}: {error.strerror or error}")


_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def _take_place(draft: Path, target: Path) -> None:
    """Give the finished draft the target's permissions and name."""
    if target.exists():
        draft.chmod(target.stat().st_mode & 0o777)
    draft.replace(target)


def _packed(path: str | Path, file: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    if not str(path).lower().endswith(".gz"):
        return nullcontext(file)
    return cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0))


LONGEST_LINE = 256 << 20  # bytes; a line without end, or one that a few packed bytes stand for, must not fill the memory
_PART = re.compile(r"([\w.]+?)-(\d{1,6})-of-(\d{1,6})\b")
LARGEST_ARRAY = 4 << 30  # bytes of a .json file, which is read whole


def _lines(source: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with gzip.open(source, "rb") if source.name.lower().endswith(".gz") else source.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise BadRowError(f"a line of more than {LONGEST_LINE >> 20} MiB; put each row on a line of its own", source, number)
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadRowError("the gzip data is damaged or cut off here; make or fetch the file again", source, number + 1) from None
    except OSError as error:
        raise MissingFileError(f"cannot read {source}: {error.strerror or error}") from error


def read_whole(source: Path) -> bytes:
    """The bytes of a file that is read whole, unpacked. Raises BadRowError where they are too many."""
    parts, size = list[bytes](), 0
    for number, line in _lines(source):
        size += len(line)
        if size > LARGEST_ARRAY:
            raise BadRowError(f"more than {LARGEST_ARRAY >> 30} GiB in one JSON value; write JSONL, a row a line", source, number)
        parts.append(line)
    return b"".join(parts)


def _line_rows(source: Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    for number, line in _lines(source):
        if not line.strip():
            continue
        try:
            row = parse_row(line.rstrip(b"\r\n"))
        except BadRowError as error:
            set_aside(error.at(source, number), line.rstrip(b"\r\n").decode(errors="surrogateescape"), skipped)
        else:
            yield number, row


def _table_rows(source: Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    """Rows of texts under the names of a first line; an empty cell is null. number: the line in which a row begins."""
    rows = filled(read_delimited(source))
    _, names = next(rows, (1, []))
    if len(set(names)) < len(names):
        raise BadRowError(f"the columns {', '.join(sorted({n for n in names if names.count(n) > 1}))} are there twice", source, 1)
    for number, cells in rows:
        if len(cells) == len(names):
            yield number, {name: cell or None for name, cell in zip(names, cells, strict=True)}
        else:
            set_aside(BadRowError(f"{len(cells)} cells under {len(names)} names", source, number), json.dumps(cells), skipped)


def _json_rows(source: Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    data = read_whole(source)
    try:
        value = parse_value(data) if data.strip() else []
    except BadRowError as error:
        if data.lstrip().startswith(b"["):
            raise error.at(source, error.line or 1) from None
        yield from _line_rows(source, skipped)  # many files called .json hold lines
        return
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        try:
            row = as_row(item, turns=True)
        except BadRowError as error:
            set_aside(error.at(source, number), json.dumps(item), skipped)
        else:
            yield number, row


def finite_rows(rows: Iterable[tuple[int, JSON]], path: str | Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    """The rows without those that no line of JSON could hold: a number in them is infinite, or is none.

    NaN in a column of its own stays: so tables write a value that is not there.
    """
    for number, row in rows:
        wrong = next((name for name, value in row.items() if not finite(value) and not is_nan(value)), None)
        if wrong is None:
            yield number, row
        else:
            set_aside(BadRowError(f"field {wrong!r} holds NaN or infinity, which is no JSON number", path, number), row, skipped)


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def nan_as_null(row: JSON, path: str | Path | None, number: int) -> JSON:
    """The row with null where a column holds NaN, as data frames write what is missing; it is noted."""
    missing = [name for name, value in row.items() if is_nan(value)]
    for name in missing:
        note("understood", f"NaN in column {name!r} as no value", path, number)
    if not missing:
        return row
    given = row | dict.fromkeys(missing)
    return ColumnRow(given, row.json) if isinstance(row, ColumnRow) else given


def _parquet_rows(source: Path, skipped: SkippedRows | None) -> Iterator[tuple[int, JSON]]:
    import pyarrow as pa

    try:
        for number, (row, problem) in enumerate(table_rows(source), 1):
            if problem is None:
                yield number, row
            else:
                set_aside(problem.at(source, number), row, skipped)
    except pa.ArrowException as error:
        raise BadRowError(f"not a readable Parquet file: {str(error).splitlines()[0]}", source) from None
    except OSError as error:
        raise MissingFileError(f"cannot read {source}: {str(error).splitlines()[0]}") from error


def _folder_rows(source: Path, skipped: SkippedRows | None = None) -> Iterator[tuple[int, JSON]]:
    if (source / "dataset_dict.json").exists():
        splits = json.loads((source / "dataset_dict.json").read_bytes())["splits"]
        raise MissingFileError(f"{source} holds the splits {', '.join(splits)}; name one of them, e.g. {source / splits[0]}")
    if (source / "state.json").exists():
        return finite_rows(_dataset_rows(source), source, skipped)
    parts = shards(source)
    if not parts:
        raise MissingFileError(
            f"{source} is a folder, but neither one that datasets saved (save_to_disk) nor one of Parquet or JSONL parts; name a file"
        )
    splits = sorted({split_of(path) for path in parts})
    if len(splits) > 1:
        raise MissingFileError(f"{source} holds the splits {', '.join(splits)}; give a folder with one of them, or its files")
    numbers = [part_of(path) for path in parts]
    if [number.at for number in numbers] not in (list(range(len(parts))), list(range(1, len(parts) + 1))) or {
        one.of for one in numbers
    } != {len(parts)}:
        raise MissingFileError(
            f"{source} holds {len(parts)} parts, which are not all of one set: {parts[0].name} to {parts[-1].name}; fetch the rest, or name files"
        )
    return enumerate((row for path in parts for _, row in read_rows(path, skipped)), 1)


def shards(folder: Path) -> list[Path]:
    """The files of a data set that is kept in parts, as hubs keep it: Parquet, else JSONL, in the folder or in `data` below it, in order."""
    for place in (folder, folder / "data"):
        for endings in ((".parquet",), (".jsonl", ".jsonl.gz")):
            found = [path for path in place.glob("*") if path.is_file() and path.name.lower().endswith(endings) and split_of(path)]
            if found:
                return sorted(found, key=lambda path: (split_of(path), part_of(path), path.name))
    return []


def split_of(path: Path) -> str:
    """The split that a part is of: `train` of `train-00000-of-00002.parquet`; empty where the name does not say."""
    found = _PART.match(path.name)
    return found[1] if found else ""


class Part(NamedTuple):
    """Which part of how many a file is."""

    at: int
    of: int


def part_of(path: Path) -> Part:
    """Of a file whose name says so."""
    found = _PART.match(path.name)
    return Part(int(found[2]), int(found[3])) if found else Part(0, 1)


def _dataset_rows(source: Path) -> Iterator[tuple[int, JSON]]:
    import datasets

    try:
        rows = datasets.load_from_disk(str(source))
    except (OSError, ValueError) as error:
        raise MissingFileError(f"cannot read {source}: {str(error).splitlines()[0]}") from error
    yield from column_rows(rows)


def set_aside(error: BadRowError, raw: JSON | str, skipped: SkippedRows | None) -> None:
    """Raise the error, or leave the row to `skipped`. raw: the row, or its text where it could not be read."""
    if skipped is None:
        raise error
    note_refusal(error)
    skipped.add(
        error, raw if isinstance(raw, str) else json.dumps(raw, default=str)
    )  # numbers that JSON has not are kept as Python writes them
