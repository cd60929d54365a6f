"""Names and times of answers that programs write in different ways, as one: `1.0` and `1`, milliseconds and seconds."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.lines import to_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POINT = re.compile(r"-?[0-9]+\.0")
_DECIMALS = re.compile(r"-?[0-9]+\.[0-9]+")
_YEARS = (3e8, 4.2e9)  # seconds since 1970: from 1979 to 2103
_UNITS = (1.0, 1e3, 1e6, 1e9)  # in a second


def name_of(value: Any) -> str:
    """A learner's or an item's name without blanks around it; a whole number is written without a point. Raises BadRowError for an object
    or a list."""
    if isinstance(value, dict | list):
        raise BadRowError(f"a name is {to_text(value)[:60]}; put the part that names it into a field of its own")
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


def in_seconds(times: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Times since 1970 in one unit, and how many were in another than seconds. Numbers of one unit, and others than such times, stay."""
    import numpy as np

    told = times != 0
    unit = np.zeros(len(times))
    for factor in _UNITS:
        unit[(times >= _YEARS[0] * factor) & (times <= _YEARS[1] * factor)] = factor
    if (unit[told] == 0).any() or len(set(unit[told].tolist())) < 2:
        return times, 0
    return times / np.where(told, unit, 1.0), int((unit[told] > 1).sum())
