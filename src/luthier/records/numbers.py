"""Numbers as people write them into rows: a whole number of JSON may be longer than any float holds."""

from __future__ import annotations

import math


def finite_number(value: object) -> float | None:
    """A number as a float; None for anything else, a bool, NaN, an infinity, or a whole number beyond every float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def written_number(value: object) -> object:
    """A number out of its text, as tables hold it; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def shown(value: object, most: int = 40) -> str:
    """A value as it is written, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]} …"
