"""The final answer of a solution, and whether two of them are the same."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_STATED = re.compile(
    r"\b(?:final\s+|correct\s+)?answer\s*(?:is|:)\s*:?\s*(?P<answer>[^\n]*[^\s.!\n])[.!]*[^\S\n]*(?=\n|$)",
    re.IGNORECASE,
)
_MARKED = re.compile(r"####\s*(?P<answer>[^\n]*\S)")
_BOXED = re.compile(r"\\boxed\{(?P<answer>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d[\d,]*(?:\.\d+)?%?")
_ARTICLE = re.compile(r"^(?:a|an|the)\s+")


class Stated(NamedTuple):
    """An answer and where it stands in its text."""

    text: str
    start: int
    end: int


def final_answer(text: str) -> Stated | None:
    """The last answer a text states: after "the answer is", after `####`, or in `\\boxed{}`; None where it states none."""
    found = [match for pattern in (_STATED, _MARKED, _BOXED) for match in pattern.finditer(text)]
    if not found:
        return None
    last = max(found, key=lambda match: match.start("answer"))
    return Stated(last["answer"].strip(), *last.span("answer"))


def same_answer(one: str, two: str) -> bool:
    """Whether two answers say the same: letter case, outer punctuation, a leading article and the writing of numbers do not count."""
    a, b = _normal(one), _normal(two)
    return a == b or (_value(a) is not None and _value(a) == _value(b))


def _normal(answer: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", answer).casefold().split())
    return _ARTICLE.sub("", words.strip(" \t.,;:!?\"'`*()[]"))


def _value(answer: str) -> float | None:
    if not _NUMBER.fullmatch(answer):
        return None
    return float(re.sub(r"[^\d.+-]", "", answer))


def is_number(answer: str) -> bool:
    return _NUMBER.fullmatch(_normal(answer)) is not None
