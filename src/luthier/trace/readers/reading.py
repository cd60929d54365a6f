"""One entrance for answers of any layout, and the long table that all of them can be written as."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import SkippedRows, write_jsonl
from luthier.records.account import note
from luthier.records.delimited import told_separator
from luthier.texts.dates import ORDERS, DateOption, Order
from luthier.trace.answers import AnswerLog, Catalogue
from luthier.trace.readers.catalogue import named_concepts, read_catalogue_files
from luthier.trace.readers.columns import Left, checked_fields
from luthier.trace.readers.line_blocks import LINES, guess_blocks, read_blocks
from luthier.trace.readers.places import is_table, opened
from luthier.trace.readers.sequences import guess_sequences, learner_files, read_ednet, read_sequences
from luthier.trace.readers.tables import TABLES, guess_table, read_table
from luthier.trace.readers.xapi import is_statements, read_statements

FORMATS = ("auto", *TABLES, "ednet", *LINES, "pykt-sequences", "xapi")
EVENTS = "events.jsonl"


def read_answers(
    paths: Sequence[str | Path],
    layout: str = "auto",
    *,
    items: str | Path | None = None,
    concepts: str | Path | None = None,
    edges: str | Path | None = None,
    names: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    skipped: SkippedRows | None = None,
    dates: DateOption = "auto",
) -> AnswerLog:
    """The answers of files of one layout (`FORMATS`); a folder stands for the long table that `write_long_table` wrote there, or for EdNet's
    files of its learners.

    items, concepts, edges: files that say what items ask and how concepts hang together; names: JSON of concept name to number. columns:
    what the columns of a table are called, by field (`{"learner": "stu_no"}`). skipped: takes bad rows. dates: what stands first in dates
    such as 05/06/2024, where no other of their column shows it. What is not read is in the log's
    notes. Raises BadRowError with file and line, MissingFileError, SettingsError.
    """
    given = checked_fields(columns)
    files = [Path(path) for path in paths]
    if len(files) == 1 and files[0].is_dir():
        folder = files[0]
        known = {name: folder / f"{name}.jsonl" for name in ("items", "concepts", "edges")}
        items, concepts, edges = (
            told or (known[name] if known[name].is_file() else None)
            for name, told in (("items", items), ("concepts", concepts), ("edges", edges))
        )
        files = [folder / EVENTS]
        if not files[0].is_file():
            files = learner_files(folder) or files
    missing = next((path for path in files if not path.is_file()), None)
    if missing is not None or not files:
        raise MissingFileError(f"{missing or 'no file'} does not exist; give the file of answers")
    log, left = _read(files, layout, given, None if items is None else Path(items), skipped, ORDERS[dates]), Left()
    if items or concepts or edges:
        named = [None if path is None else Path(path) for path in (items, concepts, edges)]
        catalogue = read_catalogue_files(log.catalogue, named[0], named[1], named[2], left)
        log = _placed(log, catalogue, files[0])
    if names is not None:
        log = named_concepts(log, Path(names))
    log = replace(log, notes=(*log.notes, *left.notes()))
    _note(files[0], log)
    return log


def _note(path: Path, log: AnswerLog) -> None:
    """Into the account: the log's notes begin with how many rows they are of, where they are of some."""
    note("understood", "answers of learners", path, 1, rows=len(log))
    for told in log.notes:
        count, _, reason = told.partition(" ")
        rows = count.replace(",", "")
        if rows.isdecimal():
            note("left out", reason, path, 1, rows=int(rows))
        else:
            note("left out", told, path)


def _read(  # noqa: PLR0917
    files: list[Path], layout: str, columns: Mapping[str, str], items: Path | None, skipped: SkippedRows | None, order: Order | None
) -> AnswerLog:
    own = len(files) == 1 and files[0].name == EVENTS  # a long table of `write_long_table`, which has a row for each answer
    chosen = guess_layout(files[0], columns) if layout == "auto" else layout
    if chosen not in FORMATS:
        raise SettingsError(f"there is no layout {layout!r}; choose one of {', '.join(FORMATS)}")
    if columns and chosen not in TABLES:
        raise SettingsError(f"--map names columns of tables, and {files[0]} is read as {chosen}")
    if chosen == "akt" and guess_blocks(_head(files[0])) == "akt3":
        chosen = "akt3"  # the same producer's files of answers without problems
    if chosen in LINES:
        return read_blocks(files, chosen, skipped)
    if chosen == "xapi":
        return read_statements(files, skipped)
    if chosen == "pykt-sequences":
        return read_sequences(files, skipped)
    return read_ednet(files, items, skipped) if chosen == "ednet" else read_table(files, columns, skipped, once=not own, order=order)


def guess_layout(path: Path, columns: Mapping[str, str] | None = None) -> str:
    """The layout that a file's beginning shows. Raises BadRowError where it shows none."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json", ".parquet", ".gz") and not is_table(path):
        return "xapi" if is_statements(path) else "long"
    head = _head(path)
    found = guess_sequences(head) or guess_table(head, columns or {}) or guess_blocks(head)
    if found is None:
        raise BadRowError(
            f"the layout of the answers is not clear; name it: {', '.join(FORMATS[1:])}, or name the columns: --map learner=COLUMN "
            "--map item=COLUMN --map correct=COLUMN",
            path,
            1,
        )
    return found


def write_long_table(log: AnswerLog, folder: str | Path) -> Path:
    """Write `events.jsonl`, `items.jsonl`, `concepts.jsonl` and `edges.jsonl`, which `read_answers(folder)` reads. Raises DiskError."""
    folder = Path(folder)
    write_jsonl(folder / "items.jsonl", (each._asdict() | {"concepts": list(each.concepts)} for each in log.catalogue.items))
    write_jsonl(folder / "concepts.jsonl", (each._asdict() for each in log.catalogue.concepts))
    write_jsonl(folder / "edges.jsonl", (each._asdict() for each in log.catalogue.edges))
    timed = bool((log.time != 0).any())
    rows = ({k: v for k, v in row.items() if timed or k != "timestamp"} for row in log.rows())
    write_jsonl(folder / EVENTS, rows)
    return folder


def _placed(log: AnswerLog, catalogue: Catalogue, path: Path) -> AnswerLog:
    """The same answers over a wider catalogue."""
    import numpy as np

    names = [item.item for item in log.catalogue.items]
    missing = next((name for name in names if name not in catalogue.item_places), None)
    if missing is not None:
        raise BadRowError(f"the item {missing!r} was answered but is not among the items", path)
    places = np.array([catalogue.item_places[name] for name in names], dtype=np.int32)
    return replace(log, catalogue=catalogue, item=places[log.item])


def _head(path: Path) -> list[str]:
    with closing(opened(path)) as stream:
        try:
            lines = [line for _, line in zip(range(6), stream, strict=False)]
        except (OSError, EOFError, zlib.error):
            raise BadRowError("the packed data is damaged or cut off; make or fetch the file again", path) from None
    texts = [line.decode("utf-8-sig", "replace").rstrip("\r\n") for line in lines]
    return texts[1:] if texts and told_separator(texts[0]) else texts  # Excel's `sep=;` says nothing of the layout
