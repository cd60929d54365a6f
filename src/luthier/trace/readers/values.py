"""Labels and times of answers, in the words and signs in use."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.numbers import shown
from luthier.texts.dates import Order, is_open, read_moment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIGHT = frozenset({"1", "1.0", "true", "t", "yes", "y", "correct", "right", "pass", "passed", "ok"})
WRONG = frozenset({"0", "0.0", "false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "hint"})


_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")


_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # or a decimal comma before three digits


def number_of(text: str) -> float:
    """A number in a table, with a decimal comma too. Raises ValueError."""
    return float(text.replace(",", ".") if _COMMA.fullmatch(text) else text)


def label_of(value: Any) -> float:
    """0, 1 or a share between. Raises BadRowError."""
    text = str(value).strip().lower()
    if text in RIGHT or text in WRONG:
        return 1.0 if text in RIGHT else 0.0
    try:
        found = number_of(text)
    except ValueError:
        raise BadRowError(f"the label {str(value)[:40]!r} is neither 0, 1, a share between, nor right or wrong") from None
    if not 0 <= found <= 1:
        raise BadRowError(f"correct is {found:g}; it must lie between 0 and 1")
    return found


def label_or_nan(text: str | None) -> float:
    try:
        return float("nan") if text is None else label_of(text)
    except BadRowError:
        return float("nan")


def unknown_order() -> Order | None:
    """Of dates where nothing shows whether the day or the month stands first."""
    return None


def time_of(value: Any, order: Callable[[], Order | None] = unknown_order) -> float:
    """Seconds since 1970 of a date, a number as it is. order: asked for where a date may be day or month first. Raises BadRowError."""
    from datetime import UTC, datetime

    try:
        if isinstance(value, str) and _THOUSANDS.fullmatch(value.strip()):
            raise ValueError(value)  # nothing shows which it is
        seconds = number_of(value.strip()) if isinstance(value, str) else float(value)
    except OverflowError:
        raise BadRowError(f"the time {shown(value)} is no moment") from None
    except (TypeError, ValueError):
        text = str(value).strip()
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            found = read_moment(text, order() if is_open(text) else None)
            if found is None and is_open(text):
                raise BadRowError(
                    f"the time {text[:40]!r} may be day or month first, and the others of its column do not show which; say --dates day-first "
                    "or --dates month-first"
                ) from None
            if found is None:
                raise BadRowError(f"the time {text[:40]!r} is neither a number nor a date like 2024-05-17T09:30:00") from None
            when = found
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not isfinite(seconds):
        raise BadRowError(f"the time {seconds} is no moment")
    return seconds


def times_of(column: Any, order: Callable[[], Order | None] = unknown_order) -> NDArray[np.float64]:
    """Numbers, or dates as seconds, of an Arrow column of texts; NaN where a cell is neither. order: as `time_of` takes it."""
    import numpy as np
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return numbers
    except pa.ArrowInvalid:
        return np.array([time_or_nan(text, order) for text in column.to_pylist()], dtype=np.float64)


def time_or_nan(text: str | float | None, order: Callable[[], Order | None] = unknown_order) -> float:
    """The time of a cell; NaN where there is none."""
    try:
        return float("nan") if text is None else time_of(text, order)
    except BadRowError:
        return float("nan")
