"""Answers of one learner in one place: the rows of pyKT's `*_sequences.csv`, and EdNet's file for each learner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from luthier.errors import BadRowError, SettingsError
from luthier.records import SkippedRows
from luthier.records.files import set_aside
from luthier.records.numbers import shown
from luthier.trace.answers import AnswerCollector, AnswerLog
from luthier.trace.readers.columns import KEY, Left, plain
from luthier.trace.readers.places import header_cells, header_of, located, place_of, records_of
from luthier.trace.readers.values import label_of, time_of

PADDED = "-1"
SEQUENCE = ("uid", "concepts", "questions", "responses", "timestamps", "selectmasks", "isrepeat", "fold", "usetimes")


class _Answer(NamedTuple):
    item: str
    right: float
    time: float | None
    concepts: list[str]

    def named(self) -> _Answer:
        """The same; where no question is known its concepts name it. Raises BadRowError where there are none either."""
        if not (self.item or self.concepts):
            raise BadRowError("an answer of the row names neither question nor concept")
        return self if self.item else self._replace(item="_".join(self.concepts))


def guess_sequences(head: Sequence[str]) -> str | None:
    """`pykt-sequences` or `ednet` from a header line; None where it is none of theirs."""
    names = {plain(name) for name in (header_cells(head[0]) or [] if head else [])}
    if "responses" in names and "uid" in names and names & {"concepts", "questions"}:
        return "pykt-sequences"
    return "ednet" if {"timestamp", "questionid", "useranswer"} <= names and not names & {"userid", "uid", "answeredcorrectly"} else None


def learner_files(folder: Path) -> list[Path]:
    """EdNet's files in a folder, by the learners' numbers."""
    found = [path for path in folder.glob("u*.csv") if path.stem[1:].isdigit()]
    return sorted(found, key=lambda path: int(path.stem[1:]))


# --- pyKT -----------------------------------------------------------------------------------------------------------------------


def read_sequences(paths: Sequence[Path], skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers of pyKT's sequences: padding (`selectmasks` of -1) is left out, and so is what sliding windows show again. Raises
    BadRowError with file and line."""
    collector, left = AnswerCollector(), Left()
    for file, path in enumerate(paths):
        header = header_of(path)
        names = {plain(name): at for at, name in enumerate(header)}
        if len(names) != len(header):
            raise BadRowError(f"two columns have the same name ({', '.join(header)[:120]}); rename one", path, 1)
        if "uid" not in names:
            raise BadRowError(f"no column uid, which names the learner; the columns are {shown(', '.join(header), 120)}", path, 1)
        left.columns |= dict.fromkeys(name for name in header if plain(name) not in SEQUENCE[:7])
        for line, cells in records_of(path):
            try:
                if len(cells) != len(names):
                    raise BadRowError(f"the row has {len(cells)} cells and the header {len(names)}")
                learner = cells[names["uid"]].strip()
                if not learner:
                    raise BadRowError("the learner is missing")
                for answer in _sequence({name: cells[at] for name, at in names.items()}):
                    tags: list[str | None] = [*answer.concepts] or [None]
                    for concept in tags:
                        collector.add(learner, answer.item, answer.right, answer.time, concept, place_of(file, line))
            except BadRowError as problem:
                set_aside(problem.at(path, line), ",".join(cells), skipped)
    try:
        return collector.log(notes=[*left.notes(), *collector.settle()], once=True)
    except BadRowError as problem:
        raise located(problem, paths) from None


def _sequence(row: dict[str, str]) -> Iterator[_Answer]:
    """The answers of one row that are chosen by its mask."""
    columns = {name: _cells(row[name]) for name in SEQUENCE[1:7] if name in row}
    columns = {name: some for name, some in columns.items() if set(some) - {PADDED, "NA", ""}}
    if "responses" not in columns or not ({"concepts", "questions"} & set(columns)):
        raise BadRowError("the row has no responses, or neither questions nor concepts")
    width = len(columns["responses"])
    wrong = next((name for name, some in columns.items() if len(some) != width), None)
    if wrong is not None:
        raise BadRowError(f"{wrong} has {len(columns[wrong])} parts and responses {width}")
    chosen, again = columns.get("selectmasks", ["1"] * width), columns.get("isrepeat", ["0"] * width)
    held: _Answer | None = None
    for at, right in enumerate(columns["responses"]):
        if PADDED in (chosen[at], right):
            continue
        concepts = [part for part in columns["concepts"][at].split("_") if part and part != PADDED] if "concepts" in columns else []
        if again[at] == "1" and held is not None and held.right == label_of(right):
            held = held._replace(concepts=[*held.concepts, *concepts])  # a further concept of the answer before
            continue
        if held is not None:
            yield held.named()
        item = columns["questions"][at] if "questions" in columns else ""
        held = _Answer(item, label_of(right), time_of(columns["timestamps"][at]) if "timestamps" in columns else None, concepts)
    if held is not None:
        yield held.named()


def _cells(text: str) -> list[str]:
    return [part.strip() for part in text.strip().strip("[]").split(",")]


# --- EdNet ----------------------------------------------------------------------------------------------------------------------


def read_ednet(paths: Sequence[Path], questions: Path | None, skipped: SkippedRows | None = None) -> AnswerLog:
    """EdNet's answers, a file for each learner; `questions` says which option is right. Raises SettingsError without it, BadRowError with
    file and line for a question that it does not know."""
    header_of(paths[0])
    if questions is None:
        raise SettingsError(
            f"{paths[0]}: these answers do not say what is right; give the table of questions (contents/questions.csv) with --items"
        )
    key, collector, left = _key(questions), AnswerCollector(), Left()
    for file, path in enumerate(paths):
        header = [plain(name) for name in header_of(path)]
        lacking = [told for told in ("timestamp", "question_id", "user_answer") if plain(told) not in header]
        if lacking:
            raise BadRowError(f"no column {', '.join(lacking)}; the columns are {shown(', '.join(header_of(path)), 120)}", path, 1)
        places = {name: header.index(name) for name in ("timestamp", "questionid", "useranswer")}
        left.columns |= dict.fromkeys(name for name in header_of(path) if plain(name) not in places)
        for line, cells in records_of(path):
            try:
                if len(cells) != len(header):
                    raise BadRowError(f"the row has {len(cells)} cells and the header {len(header)}")
                item, given = cells[places["questionid"]].strip(), cells[places["useranswer"]].strip().lower()
                if item not in key:
                    raise BadRowError(f"the question {item!r} is not in {questions.name}")
                if not given:
                    raise BadRowError("the user_answer is missing")
                collector.add(path.stem, item, float(given == key[item]), time_of(cells[places["timestamp"]]), None, place_of(file, line))
            except BadRowError as problem:
                set_aside(problem.at(path, line), ",".join(cells), skipped)
    try:
        return collector.log(notes=[*left.notes(), *collector.settle()], once=True)
    except BadRowError as problem:
        raise located(problem, paths) from None


def _key(path: Path) -> dict[str, str]:
    """Question to right option."""
    names = [plain(name) for name in header_of(path)]
    right = next((names.index(name) for name in KEY if name in names), None)
    item = next((names.index(name) for name in ("questionid", "question", "itemid", "item", "id") if name in names), None)
    if right is None or item is None:
        raise BadRowError("no columns question_id and correct_answer; they say which option is right", path, 1)
    return {cells[item].strip(): cells[right].strip().lower() for _, cells in records_of(path) if len(cells) > max(item, right)}
