"""How the report writes numbers: thousands with commas, percentages with a thin space, durations in two units."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

THIN = "\u202f"  # a narrow space that does not break the line


class Told(NamedTuple):
    """The answer of a command that keeps no run folder: what is said in a terminal, and the same for machines. code: the command ends with."""

    lines: Sequence[str]
    value: Any
    code: int = 0


def number(value: Any) -> str:
    """`20,111`, `3.9`, `4.88 million`; anything that is no number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if abs(value) >= 1_000_000:
        return f"{value / 1e6:,.2f}{THIN}million"
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(rate: Any) -> str:
    """0.52 as `52 %`; one decimal only where it says something."""
    if not isinstance(rate, int | float):
        return "–"
    return f"{_percent(rate)}{THIN}%"


def percent_range(low: float, high: float) -> str:
    return f"{_percent(low)}–{_percent(high)}{THIN}%"


def _percent(rate: float) -> str:
    return f"{rate * 100:.1f}".removesuffix(".0")


def duration(seconds: Any) -> str:
    """`12.3 s`, `9 min 20 s`, `1 h 5 min`."""
    if not isinstance(seconds, int | float):
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + f"{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min" + (f" {rest}{THIN}s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{THIN}h" + (f" {minutes}{THIN}min" if minutes else "")


def words(name: str) -> str:
    """A field's name as words: `missing_argument` is `missing argument`."""
    return name.replace("_", " ")


def text(value: Any) -> str:
    """Any JSON value as text; a string is itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def interval(value: Any, low: Any = None, high: Any = None, form: str = ".3f") -> str:
    """A value with its interval, `0.713 (0.700 to 0.737)`; a dash for none. form: of the numbers, as Python writes them."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} ({low:{form}} to {high:{form}})"


def rate(one: Any) -> str:
    """A share of items with its 95 % interval, `55.2 % (52–58)`, from its row; a dash where nothing was counted."""
    if not isinstance(one, dict) or not one.get("items") or one.get("rate") is None:
        return "–"
    return f"{percent(round(one['rate'], 3))} ({_percent(round(one['low'], 2))}–{_percent(round(one['high'], 2))})"


def points(one: Any) -> str:
    """A difference of shares with its interval, `+0.4 points (-2.3 to +3.3)`, from its row."""
    return f"{100 * one['mean']:+.1f} points ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
