"""Whether a selection keeps the balance of its pool: shares by source and by language, and which of them have shifted."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

POINTS = 0.05  # a share moves by at least so much, or
LOST = 0.5  # falls below half of what it was,
SURE = 4.0  # and by so many standard deviations of a random selection of as many rows


class Shift(NamedTuple):
    """A group whose share of the picks is not that of the pool. kind: what groups, `language` or the column of sources."""

    kind: str
    group: str
    pool: float
    taken: float

    def __str__(self) -> str:
        return f"{self.kind} {self.group or '(none)'}: {self.pool:.0%} of the pool, {self.taken:.0%} of the picks"


def shifts(kind: str, pool: Mapping[str, int], taken: Mapping[str, int]) -> list[Shift]:
    """The groups whose share has shifted, the largest shift first. pool, taken: rows by group.

    A shift is one by `POINTS`, or a loss of half of a share, that chance does not make.
    """
    rows, picks = sum(pool.values()), sum(taken.values())
    found = []
    for group, count in pool.items() if rows and picks else ():
        before, after = count / rows, taken.get(group, 0) / picks
        chance = sqrt(before * (1 - before) / picks)
        if abs(after - before) > SURE * chance and (abs(after - before) >= POINTS or after < LOST * before):
            found.append(Shift(kind, group, before, after))
    return sorted(found, key=lambda shift: (-round(abs(shift.taken - shift.pool), 9), shift.group))
