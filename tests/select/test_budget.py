from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.select.budget import Allowance, Budget, Cap, Pick, parse_budget, within


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1000, Budget(1000, "rows")),
        ("1000", Budget(1000, "rows")),
        ("1 row", Budget(1, "rows")),
        ("10k rows", Budget(10_000, "rows")),
        ("1,000,000 tokens", Budget(1_000_000, "tokens")),
        ("5M tokens", Budget(5_000_000, "tokens")),
        (" 1.5M tokens ", Budget(1_500_000, "tokens")),
        ("2K bytes", Budget(2000, "bytes")),
        ("3%", Budget(6, "rows")),
        ("0.01 %", Budget(1, "rows")),
        ("0", Budget(0, "rows")),
        ("1,5%", Budget(3, "rows")),
        ("2,5k bytes", Budget(2500, "bytes")),
        ("1,500 rows", Budget(1500, "rows")),
        ("1,234.5k bytes", Budget(1_234_500, "bytes")),
    ],
)
def test_budgets_are_read(text: str | int, expected: Budget) -> None:
    assert parse_budget(text, 200) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "-5",
        "5 M rows of it",
        "0%",
        "101%",
        "5k%",
        "1.5 rows",
        "1.2.3M tokens",
        "1,2,3 rows",
        "1,5 rows",
        "12,34,567 rows",
        "9" * 400,
        "9" * 5000 + "%",
        "10G G",
    ],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="budget"):
        parse_budget(text, 200)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 400))
def test_a_budget_of_tokens_is_never_overrun_and_nothing_fitting_is_left_out(costs: list[int], amount: int) -> None:
    picks = [Pick(index, 0.0) for index in range(len(costs))]
    taken = list(within(iter(picks), Allowance(Budget(amount, "tokens"), costs)))
    spent = sum(costs[pick.index] for pick in taken)
    assert spent <= amount
    assert [pick.index for pick in taken] == sorted(pick.index for pick in taken)
    chosen = {pick.index for pick in taken}
    running = 0
    for index, cost in enumerate(costs):  # whatever was passed over did not fit when its turn came
        if index in chosen:
            running += cost
        else:
            assert running + cost > amount


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_budget_of_rows_takes_the_first(rows: int, amount: int) -> None:
    picks = [Pick(index, 0.0) for index in range(rows)]
    assert list(within(iter(picks), Allowance(Budget(amount, "rows")))) == picks[:amount]


def test_an_order_that_is_known_is_gone_through_to_its_end() -> None:
    costs = [500] * 150 + [20, 90, 30]
    allowance = Allowance(Budget(100, "bytes"), costs)
    picks = [Pick(index, 0.0) for index in range(len(costs))]
    assert [pick.index for pick in within(iter(picks), allowance, to_the_end=True)] == [150, 152]
    assert allowance.unfit == {**dict.fromkeys(range(150), 100), 151: 80}
    assert list(within(iter(picks), Allowance(Budget(100, "bytes"), costs))) == []  # an order that is dear to make ends after a hundred


def test_nothing_is_asked_for_beyond_the_budget() -> None:
    asked: list[int] = []

    def endless():
        for index in range(10**9):
            asked.append(index)
            yield Pick(index, 0.0)

    assert len(list(within(endless(), Allowance(Budget(3, "rows"))))) == 3
    assert asked == [0, 1, 2]


@given(st.lists(st.sampled_from("abc"), max_size=80), st.integers(1, 40), st.floats(0.05, 1))
def test_no_group_gets_more_than_its_share(groups: list[str], amount: int, share: float) -> None:
    picks = (Pick(index, 0.0) for index in range(len(groups)))
    allowance = Allowance(Budget(amount, "rows"), caps=[Cap("source", groups, share)])
    taken = list(within(picks, allowance))
    for group in "abc":
        count = sum(groups[pick.index] == group for pick in taken)
        assert count <= share * amount
        if allowance.capped[group]:
            assert count == int(share * amount)


def test_allowances_without_meaning_are_refused() -> None:
    with pytest.raises(SettingsError, match="max_share"):
        Allowance(Budget(5, "rows"), caps=[Cap("source", ["a"], 0)])
    with pytest.raises(SettingsError, match="what a row costs"):
        Allowance(Budget(5, "tokens"))
