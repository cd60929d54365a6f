"""Which column of a table of answers is what: by the names in use, or as the user says; and what no reader knows, for the account."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import BadRowError, SettingsError
from luthier.records.lines import parse_text

FIELDS = ("learner", "item", "correct", "timestamp", "concept", "text")
# Names as `plain` gives them, best first.
NAMES = {
    "learner": (
        *("learner", "learnerid", "user", "userid", "username", "student", "studentid", "stuid", "anonstudentid", "uid", "uuid", "sid"),
        *("pupil", "pupilid", "model"),
    ),
    "item": (
        *("item", "itemid", "question", "questionid", "qid", "problem", "problemid", "exercise", "exerciseid", "exerid", "contentid"),
        *("upid", "task", "taskid", "problemname", "stepname", "sequenceid"),
    ),
    "correct": (
        *("correct", "iscorrect", "correctness", "score", "passed", "answeredcorrectly", "right", "isright", "correctfirstattempt"),
        *("firstattempt", "outcome", "label", "response"),
    ),
    "timestamp": (
        *("timestamp", "time", "order", "orderid", "starttime", "timedone", "timestamptw", "datetime", "date", "dateanswered"),
        *("answeredat", "createdat", "servertime", "firsttransactiontime", "stepstarttime", "logid"),
    ),
    "concept": (
        *("concepts", "concept", "conceptname", "skillname", "skills", "skill", "kcs", "kc", "kcname", "knowledgecomponents"),
        *(
            "knowledgecomponent",
            "knowledgeconcept",
            "conceptid",
            "skillids",
            "skillid",
            "kcid",
            "listskills",
            "listskillids",
            "tags",
            "tag",
        ),
        *("topic", "topicid", "subjectid", "subject", "ucid"),
    ),
    "text": ("text", "itemtext", "questiontext", "problemtext", "problembody", "body", "prompt"),
}
KEY = ("correctanswer", "answerkey")  # of a table of questions: which option is right
OWN_CONCEPT = ("exercise", "sequenceid")  # columns of items that are skills themselves (Junyi, ASSISTments 2015)
SEVERAL = ("concepts", "skills", "kcs", "knowledgecomponents", "skillids", "listskills", "listskillids", "tags", "subjectid")
_PARTS = re.compile(r"'[^']*+'|\"[^\"]*+\"")
_ARRAY = re.compile(rf"\[\s*+(?:(?:{_PARTS.pattern})\s*+)++\]")  # numpy's: texts with blanks between
_NUMBERS = re.compile(r"\[\s*+(?:-?\d++(?:\.\d*+)?\s*+)++\]")  # and numbers
_BRACKETS = {"[": "]", "(": ")", "{": "}"}  # of Python's lists, tuples and sets
LONGEST_LIST = 100_000  # characters of a cell that is a list
COMPONENT = re.compile(r"\s*kc\s*\(", re.IGNORECASE)  # of DataShop: `KC (Default)`, `KC(SubSkills)`
# What stands for nothing in a column of concepts, letter by letter: "Na" is sodium.
NOTHING = frozenset(
    {"", "-1", "-1.0", "[]", "NaN", "nan", "NAN", "NA", "na", "N/A", "n/a", "None", "none", "NONE", "Null", "null", "NULL", "<NA>", "#N/A"}
)


@dataclass(frozen=True)
class Columns:
    """Places in a header. item: one, or the problem and the step of DataShop; concept: one, or those of one component model; names: of
    all columns; several: whether a concept's cell may name several with any sign between; left: names that are not read."""

    names: tuple[str, ...]
    learner: int
    item: tuple[int, ...]
    correct: int
    time: int | None = None
    concept: tuple[int, ...] = ()
    text: int | None = None
    several: bool = False
    lectures: int | None = None  # Riiid: rows that are lectures say 1 here
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> bool:
        """Whether labels are DataShop's outcomes of transactions, of which some are no answers."""
        return plain(self.names[self.correct]) == "outcome"


@dataclass
class Left:
    """What was left out or read otherwise than it stands, counted by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    told: dict[str, None] = field(default_factory=dict)

    def note(self, reason: str, rows: int = 1) -> None:
        self.counts[reason] += rows

    def columns_of(self, found: Columns) -> None:
        self.columns |= dict.fromkeys(found.left)
        self.told |= dict.fromkeys(found.notes)

    def notes(self) -> list[str]:
        """In words, one a reason."""
        some = [f"{rows:,} {reason}" for reason, rows in self.counts.items() if rows]
        return [*some, *self.told, *([f"columns that are not read: {', '.join(self.columns)}"] if self.columns else [])]


def plain(name: str) -> str:
    """A column's name by its letters and digits alone, in small letters."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def checked_fields(columns: Mapping[str, str] | None) -> dict[str, str]:
    """The user's own names of columns by field. Raises SettingsError for a field that there is not."""
    found = {"timestamp" if name == "time" else name: column for name, column in (columns or {}).items()}
    wrong = next((name for name in found if name not in FIELDS), None)
    if wrong is not None:
        raise SettingsError(f"there is no field {wrong!r} of answers; choose {', '.join(FIELDS)}")
    return found


def find_columns(names: Sequence[str], given: Mapping[str, str], path: Path, line: int | None = 1) -> Columns:
    """The columns of a header, those that are `given` first. Raises BadRowError where learner, label or both item and concept are missing."""
    places = {name: _place(names, name, given, path, line) for name in FIELDS}
    components = _components(names) if "concept" not in given else []
    concept = tuple(at for at in range(len(names)) if components and names[at] == components[0])
    if not concept and places["concept"] is not None:
        concept = (places["concept"],)
    item, notes = _item(names, places["item"], given, path, line, concept)
    if not concept and len(item) == 1 and plain(names[item[0]]) in OWN_CONCEPT:
        concept = item
        notes.append(f"each {names[item[0]]} is a concept of its own")
    learner, correct = (_needed(names, places[name], name, path, line) for name in ("learner", "correct"))
    lectures = next((at for at, name in enumerate(names) if plain(name) == "contenttypeid"), None)
    read = {learner, correct, *item, *concept, places["timestamp"], places["text"], lectures}
    return Columns(
        tuple(names),
        learner,
        item,
        correct,
        places["timestamp"],
        concept,
        places["text"],
        bool(concept) and not components and plain(names[concept[0]]) in SEVERAL,
        lectures,
        tuple(name or f"column {at + 1}" for at, name in enumerate(names) if at not in read),
        tuple(notes),
    )


def is_answers(names: Iterable[str], given: Mapping[str, str]) -> bool:
    """Whether a header has what answers need."""
    known = {plain(name) for name in names}
    has = {what: what in given or bool(known & set(NAMES[what])) for what in ("learner", "item", "correct", "concept")}
    component = any(COMPONENT.match(name) for name in names)
    return has["learner"] and has["correct"] and (has["item"] or has["concept"] or component)


def split_concepts(cell: object, several: bool) -> list[str]:
    """The concepts that one cell names: with `~~` between, numbers with any sign between, or where `several` texts with `;` or `|` and numbers
    with blanks; a list as it stands, but for numbers that fill it up. What stands for nothing in a table (`NOTHING`) is the name of a concept in a list of texts."""
    if isinstance(cell, list):
        empty, some = frozenset({""}), [each if isinstance(each, str) else "" if str(each) in NOTHING else str(each) for each in cell]
    elif (listed := _list_in(cell)) is not None:
        return split_concepts(listed, several)
    else:
        empty, text = NOTHING, str(cell).strip() if cell is not None else ""
        if "~~" in text:
            some = text.split("~~")
        elif re.fullmatch(r"\[[^\[\]]*\]", text) and several:
            some = [part.strip().strip("'\"") for part in text[1:-1].split(",")]
        elif re.fullmatch(r"\d+(?:[;|,_]\d+)+", text):
            some = re.split(r"[;|,_]", text)
        elif several and re.fullmatch(r"\d+(?: +\d+)+", text):  # tags of Riiid
            some = text.split()
        else:
            some = re.split(r"[;|]", text) if several else [text]
    found = (concept_name(part) for part in some)
    return list(dict.fromkeys(part for part in found if part not in empty))


def _list_in(cell: object) -> list[object] | None:
    """The list that a cell's text is, as JSON, numpy or Python writes it, tuples and sets too; None where it is none of texts and numbers."""
    text = cell.strip() if isinstance(cell, str) else ""
    if not (text[:1] in _BRACKETS and text.endswith(_BRACKETS[text[:1]]) and len(text) <= LONGEST_LIST):
        return None
    try:
        found = parse_text(text, nan=True)
    except BadRowError:
        if _ARRAY.fullmatch(text) and len(parts := _PARTS.findall(text)) > 1:  # without commas, as numpy shows one
            return [part[1:-1] for part in parts]
        if _NUMBERS.fullmatch(text):
            return [part.removesuffix(".") for part in text[1:-1].split()]
        try:
            found = ast.literal_eval(text)
            if isinstance(found, set):  # in the order in which it is written
                tree = ast.parse(text, mode="eval").body
                found = [ast.literal_eval(part) for part in tree.elts] if isinstance(tree, ast.Set) else None
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
    found = list(found) if isinstance(found, tuple) else found
    plain_parts = isinstance(found, list) and all(each is None or isinstance(each, str | int | float) for each in found)
    return found if plain_parts else None


def concept_name(text: str) -> str:
    """A concept's name without blanks around it; a whole number is written without a point."""
    return re.sub(r"^(\d+)\.0$", r"\1", text.strip())


def _components(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if COMPONENT.match(name)))


def _place(names: Sequence[str], what: str, given: Mapping[str, str], path: Path, line: int | None) -> int | None:
    if what in given:
        if given[what] not in names:
            raise BadRowError(f"no column {given[what]!r} for {what}; the columns are {_told(names)}", path, line)
        return list(names).index(given[what])
    taken = set(given.values())
    known = {plain(name): at for at, name in reversed(list(enumerate(names))) if name not in taken}
    return next((known[name] for name in NAMES[what] if name in known), None)


def _item(  # noqa: PLR0917
    names: Sequence[str], place: int | None, given: Mapping[str, str], path: Path, line: int | None, concept: tuple[int, ...]
) -> tuple[tuple[int, ...], list[str]]:
    """Places of what names an item, and what is to be said of it."""
    known = {plain(name): at for at, name in reversed(list(enumerate(names)))}
    if "item" not in given and "stepname" in known and "anonstudentid" in known:
        return tuple(known[name] for name in ("problemname", "stepname") if name in known), []
    if place is not None:
        return (place,), []
    if concept:
        return concept[:1], [f"no column names items, so {names[concept[0]]} stands for them"]
    return (_needed(names, None, "item", path, line),), []


def _needed(names: Sequence[str], place: int | None, what: str, path: Path, line: int | None) -> int:
    if place is None:
        some = " or ".join(NAMES[what][:4])
        raise BadRowError(f"no column {some}; the columns are {_told(names)}; name it with --map {what}=COLUMN", path, line)
    return place


def _told(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 160 else f"{text[:157]}..."
