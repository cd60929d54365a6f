"""How much may be chosen: a number of rows, a share of them, or a number of tokens."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from luthier.errors import SettingsError

Unit = Literal["rows", "tokens", "bytes"]
_FORM = re.compile(r"(\d++(?:[.,]\d++)*+)\s*+([kKMG]?+)\s*+(%|rows?|tokens?|bytes?)?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
MOST = 2**53  # rows, bytes or tokens: whole numbers that a float still tells apart
_FACTOR = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


class Pick(NamedTuple):
    """One chosen row: its index in the pool, the score it was picked by, and the round it was picked in (from 1)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which no one needs here
    score: float
    round: int = 1


@dataclass(frozen=True)
class Budget:
    """At most `amount` of `unit`."""

    amount: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.amount:,} {self.unit}"


def parse_budget(text: str | int, rows: int) -> Budget:
    """The budget in `text`: "1000", "10k rows", "5M tokens", "2M bytes", or "3%" of the pool's `rows` (at least one row).

    A comma parts thousands, or else is that of a decimal: "10,000 rows", "1,5%". Raises SettingsError for anything else.
    """
    found = _FORM.fullmatch(str(text).strip())
    number = found.group(1) if found else ""
    number = number.replace(",", "" if _THOUSANDS.fullmatch(number) else ".")
    if found is None or number.count(".") > 1:
        raise SettingsError(f"budget {str(text)[:40]!r} is not understood; write '1000 rows', '10k rows', '5M tokens' or '3%'")
    if found.group(3) == "%":
        share = float(number)
        if found.group(2) or not 0 < share <= 100:
            raise SettingsError(f"budget {text!r}: a share lies above 0 % and at 100 % at most")
        return Budget(max(1, round(rows * share / 100)) if rows else 0, "rows")
    amount = float(number) * _FACTOR[found.group(2).replace("K", "k")]
    if not amount <= MOST:
        raise SettingsError(f"budget {str(text)[:40]!r} is more than any pool has; give {MOST:,} at most")
    if amount != int(amount):
        raise SettingsError(f"budget {text!r} is not a whole number")
    unit = (found.group(3) or "rows").rstrip("s") + "s"
    return Budget(int(amount), unit)  # type: ignore[arg-type]  # the pattern admits these units only


class Cap(NamedTuple):
    """No group gets more than this share of the budget. name: what the groups are; groups: that of each row."""

    name: str
    groups: Sequence[str]
    share: float


class Allowance:
    """What may still be chosen: selectors ask `admit` for each row about to be picked, and stop where it is `exhausted`.

    budget: None for no end. costs: what a row takes of the budget (tokens, bytes); 1 a row without. caps: shares that no group of a kind
    gets more of. A row that is not admitted once never is: what is left only shrinks.
    `capped_rows` are the rows that a cap kept out, with the place of that cap in `caps`; `unfit` those of a fixed order that take more than
    what was left, with that.
    """

    def __init__(self, budget: Budget | None = None, costs: Sequence[int] | None = None, caps: Sequence[Cap] = ()) -> None:
        for cap in caps:
            if not 0 < cap.share <= 1:
                raise SettingsError(f"max_share of {cap.name} is {cap.share}; a share lies above 0 and at 1 at most")
        if budget is not None and budget.unit != "rows" and costs is None:
            raise SettingsError(f"a budget of {budget.unit} needs to know what a row costs")
        self._budget, self._all_costs, self.caps = budget, costs, tuple(caps)
        self.left = float("inf") if budget is None else budget.amount
        self._costs = None if budget is None or budget.unit == "rows" else costs
        self._spent: list[Counter[str]] = [Counter() for _ in self.caps]
        self._passed = 0
        self.capped_rows: dict[int, int] = {}
        self.unfit: dict[int, float] = {}

    @property
    def capped(self) -> Counter[str]:
        """How many rows of each group its cap kept out."""
        return Counter(self.caps[cap].groups[index] for index, cap in self.capped_rows.items())

    @property
    def exhausted(self) -> bool:
        """Whether nothing more can be chosen, or a hundred rows one after the other did not fit what is left."""
        return self.left <= 0 or self._passed >= _PATIENCE

    def scaled(self, share: float) -> Allowance:
        """A fresh allowance on the same terms, with this share of the budget."""
        budget = self._budget
        scaled = None if budget is None else Budget(max(1, math.ceil(budget.amount * share)), budget.unit)
        return Allowance(scaled, self._all_costs, self.caps)

    def cost(self, index: int) -> int:
        """What a row takes of the budget."""
        return 1 if self._costs is None else self._costs[index]

    def admit(self, index: int) -> bool:
        """Whether the row may be picked; if so, it counts as picked."""
        cost = self.cost(index)
        if cost > self.left:
            self._passed += 1
            return False
        for place, (cap, spent) in enumerate(zip(self.caps, self._spent, strict=True)):
            if self._budget is not None and spent[cap.groups[index]] + cost > cap.share * self._budget.amount:
                self.capped_rows[index] = place
                return False
        for cap, spent in zip(self.caps, self._spent, strict=True):
            spent[cap.groups[index]] += cost
        self.left -= cost
        self._passed = 0
        return True


def within(picks: Iterator[Pick], allowance: Allowance, *, to_the_end: bool = False) -> Iterator[Pick]:
    """The picks of a fixed order that the allowance admits; asks for none beyond them. to_the_end: goes on behind a hundred that do not fit."""
    while allowance.left > 0 if to_the_end else not allowance.exhausted:
        pick = next(picks, None)
        if pick is None:
            return
        if allowance.admit(pick.index):
            yield pick
        elif allowance.cost(pick.index) > allowance.left:
            allowance.unfit[pick.index] = allowance.left


_PATIENCE = 100
