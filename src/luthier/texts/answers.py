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
    if not found:
        return None
    start, answer = max((stated.start, stated.text) for stated in found)
    rest = _REST.search(answer)
    if rest is not None and rest.start() > 0:
        answer = answer[: rest.start()]
    return Stated(answer, start, start + len(answer))


def _last_of_line(mark: re.Pattern[str], text: str, ends: str) -> Stated | None:
    """What stands between the last mark and the end of its line, if it is no question. ends: signs that do not belong to it there."""
    line_start = len(text) + 1
    for start in reversed([match.end() for match in mark.finditer(text)]):
        if start >= line_start:  # an earlier mark of a line that has been looked at
            continue
        stop = text.find("\n", start)
        answer = text[start : len(text) if stop < 0 else stop][:LONGEST].rstrip().rstrip(ends).rstrip()
        if answer and not answer.endswith("?"):
            return Stated(answer, start, start + len(answer))
        line_start = text.rfind("\n", 0, start) + 1 if answer.endswith("?") else line_start
    return None


def _last_boxed(text: str) -> Stated | None:
    """What the last box holds that is closed: braces within it are counted; without braces it is the next word."""
    for match in reversed(list(_BOXED.finditer(text))):
        start = match.end()
        stop = _closing(text, start) if match[0].endswith("{") else _word_end(text, start)
        if stop is not None and text[start:stop].strip():
            return Stated(text[start:stop].rstrip(), start, start + len(text[start:stop].rstrip()))
    return None


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, min(len(text), start + LONGEST)):
        if text[place] in "{}" and text[place - 1] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return place
    return None


def _word_end(text: str, start: int) -> int:
    stop = start
    while stop < len(text) and stop < start + LONGEST and not text[stop].isspace() and text[stop] not in "$,;":
        stop += 1
    return stop
