"""Answers as tables with a header, whatever their columns are called: long tables, ASSISTments, DataShop and the KDD Cup, Junyi, Eedi, Riiid.

CSV and TSV are read in columns by Arrow, names once each, so ten million rows take some seconds and little more than a hundred bytes a row at the peak;
JSONL and Parquet are read row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, SkippedRows, read_rows
from luthier.records.files import set_aside
from luthier.texts.dates import Order, Shown, shown_order
from luthier.trace.answers import AnswerCollector, AnswerLog
from luthier.trace.readers.columns import COMPONENT, Columns, Left, find_columns, is_answers, plain, split_concepts
from luthier.trace.readers.places import (
    Clock,
    RecordLines,
    head_of,
    header_cells,
    header_of,
    is_table,
    lines_of,
    located,
    place_of,
    records_of,
)
from luthier.trace.readers.values import label_of, label_or_nan, time_of, times_of
from luthier.trace.writings import name_of

TABLES = ("long", "assistments", "datashop")
LECTURES = "rows are lectures and no answers"
NO_OUTCOME = "transactions without an outcome are no answers"
TWO_TEXTS = "further texts of an item are left out"


def guess_table(head: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """`assistments`, `datashop` or `long` from a header line; None where it is none of theirs. columns: as the user calls them."""
    names = header_cells(head[0]) or [] if head else []
    if not is_answers(names, columns):
        return None
    known = {plain(name) for name in names}
    if "anonstudentid" in known or any(COMPONENT.match(name) for name in names):
        return "datashop"
    marks = {"skillname", "skill", "skillid", "orderid", "sequenceid", "assistmentid"}
    return "assistments" if known & {"userid", "studentid"} and known & {"problemid", "sequenceid"} and known & marks else "long"


@dataclass
class _Reading:
    """What reading the tables of one log shares."""

    columns: Mapping[str, str]
    skipped: SkippedRows | None
    order: Order | None = None
    collector: AnswerCollector = field(default_factory=AnswerCollector)
    clock: Clock = field(default_factory=Clock)
    left: Left = field(default_factory=Left)

    def add(self, row: tuple[str, str, float, float | None], concepts: Sequence[str], text: str | None, place: int) -> None:
        """One answer, with a row for each of its concepts."""
        tags: list[str | None] = [*concepts] or [None]
        for concept in tags:
            self.collector.add(*row, concept, place)
        if text and not self.collector.tell(row[1], text):
            self.left.note(TWO_TEXTS)


def read_table(
    paths: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    skipped: SkippedRows | None = None,
    *,
    once: bool = True,
    order: Order | None = None,
) -> AnswerLog:
    """The answers of tables. columns: of fields that the user names; once: as `AnswerCollector.log` takes it; order: of dates that may be day or month first, where no
    date of their column shows it. Raises BadRowError with file and line, or leaves bad rows to
    `skipped`; what no reader knows is in the log's notes."""
    reading = _Reading(columns or {}, skipped, order)
    for file, path in enumerate(paths):
        (_read_columns if is_table(path) else _read_each)(reading, path, file)
    try:
        told = reading.collector.settle()
        return reading.collector.log(notes=[*reading.left.notes(), *told], once=once)
    except BadRowError as problem:
        raise located(problem, paths, tables=True) from None


class _DateOrder:
    """Whether the day or the month stands first in the times of a file, as far as they show it; asked for where one is open. `given` goes for
    files whose own times show nothing."""

    def __init__(self, given: Order | None, path: Path, cells: Callable[[], Iterable[str]]) -> None:
        self._given, self._path, self._cells = given, path, cells
        self._shown: Shown | None = None

    def __call__(self) -> Order | None:
        if self._shown is None:
            self._shown = shown_order(self._cells())
        return self._shown.order or self._given


# --- rows -----------------------------------------------------------------------------------------------------------------------


def _read_each(reading: _Reading, path: Path, file: int) -> None:
    known: dict[tuple[str, ...], Columns] = {}
    order = _DateOrder(reading.order, path, lambda: _times_each(path, reading.columns))
    for number, row in read_rows(path, reading.skipped):
        try:
            names = tuple(row)
            if names not in known:
                known[names] = find_columns(names, reading.columns, path, number)
                reading.left.columns_of(known[names])
            _read_row(reading, row, known[names], order, place_of(file, number))
        except BadRowError as problem:
            set_aside(problem.at(path, number), row, reading.skipped)


def _times_each(path: Path, columns: Mapping[str, str]) -> Iterator[str]:
    """The times of a file that is read row by row, as they stand."""
    for _, row in read_rows(path, SkippedRows()):
        with suppress(BadRowError):
            found = find_columns(tuple(row), columns, path)
            if found.time is not None:
                yield str(row[found.names[found.time]])


def _read_row(reading: _Reading, row: JSON, found: Columns, order: _DateOrder, place: int) -> None:
    values = list(row.values())
    if found.lectures is not None and values[found.lectures] == 1:
        reading.left.note(LECTURES)
        return
    learner, label = name_of("" if values[found.learner] is None else values[found.learner]), values[found.correct]
    item = " / ".join(name_of(values[at]) for at in found.item if values[at] not in (None, "")).strip()
    for name, value in (("learner", learner), ("item", item), ("correct", label)):
        if value in (None, ""):
            raise BadRowError(f"the {name} is missing; the row has {', '.join(row)}")
    time = None if found.time is None else values[found.time]
    concepts = [one for at in found.concept for one in split_concepts(values[at], found.several)]
    correct, when = label_of(label), None if time is None else time_of(time, order)
    reading.clock.check(when is not None)
    text = None if found.text is None else values[found.text]
    reading.add((learner, item, correct, when), list(dict.fromkeys(concepts)), str(text) if text else None, place)


# --- columns --------------------------------------------------------------------------------------------------------------------


def _read_columns(reading: _Reading, path: Path, file: int) -> None:
    """By Arrow, block by block; every column is text until its own check."""
    import pyarrow as pa

    names = header_of(path)
    found = find_columns(names, reading.columns, path)
    reading.left.columns_of(found)
    try:
        reading.clock.check(found.time is not None)
    except BadRowError as problem:
        raise problem.at(path, 1) from None
    wanted = _wanted(found)
    narrow: list[str] = []
    if reading.skipped is not None:
        for _ in lines_of(path):  # what is not UTF-8 no row can be read of
            pass
    lines, line = RecordLines(path), 2
    order = _DateOrder(reading.order, path, lambda: _times_in_columns(path, found))
    try:
        # by place: a name may stand in a header twice
        reader = _open_columns(
            path, len(names), sorted({at for some in wanted.values() for at in some}), None if reading.skipped is None else narrow
        )
        for batch in reader:
            cells = {what: _joined(batch, some, what) for what, some in wanted.items()}
            _add_block(reading, cells, found, order, (lines, file, line))
            line += batch.num_rows
    except (pa.ArrowInvalid, OSError, EOFError) as problem:
        for _ in lines_of(path):  # names the line of what is not UTF-8, and of packed data cut off
            pass
        _refuse_widths(path, len(names), reading.skipped)
        if next(records_of(path), None) is not None:
            raise BadRowError(f"not a table ({str(problem).splitlines()[0][:160]})", path, line) from None
    if narrow:
        _refuse_widths(path, len(names), reading.skipped)


def _times_in_columns(path: Path, found: Columns) -> Iterator[str]:
    for _, cells in records_of(path):
        if found.time is not None and len(cells) == len(found.names):
            yield cells[found.time]


def _wanted(found: Columns) -> dict[str, tuple[int, ...]]:
    """Places of the columns of each field."""
    single = {"learner": found.learner, "correct": found.correct, "time": found.time, "text": found.text, "lectures": found.lectures}
    several = {"item": found.item, "concept": found.concept}
    return {what: (at,) for what, at in single.items() if at is not None} | {what: some for what, some in several.items() if some}


def _joined(batch: Any, places: Sequence[int], what: str) -> Any:
    """The column of a field, or several as one: problem and step, components of one model."""
    from pyarrow import compute

    some = [batch.column(batch.schema.get_field_index(str(at))) for at in places]
    if len(some) == 1:
        return some[0]
    if what == "item":
        return compute.binary_join_element_wise(*some, " / ")
    return compute.binary_join_element_wise(*some, "~~", null_handling="skip")


def _open_columns(path: Path, width: int, wanted: list[int], narrow: list[str] | None) -> Any:
    """Arrow's reader of a table whose columns are called by their places; rows of another width are left to `narrow`, or refused where it
    is None."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def leave(row: Any) -> str:
        if narrow is not None:
            narrow.append(row.text)
        return "skip"

    head, codes = head_of(path), [str(at) for at in range(width)]
    parse = arrow_csv.ParseOptions(
        delimiter=head.dialect.sign,
        quote_char='"' if head.dialect.quoted else False,
        newlines_in_values=head.dialect.quoted,
        invalid_row_handler=None if narrow is None else leave,
    )
    return arrow_csv.open_csv(
        pa.input_stream(str(path), compression="detect"),
        arrow_csv.ReadOptions(column_names=codes, skip_rows=head.line, block_size=1 << 24),
        parse,
        arrow_csv.ConvertOptions(
            include_columns=[str(at) for at in wanted], column_types=dict.fromkeys(codes, pa.string()), strings_can_be_null=True
        ),
    )


def _refuse_widths(path: Path, width: int, skipped: SkippedRows | None) -> None:
    for line, cells in records_of(path):
        if len(cells) != width:
            problem = BadRowError(f"the row has {len(cells)} cells and the header {width}", path, line)
            set_aside(problem, ",".join(cells), skipped)


def _trimmed(column: Any) -> Any:
    """Names without blanks around them; null where nothing is left."""
    import pyarrow as pa

    coded = column.dictionary_encode()
    names = coded.dictionary.to_pylist()
    bare = [name.strip() for name in names]
    if bare == names:
        return column
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array([name or None for name in bare], pa.string())).dictionary_decode()


def _add_block(reading: _Reading, cells: dict[str, Any], found: Columns, order: _DateOrder, place: tuple[RecordLines, int, int]) -> None:
    """A block of columns; place: the lines of the file, its number, and the number of the block's first row."""
    import numpy as np

    lines, file, line = place
    cells |= {what: _trimmed(cells[what]) for what in ("learner", "item")}
    labels = cells["correct"].dictionary_encode()
    values = np.array([label_or_nan(text) for text in labels.dictionary.to_pylist()] or [np.nan], dtype=np.float32)
    correct = np.where(np.asarray(labels.indices.fill_null(-1)) >= 0, values[np.asarray(labels.indices.fill_null(0))], np.nan)
    times = times_of(cells["time"], order) if "time" in cells else None
    none = _no_answers(reading, cells, found)
    bad = np.isnan(correct)
    for what in ("learner", "item"):
        bad |= np.asarray(cells[what].is_null())
    if times is not None:
        bad |= ~np.isfinite(times)
    for row in np.flatnonzero(bad & ~none):
        shown = {what: column[int(row)].as_py() for what, column in cells.items()}
        problem = BadRowError(_complaint(shown, order), lines.path, lines.of(line + int(row)))
        set_aside(problem, shown, reading.skipped)
    keep = np.flatnonzero(~bad & ~none)
    if "concept" not in cells and "text" not in cells:
        import pyarrow as pa

        some = {what: cells[what].take(pa.array(keep)).dictionary_encode() for what in ("learner", "item")}
        reading.collector.add_columns(some["learner"], some["item"], correct[keep], None if times is None else times[keep])
        return
    nothing = [None] * len(correct)
    learner, item = (cells[what].to_pylist() for what in ("learner", "item"))
    concept, text = (cells[what].to_pylist() if what in cells else nothing for what in ("concept", "text"))
    for row in keep:
        answer = (learner[row], item[row], float(correct[row]), None if times is None else float(times[row]))
        reading.add(answer, split_concepts(concept[row], found.several), text[row], place_of(file, line + int(row)))


def _no_answers(reading: _Reading, cells: dict[str, Any], found: Columns) -> Any:
    """(rows,): those that are no answers at all, which are counted."""
    import numpy as np

    none = np.zeros(len(cells["correct"]), dtype=bool)
    if "lectures" in cells:
        none |= np.array([text == "1" for text in cells["lectures"].to_pylist()], dtype=bool)
        reading.left.note(LECTURES, int(none.sum()))
    if found.outcome:
        empty = np.asarray(cells["correct"].is_null()) & ~none
        reading.left.note(NO_OUTCOME, int(empty.sum()))
        none |= empty
    return none


def _complaint(cells: dict[str, Any], order: _DateOrder) -> str:
    """What is wrong with a row of texts."""
    missing = next((what for what in ("learner", "item", "correct") if not cells.get(what)), None)
    if missing is not None:
        return f"the {missing} is missing"
    try:
        label_of(cells["correct"])
        if cells.get("time") is None:
            return "the time is missing"
        time_of(cells["time"], order)
    except BadRowError as problem:
        return problem.problem
    return "the row cannot be read"
