"""The plain long table of answers as CSV or TSV, read by columns: learner, item, correct, and timestamp, text, concepts where they are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.account import note
from luthier.records.files import SkippedRows, set_aside
from luthier.records.numbers import shown
from luthier.texts.dates import is_open, shown_order
from luthier.trace.answers import Item
from luthier.trace.readers.columns import split_concepts
from luthier.trace.readers.places import RecordLines, head_of, header_of
from luthier.trace.readers.values import label_of, times_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("learner", "item", "correct")
KNOWN = frozenset({*COLUMNS, "timestamp", "text", "concepts", "concept"})
_TIMES = "give a number, seconds for example, or a date like 2024-05-17T09:30:00"
_OPEN = "it may be day or month first, and the others of its column do not show which; write it as 2024-05-17"
LABELS = "give true or false, yes or no, correct or incorrect, or a number; it must lie between 0 and 1"


@dataclass(frozen=True)
class AnswerTable:
    """cells: learner and item as pyarrow dictionary arrays; correct: float32 in [0, 1]; time: float64, or None where no column says it."""

    cells: dict[str, Any]
    correct: NDArray[np.float32]
    time: NDArray[np.float64] | None
    items: list[Item]


def table_name(path: Path) -> str:
    """What the learner of a table without a column of learners is called."""
    return path.name.removesuffix(".gz").rpartition(".")[0]


def read_answer_table(path: Path, columns: Mapping[str, str], skipped: SkippedRows | None, name: str | None = None) -> AnswerTable:
    """The answers of a CSV or TSV file. columns: names of fields, and the columns that hold them. name: of the learner where no column names
    one, the file's own if left out.

    Raises BadRowError with file and line where `skipped` does not take the row, and for a file that is no table.
    """
    import numpy as np

    table = _read(path, columns)
    coded = {name: table[name].combine_chunks() for name in table.column_names}
    if "learner" not in coded:
        coded["learner"] = _constant(name or table_name(path), len(coded["item"]))
    coded |= {column: _named(coded[column]) for column in COLUMNS[:2]}
    texts = [str(text) for text in coded["correct"].dictionary.to_pylist()]
    shares = np.array([correct_of(text) if correct_of(text) is not None else math.nan for text in texts] or [math.nan])
    correct = np.where(_empty(coded["correct"]), math.nan, shares[_codes(coded["correct"])])
    time, bad_time = _times(coded.get("timestamp"))
    problems = {
        **{int(at): time_problem(coded["timestamp"][int(at)].as_py()) for at in bad_time},
        **{int(at): f"correct is {coded['correct'][int(at)].as_py()!r}; {LABELS}" for at in np.flatnonzero(np.isnan(correct))},
        **{int(at): f"the {name} is empty" for name in COLUMNS[:2] for at in np.flatnonzero(_empty(coded[name]))},
    }
    if problems:
        lines = RecordLines(path)
        for at in sorted(problems):
            row = {name: coded[name][at].as_py() for name in coded}
            set_aside(BadRowError(problems[at], path, lines.of(at + 2)), row, skipped)
    keep = np.setdiff1d(np.arange(len(correct)), np.fromiter(problems, dtype=np.int64, count=len(problems)))
    kept = {name: column.take(keep) for name, column in coded.items()}
    if problems:  # who stands in refused rows alone has answered nothing
        kept |= {name: kept[name].dictionary_decode().dictionary_encode() for name in COLUMNS[:2]}
    note("understood", "answers of a table", path, 2, rows=len(keep))
    for column in coded:
        if column not in KNOWN:
            note("left out", f"field {column!r} of answers of a table", path, 2, rows=len(keep))
    cells = {name: kept[name] for name in COLUMNS[:2]}
    return AnswerTable(cells, correct[keep].astype(np.float32), None if time is None else time[keep], _items(kept))


def _constant(text: str, count: int) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


def correct_of(value: Any) -> float | None:
    """How right an answer is, out of true or false, a number between 0 and 1, or the text of either or a word for it; None for anything else."""
    if isinstance(value, str):
        with suppress(BadRowError):
            return label_of(value)
        return None
    return float(value) if isinstance(value, bool | int | float) and 0 <= value <= 1 else None


def time_problem(given: Any) -> str:
    """What is wrong with a time that is no moment."""
    return f"timestamp is {shown(given)}; {_OPEN if isinstance(given, str) and is_open(given) else _TIMES}"


def concepts_of(given: Any, several: bool) -> tuple[str, ...]:
    """Concepts out of a list of them, or a cell as `luthier trace` reads it. several: of a column whose name says that it may hold more than one."""
    return tuple(str(one) for one in given) if isinstance(given, list) else tuple(split_concepts(given, several))


def _read(path: Path, columns: Mapping[str, str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv as tables

    names = {column: name for name, column in columns.items()}
    head, header = head_of(path), header_of(path)
    if (twice := next((name for name in header if header.count(name) > 1), None)) is not None:
        raise BadRowError(f"two columns are called {twice!r}; rename one", path, head.line)
    dialect = head.dialect
    parsing = tables.ParseOptions(delimiter=dialect.sign, quote_char='"' if dialect.quoted else False, newlines_in_values=dialect.quoted)
    types = {name: pa.dictionary(pa.int32(), pa.string()) for name in header}
    options = tables.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True)
    with path.open("rb") as start:
        packed = start.read(2) == b"\x1f\x8b"
    try:
        with pa.input_stream(str(path), compression="gzip" if packed else None) as stream:
            reading = tables.ReadOptions(use_threads=False, skip_rows=head.line - 1)
            table = tables.read_csv(stream, reading, parsing, options).unify_dictionaries()
    except (pa.ArrowException, OSError) as problem:
        told = " ".join(str(problem).split())
        row = next((int(word.strip("#:,")) for word in told.split() if word.startswith("#")), None)
        words = f"{told}; expected are the columns {', '.join(COLUMNS)} and, if known, timestamp, text, concepts"
        raise BadRowError(words, path, row) from None
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def _named(column: Any) -> Any:
    """A column of names without blanks around them; what is empty then is null. Whether `1.0` is 1 is settled over all files."""
    import pyarrow as pa

    names = [name.strip() for name in column.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(column.indices, pa.array([name or None for name in names], pa.string()))


def _times(column: Any) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    """The times of the answers, and the rows whose time is neither a number nor a date."""
    import numpy as np

    if column is None:
        return None, np.array([], dtype=np.int64)
    order = cache(lambda: shown_order(column.dictionary.to_pylist()).order)  # looked for once, and only where a date is open
    found = times_of(column.dictionary, order)
    values = np.where(np.isfinite(found), found, math.nan) if len(found) else np.array([math.nan])
    times = np.where(_empty(column), math.nan, values[_codes(column)])
    return times, np.flatnonzero(np.isnan(times))


def _codes(column: Any) -> NDArray[np.int64]:
    import numpy as np

    return np.asarray(column.indices.fill_null(0)).astype(np.int64)


def _empty(column: Any) -> NDArray[np.bool_]:
    import numpy as np

    return np.asarray(column.is_null())


def _items(cells: dict[str, Any]) -> list[Item]:
    """The items with the first text and the first concepts that a row says of each."""
    names = cells["item"].dictionary.to_pylist()
    told: dict[int, tuple[str, tuple[str, ...]]] = {}
    codes = _codes(cells["item"])
    texts, concepts = (cells.get(one, cells.get(other)) for one, other in (("text", "text"), ("concepts", "concept")))
    if texts is None and concepts is None:
        return [Item(name) for name in names]
    words = [None if column is None else [str(text) for text in column.dictionary.to_pylist()] for column in (texts, concepts)]
    for at, code in enumerate(codes.tolist()):
        if code not in told:
            told[code] = (_said(texts, words[0], at), concepts_of(_said(concepts, words[1], at), "concepts" in cells))
    return [Item(name, *told.get(code, ("", ()))) for code, name in enumerate(names)]


def _said(column: Any, words: list[str] | None, at: int) -> str:
    place = None if column is None or words is None else column.indices[at].as_py()
    return "" if place is None or words is None else words[place]
