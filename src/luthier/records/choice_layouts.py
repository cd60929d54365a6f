"""Where the question, the options and the right answer stand in a row of multiple choice, in the layouts in use.

Field names are found in any letter case. An answer that names one option by its label and another by its text is refused: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.lines import decoded
from luthier.texts.answers import same_answer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUESTIONS = (
    "question",
    "problem",
    "question_stem",
    "stem",
    "input",
    "query",
    "goal",
    "sentence",
    "ctx",
    "premise",
    "prompt_text",
    "startphrase",
)
CONTEXTS = (
    "context",
    "passage",
    "article",
    "premise",
    "paragraph",
    "flores_passage",
    "dialogue",
    "text",
)  # what is read before the question
OPTIONS = ("options", "choices", "endings", "mc1_targets", "choice", "candidates", "answers")
ANSWERS = (
    "answer",
    "answerkey",
    "gold",
    "target",
    "label",
    "correct",
    "answer_index",
    "answer_idx",
    "correct_answer",
    "cop",
    "correct_option",
    "correct_answer_id",
    "correct_answer_num",
    "solution",
)
PLACES = (
    "gold",
    "label",
    "answer_index",
    "answer_idx",
    "cop",
    "correct_option",
    "correct_answer_id",
)  # fields whose digits are places, not texts
# Options in columns of their own: the columns, and the label by which an answer names each.
_COLUMNS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    *(
        (tuple(f"{before}{letter}" for letter in "abcdefghij"), tuple(LETTERS[:10]))
        for before in ("", "option_", "option ", "option", "choice_", "op")
    ),
    (tuple(f"answer{letter}" for letter in "abcde"), ("1", "2", "3", "4", "5")),  # SIQA counts from 1
    (tuple(f"option{n}" for n in range(1, 10)), tuple(str(n) for n in range(1, 10))),
    (tuple(f"choice{n}" for n in range(1, 10)), tuple(str(n) for n in range(9))),  # COPA counts from 0
    (tuple(f"sol{n}" for n in range(1, 10)), tuple(str(n) for n in range(9))),  # PIQA too
    (tuple(f"ending{n}" for n in range(10)), tuple(str(n) for n in range(10))),
    (tuple(f"answer{n}" for n in range(10)), tuple(str(n) for n in range(10))),  # Cosmos QA
    (tuple(f"mc_answer{n}" for n in range(1, 10)), tuple(str(n) for n in range(1, 10))),  # Belebele
)
_RIGHT = ("correct answer", "correct_answer", "correct_option")
_WRONG = (
    tuple(f"incorrect answer {n}" for n in range(1, 10)),
    tuple(f"distractor{n}" for n in range(1, 10)),
    tuple(f"incorrect_answer_{n}" for n in range(1, 10)),
)
_LISTED = re.compile(r"\n[^\S\n]*+(?:answer[^\S\n]++)?(?:options|choices)[^\S\n]*+:?[^\S\n]*+\n", re.IGNORECASE)
_LETTER_ALONE = re.compile(r"[^\w(]*+(?:option\s++|choice\s++)?\(?([A-Za-z])\)?\W*+", re.IGNORECASE)
_LETTER_FIRST = re.compile(r"[^\w(]*+(?:option\s++|choice\s++)?(?:\(([A-Za-z])\)|([A-Z])[).:](?=\s))")
_IN_A_ROW = re.compile(r"(?:^|,)\s*+([a-zA-Z])\s*+\)\s*+")  # "a ) 38 , b ) 27.675", as MathQA has them
_MARK = re.compile(r"\s*+(?:\(?([A-Za-z])[).:]\s++|[-*•]\s++)")


class Found(NamedTuple):
    """What a row holds. answer: the place of the right option, None where it is not told. used: the fields that were understood."""

    question: str
    options: list[str]
    answer: int | None
    used: frozenset[str]


class _Parts(NamedTuple):
    """What a row holds before its answer is read. right: the answer where the layout itself tells it; answer_by: the field that else does."""

    question: str
    options: list[str]
    labels: list[str]
    right: int | None
    answer_by: str | None
    used: set[str]


def find_choice(row: JSON, targets: Sequence[str] = (), *, first: int = 0) -> Found:
    """Question, options and answer of a row. targets: the options of a row that lists none; first: the number of the first option, 0 or 1, where
    an answer is a number. Raises BadRowError."""
    parts = _parts(row, targets)
    check_options(parts.options)
    if parts.answer_by is None:
        return Found(parts.question, parts.options, parts.right, frozenset(parts.used))
    counted, given = parts.answer_by.casefold() in PLACES, row[parts.answer_by]
    number = _number_of(given, counted=counted)
    if counted and number == -1:  # of a test split, whose answers are kept back
        given = None
    elif first and number is not None and not _numbered(parts.labels):
        given = number - first
    elif isinstance(given, bool) and {option.strip().casefold() for option in parts.options} == {"no", "yes"}:
        given = "yes" if given else "no"
    place = place_of(given, parts.options, parts.labels, counted=counted)
    return Found(parts.question, parts.options, place, frozenset({*parts.used, parts.answer_by}))


def numbered_answer(row: JSON) -> tuple[int, int] | None:
    """The answer of a row that is a number and nothing else, and how many options there are; None where it is anything else."""
    try:
        parts = _parts(row, ())
    except BadRowError:
        return None
    if parts.answer_by is None or _numbered(parts.labels):
        return None
    number = _number_of(row[parts.answer_by], counted=parts.answer_by.casefold() in PLACES)
    return None if number is None or str(number) in parts.options else (number, len(parts.options))


def _numbered(labels: Sequence[str]) -> bool:
    """Whether options are called by numbers, which an answer then names."""
    return any(label.strip("()[]. ").isdigit() for label in labels)


def _number_of(given: Any, *, counted: bool) -> int | None:
    """A whole number, in a field of places also as text."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    return int(given) if counted and isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 4 else None


def _parts(row: JSON, targets: Sequence[str]) -> _Parts:
    names = {name.casefold(): name for name in reversed(row)}
    asked_by = next((names[each] for each in QUESTIONS if each in names and isinstance(row[names[each]], str | dict)), None)
    if asked_by is None:
        raise BadRowError(f"a question needs a text in one of {', '.join(QUESTIONS)}; the row has {', '.join(row)}")
    used = {asked_by}
    asked = row[asked_by]
    nested = asked if isinstance(asked, dict) else row  # ARC's older layout holds stem and choices in `question`
    text = str(nested.get("stem") or asked) if isinstance(asked, dict) else str(asked)
    if isinstance(asked, dict) and set(asked) - {"stem", *OPTIONS}:
        used.discard(asked_by)
    text, context_by = _with_context(text, asked_by, row, names)
    used |= context_by
    given_by = next((key for key in nested if key.casefold() in OPTIONS and nested[key] is not None), None)
    stem = text
    if given_by is not None:
        labels, options, whole = options_from(nested[given_by])
        used |= {given_by} if whole else set()
        used -= set() if whole or nested is row else {asked_by}
    else:
        stem, labels, options, right, fields = _spread(text, row, names)
        used |= fields
        if right is not None:
            return _Parts(stem, options, labels, right, None, used)
        options = options or list(targets)
    answer_by = _answer_field(row, names, used, asked_by)
    if not options and answer_by is not None and isinstance(row[answer_by], bool):
        return _Parts(stem, ["no", "yes"], [], int(row[answer_by]), None, {*used, answer_by})  # BoolQ
    if (
        answer_by is None
        and given_by is not None
        and isinstance(nested[given_by], dict)
        and isinstance(nested[given_by].get("labels"), list)
    ):
        return _Parts(stem, options, labels, _flagged(nested[given_by]["labels"]), None, used)
    return _Parts(stem, options, labels, None, answer_by, used)


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


def match_option(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names: its words, its letter alone, or its letter before its words. None where it names none.

    The option whose words it is goes before those that say the same, of which there must be one."""
    folded = " ".join(answer.split()).casefold()
    alike = [place for place, option in enumerate(options) if " ".join(option.split()).casefold() == folded]
    alike = alike or [place for place, option in enumerate(options) if same_answer(answer, option)]
    if alike:
        return alike[0] if len(alike) == 1 else None
    found = _LETTER_ALONE.fullmatch(answer) or _LETTER_FIRST.match(answer)
    letter = found[found.lastindex or 1] if found else None
    if letter is not None and LETTERS.index(letter.upper()) < len(options):
        return LETTERS.index(letter.upper())
    folded = answer.casefold()
    named = [place for place, option in enumerate(options) if re.search(rf"(?<!\w){re.escape(option.casefold())}(?![\w+#])", folded)]
    return named[0] if len(named) == 1 else None


def options_from(given: Any) -> tuple[list[str], list[str], bool]:
    """(labels, options, whether all of it was understood) of a list of texts, of texts by letter, of the hub's columns `label` and `text`, or of
    rows with both. No labels where none are told. Raises BadRowError."""
    if isinstance(given, str) and given.lstrip().startswith(("[", "{")):
        given = decoded(given, "the options")
    if isinstance(given, str):
        _, *marked = _IN_A_ROW.split(given)
        if len(marked) > 2 and [letter.upper() for letter in marked[::2]] == list(LETTERS[: len(marked) // 2]):
            return marked[::2], [text.strip() for text in marked[1::2]], True
    if isinstance(given, dict) and isinstance(texts := given.get("text", given.get("choices")), list):
        told = given.get("label") or []
        if not isinstance(told, list):
            raise BadRowError("the labels of the options are no list")
        labels = [str(label) for label in told]
        if labels and len(labels) != len(texts):
            raise BadRowError(f"{len(texts)} options under {len(labels)} labels")
        return labels, [str(text) for text in texts], set(given) <= {"text", "label", "choices", "labels"}
    if isinstance(given, dict):
        filled = {label: text for label, text in given.items() if text is not None}  # columns put null where a question has fewer
        if not all(isinstance(text, str | int | float) for text in filled.values()):
            raise BadRowError("the options are neither a list of texts nor texts by letter")
        return [str(label) for label in filled], [str(text) for text in filled.values()], True
    if isinstance(given, list) and given and all(isinstance(each, dict) and "text" in each for each in given):
        labels = [str(each["label"]) for each in given if each.get("label") is not None]
        whole = all(set(each) <= {"text", "label"} for each in given)
        return labels if len(labels) == len(given) else [], [str(each["text"]) for each in given], whole
    if isinstance(given, list) and all(isinstance(each, str | int | float) for each in given):
        return [], [str(each) for each in given], True
    raise BadRowError("the options are neither a list of texts nor texts by letter")


def place_of(given: Any, options: Sequence[str], labels: Sequence[str], *, counted: bool = False) -> int | None:
    """The place of the right option; None where the answer is empty. labels: what the options are called, empty where that is not told.

    A label goes before a place, and a place from 0 before a text where the field is one of places (`counted`). Raises BadRowError where the
    answer names none of the options, or one by its letter and another by its text.
    """
    if given is None or given == "":
        return None
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    text = str(given).strip()
    bare = text.strip("()[]. ").casefold()
    told = [place for place, label in enumerate(labels) if bare == label.strip("()[]. ").casefold()]
    if len(told) == 1:
        return told[0]
    if isinstance(given, int) and not isinstance(given, bool):
        if 0 <= given < len(options):
            return given
        raise BadRowError(f"the answer {given} is not a place among {len(options)} options, counted from 0")
    digits = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 4 else None
    if counted and digits is not None and digits < len(options):
        return digits
    letter = LETTERS.find(bare.upper()) if len(bare) == 1 and not labels else -1
    by_text = next((place for place, option in enumerate(options) if text.casefold() == option.strip().casefold()), None)
    if 0 <= letter < len(options):
        if by_text not in (None, letter):
            raise BadRowError(
                f"the answer {text!r} is the letter of one option and the text of another; name it by its place, counted from 0"
            )
        return letter
    if by_text is None:
        alike = [place for place, option in enumerate(options) if same_answer(text, option)]
        by_text = alike[0] if len(alike) == 1 else None
    if by_text is None and digits is not None and digits < len(options):
        return digits
    found = match_option(text, options) if by_text is None else by_text
    if found is None:
        raise BadRowError(f"the answer {text[:60]!r} is none of the options {', '.join(options)[:120]}")
    return found


def _with_context(text: str, asked_by: str, row: JSON, names: dict[str, str]) -> tuple[str, set[str]]:
    """The question behind what is to be read before it; COPA asks for the `cause` or the `effect` of a premise."""
    read = {names[each]: _as_text(row[names[each]]) for each in CONTEXTS if each in names and names[each] != asked_by}
    before = next((name for name, said in read.items() if said.strip()), None)
    if before is None:
        return text, set()
    if text in ("cause", "effect"):
        text = "What was the cause?" if text == "cause" else "What happened as a result?"
    return f"{read[before].strip()}\n{text}", {before}


def _as_text(value: Any) -> str:
    """A text, or a list of turns as lines; empty for anything else."""
    if isinstance(value, list) and all(isinstance(turn, str) for turn in value):
        return "\n".join(value)
    return value if isinstance(value, str) else ""


def _spread(text: str, row: JSON, names: dict[str, str]) -> tuple[str, list[str], list[str], int | None, set[str]]:
    """Stem, labels, options, the right one where the layout tells it, and the fields, of options that stand in columns or in the question."""
    right_by = next((names[each] for each in _RIGHT if each in names and isinstance(row[names[each]], str)), None)
    for group in _WRONG if right_by is not None else ():
        wrong = [names[each] for each in group if each in names and row[names[each]] is not None]
        if wrong and right_by is not None:
            texts = sorted(str(row[each]) for each in (right_by, *wrong))  # the right one must not always be the first
            return text, [], texts, texts.index(str(row[right_by])), {right_by, *wrong}
    for columns, names_of in _COLUMNS:
        told = [(names[column], label) for column, label in zip(columns, names_of, strict=False) if column in names]
        filled = [(name, label) for name, label in told if row[name] not in (None, "")]
        if len(filled) >= 2 and [label for _, label in filled] == list(names_of[: len(filled)]):
            return text, [label for _, label in filled], [str(row[name]) for name, _ in filled], None, {name for name, _ in filled}
    stem, labels, options = _split(text)
    return stem, labels, options, None, set()


def _split(text: str) -> tuple[str, list[str], list[str]]:
    """A text that lists its options after "Options:" as stem, letters and options; without them the whole text."""
    found = _LISTED.search(text)
    if found is None:
        return text.strip(), [], []
    labels, options = [], []
    for number, line in enumerate(line for line in text[found.end() :].splitlines() if line.strip()):
        mark = _MARK.match(line)
        labels.append((mark[1] or LETTERS[number % 26]) if mark and mark[1] else LETTERS[number % 26])
        options.append(line[mark.end() :].strip() if mark else line.strip())
    return text[: found.start()], labels, options


def _answer_field(row: JSON, names: dict[str, str], used: set[str], asked_by: str) -> str | None:
    """The field of the answer. A `solution` is one only if it is short: elsewhere it explains."""
    for each in ANSWERS:
        name = names.get(each)
        if name is None or name in used or name == asked_by or row[name] is None:
            continue
        if each != "solution" or len(str(row[name])) <= 3:
            return name
    return None


def _flagged(labels: list[Any]) -> int | None:
    """TruthfulQA marks the right option with 1."""
    marked = [place for place, label in enumerate(labels) if label == 1]
    return marked[0] if len(marked) == 1 else None
