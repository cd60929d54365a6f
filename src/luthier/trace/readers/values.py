"""Labels and times of answers, in the words and signs in use."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.numbers import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIGHT = frozenset({"1", "1.0", "true", "t", "yes", "y", "correct", "right", "pass", "passed", "ok"})
WRONG = frozenset({"0", "0.0", "false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "hint"})


def label_of(value: Any) -> float:
    """0, 1 or a share between. Raises BadRowError."""
    text = str(value).strip().lower()
    if text in RIGHT or text in WRONG:
        return 1.0 if text in RIGHT else 0.0
    try:
        found = float(text)
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
