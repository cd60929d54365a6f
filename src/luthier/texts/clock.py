"""Times of day as people say them: `noon`, `3 p.m.`, `15:00`."""

from __future__ import annotations

import re

_CLOCK = re.compile(r"(?:at\s)?(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d)(?::(?P<second>\d\d))?)?(?:\s?(?P<half>[ap])\.?\s?m\.?)?")
_NAMED = {"noon": 12 * 3600, "midday": 12 * 3600, "12 noon": 12 * 3600, "midnight": 0, "12 midnight": 0}
_DAY = 24 * 3600


def is_named(text: str) -> bool:
    """Whether a time of day is said by its name."""
    return text in _NAMED


def times_of_day(text: str) -> frozenset[int]:
    """The seconds since midnight that a text may mean: one, or two where it may be morning or evening. None where it is no time of day: a number
    alone is none, nor one with a point and no `am` or `pm`."""
    if text in _NAMED:
        return frozenset((_NAMED[text],))
    found = _CLOCK.fullmatch(text)
    if found is None or not (found["half"] or (found["minute"] and ":" in text)):
        return frozenset()
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    if minute > 59 or second > 59 or hour > (12 if found["half"] else 24) or (found["half"] and not hour):
        return frozenset()
    if found["half"]:
        return frozenset(((hour % 12 + (12 if found["half"] == "p" else 0)) * 3600 + minute * 60 + second,))
    moment = (hour * 3600 + minute * 60 + second) % _DAY
    later = moment + _DAY // 2
    return frozenset((moment, later)) if 1 <= hour < 12 and not text.startswith("0") else frozenset((moment,))
