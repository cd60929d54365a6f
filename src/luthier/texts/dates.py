"""Dates of numbers alone, as spreadsheets write them: in `05/06/2024` either number may be the day, and others of the same hand show which.

`2024/06/05` and `13/06/2024` can be read one way only; with points, `05.06.2024`, the day stands first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple

Order = Literal["day", "month"]
DateOption = Literal["auto", "day-first", "month-first"]
ORDERS: dict[DateOption, Order | None] = {"auto": None, "day-first": "day", "month-first": "month"}
_ZONE = r"(?:\s?(?P<zone>Z|(?:UTC|GMT)?[+-]\d\d(?::?\d\d)?|UTC|GMT))?"
_CLOCK = rf"(?:(?:T|,?\s{{1,3}})(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<part>\d{{1,6}})\d{{0,6}})?)?(?:\s?(?P<half>[ap])\.?m\.?)?{_ZONE})?"
_NUMBERED = re.compile(rf"(?P<one>\d{{1,2}})(?P<sign>[./-])(?P<two>\d{{1,2}})(?P=sign)(?P<year>\d{{4}}|\d\d){_CLOCK}", re.IGNORECASE)
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})(?P<sign>[./-])(?P<two>\d{{1,2}})(?P=sign)(?P<one>\d{{1,2}}){_CLOCK}", re.IGNORECASE)
_ISO = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
_IN_TEXT = re.compile(r"(?<![\w./-])\d{1,2}([./-])\d{1,2}\1\d{4}(?![\w/-]|\.\d)")
_CENTURY = 69  # years of two digits from here on are of the century before


class Shown(NamedTuple):
    """Texts that can be read one way only: the first with the day before the month, and the first with the month before the day."""

    day: str | None = None
    month: str | None = None

    @property
    def order(self) -> Order | None:
        """What they show; None where they show nothing, or both."""
        if (self.day is None) == (self.month is None):
            return None
        return "month" if self.day is None else "day"


def shown_order(texts: Iterable[str]) -> Shown:
    """What the dates among these texts show; all others say nothing."""
    found: dict[Order, str] = {}
    for text in texts:
        match = _NUMBERED.fullmatch(text.strip())
        order = None if match is None else _order(match)
        if order is not None:
            found.setdefault(order, text.strip())
            if len(found) == 2:
                break
    return Shown(found.get("day"), found.get("month"))


def is_date(text: str) -> bool:
    """Whether a text is a year, month or day that there is, as `2024`, `2024-07` or `2024-07-01`."""
    if _ISO.fullmatch(text) is None:
        return False
    year, month, day = (int(part) for part in (*text.split("-"), "1", "1")[:3])
    try:
        datetime(year, month, day)
    except ValueError:
        return False
    return True


def order_in(text: str) -> Shown:
    """What the dates within a running text show."""
    return shown_order(match[0] for match in _IN_TEXT.finditer(text))


def is_open(text: str) -> bool:
    """Whether a text is a date that may be read in two ways."""
    match = _NUMBERED.fullmatch(text.strip())
    return (
        match is not None
        and _order(match) is None
        and match["one"].lstrip("0") != match["two"].lstrip("0")
        and _moment(match, "day") is not None
    )


def read_moment(text: str, order: Order | None = None) -> datetime | None:
    """The moment of a date of numbers, with or without a time of day and its zone (`UTC`, `GMT`, `Z`, `+01:00`); order: of those that are open. None for anything else, and for an open
    date without an order."""
    match = _YEAR_FIRST.fullmatch(text.strip())
    if match is not None:
        return _moment(match, "day")
    match = _NUMBERED.fullmatch(text.strip())
    if match is None:
        return None
    return _moment(match, _order(match) or order or ("day" if not is_open(text) else None))


def _order(match: re.Match[str]) -> Order | None:
    """The order that a date itself shows."""
    one, two = int(match["one"]), int(match["two"])
    if one > 12 >= two:
        return "day"
    if two > 12 >= one:
        return "month"
    return "day" if match["sign"] == "." else None


def _moment(match: re.Match[str], order: Order | None) -> datetime | None:
    if order is None:
        return None
    day, month = (match["one"], match["two"]) if order == "day" else (match["two"], match["one"])
    year = int(match["year"]) + (0 if len(match["year"]) > 2 else 1900 if int(match["year"]) >= _CENTURY else 2000)
    hour = int(match["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"].lower() == "p" else 0)
    part = int((match["part"] or "0").ljust(6, "0"))
    try:
        return datetime(year, int(month), int(day), hour, int(match["minute"] or 0), int(match["second"] or 0), part, _zone(match["zone"]))
    except ValueError:
        return None


def _zone(text: str | None) -> timezone | None:
    """The zone that a clock names. Raises ValueError for one of a day or more."""
    if text is None:
        return None
    offset = text.upper().removeprefix("UTC").removeprefix("GMT").replace(":", "").removeprefix("Z")
    minutes = int(offset[1:3]) * 60 + int(offset[3:5] or 0) if offset else 0
    return timezone(timedelta(minutes=-minutes if offset.startswith("-") else minutes))
