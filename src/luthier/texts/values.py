"""Values as people write them: dates, numbers with units, versions and names, found in text and compared by what they mean.

"19 September 2025" is 2025-09-19, "1,000 g" is 1 kg, "the Fairphone" is "fairphone". Nothing here knows who asks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

Kind = Literal["date", "number", "version", "text"]
KINDS: tuple[Kind, ...] = ("date", "number", "version", "text")

_MONTHS = {
    name[:3]: number
    for number, name in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"), 1
    )
}
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_YEAR = r"(?P<year>(?:1[5-9]|20|21)\d\d)"
_CLOCK = r"(?:(?:T|,?\s)\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[ap]m\b)?(?:\s?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)(?!\w))?)?"  # says nothing of the day
_DATES = tuple(
    re.compile(rf"(?<![\w.-]){form}(?!\w|[.-]\d)", re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})" + _CLOCK,
        r"(?P<year>\d{4})[/.](?P<month>\d{1,2})[/.](?P<day>\d{1,2})" + _CLOCK,
        rf"{_DAY}(?:\s+of)?[\s-]+{_MONTH},?[\s-]+{_YEAR}{_CLOCK}",
        rf"{_MONTH}\s+{_DAY},?\s+{_YEAR}{_CLOCK}",
        r"(?P<first>\d{1,2})[./-](?P<second>\d{1,2})[./-](?P<year>\d{4})" + _CLOCK,
        rf"{_MONTH},?\s+{_YEAR}",
        r"(?P<year>\d{4})-(?P<month>\d{2})",
        _YEAR,
    )
)
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+(?:[-+][0-9A-Za-z.+-]*[0-9A-Za-z])?|\d+(?:\.\d+)+[a-z]\w*)(?![\w])", re.IGNORECASE)
_LONE_VERSION = re.compile(r"v?\d[\w.+-]*+", re.IGNORECASE)
_UNIT = r"%|°\s?[CF]|[A-Za-zµ€$£]+(?:/[a-z]+)?²?"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>[-−+]?)(?P<money>[$€£]\s?)?(?P<digits>\d{{1,3}}(?:[,\u202f\u00a0 ]\d{{3}})+(?!\d)|\d+)(?P<part>\.\d+)?"
    rf"(?:\s?(?P<scale>thousand|million|billion)\b)?(?:[\s-]?(?P<unit>{_UNIT})(?!\w))?(?!\d|\.\d)",
    re.IGNORECASE,
)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_UNITS: dict[str, tuple[str, str]] = {  # spelling: (base unit, factor)
    spelling: (base, factor)
    for base, factor, spellings in (
        ("g", "1", "g gram grams"),
        ("g", "1000", "kg kilogram kilograms kilo kilos"),
        ("g", "0.001", "mg milligram milligrams"),
        ("m", "1", "m metre metres meter meters"),
        ("m", "1000", "km kilometre kilometres kilometer kilometers"),
        ("m", "0.01", "cm centimetre centimetres centimeter centimeters"),
        ("m", "0.001", "mm millimetre millimetres millimeter millimeters"),
        ("inch", "1", "in inch inches"),
        ("byte", "1", "byte bytes"),
        ("byte", "1000", "kb kilobyte kilobytes"),
        ("byte", "1000000", "mb megabyte megabytes"),
        ("byte", "1000000000", "gb gigabyte gigabytes"),
        ("byte", "1000000000000", "tb terabyte terabytes"),
        ("s", "1", "s sec second seconds"),
        ("s", "60", "min minute minutes"),
        ("s", "3600", "h hour hours"),
        ("day", "1", "day days"),
        ("day", "7", "week weeks"),
        ("month", "1", "month months"),
        ("month", "12", "year years"),
        ("W", "1", "w watt watts"),
        ("W", "1000", "kw kilowatt kilowatts"),
        ("V", "1", "v volt volts"),
        ("mAh", "1", "mah"),
        ("mAh", "1000", "ah"),
        ("Hz", "1", "hz hertz"),
        ("Hz", "1000000", "mhz megahertz"),
        ("Hz", "1000000000", "ghz gigahertz"),
        ("%", "1", "% percent"),
        ("$", "1", "$ usd dollar dollars"),
        ("€", "1", "€ eur euro euros"),
        ("£", "1", "£ gbp pound pounds"),
        ("px", "1", "px pixel pixels"),
        ("°c", "1", "°c celsius"),
        ("°f", "1", "°f fahrenheit"),
    )
    for spelling in spellings.split()
}
_NUMERIC, _AS_WRITTEN = "#", "~"  # keys of a number: in its base unit, and as it stands
_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True)
class Mention:
    """A value that a text holds: what it may mean, and where it stands. A date may be of a year or a month only."""

    keys: frozenset[str]
    start: int
    end: int


def kind_of(values: Iterable[str]) -> Kind:
    """What all these values are: dates, numbers, versions (or numbers among versions), else text."""
    found = {_kind(value) for value in values}
    if found <= {"date"}:
        return "date" if found else "text"
    if found == {"number"}:
        return "number"
    return "version" if found <= {"version", "number"} else "text"


def mentions(text: str, kind: Kind) -> list[Mention]:
    """The dates, numbers or versions in a text, from left to right; numbers that belong to a date are none. Text has no mentions."""
    if kind == "date":
        return _dates(text)
    if kind == "number":
        return _numbers(_without(text, _dates(text, years=False)))
    return _versions(text) if kind == "version" else []


def states(text: str, value: str, kind: Kind) -> int | None:
    """Where the text states the value first, in any of its writings; None where it does not."""
    if kind == "text":
        return _words_at(text, value)
    wanted = keys_of(value, kind)
    places = [one.start for one in mentions(text, kind) if same(one.keys, wanted)]
    if not places and (kind == "version" or not mentions(value, kind)):
        return _literally(text, value)
    return min(places, default=None)


def keys_of(value: str, kind: Kind) -> frozenset[str]:
    """What a value means, to be compared by `same`."""
    if kind == "text":
        return frozenset((" ".join(plain_words(value)),))
    if kind == "version":
        return frozenset((value.strip().lower().removeprefix("v"),))
    found = mentions(value, kind)
    return found[0].keys if found else frozenset((value.strip().casefold(),))


def same(one: frozenset[str], two: frozenset[str]) -> bool:
    """Whether two values mean the same. A number without a unit is that number with any."""
    shared = one & two
    if any(not key.startswith(_AS_WRITTEN) for key in shared):
        return True
    return bool(shared) and any(key.startswith(_NUMERIC) and " " not in key for key in (*one, *two))


def unit_of(keys: frozenset[str]) -> str:
    """The base unit of a number; empty where it has none that is known."""
    return next((key.partition(" ")[2] for key in keys if key.startswith(_NUMERIC)), "")


def agrees(part: frozenset[str], whole: frozenset[str]) -> bool:
    """Whether a date of a year or month only fits into a whole one: it says less, and nothing wrong."""
    return any(key != other and other.startswith(f"{key}-") for key in part for other in whole)


def comparable(value: str, kind: Kind) -> tuple[str, Decimal] | str | None:
    """A key to order values of a kind by: dates, or numbers of one unit with that unit; None where there is no order."""
    found = mentions(value, kind) if kind in ("date", "number") else []
    keys = [key for key in found[0].keys if not key.startswith(_AS_WRITTEN)] if len(found) == 1 else []
    if len(keys) != 1:
        return None
    if kind == "date":
        return keys[0]
    digits, _, unit = keys[0].removeprefix(_NUMERIC).partition(" ")
    return unit, Decimal(digits)


def plain_words(text: str) -> list[str]:
    """Words without case, accents of compatibility forms, punctuation and articles."""
    words = [match[0] for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold())]
    return [word for word in words if word not in _ARTICLES] or words


def blank(text: str, names: Iterable[str]) -> str:
    """The text with these names replaced by as many spaces, longest first: their digits are no values."""
    for name in sorted({name for name in names if name}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda match: " " * len(match[0]), text, flags=re.IGNORECASE)
    return text


def _kind(value: str) -> Kind:
    text = value.strip()
    whole = [one for one in _dates(text) if (one.start, one.end) == (0, len(text)) and all("-" in key for key in one.keys)]
    if whole:
        return "date"
    number = _NUMBER.fullmatch(text)
    if number is not None and (number["unit"] is None or number["unit"].casefold() in _UNITS):
        return "number"
    return "version" if _LONE_VERSION.fullmatch(text) and "." in text else "text"


def _dates(text: str, *, years: bool = True) -> list[Mention]:
    found: list[Mention] = []
    taken = text
    for form in _DATES if years else _DATES[:-1]:
        new = [Mention(keys, *match.span()) for match in form.finditer(taken) if (keys := _date_keys(match))]
        taken = _without(taken, new)
        found += new
    return sorted(found, key=lambda one: one.start)


def _date_keys(match: re.Match[str]) -> frozenset[str]:
    parts = match.groupdict()
    year = int(parts["year"])
    if "first" in parts:
        first, second = int(parts["first"]), int(parts["second"])
        return frozenset(f"{year}-{m:02}-{d:02}" for d, m in ((first, second), (second, first)) if m <= 12 and 1 <= d <= 31 and m)
    if "month" not in parts:
        return frozenset((str(year),))
    month = int(parts["month"]) if parts["month"].isdigit() else _MONTHS[parts["month"].lower()[:3]]
    if not 1 <= month <= 12:
        return frozenset()
    if parts.get("day") is None:
        return frozenset((f"{year}-{month:02}",))
    day = int(parts["day"])
    return frozenset((f"{year}-{month:02}-{day:02}",)) if 1 <= day <= 31 else frozenset()


def _numbers(text: str) -> list[Mention]:
    return [Mention(keys, *match.span()) for match in _NUMBER.finditer(text) if (keys := _number_keys(match))]


def _number_keys(match: re.Match[str]) -> frozenset[str]:
    try:
        amount = Decimal(re.sub(r"\D", "", match["digits"]) + (match["part"] or ""))
    except InvalidOperation:  # more digits than a Decimal takes
        return frozenset()
    amount *= _SCALES.get((match["scale"] or "").lower(), 1)
    if match["sign"] in ("-", "−"):
        amount = -amount
    spelled = (match["unit"] or match["money"] or "").strip().replace(" ", "").casefold()
    base, factor = _UNITS.get(spelled, ("", "1"))
    digits = f"{(amount * Decimal(factor)).normalize():f}"
    return frozenset((f"{_NUMERIC}{digits} {base}" if base else f"{_NUMERIC}{digits}", f"{_AS_WRITTEN}{amount.normalize():f}"))


def _versions(text: str) -> list[Mention]:
    return [Mention(frozenset((match[1].lower().rstrip("."),)), *match.span()) for match in _VERSION.finditer(text)]


def _without(text: str, found: Sequence[Mention]) -> str:
    for one in found:
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text


def _literally(text: str, value: str) -> int | None:
    match = re.search(rf"(?<![\w.]){re.escape(value.strip())}(?!\w|\.\d)", text, re.IGNORECASE)
    return None if match is None else match.start()


def _words_at(text: str, value: str) -> int | None:
    wanted = plain_words(value)
    folded = [(match[0].casefold(), match.start()) for match in _WORD.finditer(unicodedata.normalize("NFKC", text))]
    words = [(word, place) for word, place in folded if word not in _ARTICLES] if wanted and not set(wanted) <= _ARTICLES else folded
    for at in range(len(words) - len(wanted) + 1):
        if wanted and all(words[at + step][0] == word for step, word in enumerate(wanted)):
            return words[at][1]
    return None
