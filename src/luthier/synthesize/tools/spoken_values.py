"""Values as people write them: dates written out, lists joined with "and", objects field by field, truth values in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from random import Random
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meanings import meaning_of, words_of
from luthier.synthesize.tools.own_texts import options_in

PROSE = frozenset(("note", "message", "review", "description", "subject", "title", "reason", "instruction", "topic", "lost"))
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def spoken_list(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def said(value: Any, schema: JSON, name: str, random: Random) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, dict):
        return _object(value, schema, random)
    if isinstance(value, list):
        return _listed(value, schema, name, random)
    if isinstance(value, float):
        return f"{value:.2f}" if round(value, 2) == value and abs(value) >= 10 and random.random() < 0.5 else f"{value!r}"
    if isinstance(value, int):
        apart = value >= 10_000 and not re.search(r"\b(id|number|code|year|phone)s?$", words_of(name)) and random.random() < 0.5
        return f"{value:,}" if apart else str(value)
    return _text(str(value), schema, random)


def _text(value: str, schema: JSON, random: Random) -> str:
    """Options without underscores, days and times as people write them, anything else as it is."""
    if schema.get("enum") or (options_in(str(schema.get("description") or ""))):
        return re.sub(r"(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])", " ", value) if value.islower() else value
    if is_day(value):
        return day_text(value, random)
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", value):
        return f"{day_text(value[:10], random)} at {value[11:16]} UTC" if random.random() < 0.85 else value
    return f"{value[:5]} UTC" if re.fullmatch(r"\d\d:\d\d:00Z", value) else value


def schema_of(properties: JSON, name: str) -> JSON:
    """Of a property; empty where there is none."""
    found = properties.get(name)
    return found if isinstance(found, dict) else {}


def is_day(value: Any) -> bool:
    """Whether it is a date of ISO 8601."""
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None


def day_text(value: str, random: Random) -> str:
    """A date of ISO 8601 as people write it."""
    day = date.fromisoformat(value)
    month = _MONTHS[day.month - 1]
    ending = "th" if 10 < day.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    forms = (f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", f"{month} {day.day}{ending}, {day.year}", value)
    return random.choice((*forms[:3], *forms))


def _object(value: JSON, schema: JSON, random: Random) -> str:
    """`first name Anna, last name Keller and email …`; an amount and its currency as "250 EUR"."""
    properties = _all_properties(schema)
    words = {words_of(name): name for name in value}
    if set(words) == {"amount", "currency"}:
        amount, currency = value[words["amount"]], value[words["currency"]]
        return f"{said(amount, {}, 'amount', random)} {currency}"
    parts = [
        f"{words_of(name)} {_inner(one, schema_of(properties, name), name, random)}" if name in properties else _entry(name, one, random)
        for name, one in value.items()
    ]
    return spoken_list(parts) or "nothing"


def _entry(key: str, value: Any, random: Random) -> str:
    """An entry of a map, whose key stands as it is: `team billing`, `LOG_LEVEL=debug`, `If-Match: a71c`."""
    text = _inner(value, {}, key, random)
    text = f'"{text}"' if isinstance(value, str) and " " in value and not text.startswith('"') and not is_day(value) else text
    return (
        f"{key} {text}" if re.fullmatch(r"[A-Za-z][a-z]*(?:[ -][a-z]+)*", key) else f"{key}={text}" if key.isupper() else f"{key}: {text}"
    )


def _inner(value: Any, schema: JSON, name: str, random: Random) -> str:
    """A value within an object: objects within are set apart in brackets, wordings by quotes."""
    text = said(value, schema, name, random)
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
        return f"({text})"
    return (
        f'"{text}"'
        if isinstance(value, str)
        and " " in value
        and (any(mark in value for mark in ",.;") or meaning_of(name) in PROSE)
        and not is_day(value)
        else text
    )


def _all_properties(schema: JSON) -> JSON:
    """The properties of a schema and of the branches of its unions."""
    found = dict(schema.get("properties") or {})
    for branch in schema.get("anyOf") or ():
        if isinstance(branch, dict):
            found = {**(branch.get("properties") or {}), **found}
    return found


def _listed(value: list[Any], schema: JSON, name: str, random: Random) -> str:
    raw = schema.get("items")
    items: JSON = (
        raw
        if isinstance(raw, dict)
        else next((one["items"] for one in schema.get("anyOf") or () if isinstance(one.get("items"), dict)), {})
    )
    texts = [said(one, items, name, random) for one in value]
    if any(isinstance(one, dict) for one in value):
        if len(texts) == 1:
            return texts[0]
        return "; ".join(
            f"{place}: {text}" for place, text in zip(("first", "second", "third", "fourth", "fifth", "sixth"), texts, strict=False)
        ) + "".join(f"; another: {text}" for text in texts[6:])
    if any("," in text for text in texts if isinstance(text, str)) or (value and isinstance(value[0], str) and random.random() < 0.1):
        texts = [f'"{text}"' for text in texts]
    return spoken_list(texts) or "none"
