"""Answers as tables with a header: the long table, ASSISTments' skill builder files, DataShop's student-step exports.

CSV and TSV are read in columns by Arrow, names once each, so ten million rows take a minute or two and some hundred bytes a row at the peak;
JSONL and Parquet are read row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records import SkippedRows, read_rows
from luthier.records.files import set_aside
from luthier.records.learning import AnswerCollector, AnswerLog
from luthier.records.lines import to_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Names that a column may have, best first. answer: what names one answer where its concepts are rows of their own."""

    learner: tuple[str, ...]
    item: tuple[str, ...]
    correct: tuple[str, ...]
    time: tuple[str, ...] = ()
    concept: tuple[str, ...] = ()
    parts: str = "~~"  # between concepts in one cell
    right: tuple[str, ...] = ("1", "1.0", "true", "correct", "pass")
    wrong: tuple[str, ...] = ("0", "0.0", "false", "incorrect", "fail", "hint")


LAYOUTS = {
    "long": Layout(
        ("learner", "user", "user_id", "student", "model"), ("item", "item_id", "question", "question_id", "problem_id"),
        ("correct", "score", "is_correct", "passed"), ("timestamp", "time", "order"), ("concept", "skill", "concepts"),
    ),
    "assistments": Layout(
        ("user_id", "studentId"), ("problem_id", "problemId"), ("correct",), ("order_id", "startTime", "start_time"),
        ("skill_name", "skill", "skill_id"),
    ),
    "datashop": Layout(
        ("Anon Student Id",), ("Step Name",), ("First Attempt", "Correct First Attempt"), ("First Transaction Time", "Step Start Time"),
        (), right=("correct", "1"), wrong=("incorrect", "hint", "0"),
    ),
}  # fmt: skip


def is_table(path: Path) -> bool:
    """Whether a file's name says CSV or TSV, packed or not."""
    return Path(path.name.lower().removesuffix(".gz")).suffix in (".csv", ".tsv", ".txt")


def guess_table(head: Sequence[str]) -> str | None:
    """`assistments`, `datashop` or `long` from a header line; None where it is none of theirs."""
    if not head:
        return None
    names = {name.strip().strip('"') for name in head[0].replace("\t", ",").split(",")}
    for kind in ("datashop", "assistments", "long"):
        layout = LAYOUTS[kind]
        if kind == "assistments" and not names & {"skill_name", "skill", "skill_id", "order_id"}:
            continue
        if all(names & set(options) for options in (layout.learner, layout.item, layout.correct)):
            return kind
    return None


def read_table(paths: Sequence[Path], kind: str, skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers of tables of one layout. Raises BadRowError with file and line, or leaves bad rows to `skipped`."""
    collector, layout = AnswerCollector(), LAYOUTS[kind]
    for path in paths:
        if is_table(path):
            _read_columns(collector, path, layout, kind, skipped)
        else:
            _read_each(collector, path, layout, skipped)
    try:
        return collector.log()
    except BadRowError as problem:
        raise problem.at(paths[0], problem.line or 1) from None


def _read_each(collector: AnswerCollector, path: Path, layout: Layout, skipped: SkippedRows | None) -> None:
    for number, row in read_rows(path, skipped):
        try:
            learner, item, label = (_field(row, names) for names in (layout.learner, layout.item, layout.correct))
            time = next((row[name] for name in layout.time if row.get(name) is not None), None)
            concepts = next((row[name] for name in layout.concept if row.get(name) not in (None, "")), None)
            some = [str(each) for each in concepts] if isinstance(concepts, list) else [] if concepts is None else str(concepts).split(layout.parts)  # fmt: skip
            correct, when = _label(label, layout), None if time is None else _time(time)
            tags: list[str | None] = [*some] or [None]
            for concept in tags:
                collector.add(str(learner), str(item), correct, when, concept, number)
        except BadRowError as problem:
            set_aside(problem.at(path, number), to_text(row), skipped)


def _read_columns(collector: AnswerCollector, path: Path, layout: Layout, kind: str, skipped: SkippedRows | None) -> None:  # fmt: skip
    """By Arrow, block by block; every column is text until its own check."""
    import pyarrow as pa
    from pyarrow import csv

    with pa.input_stream(str(path), compression="detect") as stream:
        first: bytes = stream.read(1 << 16)
    header = first.split(b"\n", 1)[0].decode("utf-8", "replace").lstrip("\ufeff").rstrip("\r")
    tabs = "\t" in header
    names = [name.strip().strip('"') for name in header.split("\t" if tabs else ",")]
    columns = {what: _column(names, options, path, what in ("learner", "item", "correct")) for what, options in (
        ("learner", layout.learner), ("item", layout.item), ("correct", layout.correct), ("time", layout.time), ("concept", layout.concept))}  # fmt: skip
    if kind == "datashop":
        columns["concept"] = next((name for name in names if name.startswith("KC (")), None)
    wanted = {what: name for what, name in columns.items() if name is not None}
    extra = ["Problem Name"] if kind == "datashop" and "Problem Name" in names else []
    line = 2
    try:
        reader = csv.open_csv(
            pa.input_stream(str(path), compression="detect"), csv.ReadOptions(column_names=names, skip_rows=1, block_size=1 << 24),
            csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
            csv.ConvertOptions(include_columns=[*dict.fromkeys(wanted.values()), *extra], column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True),
        )  # fmt: skip
        for batch in reader:
            cells = {what: batch.column(batch.schema.get_field_index(name)) for what, name in wanted.items()}
            if extra:
                cells["item"] = pa.compute.binary_join_element_wise(batch.column(batch.schema.get_field_index(extra[0])), cells["item"], " / ")  # fmt: skip
            _add_block(collector, cells, layout, (path, line), skipped)
            line += batch.num_rows
    except pa.ArrowInvalid as problem:
        raise BadRowError(f"not a table ({str(problem).splitlines()[0][:160]})", path, line) from None


def _add_block(
    collector: AnswerCollector,
    cells: dict[str, Any],
    layout: Layout,
    place: tuple[Path, int],
    skipped: SkippedRows | None,
) -> None:
    """A block of columns; place: the file and the line of its first row."""
    import numpy as np

    path, line = place
    labels = cells["correct"].dictionary_encode()
    values = np.array([_label_or_nan(text, layout) for text in labels.dictionary.to_pylist()] or [np.nan], dtype=np.float32)  # fmt: skip
    correct = np.where(np.asarray(labels.indices.fill_null(-1)) >= 0, values[np.asarray(labels.indices.fill_null(0))], np.nan)  # fmt: skip
    times = _times(cells["time"]) if "time" in cells else None
    bad = np.isnan(correct) | ~((correct >= 0) & (correct <= 1))
    for what in ("learner", "item"):
        bad |= np.asarray(cells[what].is_null())
    if times is not None:
        bad |= np.isnan(times)
    for row in np.flatnonzero(bad):
        shown = {what: column[int(row)].as_py() for what, column in cells.items()}
        set_aside(BadRowError(_complaint(shown, layout), path, line + int(row)), to_text(shown), skipped)
    keep = np.flatnonzero(~bad)
    if "concept" not in cells:
        import pyarrow as pa

        some = {what: cells[what].take(pa.array(keep)).dictionary_encode() for what in ("learner", "item")}
        collector.add_columns(some["learner"], some["item"], correct[keep], None if times is None else times[keep])
        return
    learner, item, concept = (cells[what].to_pylist() for what in ("learner", "item", "concept"))
    for row in keep:
        concepts = [part.strip() for part in str(concept[row]).split(layout.parts)] if concept[row] else [None]
        for one in concepts:
            collector.add(learner[row], item[row], float(correct[row]), None if times is None else float(times[row]), one, line + int(row))  # fmt: skip


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

    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        when = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise BadRowError(f"the time {str(value)[:40]!r} is neither a number nor a date like 2024-05-17T09:30:00") from None  # fmt: skip
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


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
        raise BadRowError(
            f"the label {str(value)[:40]!r} is neither 0, 1, a share between, nor right or wrong"
        ) from None
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
        _time(cells.get("time"))
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
