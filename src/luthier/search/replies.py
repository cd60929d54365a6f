"""What a model's answers mean. Nothing here raises: what cannot be read is left out and counted, by what it was and how it failed."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

THOUGHT_LENGTH = 600  # characters; more is no thought of one or two sentences
_DECODER = json.JSONDecoder()
_ITEM = re.compile(r"^[ \t]*+(?:\d++[.)]|[-*•])[ \t]++(\S.*)$", re.MULTILINE)
_OPENED = re.compile(r"[\[{]")
MOST_TRIES = 200  # brackets of an answer that open no JSON; each may be read to the end
_LETTER = re.compile(r"\b([A-Z])\b")


@dataclass(frozen=True)
class Thought:
    """A thought that a model offers, and how plausible it says it is (normalised over its siblings)."""

    text: str
    prior: float


@dataclass(frozen=True)
class BlockVerdict:
    """What a model says of one block."""

    name: str
    correct: bool
    explanation: str


def normal(text: str) -> str:
    """Thoughts with the same normal form say the same."""
    return re.sub(r"\W+", " ", text.casefold()).strip()


def values_in(text: str) -> Iterator[Any]:
    """Every JSON list or object in a text that is not within another one; a text full of brackets that open none is given up."""
    at, tries = 0, 0
    while tries < MOST_TRIES and (found := _OPENED.search(text, at)) is not None:
        start = found.start()
        try:
            value, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            at, tries = start + 1, tries + 1
            continue
        yield value


def thoughts(text: str, counts: Counter[str], *, merge: bool = True, scale: bool = True) -> list[Thought]:
    """The thoughts of an answer: of JSON, fenced or bare, whole or cut off; else of a list in words, which is counted.

    merge: same thoughts become one, with their scores added. scale: scores are made to sum to 1, equal where all are 0.
    """
    rows = [row for value in values_in(text) for row in _rows(value)]
    found = [(words, score) for row in rows if (words := _words(row)) for score in [_score(row, counts)]]
    if not found:
        counts["thoughts: no JSON"] += 1
        found = [(_shortened(item), 0.0) for item in _ITEM.findall(text) if normal(item)]
    kept: dict[str, list[Any]] = {}
    for place, (words, score) in enumerate(found):
        key = normal(words) if merge else f"{place}"
        if key in kept:
            counts["thoughts: repeated"] += 1
            kept[key][1] += score
        elif normal(words):
            kept[key] = [words, score]
    total = sum(score for _, score in kept.values())
    if not scale:
        return [Thought(words, score) for words, score in kept.values()]
    return [Thought(words, score / total if total else 1 / len(kept)) for words, score in kept.values()]


def _rows(value: Any) -> list[Any]:
    """A list of thoughts, one thought, or an object that holds the list."""
    if isinstance(value, dict):
        inner = next((each for each in value.values() if isinstance(each, list) and each), None)
        return [value] if inner is None or _words(value) else inner
    return value if isinstance(value, list) else []


def _words(row: Any) -> str:
    if isinstance(row, dict):
        named = next((row[name] for name in ("thought", "strategy", "idea", "text", "description") if isinstance(row.get(name), str)), "")
        return _shortened(named)
    return _shortened(row) if isinstance(row, str) else ""


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= THOUGHT_LENGTH else words[:THOUGHT_LENGTH].rsplit(" ", 1)[0]


def _score(row: Any, counts: Counter[str]) -> float:
    value = (
        next((row[name] for name in ("score", "plausibility", "probability", "prior") if name in row), None)
        if isinstance(row, dict)
        else None
    )
    number = _number(value)
    if number is None:
        counts["thoughts: no score"] += 1
        return 0.0
    return max(0.0, number)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value.strip().rstrip("%"))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def thought(text: str, counts: Counter[str]) -> str:
    """One thought: of JSON, or the first paragraph that is no code; "" where there is none, which is counted."""
    for value in values_in(text):
        if words := next((words for row in _rows(value) if (words := _words(row))), ""):
            return words
    plain = re.sub(r"```.*?(?:```|\Z)", "", text, flags=re.DOTALL).strip()
    paragraphs = [part for part in re.split(r"\n\s*\n", plain) if normal(part)]
    words = next((part for part in paragraphs if not part.rstrip().endswith(":")), paragraphs[0] if paragraphs else "")
    words = re.sub(r"^\s*(?:\*\*)?(?:new |better |replacement )?thought(?:\*\*)?\s*:\s*", "", words, flags=re.IGNORECASE)
    if not normal(words):
        counts["rethink: no thought"] += 1
        return ""
    return _shortened(words.strip().strip('"'))


def estimate(text: str, counts: Counter[str]) -> float | None:
    """The score of a self-evaluation, in [-1, 1]: of its named field. None where there is none, which is counted."""
    for value in values_in(text):
        number = _number(value.get("score")) if isinstance(value, dict) else None
        if number is not None:
            if not -1 <= number <= 1:
                counts["estimate: out of range"] += 1
            return max(-1.0, min(1.0, number))
    named = re.search(r"\bscore\b\W{0,6}?(-?\d+(?:\.\d+)?)", text, re.IGNORECASE)
    if named:
        counts["estimate: no JSON"] += 1
        return max(-1.0, min(1.0, float(named[1])))
    counts["estimate: missing"] += 1
    return None


def verdicts(text: str, counts: Counter[str]) -> list[BlockVerdict]:
    """The verdicts of a block analysis; an answer without any is counted."""
    rows = [row for value in values_in(text) for row in _rows(value) if isinstance(row, dict)]
    found = [
        BlockVerdict(
            str(row.get("name") or row.get("block") or ""), _true(row["correct"]), " ".join(str(row.get("explanation") or "").split())
        )
        for row in rows
        if "correct" in row
    ]
    if not found:
        counts["analysis: no JSON"] += 1
    return found


def _true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().casefold() in ("true", "yes", "correct"))


def place_of(text: str, count: int, counts: Counter[str]) -> int:
    """Which of `count` numbered things is named, from 0; the last one where none is, which is counted."""
    found = re.search(r"\d+", text)
    if found and 1 <= int(found[0][:9]) <= count:
        return int(found[0][:9]) - 1
    counts["blame: no number"] += 1
    return count - 1


def letter_of(text: str, count: int, counts: Counter[str]) -> int | None:
    """Which of `count` lettered things is named; None where none is, which is counted."""
    for letter in _LETTER.findall(text):
        if ord(letter) - 65 < count:
            return ord(letter) - 65
    counts["referee: no letter"] += 1
    return None


def calls_in(text: str, entry_point: str, counts: Counter[str]) -> list[str]:
    """Calls of a function with literal arguments, one a line, as written; others are left out and counted."""
    found = []
    for line in text.splitlines():
        at = line.find(f"{entry_point}(")
        call = literal_call(line[at:].strip().rstrip("`;,"), entry_point) if at >= 0 else None
        if call:
            found.append(call)
        elif at >= 0:
            counts["inputs: no literal call"] += 1
    return list(dict.fromkeys(found))


def literal_call(text: str, entry_point: str) -> str | None:
    """The call at the beginning of a text in one form, where its arguments are literals."""
    for end in sorted({len(text), *(match.end() for match in re.finditer(r"\)", text))}, reverse=True):
        try:
            node = ast.parse(text[:end].strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(node, ast.Compare):
            node = node.left
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry_point):
            return None
        return ast.unparse(node) if is_literal([*node.args, *(keyword.value for keyword in node.keywords)]) else None
    return None


def is_literal(arguments: Sequence[ast.expr]) -> bool:
    for argument in arguments:
        try:
            ast.literal_eval(argument)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return False
    return True
