"""The final answer of a solution, and whether two of them are the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_STATED = re.compile(r"\b(?:final\s+|correct\s+)?answer\s*(?:is|:)\s*:?\s*(?P<answer>[^\n]*[^\s.!\n])[.!]*[^\S\n]*(?=\n|$)", re.IGNORECASE)
_MARKED = re.compile(r"####\s*(?P<answer>[^\n]*\S)")
_BOXED = re.compile(r"\\boxed\{(?P<answer>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
# Where an answer ends and talk about it begins: at the end of a sentence, which that of "st." or "u.s." is not, or before a reason.
_REST = re.compile(r"(?:(?<=[a-z]{3})|(?<=\d)|(?<=[)\]\"']))[.!?]\s|,?\s(?:because|since)\b", re.IGNORECASE)
_OPTION = re.compile(r"^\(?[a-h][).:]\)?\s+(?=\S)")
_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d[\d,]*(?:\.\d+)?%?")
_ARTICLE = re.compile(r"^(?:a|an|the)\s+")


class Stated(NamedTuple):
    """An answer and where it stands in its text."""

    text: str
    start: int
    end: int


def final_answer(text: str) -> Stated | None:
    """The last answer a text states: after "the answer is", after `####`, or in `\\boxed{}`; None where it states none.

    It ends with its sentence, or before "because" and "since"; a question ("is the answer …?") states none.
    """
    found = [match for pattern in (_STATED, _MARKED, _BOXED) for match in _matches(pattern, text)]
    found = [match for match in found if not match["answer"].rstrip().endswith("?")]
    if not found:
        return None
    last = max(found, key=lambda match: match.start("answer"))
    start, answer = last.start("answer"), last["answer"].rstrip()
    rest = _REST.search(answer)
    if rest is not None and rest.start() > 0:
        answer = answer[: rest.start()]
    return Stated(answer, start, start + len(answer))


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """All matches, also those that begin within the answer of one before: a line may state an answer twice."""
    match = pattern.search(text)
    while match is not None:
        yield match
        match = pattern.search(text, match.start("answer"))


def same_answer(one: str, two: str) -> bool:
    """Whether two answers say the same: letter case, outer punctuation, `$`, an option's letter before its text, a leading article, the
    writing of numbers, and words after a number where the other is the bare number, do not count."""
    a, b = _normal(one), _normal(two)
    if a == b:
        return True
    if is_number(a) or is_number(b):
        first, second = _leading_number(a), _leading_number(b)
        return first is not None and first == second
    return False


def may_be_same(one: str, two: str) -> bool:
    """Whether one answer begins with the other and goes on: nobody can tell whether they say the same."""
    a, b = sorted((_normal(one), _normal(two)), key=len)
    return bool(a) and b.startswith(a) and (len(a) == len(b) or not b[len(a)].isalnum())


def is_number(answer: str) -> bool:
    return _NUMBER.fullmatch(_normal(answer)) is not None


def _normal(answer: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", answer).casefold().split())
    words = _OPTION.sub("", words.strip(" \t$"))
    return _ARTICLE.sub("", words.strip(" \t.,;:!?\"'`*()[]$"))


def _leading_number(answer: str) -> float | None:
    """The number an answer begins with, where words follow it and no further number."""
    found = _NUMBER.match(answer)
    if found is None or re.search(r"\d", answer[found.end() :]) or answer[found.end() :][:1].isalnum():
        return None
    return float(re.sub(r"[^\d.+-]", "", found[0]))
