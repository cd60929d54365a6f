"""Answers as tables with a header: the long table, ASSISTments' skill builder files, DataShop's student-step exports.

CSV and TSV are read in columns by Arrow, names once each, so ten million rows take some seconds and little more than a hundred bytes a row at the peak;
JSONL and Parquet are read row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records import SkippedRows, read_rows
from luthier.records.files import set_aside
from luthier.trace.answers import AnswerCollector, AnswerLog
from luthier.trace.readers.places import Clock, RecordLines, header_cells, header_of, is_table, lines_of, located, place_of, records_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Names that a column may have, best first; parts: what stands between concepts in one cell; right, wrong: labels that are no numbers."""

    learner: tuple[str, ...]
    item: tuple[str, ...]
    correct: tuple[str, ...]
    time: tuple[str, ...] = ()
    concept: tuple[str, ...] = ()
    parts: str = "~~"
    right: tuple[str, ...] = ("1", "1.0", "true", "correct", "pass")
    wrong: tuple[str, ...] = ("0", "0.0", "false", "incorrect", "fail", "hint")


LAYOUTS = {
    "long": Layout(
        ("learner", "user", "user_id", "student", "model"),
        ("item", "item_id", "question", "question_id", "problem_id"),
        ("correct", "score", "is_correct", "passed"),
        ("timestamp", "time", "order"),
        ("concept", "skill", "concepts"),
    ),
    "assistments": Layout(
        ("user_id", "studentId"),
        ("problem_id", "problemId"),
        ("correct",),
        ("order_id", "startTime", "start_time"),
        ("skill_name", "skill", "skill_id"),
    ),
    "datashop": Layout(
        ("Anon Student Id",),
        ("Step Name",),
        ("First Attempt", "Correct First Attempt"),
        ("First Transaction Time", "Step Start Time"),
        (),
        right=("correct", "1"),
        wrong=("incorrect", "hint", "0"),
    ),
}


def guess_table(head: Sequence[str]) -> str | None:
    """`assistments`, `datashop` or `long` from a header line; None where it is none of theirs."""
    if not head:
        return None
    names = set(header_cells(head[0]) or ())
    for kind in ("datashop", "assistments", "long"):
        layout = LAYOUTS[kind]
        if kind == "assistments" and not names & {"skill_name", "skill", "skill_id", "order_id"}:
            continue
        if all(names & set(options) for options in (layout.learner, layout.item, layout.correct)):
            return kind
    return None


def read_table(paths: Sequence[Path], kind: str, skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers of tables of one layout. Raises BadRowError with file and line, or leaves bad rows to `skipped`."""
    collector, layout, clock = AnswerCollector(), LAYOUTS[kind], Clock()
    for file, path in enumerate(paths):
        if is_table(path):
            _read_columns(collector, (path, file), layout, kind, clock, skipped)
        else:
            _read_each(collector, (path, file), layout, clock, skipped)
    try:
        return collector.log()
    except BadRowError as problem:
        raise located(problem, paths, tables=True) from None


def _read_each(collector: AnswerCollector, place: tuple[Path, int], layout: Layout, clock: Clock, skipped: SkippedRows | None) -> None:
    path, file = place
    for number, row in read_rows(path, skipped):
        try:
            learner, item, label = (_field(row, names) for names in (layout.learner, layout.item, layout.correct))
            time = next((row[name] for name in layout.time if row.get(name) is not None), None)
            concepts = next((row[name] for name in layout.concept if row.get(name) not in (None, "")), None)
            some = [str(each) for each in concepts] if isinstance(concepts, list) else _parts(concepts, layout)
            correct, when = _label(label, layout), None if time is None else _time(time)
            clock.check(when is not None)
            tags: list[str | None] = [*dict.fromkeys(some)] or [None]
            for concept in tags:
                collector.add(str(learner), str(item), correct, when, concept, place_of(file, number))
        except BadRowError as problem:
            set_aside(problem.at(path, number), row, skipped)


def _read_columns(  # noqa: PLR0917
    collector: AnswerCollector, place: tuple[Path, int], layout: Layout, kind: str, clock: Clock, skipped: SkippedRows | None
) -> None:
    """By Arrow, block by block; every column is text until its own check."""
    import pyarrow as pa
    from pyarrow import compute

    path, file = place
    names = header_of(path)
    columns = {
        what: _column(names, options, path, what in ("learner", "item", "correct"))
        for what, options in (
            ("learner", layout.learner),
            ("item", layout.item),
            ("correct", layout.correct),
            ("time", layout.time),
            ("concept", layout.concept),
        )
    }
    if kind == "datashop":
        columns["concept"] = next((name for name in names if name.startswith("KC (")), None)
    try:
        clock.check(columns["time"] is not None)
    except BadRowError as problem:
        raise problem.at(path, 1) from None
    wanted = {what: name for what, name in columns.items() if name is not None}
    if kind == "datashop" and "Problem Name" in names:
        wanted["problem"] = "Problem Name"
    # by place: a name may stand in a header twice
    codes = [str(at) for at in range(len(names))]
    at = {what: codes[names.index(name)] for what, name in wanted.items()}
    narrow: list[str] = []
    if skipped is not None:
        for _ in lines_of(path):  # what is not UTF-8 no row can be read of
            pass
    lines, line = RecordLines(path), 2
    try:
        reader = _open_columns(path, codes, [*dict.fromkeys(at.values())], None if skipped is None else narrow)
        for batch in reader:
            cells = {what: batch.column(batch.schema.get_field_index(code)) for what, code in at.items()}
            if "problem" in cells:
                cells["item"] = compute.binary_join_element_wise(cells.pop("problem"), cells["item"], " / ")
            _add_block(collector, cells, layout, (lines, file, line), skipped)
            line += batch.num_rows
    except (pa.ArrowInvalid, OSError, EOFError) as problem:
        for _ in lines_of(path):  # names the line of what is not UTF-8, and of packed data cut off
            pass
        _refuse_widths(path, len(names), skipped)
        if next(records_of(path), None) is not None:
            raise BadRowError(f"not a table ({str(problem).splitlines()[0][:160]})", path, line) from None
    if narrow:
        _refuse_widths(path, len(names), skipped)


def _open_columns(path: Path, codes: list[str], wanted: list[str], narrow: list[str] | None) -> Any:
    """Arrow's reader of a table whose columns are called `codes`; rows of another width are left to `narrow`, or refused where it is None."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def leave(row: Any) -> str:
        if narrow is not None:
            narrow.append(row.text)
        return "skip"

    sign = "\t" if "\t" in next(lines_of(path))[1] else ","
    return arrow_csv.open_csv(
        pa.input_stream(str(path), compression="detect"),
        arrow_csv.ReadOptions(column_names=codes, skip_rows=1, block_size=1 << 24),
        arrow_csv.ParseOptions(delimiter=sign, newlines_in_values=True, invalid_row_handler=None if narrow is None else leave),
        arrow_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(codes, pa.string()), strings_can_be_null=True),
    )


def _refuse_widths(path: Path, width: int, skipped: SkippedRows | None) -> None:
    for line, cells in records_of(path):
        if len(cells) != width:
            problem = BadRowError(f"the row has {len(cells)} cells and the header {width}", path, line)
            set_aside(problem, ",".join(cells), skipped)


def _parts(cell: Any, layout: Layout) -> list[str]:
    """The concepts that one cell names."""
    return [] if cell is None else [part.strip() for part in str(cell).split(layout.parts) if part.strip()]


def _add_block(
    collector: AnswerCollector, cells: dict[str, Any], layout: Layout, place: tuple[RecordLines, int, int], skipped: SkippedRows | None
) -> None:
    """A block of columns; place: the lines of the file, its number, and the number of the block's first row."""
    import numpy as np

    lines, file, line = place
    labels = cells["correct"].dictionary_encode()
    values = np.array([_label_or_nan(text, layout) for text in labels.dictionary.to_pylist()] or [np.nan], dtype=np.float32)
    correct = np.where(np.asarray(labels.indices.fill_null(-1)) >= 0, values[np.asarray(labels.indices.fill_null(0))], np.nan)
    times = _times(cells["time"]) if "time" in cells else None
    bad = np.isnan(correct) | ~((correct >= 0) & (correct <= 1))
    for what in ("learner", "item"):
        bad |= np.asarray(cells[what].is_null())
    if times is not None:
        bad |= ~np.isfinite(times)
    for row in np.flatnonzero(bad):
        shown = {what: column[int(row)].as_py() for what, column in cells.items()}
        problem = BadRowError(_complaint(shown, layout), lines.path, lines.of(line + int(row)))
        set_aside(problem, shown, skipped)
    keep = np.flatnonzero(~bad)
    if "concept" not in cells:
        import pyarrow as pa

        some = {what: cells[what].take(pa.array(keep)).dictionary_encode() for what in ("learner", "item")}
        collector.add_columns(some["learner"], some["item"], correct[keep], None if times is None else times[keep])
        return
    learner, item, concept = (cells[what].to_pylist() for what in ("learner", "item", "concept"))
    for row in keep:
        concepts: list[str | None] = [*dict.fromkeys(_parts(concept[row], layout))] or [None]
        for one in concepts:
            collector.add(
                learner[row],
                item[row],
                float(correct[row]),
                None if times is None else float(times[row]),
                one,
                place_of(file, line + int(row)),
            )


def _times(column: Any) -> NDArray[np.float64]:
    """Numbers, or dates as seconds; NaN where a cell is neither."""
    import numpy as np
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return numbers
    except pa.ArrowInvalid:
        found = [_time_or_nan(text) for text in column.to_pylist()]
        return np.array(found, dtype=np.float64)


def _time(value: Any) -> float:
    """Seconds since 1970 of a number or a date. Raises BadRowError."""
    from datetime import UTC, datetime

    try:
        seconds = float(value)
    except (TypeError, ValueError):
        try:
            when = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise BadRowError(f"the time {str(value)[:40]!r} is neither a number nor a date like 2024-05-17T09:30:00") from None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not isfinite(seconds):
        raise BadRowError(f"the time {seconds} is no moment")
    return seconds


def _time_or_nan(text: str | None) -> float:
    try:
        return float("nan") if text is None else _time(text)
    except BadRowError:
        return float("nan")


def _label(value: Any, layout: Layout) -> float:
    """0, 1 or a share between. Raises BadRowError."""
    text = str(value).strip().lower()
    if text in layout.right or text in layout.wrong:
        return 1.0 if text in layout.right else 0.0
    try:
        found = float(text)
    except ValueError:
        raise BadRowError(f"the label {str(value)[:40]!r} is neither 0, 1, a share between, nor right or wrong") from None
    if not 0 <= found <= 1:
        raise BadRowError(f"correct is {found:g}; it must lie between 0 and 1")
    return found


def _label_or_nan(text: str | None, layout: Layout) -> float:
    try:
        return float("nan") if text is None else _label(text, layout)
    except BadRowError:
        return float("nan")


def _complaint(cells: dict[str, Any], layout: Layout) -> str:
    """What is wrong with a row of texts."""
    missing = next((what for what in ("learner", "item", "correct") if not cells.get(what)), None)
    if missing is not None:
        return f"the {missing} is missing"
    try:
        _label(cells["correct"], layout)
        if cells.get("time") is None:
            return "the time is missing"
        _time(cells["time"])
    except BadRowError as problem:
        return problem.problem
    return "the row cannot be read"


def _field(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    found = next((row[name] for name in names if row.get(name) not in (None, "")), None)
    if found is None:
        raise BadRowError(f"the field {names[0]!r} is missing; the row has {', '.join(row) or 'nothing'}")
    return found


def _column(names: list[str], options: tuple[str, ...], path: Path, needed: bool) -> str | None:
    found = next((name for name in options if name in names), None)
    if found is None and needed:
        raise BadRowError(f"no column {' or '.join(options)}; the header has {', '.join(names)[:160]}", path, 1)
    return found
