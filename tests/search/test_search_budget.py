"""A budget is read, reserved and never exceeded, whatever calls cost and however many are open."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.models.budget import Budget, Ledger, Prices
from luthier.models.protocol import Completion
from luthier.search.estimate import estimate
from luthier.search.settings import SearchSettings, Strategy
from luthier.search.simulated import World
from luthier.search.solving import search_all
from luthier.search.strategies import STRATEGIES
from luthier.search.wants import Say, Timed


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("16 calls", Budget(calls=16)),
        ("20k tokens", Budget(tokens=20_000)),
        ("10 min", Budget(seconds=600)),
        ("0.50 usd", Budget(money=0.5)),
        ("1,000 calls, 1.5m tokens", Budget(calls=1000, tokens=1_500_000)),
        ("90 s and 1 $", Budget(seconds=90, money=1)),
    ],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "16", "0 calls", "-3 calls", "ten calls", "5 eur", "0.2 calls", "inf tokens"])
def test_what_is_no_budget_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="--budget is"):
        SearchSettings(budget=text)


def test_a_call_that_could_overshoot_is_not_made() -> None:
    ledger = Ledger(Budget(tokens=100))
    assert ledger.reserve(20, 40)
    assert not ledger.reserve(20, 40)
    ledger.settle(20, 40, Completion("", "stop", 10, 5), 1.0)
    assert ledger.reserve(20, 40)
    assert ledger.stopped == "tokens"


def test_an_estimate_says_what_a_run_may_cost() -> None:
    assert estimate(Budget(calls=16), 10, 1000, Prices(1.0, 2.0)).money == pytest.approx(0.32)
    assert str(estimate(Budget(calls=16), 10, 1000, Prices())) == "10 problems, at most 160 calls, 160,000 tokens"


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(1, 40), st.integers(200, 6000), st.integers(1, 8), st.integers(0, 99))
def test_no_strategy_exceeds_its_budget(strategy: Strategy, calls: int, tokens: int, width: int, seed: int) -> None:
    world, draw = World(), random.Random(seed)

    def ask(says: list[Say]) -> list[Timed]:
        told = world.ask(says)
        return [
            Timed(
                Completion("nonsense" if draw.random() < 0.3 else one.answer.text, "stop", one.answer.prompt_tokens, draw.randint(1, 64)),
                0.1,
            )
            for one in told
        ]

    settings = SearchSettings(
        strategy=strategy,
        budget=f"{calls} calls, {tokens} tokens, 0.01 usd",
        parallel=width,
        stop="never",
        max_tokens=64,
        price_completion=9.0,
    )
    found = search_all([world.problem(n) for n in range(2)], settings, ask, world.run)
    for one in found:
        assert one.spent.calls <= calls
        assert one.spent.tokens <= tokens
        assert one.spent.money <= 0.01 + 1e-12
        assert one.spent.calls == sum(one.asked.values())
