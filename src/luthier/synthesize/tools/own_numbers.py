"""Numbers for a parameter: of the example's size, of the size that its name speaks of, within the limits of its schema."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

from luthier.records import JSON
from luthier.records.numbers import finite_number
from luthier.synthesize.tools.drafts import NOTHING, Draft
from luthier.synthesize.tools.meaning_values import code_like, value_of
from luthier.synthesize.tools.meanings import meaning_of, words_of
from luthier.synthesize.tools.own_texts import example_in

_CALENDAR = re.compile(r"\b(year|month|day|hour|minute)$")


def draw_number(schema: JSON, name: str, draft: Draft, *, whole: bool) -> Any:
    """A number within the limits: of the example's size, of the size the name speaks of, of the schema's limits."""
    low, high = _limits(schema)
    words, told = words_of(name), str(schema.get("description") or "").lower()
    meaning = meaning_of(name, str(schema.get("description") or ""))
    if meaning in ("latitude", "longitude") and not whole:
        least, most, digits = (36.0, 60.0, 4) if meaning == "latitude" else (-9.0, 24.0, 4)
    else:
        least, most, digits = _measure(words, told, whole)
    example = example_in(str(schema.get("description") or ""))
    if (
        whole
        and example.isdigit()
        and len(example) > 2
        and not _CALENDAR.search(words)
        and low <= (like := int(code_like(example, draft.scene.random))) <= high
    ):
        return like
    if whole and meaning in ("epoch", "year", "room"):
        value = int(value_of(meaning, draft.scene))
        if low <= value <= high:
            return value
    above, below = _number_or(schema.get("exclusiveMinimum"), -math.inf), _number_or(schema.get("exclusiveMaximum"), math.inf)
    usual = min(most, high) - max(least, low)  # one point of both is no range to draw from
    overlaps = (usual > 0 or (usual == 0 and low == high)) and least < below and most > above
    least, most = (max(least, low), min(most, high)) if overlaps else (low, high)
    if not math.isfinite(least) or not math.isfinite(most):
        least, most = max(least, low if math.isfinite(low) else -1000.0), min(most, high if math.isfinite(high) else max(least, 0) + 1000.0)
    return _stepped(schema, least, most, digits, draft, whole=whole)


def _stepped(schema: JSON, least: float, most: float, digits: int, draft: Draft, *, whole: bool) -> Any:
    random, step = draft.scene.random, schema.get("multipleOf")
    if step and finite_number(step) is None:  # no multiple but 0 is written with a float
        return 0 if least <= 0 <= most else NOTHING
    if step:
        first, last = math.ceil(least / step), math.floor(most / step)
        if first > last:
            return NOTHING
        value = round(random.randint(first, max(first, min(last, first + 400))) * step, 10)
        return int(value) if whole or (isinstance(step, int) and float(value).is_integer()) else value
    above, below = _number_or(schema.get("exclusiveMinimum"), -math.inf), _number_or(schema.get("exclusiveMaximum"), math.inf)
    if whole:
        first = max(math.ceil(least), math.floor(above) + 1 if math.isfinite(above) else math.ceil(least))
        last = min(math.floor(most), math.ceil(below) - 1 if math.isfinite(below) else math.floor(most))
        return random.randint(first, last) if first <= last else NOTHING
    for _ in range(8):
        value = min(max(round(random.uniform(least, most), digits), least), most)
        if above < value < below:
            if abs(value) >= 1000 and least <= round(value, -1) <= most and above < round(value, -1) < below:
                value = round(value, -1)
            return int(value) if float(value).is_integer() else value
        digits += 2
    return NOTHING


def _number_or(value: Any, other: float) -> float:
    number = finite_number(value)
    return other if number is None else number


def _limits(schema: JSON) -> tuple[float, float]:
    """Beyond every float a limit is none."""
    lows = [_number_or(schema.get(key), -math.inf) for key in ("minimum", "exclusiveMinimum")]
    highs = [_number_or(schema.get(key), math.inf) for key in ("maximum", "exclusiveMaximum")]
    return max(lows), min(highs)


_MEASURES: tuple[tuple[str, float, float, int], ...] = (
    (r"\bsystolic( \w+)*$", 100, 150, 0),
    (r"\bdiastolic( \w+)*$", 58, 95, 0),
    (r"\b(heart rate|pulse)( bpm)?$", 52, 110, 0),
    (r"\b(spo2|oxygen saturation|o2 sat)( percent| pct)?$", 91, 100, 0),
    (r"\b(respiratory rate|respiration)$", 12, 22, 0),
    (r"\b(body temperature|body temp|temp(erature)? (c|celsius))$", 36.1, 39.4, 1),
    (r"\b(line|lines|head|tail|line number|column|row)$", 2, 240, 0),
    (r"\bdays (a|per) week$", 1, 5, 0),
    (r"\bhours (a|per) week$", 8, 40, 0),
    (r"\bhours (a|per) day$", 2, 8, 0),
    (r"\b(rating|stars?|score|grade)$", 1, 5, 1),
    (r"\b(percent|percentage|pct|discount|rate|share|vat|tax rate|interest rate)$", 2, 40, 1),
    (r"\b(income|salary|revenue|wage)$", 1800, 6500, 0),
    (r"\b(principal|loan amount|credit limit|purchase price|property value)$", 5000, 250_000, 0),
    (r"\b(odometer|mileage|odometer km)$", 8000, 160_000, 0),
    (
        r"\b(amount|price|total|cost|fee|fare|budget|balance|salary|deposit|value|sum|subtotal|tax|revenue|income|max price|min price)$",
        15,
        900,
        2,
    ),
    (r"\b(cents|minor units?|pence)$", 500, 90_000, 0),
    (r"\b(limit|page size|per page|top|max results|max items|count|size|first|take|batch size|k)$", 5, 50, 0),
    (r"\b(page|page number)$", 2, 9, 0),
    (r"\b(offset|skip)$", 10, 200, 0),
    (
        r"\b(nights?|weeks?|rooms?|seats?|tickets?|passengers?|adults|guests?|people|persons?|party size|bags|copies|beds?|doors|attempts|retries)$",
        2,
        6,
        0,
    ),
    (r"\b(children|kids|infants)$", 1, 3, 0),
    (r"\b(quantity|qty|units|pieces|items|boxes|parcels|packages)$", 2, 24, 0),
    (r"\b(days|duration days|lead time)$", 2, 14, 0),
    (r"\b(hours?)$", 2, 12, 0),
    (r"\b(minutes?|mins?|duration|timeout)$", 15, 90, 0),
    (r"\b(months?|term)$", 3, 24, 0),
    (r"\bage$", 18, 70, 0),
    (r"\byears( of experience)?$", 1, 20, 0),
    (r"\b(exp|expiry|expiration|valid) year$", 2027, 2032, 0),
    (r"\byear$", 1998, 2027, 0),
    (r"\bmonth$", 1, 12, 0),
    (r"\bday$", 1, 28, 0),
    (r"\bhour$", 7, 20, 0),
    (r"\b(celsius|temperature|temp)\b", 16, 25, 1),
    (r"\bfahrenheit\b", 60, 80, 0),
    (r"\b(kg|kilograms?|weight|mass)\b", 1, 60, 1),
    (r"\b(grams?|mg|dose|dosage|ml|milliliters?|volume)\b", 50, 500, 0),
    (r"\b(km|kilomet\w+|distance|radius|mileage|odometer|miles)\b", 2, 200, 0),
    (r"\b(cm|height|width|length|depth|mm)\b", 10, 120, 0),
    (r"\b(latitude|lat)$", 36, 60, 4),
    (r"\b(longitude|lon|lng)$", -9, 24, 4),
    (r"\b(room|flat|apartment)( number)?$", 101, 640, 0),
    (r"\b(floor|level|priority|rank|step)$", 1, 5, 0),
    (r"\b(id|number|no|code|reference)$", 1000, 9999, 0),
)


_PER = re.compile(
    r"(?<!days)(?<!hours) (per|a|each) (hour|day|night|week|month|quarter|year|person|head|unit|piece|item|kg|km|litre|liter)$"
)
_RANGE = re.compile(r"(?:\b(?:from|between) |^)(\d{1,6})(?: to | and | ?[-\u2013] ?)(\d{1,6})\b")  # points from 1 to 5


@lru_cache(maxsize=8192)
def _measure(words: str, told: str, whole: bool) -> tuple[float, float, int]:
    """Usual least and most of what a name measures, and its decimals."""
    if re.search(r"\b(id|number|code)$", words):
        return 1000, 99_999, 0
    if (said := _RANGE.search(told)) and float(said[1]) < float(said[2]):
        return float(said[1]), float(said[2]), 0 if whole else 1
    for text in (_PER.sub("", words), words, told.rstrip(". ")):
        for pattern, least, most, digits in _MEASURES:
            if re.search(pattern, text):
                return least, most, 0 if whole else digits
    return (1, 60, 0) if whole else (1, 100, 1)
