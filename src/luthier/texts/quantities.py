"""Quantities in answers: numbers with units, as digits, fractions, powers of ten or words, and what two of them say beside each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from luthier.texts.counts import SCALES, is_part, spelled
from luthier.texts.signs import FUNCTIONS
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
_UNIT = re.compile(r"\s?((?:%|°\s?)?[^\W\d_]*+(?:(?:[\s/.*]|-(?=[^\W\d_]{3}))[^\W\d_]++(?:\^[23])?)*+(?:\^[23])?)\.?")
_UNCLEAR_DIGITS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d++,\d++")  # 1.000 and 1,2 are read one way here and another there
_ORDINALS, _LETTER_UNITS = ("st", "nd", "rd", "th"), "gmshwvlcfkjn"
_SHORT = (  # other words of two letters, and of three without a vowel, are letters of a formula
    "mm cm dm km nm um µm mg kg ug µg ml cl dl kl hl hz kw mw gw kj mj ev kv mv ma ah wh kn pa lb lbs oz ft yd mi in pt qt ha hr hrs yr yrs mo wk min "
    "sec ms ns us am pm db rpm mph kph kmh kwh fps mpg gb mb kb tb pb usd eur gbp bn cal kcal mol sq cu °c °f pts px dpi tsp tbsp mhz ghz khz"
)
_SHORT_UNITS = frozenset(_SHORT.split())
_OTHERS = (  # words behind a number that make another of it
    "or and to plus minus times over divided squared cubed factorial less more most least than not below above under mod modulo pi theta alpha beta root"
)
_CHANGING = (FUNCTIONS - {"min", "sec"}) | frozenset(_OTHERS.split())
_MONEY_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12, "tn": 10**12}
_VOWEL = re.compile("[aeiouyäöüéèà]")
_SPELLINGS = ({"%", "percent", "per cent"},)
_SAME_MONEY = {
    "$": {"$", "usd", "dollar", "dollars", "us dollars"},
    "€": {"€", "eur", "euro", "euros"},
    "£": {"£", "gbp", "pound", "pounds"},
}


class Quantity(NamedTuple):
    """A number, the unit behind or the money before it, with how many decimals it was written, -1 for a fraction, and whether the unit is a
    letter right behind it: 2m may be two metres, two millions or twice m, and 5k thousands."""

    value: Fraction
    unit: str
    decimals: int
    open: bool = False


def compare_quantities(a: str, b: str) -> Verdict | None:
    """What two quantities say beside each other; None where one of the texts is none."""
    one, two = quantity(a), quantity(b)
    if one is None or two is None:
        return None
    if any(_UNCLEAR_DIGITS.fullmatch(text.strip("-+$€£ ")) for text in (a, b)) and one.value != two.value:
        return "unclear"
    units = _units(one, two)
    if one.open != two.open and not (one.unit and two.unit):
        return _in_thousands(one, two)
    if one.value == two.value:
        return units if units != "unclear" else _converted(a, b) or "unclear"
    if units == "unclear" or _rounded(one, two) or Fraction(100) in (abs(one.value / (two.value or 1)), abs(two.value / (one.value or 1))):
        return _converted(a, b) or "unclear"
    return _converted(a, b) or "different"


def _in_thousands(one: Quantity, two: Quantity) -> Verdict:
    """A number with a letter right behind it, beside a bare one."""
    lettered, bare = (one, two) if one.open else (two, one)
    if lettered.unit == "k" and lettered.value * 1_000 == bare.value:
        return "same"
    meant = (lettered.value * scale for scale in (1, 10**3, 10**6, 10**9))
    return "unclear" if bare.value in meant else "different"


def quantity(text: str) -> Quantity | None:
    """A number with a unit or without: digits with thousands, fractions, powers of ten, or words."""
    if (words := spelled(text)) is not None:
        return Quantity(words.value, " ".join(words.rest), 0 if words.exact else -1) if _is_unit(words.rest, 2) else None
    match = _NUMBER.match(text)
    found = None if match is None else _number(text, match)
    if match is None or found is None:
        return None
    value, decimals, at = found
    rest = text[at:]
    scale, _, more = rest.strip().partition(" ")
    if scale in SCALES:
        value, rest = value * SCALES[scale], more
    unit = _UNIT.fullmatch(rest)
    if unit is None or (rest[:1].isalpha() and unit[1] in _ORDINALS) or not _is_unit(re.findall(r"[^\W\d_]+", unit[1]), 9):
        return None
    behind = unit[1].strip().replace("° ", "°")
    if match["money"] and behind in _MONEY_SCALES:
        value, behind = value * _MONEY_SCALES[behind], ""
    value = -value if match["sign"] == "-" else value
    return Quantity(value, f"{match['money']}{behind}".strip(), decimals, len(behind) == 1 and behind.isalpha() and rest[:1] == behind)


def _is_unit(words: Sequence[str], most: int) -> bool:
    """Whether words behind a number are what is counted or measured: neither letters of a formula nor words that make another number of it."""
    return len(words) <= most and all(
        word not in _CHANGING
        and (
            word in _SHORT_UNITS or word in _LETTER_UNITS
            if len(word) < 3
            else len(word) > 3 or word in _SHORT_UNITS or bool(_VOWEL.search(word))
        )
        for word in words
    )


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


def _units(one: Quantity, two: Quantity) -> Verdict:
    a, b = one.unit, two.unit
    if a == b or any({a, b} <= spellings for spellings in (*_SPELLINGS, *_SAME_MONEY.values())) or _singular(a) == _singular(b):
        return "same"
    if not a or not b:
        return "unclear" if "%" in (a, b) or "percent" in (a, b) or any(map(is_part, (a or b).split())) else "same"
    money = [next((sign for sign, spellings in _SAME_MONEY.items() if unit in spellings), None) for unit in (a, b)]
    return "different" if None not in money and money[0] != money[1] else "unclear"


def _singular(unit: str) -> str:
    return unit[:-1] if unit.endswith("s") and (len(unit) > 3 or unit in ("lbs", "hrs", "yrs")) else unit


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
