"""Evaluation results as learners' answers: the learner is a model or a checkpoint, an item what it was asked, a concept the skill that item asks for.

Reads the files of BFCL, lm-evaluation-harness, Inspect, EvalPlus and Luthier's own evaluations (`luthier.trace.result_layouts`), and the plain long
table with the columns learner, item, correct.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

from luthier.errors import BadRowError, MissingFileError
from luthier.records.account import Account, note, note_strange
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_lines, read_rows, set_aside
from luthier.records.lines import parse_row
from luthier.texts.dates import Order, shown_order
from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Item
from luthier.trace.readers.places import header_of, is_table, opened
from luthier.trace.readers.values import time_or_nan
from luthier.trace.result_documents import Documents
from luthier.trace.result_layouts import (
    SIDES,
    Answered,
    Reader,
    evalplus_answers,
    harness_answers,
    harness_directions,
    inspect_answers,
    layout_of,
    repeated_runs,
)
from luthier.trace.result_rules import NOTHING_WANTED, Choice, Rules, Scored, Wanted, choose
from luthier.trace.result_tables import COLUMNS, KNOWN, LABELS, concepts_of, correct_of, read_answer_table, table_name, time_problem
from luthier.trace.writings import name_of, whole_names

LAYOUTS = (
    "BFCL score files, samples_*.jsonl of lm-evaluation-harness, logs of Inspect, *_eval_results.json of EvalPlus, annotations.json of AlpacaEval, judged answers of `luthier "
    "evaluate tools` or `luthier run`, scores.jsonl of `luthier evaluate choice`, or a table with the columns learner, item, correct"
)

ResultFile = tuple[str | None, Path, Reader | Literal["table"]]  # name of the learner if given, file, its reader
_SEVERAL = (harness_answers, inspect_answers, evalplus_answers)  # whose answers may have several scores


def read_results(
    paths: Sequence[str | Path],
    items: str | Path | None = None,
    skipped: SkippedRows | None = None,
    columns: Mapping[str, str] | None = None,
    wanted: Wanted | Rules = NOTHING_WANTED,
) -> AnswerLog:
    """The answers in files, and in all files of folders that are of a known layout, as one log.

    paths: `PATH` or `NAME=PATH`, which names the learner. Learners stand in the order of the files, those of a folder in natural order
    (step-2 before step-10). items: rows with `item`, `text`, `concepts` (a list, or one text), for tables that know neither; what they say
    of an item goes before what the results say. skipped: takes bad rows. columns: names of fields of tables, and the columns that hold them
    (`{"learner": "model"}`). wanted: metrics and filters that count where answers have several scores; of each task one counts, which all
    learners have, or by rules that were chosen before (`luthier.trace.result_rules`). Raises BadRowError with file and line, MissingFileError, SettingsError.
    """
    files = result_files(paths, columns)
    gathered = _Gathered(dict(columns or {}), wanted if isinstance(wanted, Rules) else result_rules(files, wanted))
    for name, path, reader in files:
        gathered.read(path, reader, name, skipped)
    if not len(gathered.answers):
        told = "; ".join(gathered.notes)
        raise BadRowError(f"no scored answer in {', '.join(str(given) for given in paths)}" + (f" ({told})" if told else ""))
    return gathered.log(_read_items(items) if items is not None else {})


def result_files(paths: Sequence[str | Path], columns: Mapping[str, str] | None = None) -> list[ResultFile]:
    """(name of the learner if given, file, its reader) of everything in `paths` that `read_results` reads, in its order.

    Of a task that lm-evaluation-harness or Inspect was run on more than once for a model, the last run counts, a finished one before others.

    Raises MissingFileError, and BadRowError for a file of no known layout.
    """
    found: list[ResultFile] = []
    for given in paths:
        name, path = _named(given)
        if not path.exists():
            raise MissingFileError(f"{path} does not exist")
        known = [
            (name, each, reader)
            for each in (_files(path) if path.is_dir() else [path])
            if (reader := _reader(each, columns or {}, given=not path.is_dir())) is not None
        ]
        if not known and path.is_dir():
            raise MissingFileError(f"{path}: no evaluation results there; known are {LAYOUTS}")
        if not known:
            raise BadRowError(f"not a layout of evaluation results; known are {LAYOUTS}", path)
        found += known
    old = repeated_runs([(name, path, reader) for name, path, reader in found if reader != "table"])
    for path in old:
        note("left out", "an earlier run of a task that was run again", path, 1)
    return [each for each in found if each[1] not in old]


def result_rules(files: Sequence[ResultFile], wanted: Wanted = NOTHING_WANTED) -> Rules:
    """By what each task of these files is scored, where a file has several scores of an answer. Raises SettingsError as `choose` does."""
    several = [(name, path, reader) for name, path, reader in files if reader != "table" and reader in _SEVERAL]
    with Account(apart=True):  # they are read and counted afterwards
        directions = [
            (path, task, metric, higher)
            for _, path, reader in several
            if reader is harness_answers
            for task, metric, higher in harness_directions(path)
        ]
        return choose(_scored(several), directions, wanted)


def _scored(files: Sequence[tuple[str | None, Path, Reader]]) -> Iterator[Scored]:
    for name, path, reader in files:
        for _, answered in reader(path, name, SkippedRows()):
            yield Scored(answered.learner, answered.values or {})


def by_rules(
    answers: Iterator[tuple[int, Answered]], rules: Rules, path: Path, skipped: SkippedRows | None
) -> Iterator[tuple[int, Answered]]:
    """The answers as the rules score them; those of other filters are left out."""
    for line, answered in answers:
        if answered.values is None:
            yield line, answered
            continue
        correct: float | None = None
        choice = next((found for rule in answered.values if (found := rules.choices.get(rule.task)) is not None), None)
        if choice is not None:
            filters = {rule.filter for rule in answered.values}
            if choice.rule.filter not in filters:
                note("left out", f"samples of the filter {min(filters)!r}; those of {choice.rule.filter!r} count", path, line)
                continue
            _note_others(answered, choice, path, line)
            value = answered.values.get(choice.rule)
            if isinstance(value, BadRowError):
                set_aside(value.at(path, line), answered._replace(values=None)._asdict(), skipped)
                continue
            correct = 1 - value if value is not None and choice.lower else value
        yield line, answered._replace(correct=correct, values=None)


def _note_others(answered: Answered, choice: Choice, path: Path, line: int) -> None:
    for rule, value in (answered.values or {}).items():
        if rule != choice.rule and (value is not None or rule.metric != choice.rule.metric):
            note("left out", f"scores of {rule.name!r}; those of {choice.rule.name!r} count", path, line)


class _Gathered:
    """Answers, and what is known of their items."""

    def __init__(self, columns: dict[str, str], rules: Rules) -> None:
        self.columns, self.rules = columns, rules
        self.answers = AnswerCollector()
        self.items: dict[str, Item] = {}
        self.notes = list(rules.notes)
        self.documents = Documents()

    def read(self, path: Path, reader: Reader | Literal["table"], name: str | None, skipped: SkippedRows | None) -> None:
        if reader == "table":
            self._table(path, name, skipped)
            return
        count, unscored = 0, 0
        for line, answered in self.documents.named(by_rules(reader(path, name, skipped), self.rules, path, skipped), path):
            if answered.correct is None:
                unscored += 1
                note("left out", "samples that were not scored", path, line)
                continue
            try:
                self.answers.add(answered.learner, answered.item, answered.correct, line=line)
            except BadRowError as problem:
                set_aside(problem.at(path, line), answered._asdict(), skipped)
                continue
            count += 1
            self._note(answered)
        if unscored:
            self.notes.append(f"{path}: {unscored} of {count + unscored} samples were not scored and are left out")

    def _note(self, answered: Answered) -> None:
        known = self.items.get(answered.item)
        if known is None or (not known.text and answered.text):
            self.items[answered.item] = Item(answered.item, answered.text, answered.concepts)

    def _table(self, path: Path, name: str | None, skipped: SkippedRows | None) -> None:
        if is_table(path):
            self._columns(path, name, skipped)
            return
        order = cache(lambda: shown_order(_times(path, self.columns)).order)  # looked for once, and only where a date is open
        for line, row in read_rows(path, skipped, self.columns):
            try:
                learner, item, correct = _cells({"learner": name or table_name(path), **row})
                self.answers.add(name or learner, item, correct, _time(row, order), line=line)
            except BadRowError as problem:
                set_aside(problem.at(path, line), row, skipped)
                continue
            note_strange("answers of a table", row, KNOWN, path, line)
            self._note(
                Answered(
                    learner,
                    item,
                    correct,
                    str(row.get("text") or ""),
                    concepts_of(row.get("concepts", row.get("concept")), "concepts" in row),
                )
            )

    def _columns(self, path: Path, name: str | None, skipped: SkippedRows | None) -> None:
        """A whole table at once, by columns."""
        import numpy as np
        import pyarrow as pa

        table = read_answer_table(path, self.columns, skipped, name)
        learner, item = (table.cells[column] for column in COLUMNS[:2])
        if name is not None:
            learner = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table.correct), dtype=np.int32)), pa.array([name]))
        self.answers.add_columns(learner, item, table.correct, table.time)
        for known in table.items:
            self._note(Answered("", known.item, None, known.text, known.concepts))

    def log(self, given: dict[str, Item]) -> AnswerLog:
        self.notes += [*self.documents.notes, *self.answers.settle()]
        found: dict[str, Item] = {}
        for name, item in zip(whole_names(list(self.items)), self.items.values(), strict=True):
            if name not in found or (item.text and not found[name].text):
                found[name] = Item(name, item.text, item.concepts)
        items = [
            item if (known := given.get(name)) is None else Item(name, known.text or item.text, known.concepts or item.concepts)
            for name, item in found.items()
        ]
        items += [item for name, item in given.items() if name not in found]
        chosen = self.rules.lines() if any(choice.others or choice.lower for choice in self.rules.choices.values()) else []
        return self.answers.log(Catalogue.of(items), [*self.notes, *chosen])


# --- finding out what a file is -----------------------------------------------------------------------------------------------


def _named(given: str | Path) -> tuple[str | None, Path]:
    """NAME=PATH, or a path alone."""
    if isinstance(given, str) and "=" in given and not Path(given).exists():
        name, path = given.split("=", 1)
        return name, Path(path)
    return None, Path(given)


def _files(folder: Path) -> list[Path]:
    """All files below, in natural order; what a run scored before training stands before what it scored after."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(found, key=lambda path: (_natural(str(_in_time(path.parent))), _natural(path.name)))


def _in_time(folder: Path) -> Path:
    """`before` under a name that sorts before `after`."""
    return folder.with_name("aafore") if folder.name == SIDES[0] else folder


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def _reader(path: Path, columns: Mapping[str, str], *, given: bool) -> Reader | Literal["table"] | None:
    """The reader of a file's layout, `table` for a long table, None for anything else. given: a file that is named itself, not found in a folder,
    whose name may stand for a column of learners; raises BadRowError where it is a table that cannot be read."""
    found = layout_of(path)
    if found is not None:
        return found
    needed = {columns.get(name, name) for name in COLUMNS if name != "learner" or not given or name in columns}
    if is_table(path):
        try:
            return "table" if needed <= set(header_of(path)) else None
        except BadRowError:
            if given:
                raise
            return None
    first = _first_row(path, needed)
    return "table" if first is not None and needed <= set(first) else None


def _first_row(path: Path, needed: set[str]) -> JSON | None:
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind == ".parquet":
        return next((row for _, row in read_rows(path)), None)
    if kind == ".json":
        with suppress(BadRowError, OSError, EOFError, zlib.error), opened(path) as stream:
            head = stream.read(1 << 16)  # other files of JSON are not read whole to see that they are none
            if all(json.dumps(name).encode() in head for name in needed):
                return next((row for _, row in read_rows(path, SkippedRows())), None)
        return None
    if kind not in (".jsonl", ".ndjson"):
        return None
    for _, line in read_lines(path) or ():
        if line.strip():
            with suppress(BadRowError):
                return parse_row(line)
            return None
    return None


# --- the long table -----------------------------------------------------------------------------------------------------------


def _cells(row: JSON) -> tuple[str, str, float]:
    missing = next((name for name in COLUMNS if row.get(name) is None or not str(row[name]).strip()), None)
    if missing is not None:
        raise BadRowError(f"the row has no {missing}; it needs {', '.join(COLUMNS)}")
    correct = row["correct"]
    share = correct_of(correct)
    if share is None:
        raise BadRowError(f"correct is {correct!r}; {LABELS}")
    return str(row["learner"]).strip(), str(row["item"]).strip(), share


def _time(row: JSON, order: Callable[[], Order | None]) -> float | None:
    time = row.get("timestamp")
    if time is None:
        return None
    found = math.nan if isinstance(time, bool) or not isinstance(time, str | int | float) else time_or_nan(time, order)
    if math.isnan(found):
        raise BadRowError(time_problem(time))
    return found


def _times(path: Path, columns: Mapping[str, str]) -> Iterator[str]:
    """The times of a table that is read row by row, as they stand."""
    with Account(apart=True):  # its rows are counted where they are read as answers
        for _, row in read_rows(path, SkippedRows(), columns):
            yield str(row.get("timestamp"))


def _read_items(path: str | Path) -> dict[str, Item]:
    found: dict[str, Item] = {}
    rows = list(read_rows(path))
    for line, row in rows:
        if not isinstance(row.get("item"), str | int | float):
            raise BadRowError("an item needs its name in `item`; beside it may stand `text` and `concepts`", path, line)
    names = whole_names([name_of(row["item"]) for _, row in rows])
    for name, (line, row) in zip(names, rows, strict=True):
        found[name] = Item(name, str(row.get("text") or ""), concepts_of(row.get("concepts", row.get("concept")), "concepts" in row))
        note_strange("items", row, KNOWN, path, line)
    return found
