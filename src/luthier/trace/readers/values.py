"""Labels and times of answers, in the words and signs in use."""

from __future__ import annotations

import re
from collections.abc import Collection
from math import isfinite
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.numbers import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIGHT = frozenset({"1", "1.0", "true", "t", "yes", "y", "correct", "right", "pass", "passed", "ok"})
WRONG = frozenset({"0", "0.0", "false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "hint"})


_POINT = re.compile(r"-?[0-9]+\.0")
_DECIMALS = re.compile(r"-?[0-9]+\.[0-9]+")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")


def name_of(value: Any) -> str:
    """A learner's or an item's name without blanks around it; a whole number is written without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def whole_names(names: Collection[str]) -> list[str]:
    """The names of a column, `1.0` as `1`: so a table writes whole numbers in a column with a gap. As they are where one has other decimals,
    as chapters have."""
    points = {name for name in names if _POINT.fullmatch(name)}
    if not points or any(_DECIMALS.fullmatch(name) and name not in points for name in names):
        return list(names)
    return [name.removesuffix(".0") if name in points else name for name in names]


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


def time_of(value: Any) -> float:
    """Seconds since 1970 of a date, a number as it is. Raises BadRowError."""
    from datetime import UTC, datetime

    try:
        seconds = float(value)
    except OverflowError:
        raise BadRowError(f"the time {shown(value)} is no moment") from None
    except (TypeError, ValueError):
        try:
            when = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise BadRowError(f"the time {str(value)[:40]!r} is neither a number nor a date like 2024-05-17T09:30:00") from None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not isfinite(seconds):
        raise BadRowError(f"the time {seconds} is no moment")
    return seconds


def times_of(column: Any) -> NDArray[np.float64]:
    """Numbers, or dates as seconds, of an Arrow column of texts; NaN where a cell is neither."""
    import numpy as np
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return numbers
    except pa.ArrowInvalid:
        return np.array([_time_or_nan(text) for text in column.to_pylist()], dtype=np.float64)


def _time_or_nan(text: str | None) -> float:
    try:
        return float("nan") if text is None else time_of(text)
    except BadRowError:
        return float("nan")
