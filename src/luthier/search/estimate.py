"""What a search costs at most, said before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from luthier.models.budget import Budget, Prices


@dataclass(frozen=True)
class Estimate:
    """What a search of so many problems costs at most: calls and tokens, and dollars where prices are known; None where no limit says."""

    problems: int
    calls: int | None
    tokens: int | None
    money: float | None
    seconds: float | None

    def __str__(self) -> str:
        parts = [f"{self.calls:,} calls" if self.calls is not None else "", f"{self.tokens:,} tokens" if self.tokens is not None else ""]
        parts += [f"{self.seconds:,.0f} s of model and tests" if self.seconds is not None else ""]
        parts += [f"{self.money:,.2f} usd" if self.money is not None else ""]
        told = ", ".join(part for part in parts if part)
        return f"{self.problems:,} problems, at most {told}" if told else f"{self.problems:,} problems, no limit"


def estimate(budget: Budget, problems: int, tokens_a_call: int, prices: Prices, most_calls: int | None = None) -> Estimate:
    """What the budget lets a run cost at most. tokens_a_call: at most; most_calls: that a strategy makes by itself, where it ends."""
    limits = [limit for limit in (budget.calls, most_calls) if limit is not None]
    calls = min(limits, default=None)
    tokens = min([each for each in (budget.tokens, calls and calls * tokens_a_call) if each is not None], default=None)
    money = budget.money
    if money is None and tokens is not None and (prices.prompt or prices.completion):
        money = tokens * max(prices.prompt, prices.completion) / 1e6
    times = problems
    return Estimate(
        problems,
        calls * times if calls is not None else None,
        math.ceil(tokens * times) if tokens is not None else None,
        money * times if money is not None else None,
        budget.seconds * times if budget.seconds is not None else None,
    )
