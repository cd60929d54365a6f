"""The final answer that a solution states. Whether two answers say the same is told by `luthier.texts.equality`."""

from __future__ import annotations

import re
from typing import NamedTuple

from luthier.texts.equality import is_number, may_be_same, same_answer

__all__ = ["Stated", "final_answer", "is_number", "may_be_same", "same_answer"]
LONGEST = 2_000  # characters of an answer; what goes on is a text
_STATED = re.compile(r"\banswer\s*+(?:is|:)[^\S\n]*+:?\s*+", re.IGNORECASE)
_MARKED = re.compile(r"####\s*+")
_BOXED = re.compile(r"\\f?boxed(?:\s*+\{|[^\S\n]++(?=[\w\\-]))")
_BRACE = re.compile(r"\\[^\n]|[{}]")
# Where an answer ends and talk about it begins: at the end of a sentence, which that of "st." or "u.s." is not, or before a reason.
_REST = re.compile(r"(?:(?<=[a-z]{3})|(?<=\d)|(?<=[)\]\"'$]))[.!?]\s|,?\s(?:because|since)\b", re.IGNORECASE)


class Stated(NamedTuple):
    """An answer and where it stands in its text."""

    text: str
    start: int
    end: int


def final_answer(text: str) -> Stated | None:
    """The last answer a text states: after "the answer is", after `####`, or in `\\boxed{}`; None where it states none.

    It ends with its sentence, or before "because" and "since"; a question ("is the answer …?") states none. Linear in the text.
    """
    found = [stated for stated in (_last_of_line(_STATED, text, ".!"), _last_of_line(_MARKED, text, ""), _last_boxed(text)) if stated]
    return max(found, key=lambda stated: stated.start, default=None)


def _last_of_line(mark: re.Pattern[str], text: str, ends: str) -> Stated | None:
    """What stands between the last mark and the end of its line, if it is no question. ends: signs that do not belong to it there."""
    stop = len(text)
    for start in reversed([match.end() for match in mark.finditer(text)]):
        line_end = text.find("\n", start, stop)
        stop = stop if line_end < 0 else line_end
        answer = _first_sentence(text[start : min(stop, start + LONGEST)].rstrip())
        stripped = answer.rstrip(ends).rstrip()
        if stripped and not answer.endswith("?"):
            return Stated(stripped, start, start + len(stripped))
        stop = start
    return None


def _first_sentence(answer: str) -> str:
    """Up to the end of the sentence, its question mark included, or a reason."""
    rest = _REST.search(answer)
    if rest is None or rest.start() == 0:
        return answer
    return answer[: rest.start() + (answer[rest.start()] == "?")]


def _last_boxed(text: str) -> Stated | None:
    """What the last box holds that is closed: braces within it are counted; without braces it is the next word."""
    boxes = list(_BOXED.finditer(text))
    closed = _closings(text) if any(match[0].endswith("{") for match in boxes) else {}
    for match in reversed(boxes):
        start = match.end()
        stop = closed.get(start - 1, -1) if match[0].endswith("{") else _word_end(text, start)
        answer = text[start:stop].rstrip() if 0 <= stop - start <= LONGEST else ""
        if answer.strip():
            return Stated(answer, start, start + len(answer))
    return None


def _closings(text: str) -> dict[int, int]:
    """Of each brace that is closed the place where it is."""
    opened, closed = list[int](), dict[int, int]()
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closed[opened.pop()] = match.start()
    return closed


def _word_end(text: str, start: int) -> int:
    stop = start
    while stop < len(text) and stop < start + LONGEST and not text[stop].isspace() and text[stop] not in "$,;":
        stop += 1
    return stop
