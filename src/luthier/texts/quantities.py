"""Quantities in answers: numbers with units, as digits, fractions, powers of ten or words, and what two of them say beside each other."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from luthier.texts.values import keys_of, same, unit_of

Verdict = Literal["same", "different", "unclear"]
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s?(?P<money>[$€£¥₹]?)\s?(?P<whole>\d{1,3}(?:[, '\u00a0\u202f]\d{3})++(?![\d,])|\d++)?(?P<part>\.\d++)?"
    r"(?:e(?P<power>[-+]?\d{1,3})(?!\w))?"
)
_OVER = re.compile(r"\s?/\s?(\d++)(?![\d.,])")
_MIXED = re.compile(r"\s(\d++)\s?/\s?(\d++)(?![\d.,])")
_TIMES_TEN = re.compile(r"\s?[*×x·]\s?10\s?\^\s?\(?([-+]?\d{1,3})\)?(?!\d)")
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?\(?([-+]?\d{1,3})\)?(?!\d)")
_SCALE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_UNIT = re.compile(r"\s?([%°]?[^\W\d_]*+(?:[\s/.^*²³-][^\W\d_]++[²³]?)*+[²³]?)\.?")
_UNCLEAR_DIGITS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d++,\d++")  # 1.000 and 1,2 are read one way here and another there
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_COUNTS = {**{word: n for n, word in enumerate(_ONES.split())}, **{word: 10 * (n + 2) for n, word in enumerate(_TENS.split())}}
_ORDINALS, _SHORT_UNITS = ("st", "nd", "rd", "th"), "gmshwvlcfkjn"
_SPELLINGS = ({"%", "percent", "per cent"},)
_SAME_MONEY = {
    "$": {"$", "usd", "dollar", "dollars", "us dollars"},
    "€": {"€", "eur", "euro", "euros"},
    "£": {"£", "gbp", "pound", "pounds"},
}


class Quantity(NamedTuple):
    """A number, the unit behind or the money before it, and with how many decimals it was written, -1 for a fraction."""

    value: Fraction
    unit: str
    decimals: int


def compare_quantities(a: str, b: str) -> Verdict | None:
    """What two quantities say beside each other; None where one of the texts is none."""
    one, two = quantity(a), quantity(b)
    if one is None or two is None:
        return None
    if any(_UNCLEAR_DIGITS.fullmatch(text.strip("-+$€£ ")) for text in (a, b)) and one.value != two.value:
        return "unclear"
    units = _units(one, two)
    if one.value == two.value:
        return units
    if units == "unclear" or _rounded(one, two) or Fraction(100) in (abs(one.value / (two.value or 1)), abs(two.value / (one.value or 1))):
        return _converted(a, b) or "unclear"
    return _converted(a, b) or "different"


def quantity(text: str) -> Quantity | None:
    """A number with a unit or without: digits with thousands, fractions, powers of ten, or words."""
    spelled = _spelled(text)
    if spelled is not None:
        return spelled
    match = _NUMBER.match(text)
    found = None if match is None else _number(text, match)
    if match is None or found is None:
        return None
    value, decimals, at = found
    rest = text[at:]
    scale, _, more = rest.strip().partition(" ")
    if scale in _SCALE:
        value, rest = value * _SCALE[scale], more
    unit = _UNIT.fullmatch(rest)
    if unit is None or (rest[:1].isalpha() and (unit[1] in _ORDINALS or (len(unit[1]) == 1 and unit[1] not in _SHORT_UNITS))):
        return None
    value = -value if match["sign"] == "-" else value
    return Quantity(value, f"{match['money']}{unit[1]}".strip(), decimals)


def _number(text: str, match: re.Match[str]) -> tuple[Fraction, int, int] | None:
    """The value of a number, its decimals, and where it ends: digits, and what makes a fraction or a power of them."""
    if not (match["whole"] or match["part"]):
        return None
    value = Fraction(re.sub(r"\D", "", match["whole"] or "0") + (match["part"] or "")) * Fraction(10) ** int(match["power"] or 0)
    if match["part"] is None and match["power"] is None:
        if (found := _OVER.match(text, match.end())) is not None:
            return (value / int(found[1]), -1, found.end()) if int(found[1]) else None
        if (found := _MIXED.match(text, match.end())) is not None:
            return (value + Fraction(int(found[1]), int(found[2])), -1, found.end()) if int(found[2]) else None
    if (found := _TIMES_TEN.match(text, match.end())) is not None:
        return value * Fraction(10) ** int(found[1]), -1, found.end()
    if (found := _POWER.match(text, match.end())) is not None:
        fits = abs(int(found[1])) <= 60 and value != 0 and len(str(value)) <= 20
        return (value ** int(found[1]), -1, found.end()) if fits else None
    return value, len((match["part"] or ".")[1:]), match.end()


def is_count(word: str) -> bool:
    """Whether a word is a number in words."""
    return word in _COUNTS


def _spelled(text: str) -> Quantity | None:
    """Numbers in words, up to hundreds of thousands, and fractions of one half."""
    words = text.replace("-", " ").replace(" and ", " ").split()
    total, current, used = 0, 0, 0
    for word in words:
        if word in _COUNTS:
            current += _COUNTS[word]
        elif word == "hundred" and used:
            current *= 100
        elif word in _SCALE and used:
            total, current = total + current * _SCALE[word], 0
        else:
            break
        used += 1
    if text in ("half", "one half"):
        return Quantity(Fraction(1, 2), "", -1)
    return Quantity(Fraction(total + current), " ".join(words[used:]), 0) if used and len(words) - used <= 2 else None


def _units(one: Quantity, two: Quantity) -> Verdict:
    a, b = one.unit, two.unit
    if a == b or any({a, b} <= spellings for spellings in (*_SPELLINGS, *_SAME_MONEY.values())) or a.rstrip("s") == b.rstrip("s"):
        return "same"
    if not a or not b:
        return "unclear" if "%" in (a, b) or "percent" in (a, b) else "same"
    money = [next((sign for sign, spellings in _SAME_MONEY.items() if unit in spellings), None) for unit in (a, b)]
    return "different" if None not in money and money[0] != money[1] else "unclear"


def _converted(a: str, b: str) -> Verdict | None:
    """Quantities in units that `luthier.texts.values` converts: 1 km is 1000 m."""
    one, two = keys_of(a, "number"), keys_of(b, "number")
    if not unit_of(one) or unit_of(one) != unit_of(two):
        return None
    return "same" if same(one, two) else "different"


def _rounded(one: Quantity, two: Quantity) -> bool:
    """Whether one may be the other, rounded to the decimals it is written with."""
    for rough, exact in ((one, two), (two, one)):
        finer = rough.decimals >= 1 and (exact.decimals < 0 or exact.decimals > rough.decimals)
        if finer and abs(rough.value - exact.value) <= Fraction(1, 10**rough.decimals):
            return True
    return False
