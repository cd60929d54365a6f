"""Numbers in words: counts, dozens, fractions and ordinals, and Roman numerals."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_COUNTS = {**{word: n for n, word in enumerate(_ONES.split())}, **{word: 10 * (n + 2) for n, word in enumerate(_TENS.split())}}
_IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
_ORDINALS = {
    _IRREGULAR.get(word, f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"): count
    for word, count in {**_COUNTS, "hundred": 100, "thousand": 1_000, "million": 10**6}.items()
}
_PARTS = {"half": 2, "halve": 2, "quarter": 4} | {word: count for word, count in _ORDINALS.items() if count > 2}
_ORDINAL_DIGITS = re.compile(r"(\d{1,9})(?:st|nd|rd|th)")
_ROMAN = re.compile(r"(?=[ivxlcdm])m{0,3}(?:cm|cd|d?c{0,3})(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1_000}
_NOTHING = frozenset(("no", "none", "nothing", "nil", "never", "nobody"))


class Spelled(NamedTuple):
    """A number in words, and the words behind it."""

    value: Fraction
    rest: tuple[str, ...]
    exact: bool  # a count; a fraction is not


def spelled(text: str) -> Spelled | None:
    """The number that a text begins with in words: `twelve`, `two dozen eggs`, `half a dozen`, `two thirds`, `minus two and a half`."""
    words = [word for word in text.replace("-", " ").split() if word != "and"]
    sign = -1 if words[:1] in (["minus"], ["negative"]) else 1
    words = words[sign < 0 :]
    if words[:1] == ["half"]:
        more = spelled(" ".join(words[2 if words[1:2] in (["a"], ["of"]) else 1 :])) if len(words) > 1 else None
        if len(words) == 1 or more is not None:
            return Spelled(sign * (more.value if more else 1) / Fraction(2), more.rest if more else (), False)
        return None
    value, used = _count(words)
    if not used:
        return None
    part, behind = _part(words[used:])
    if behind:
        value, used = (value * part if words[used] != "a" and "and" not in text.split() else value + part), used + behind
        return Spelled(sign * value, tuple(words[used:]), False)
    return Spelled(sign * value, tuple(words[used:]), True)


def _count(words: list[str]) -> tuple[Fraction, int]:
    total, current, used = 0, 0, 0
    for word in words:
        if word in _COUNTS:
            current += _COUNTS[word]
        elif word in ("hundred", "dozen") and (current or not used):
            current = (current or 1) * SCALES[word]
        elif word in SCALES and (current or not used):
            total, current = total + (current or 1) * SCALES[word], 0
        else:
            break
        used += 1
    return Fraction(total + current), used


def _part(words: list[str]) -> tuple[Fraction, int]:
    """A fraction at the beginning of the words behind a count, and how many words it takes: `thirds`, `a half`, `three quarters`."""
    for at, count in ((0, 1), (1, 1 if words[:1] == ["a"] else _COUNTS.get(words[0], 0) if words else 0)):
        if count and len(words) > at and (named := _PARTS.get(words[at].removesuffix("s"))) is not None:
            return Fraction(count, named), at + 1
    return Fraction(0), 0


def is_count(word: str) -> bool:
    """Whether a word is a number in words."""
    return word in _COUNTS or word in SCALES


def is_part(word: str) -> bool:
    """Whether a word names a part of one: `half`, `thirds`."""
    return word.removesuffix("s") in _PARTS


def ordinal(text: str) -> int | None:
    """The place that an ordinal names: of `1st`, `first` and `twenty-first`; None for anything else."""
    digits = _ORDINAL_DIGITS.fullmatch(text)
    if digits is not None:
        return int(digits[1])
    *before, last = text.replace("-", " ").split() or [""]
    if last not in _ORDINALS:
        return None
    value, used = _count([word for word in before if word != "and"])
    if used != len([word for word in before if word != "and"]):
        return None
    if last in SCALES or last.removesuffix("th") in SCALES:
        return int(value or 1) * _ORDINALS[last]
    return int(value) + _ORDINALS[last] if not used or value % 10 == 0 else None


def roman(word: str) -> int | None:
    """The value of a Roman numeral as it is rightly written; None for other words."""
    if not word or _ROMAN.fullmatch(word) is None:
        return None
    values = [_ROMAN_VALUES[letter] for letter in word]
    return sum(-one if one < two else one for one, two in zip(values, [*values[1:], 0], strict=True))


def is_nothing(text: str) -> bool:
    """Whether a text says that there is none."""
    return text in _NOTHING
