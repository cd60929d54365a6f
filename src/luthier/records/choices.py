"""Multiple-choice questions: read from the layouts in use, written for a model, and an answer's text matched to an option.

Rows may also carry a chain of thought that some model wrote, so that stored logs can be looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import BadRowError
from luthier.records.account import note, note_row
from luthier.records.choice_layouts import ANSWERS, LETTERS, QUESTIONS, check_options, find_choice, match_option, numbered_answer
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_rows, renamed, set_aside
from luthier.records.inspect_logs import inspect_rows, is_inspect_log
from luthier.texts.answers import final_answer

__all__ = ["LETTERS", "ChoiceQuestion", "check_options", "match_option", "read_choices", "stated_choice", "to_choice"]
CHAINS = ("chain", "completion", "prediction", "response", "output", "generation")
BULK = ("resps", "filtered_resps", "arguments")  # requests and replies as lm-evaluation-harness keeps them beside the row
MOST_TARGETS = 8  # a task whose answers are at most so many different ones has them for options


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question, its options in order, and the place of the right one where it is known.

    chain: a chain of thought that came with it; prompt: what its writer had been asked, where that is recorded. group: questions of one
    kind, a task or a subject. place: file and line.
    """

    question: str
    options: tuple[str, ...]
    answer: int | None = None
    chain: str | None = None
    prompt: str | None = None
    group: str = ""
    place: str = ""
    extra: JSON = field(default_factory=dict)

    def lettered(self) -> str:
        """The question and its options behind letters."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return "\n".join([self.question, *lines])

    def listed(self) -> str:
        """The question and its options, a line each, without letters."""
        return "\n".join([self.question, *(f"- {option}" for option in self.options)])


def read_choices(
    path: str | Path, skipped: SkippedRows | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[ChoiceQuestion]:
    """The questions of a file.

    Layouts: `question` (or `problem`, `stem`, ...) with `options` (or `choices`: texts, texts by letter, or the hub's `text` and `label`) or
    options in columns (`A`, `option_a`, `ending0`, ...) and `answer` (a label, a place from 0, or the text), or the options as lines after
    "Options:" in the question; samples of lm-evaluation-harness, whose `doc` is such a row; logs of Inspect; rows of BIG-bench tasks whose few
    `target`s are the options. A chain is read from `chain`, `completion`, `prediction`, `response` or `resps`. columns: names of fields, and the
    columns that hold them. Raises BadRowError with file and line, or leaves the row to `skipped`.
    """
    given = inspect_rows(path, skipped) if is_inspect_log(path) else read_rows(path, skipped)
    rows = list(renamed(given, columns, path, skipped) if columns else given)
    rows = _with_header(rows) if Path(path).name.removesuffix(".gz").endswith((".csv", ".tsv")) else rows
    targets = _targets(row for _, row in rows)
    first = _first_number(row for _, row in rows)
    if first:
        note("understood", "answers that are numbers counted from 1, as one is that of the last option and none is 0", path)
    for number, row in rows:
        try:
            question = to_choice(row, targets.get(str(row.get("task", "")), ()), f"{path}:{number}", first=first)
        except BadRowError as problem:
            set_aside(problem.at(path, number), row, skipped)
            continue
        note_row("questions with options", (f"field {name!r}" for name in question.extra), path, number)
        for name in BULK:
            if row.get(name):
                note("left out", f"field {name!r} of a sample, but for its chain", path, number)
        yield question


def to_choice(row: JSON, targets: Sequence[str] = (), place: str = "", *, first: int = 0) -> ChoiceQuestion:
    """A question from a row; targets: the options of a row that lists none; first: the number of the first option where an answer is a number.
    Raises BadRowError."""
    outer, row = row, _inner(row)
    found = find_choice(row, targets, first=first)
    if not found.question.strip():
        raise BadRowError("the question is empty")
    chain, chain_by = _chain(outer)
    prompt = outer["prompt"] if isinstance(outer.get("prompt"), str) else None
    group_by = next((name for name in ("task", "subject", "type") if (outer if name == "task" else row).get(name)), "")
    used = {*found.used, chain_by, group_by, *(["prompt"] if prompt is not None else [])}
    inside = row.items() if row is not outer else ()
    extra = {key: value for key, value in (*inside, *outer.items()) if key not in used and key not in BULK and value is not None}
    if row is not outer:
        extra.pop("doc", None)
    return ChoiceQuestion(
        " ".join(found.question.split(" ")).strip(),
        tuple(found.options),
        found.answer,
        chain,
        prompt,
        str((outer if group_by == "task" else row).get(group_by) or ""),
        place,
        extra,
    )


def stated_choice(text: str, options: Sequence[str]) -> int | None:
    """The option that a text states as its final answer, by letter or by its words; None where it states none of them."""
    stated = final_answer(text)
    return None if stated is None else match_option(stated.text, options)


def _with_header(rows: list[tuple[int, JSON]]) -> list[tuple[int, JSON]]:
    """The rows of a table without a header, as MMLU's are: question, options and a letter; what was taken for the header is its first row."""
    cells = list(rows[0][1]) if rows else []
    options = len(cells) - 2
    named = {name.casefold() for name in cells} & {*QUESTIONS, *ANSWERS}
    if options < 2 or named or cells[-1] not in LETTERS[:options] or any(set(row) != set(cells) for _, row in rows):
        return rows
    names = ("question", *LETTERS[:options], "answer")
    note("understood", "a table without a header: question, options and the letter of the right one")
    return [(1, dict(zip(names, cells, strict=True))), *((number, dict(zip(names, row.values(), strict=True))) for number, row in rows)]


def _first_number(rows: Iterable[JSON]) -> int:
    """1 where answers are numbers of options counted from 1, else 0: one of them is that of the last option so counted, and none is 0."""
    last = False
    for row in rows:
        found = numbered_answer(_inner(row))
        if found is None or found[0] < 1 or found[0] > found[1]:
            return 0
        last = last or found[0] == found[1]
    return int(last)


def _targets(rows: Iterable[JSON]) -> dict[str, tuple[str, ...]]:
    """Of each task its different targets, where they are few."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if isinstance(row.get("target"), str):
            found.setdefault(str(row.get("task", "")), set()).add(row["target"].strip())
    return {task: tuple(sorted(each)) for task, each in found.items() if 2 <= len(each) <= MOST_TARGETS}


def _inner(row: JSON) -> JSON:
    doc = row.get("doc")
    return doc if isinstance(doc, dict) else row


def _chain(row: JSON) -> tuple[str | None, str]:
    """The chain, and the field it was read from."""
    for name in CHAINS:
        if isinstance(row.get(name), str):
            return str(row[name]), name
    found = row.get("resps") or row.get("filtered_resps")  # lm-evaluation-harness: a list of answers of each request
    while isinstance(found, list) and found:
        if len(found) == 2 and found[1] in (True, False, "True", "False"):  # a likelihood, and whether it is that of the likeliest text
            return None, ""
        found = found[0]
    return (found if isinstance(found, str) else None), ""
