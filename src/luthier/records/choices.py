"""Multiple-choice questions: read from the layouts in use, written for a model, and an answer's text matched to an option.

Rows may also carry a chain of thought that some model wrote, so that stored logs can be looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_rows, set_aside
from luthier.records.inspect_logs import inspect_rows, is_inspect_log
from luthier.texts.answers import final_answer, same_answer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUESTIONS = ("question", "problem", "question_stem", "stem", "input", "query")
OPTIONS = ("options", "choices", "endings")
ANSWERS = ("answer", "answerKey", "gold", "target", "label", "correct", "answer_index")
CHAINS = ("chain", "completion", "prediction", "response", "output", "generation")
MOST_TARGETS = 8  # a task whose answers are at most so many different ones has them for options
_LISTED = re.compile(r"\n\s*(?:answer\s+)?(?:options|choices)\s*:?\s*\n", re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:\(?([A-Za-z])[).:]\s+|[-*•]\s+)")
_LETTER_ALONE = re.compile(r"^\W*(?:option\s+|choice\s+)?\(?([A-Za-z])\)?\W*$", re.IGNORECASE)
_LETTER_FIRST = re.compile(r"^\W*(?:option\s+|choice\s+)?(?:\(([A-Za-z])\)|([A-Z])[).:](?=\s))")


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


def check_options(options: Sequence[str]) -> None:
    """Raises BadRowError where there are fewer than two options, too many for letters, an empty one, or two alike."""
    if len(options) < 2:
        raise BadRowError(f"a question needs two options or more; it has {len(options)}")
    if len(options) > len(LETTERS):
        raise BadRowError(f"{len(options)} options; at most {len(LETTERS)} can be told apart by letters")
    if any(not option.strip() for option in options):
        raise BadRowError("an option is empty")
    folded = [" ".join(option.split()).casefold() for option in options]
    twice = next((option for option in folded if folded.count(option) > 1), None)
    if twice is not None:
        raise BadRowError(f"the option {twice!r} is there twice; the answers cannot be told apart")


def read_choices(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[ChoiceQuestion]:
    """The questions of a file.

    Layouts: `question` (or `problem`, `question_stem`) with `options` (or `choices`: texts, texts by letter, or the hub's `text` and `label`)
    and `answer` (a letter, a place from 0, or the text), or the options as lines after "Options:" in the question; samples of
    lm-evaluation-harness, whose `doc` is such a row; logs of Inspect; rows of BIG-bench tasks whose few `target`s are the options. A chain is read from
    `chain`, `completion`, `prediction`, `response` or `resps`. Raises BadRowError with file and line, or leaves the row to `skipped`.
    """
    rows = list(inspect_rows(path) if is_inspect_log(path) else read_rows(path, skipped))
    targets = _targets(row for _, row in rows)
    for number, row in rows:
        try:
            yield to_choice(row, targets.get(str(row.get("task", "")), ()), f"{path}:{number}")
        except BadRowError as problem:
            set_aside(problem.at(path, number), row, skipped)


def to_choice(row: JSON, targets: Sequence[str] = (), place: str = "") -> ChoiceQuestion:
    """A question from a row; targets: the options of a row that lists none. Raises BadRowError."""
    outer, row = row, _inner(row)
    name = next((each for each in QUESTIONS if isinstance(row.get(each), str | dict)), None)
    if name is None:
        raise BadRowError(f"a question needs a text in one of {', '.join(QUESTIONS)}; the row has {', '.join(row)}")
    asked = row[name]
    nested = asked if isinstance(asked, dict) else row  # ARC's older layout holds stem and choices in `question`
    text = str(nested.get("stem") or asked) if isinstance(asked, dict) else str(asked)
    given = next((nested[each] for each in OPTIONS if each in nested), None)
    stem, listed = _split(text)
    labels, options = _options(given) if given is not None else listed
    if given is None and not options:
        stem, options = text.strip(), list(targets)
    if not stem.strip():
        raise BadRowError("the question is empty")
    check_options(options)
    right = next((row[each] for each in ANSWERS if row.get(each) is not None and each != name), None)
    chain = _chain(outer)
    used = {*QUESTIONS, *OPTIONS, *ANSWERS, *CHAINS, "prompt", "task", "subject", "doc", "resps", "filtered_resps", "arguments"}
    return ChoiceQuestion(
        " ".join(stem.split(" ")).strip(),
        tuple(options),
        _answer(right, options, labels),
        chain,
        outer["prompt"] if isinstance(outer.get("prompt"), str) else None,
        str(outer.get("task") or row.get("subject") or row.get("type") or ""),
        place,
        {key: value for key, value in outer.items() if key not in used},
    )


def stated_choice(text: str, options: Sequence[str]) -> int | None:
    """The option that a text states as its final answer, by letter or by its words; None where it states none of them."""
    stated = final_answer(text)
    return None if stated is None else match_option(stated.text, options)


def match_option(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names: its words, its letter alone, or its letter before its words. None where it names none."""
    for place, option in enumerate(options):
        if same_answer(answer, option):
            return place
    found = _LETTER_ALONE.match(answer) or _LETTER_FIRST.match(answer)
    letter = found[found.lastindex or 1] if found else None
    if letter is not None and LETTERS.index(letter.upper()) < len(options):
        return LETTERS.index(letter.upper())
    folded = answer.casefold()
    named = [place for place, option in enumerate(options) if re.search(rf"\b{re.escape(option.casefold())}\b", folded)]
    return named[0] if len(named) == 1 else None


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


def _split(text: str) -> tuple[str, tuple[list[str], list[str]]]:
    """A text that lists its options after "Options:" as stem and (letters, options); without them the whole text."""
    found = _LISTED.search(text)
    if found is None:
        return text, ([], [])
    labels, options = [], []
    for number, line in enumerate(line for line in text[found.end() :].splitlines() if line.strip()):
        mark = _MARK.match(line)
        labels.append((mark[1] or LETTERS[number % 26]) if mark and mark[1] else LETTERS[number % 26])
        options.append(line[mark.end() :].strip() if mark else line.strip())
    return text[: found.start()], (labels, options)


def _options(given: Any) -> tuple[list[str], list[str]]:
    """(letters, options) of a list of texts, of texts by letter, of the hub's columns `label` and `text`, or of rows with both."""
    if isinstance(given, dict) and isinstance(given.get("text"), list):
        texts = [str(text) for text in given["text"]]
        labels = [str(label) for label in given.get("label") or LETTERS[: len(texts)]]
        return labels, texts
    if isinstance(given, dict):
        return [str(label) for label in given], [str(text) for text in given.values()]
    if isinstance(given, list) and given and all(isinstance(each, dict) and "text" in each for each in given):
        return [str(each.get("label", LETTERS[at])) for at, each in enumerate(given)], [str(each["text"]) for each in given]
    if isinstance(given, list) and all(isinstance(each, str | int | float) for each in given):
        return list(LETTERS[: len(given)]), [str(each) for each in given]
    raise BadRowError("the options are neither a list of texts nor texts by letter")


def _answer(given: Any, options: Sequence[str], labels: Sequence[str]) -> int | None:
    """The place of the right option. Raises BadRowError where the answer names none of them."""
    if given is None or given == "":
        return None
    if isinstance(given, int) and not isinstance(given, bool):
        if 0 <= given < len(options):
            return given
        raise BadRowError(f"the answer {given} is not a place among {len(options)} options, counted from 0")
    text = str(given).strip()
    for place, option in enumerate(options):
        if same_answer(text, option):
            return place
    bare = text.strip("()[]. ").casefold()
    for place, label in enumerate(labels):
        if bare == label.strip("()[]. ").casefold():
            return place
    if bare.isdigit() and int(bare) < len(options):
        return int(bare)
    found = match_option(text, options)
    if found is None:
        raise BadRowError(f"the answer {text[:60]!r} is none of the options {', '.join(options)[:120]}")
    return found


def _chain(row: JSON) -> str | None:
    for name in CHAINS:
        if isinstance(row.get(name), str):
            return str(row[name])
    found = row.get("resps") or row.get("filtered_resps")  # lm-evaluation-harness: a list of answers of each request
    while isinstance(found, list) and found:
        found = found[0]
    return found if isinstance(found, str) else None
