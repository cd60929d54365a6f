"""The numbers a text speaks of, in every reading: `1,200`, `two thousand`, `5%` (5 and 0.05), `3.5 million`, `2k`, `March` (3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIGITS = re.compile(
    r"(?P<minus>(?:[-−–]|\bminus|\bnegative)\s*)?[$€£¥]?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<power>[eE][+-]?\d{1,3})?"
    r"(?:\s?(?P<unit>%|percent\b|per\s?cent\b|hundred\b|thousand\b|million\b|billion\b|trillion\b|dozen\b|mn\b|bn\b|[kKmMbB]\b))?"
)
_FRACTION = re.compile(r"(\d{1,15})\s*/\s*(\d{1,15})")
_UNITS = {
    "%": 0.01,
    "percent": 0.01,
    "hundred": 1e2,
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "mn": 1e6,
    "m": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "b": 1e9,
    "trillion": 1e12,
    "dozen": 12.0,
}
_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_ORDINALS = ["zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"]
_TENS = {word: 20 + 10 * index for index, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"])}
_ONES = {word: index for index, word in enumerate(_SMALL)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000, "dozen": 12}
_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
_OTHERS = {
    "half": 0.5,
    "quarter": 0.25,
    "once": 1.0,
    "twice": 2.0,
    "single": 1.0,
    "pair": 2.0,
    "couple": 2.0,
    **{word: float(scale) for word, scale in _SCALES.items()},
    **{word: float(index) for index, word in enumerate(_ORDINALS)},
    **{name: float(index) for index, name in enumerate(_MONTHS, 1)},
    **{name[:3]: float(index) for index, name in enumerate(_MONTHS, 1)},
    "sept": 9.0,
}


def numbers_in(text: str) -> frozenset[float]:
    """Every number of a text; one with a sign, a unit or separators counts in each reading."""
    return frozenset([*_written(text), *_fractions(text), *_spoken(text)])


def _written(text: str) -> Iterator[float]:
    for match in _DIGITS.finditer(text):
        digits = match["number"]
        if len(digits) > 300:
            continue
        value = float(digits.replace(",", "") + (match["power"] or ""))
        readings = [value]
        if "," in digits:  # `1,200` may be one number or a list of two
            readings += [float(part) for part in digits.split(",")]
        if match["power"]:
            readings.append(float(digits.replace(",", "")))
        if match["unit"]:
            unit = re.sub(r"\s", "", match["unit"].lower())
            readings.append(value * _UNITS[unit])
        yield from readings
        if match["minus"]:
            yield from (-reading for reading in readings)


def _fractions(text: str) -> Iterator[float]:
    for match in _FRACTION.finditer(text):
        if float(match[2]):
            yield float(match[1]) / float(match[2])


def _spoken(text: str) -> Iterator[float]:
    """Number words: `two thousand five hundred and one`, `twenty-two`; also ordinals, months and a few others on their own."""
    run: list[str] = []
    for word in [*re.findall(r"[a-z]+|\S", text.lower().replace("-", " ")), "."]:
        if word in _ONES or word in _TENS or (word in _SCALES and run):
            run.append(word)
            continue
        if run and word != "and":
            yield from _run_value(run)
            yield from _percent(run, word)
            run = []
        if word in _OTHERS:
            yield _OTHERS[word]


def _percent(run: list[str], word: str) -> Iterator[float]:
    if word in ("percent", "%"):
        yield from (value / 100 for value in _run_value(run))


def _run_value(run: list[str]) -> list[float]:
    """The value of number words in a row; where they are a list (`two three`), each of them too."""
    total, current = 0, 0
    for word in run:
        if word in _SCALES:
            scale = _SCALES[word]
            current = max(current, 1) * scale
            if scale >= 1000:
                total, current = total + current, 0
        else:
            current += _ONES.get(word, 0) + _TENS.get(word, 0)
    return [float(total + current), *(float({**_ONES, **_TENS}[word]) for word in run if word not in _SCALES)]
