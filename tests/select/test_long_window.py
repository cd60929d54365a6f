from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.select.budget import Allowance, Budget, Cap, Pick
from luthier.select.long_window import AddedBytes, LongZip
from luthier.select.profile import ratio_profile

WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: " ".join(words).encode()), min_size=1, max_size=40)


def sentences(count: int, seed: int = 0, length: int = 60) -> list[bytes]:
    draw = random.Random(seed)
    return [" ".join(f"{draw.choice(WORDS)}{draw.randrange(10**6)}" for _ in range(length)).encode() for _ in range(count)]


def order(search: LongZip) -> list[int]:
    return [pick.index for new in search.rounds() for pick in new]


@settings(max_examples=40)
@given(texts, st.integers(1, 9))
def test_every_row_with_text_is_picked_once(rows: list[bytes], k3: int) -> None:
    picked = order(LongZip(rows, k3=k3))
    assert sorted(picked) == [index for index, row in enumerate(rows) if row]


@settings(max_examples=30)
@given(texts, st.integers(1, 9), st.integers(0, 40))
def test_a_smaller_budget_takes_the_first_of_a_larger_one(rows: list[bytes], k3: int, budget: int) -> None:
    whole = order(LongZip(rows, k3=k3))
    part = order(LongZip(rows, k3=k3, allowance=Allowance(Budget(budget, "rows"))))
    assert part == whole[:budget]


@settings(max_examples=30)
@given(texts, st.integers(1, 6), st.integers(0, 6))
def test_a_resumed_search_goes_on_as_it_would_have(rows: list[bytes], k3: int, stop: int) -> None:
    whole = LongZip(rows, k3=k3)
    rounds = list(whole.rounds())
    first = LongZip(rows, k3=k3)
    for _, new in zip(range(stop), first.rounds(), strict=False):
        assert new
    second = LongZip(rows, k3=k3)
    second.resume(first.picks, first.bounds)
    assert [*first.picks, *(pick for new in second.rounds() for pick in new)] == [p for new in rounds for p in new]


def test_a_repeat_far_back_is_not_taken_again() -> None:
    """40 rows lie far outside DEFLATE's 32 KiB window by the time their twins come up."""
    rows = sentences(120, length=60)
    pool = rows + rows[:40]
    assert sum(map(len, rows)) > 2 * 32 * 1024
    picked = order(LongZip(pool, k3=10, allowance=Allowance(Budget(120, "rows"))))
    assert len({pool[index] for index in picked}) == 120


def test_a_window_keeps_the_newest_and_a_sample_of_the_older() -> None:
    rows = sentences(60, length=20)
    search = LongZip(rows, k3=10, window=4000)
    for _, _ in zip(range(5), search.rounds(), strict=False):
        pass
    state = search.state
    assert isinstance(state, AddedBytes)
    seen = state._seen()
    assert len(seen) <= 4000
    picks = [rows[pick.index] for pick in search.picks]
    parts = seen.split(b"\n")
    assert [row for row in picks if row in parts] == parts  # in the order they were picked
    assert parts[-1] == picks[-1]
    assert any(row in parts for row in picks[: len(picks) // 2])


def test_measuring_everything_finds_no_worse_a_set_than_bounds_do() -> None:
    rows = sentences(900, length=12)
    lazy = LongZip(rows, k3=10, allowance=Allowance(Budget(60, "rows")))
    eager = LongZip(rows, k3=10, lazy=False, allowance=Allowance(Budget(60, "rows")))
    ratios = [ratio_profile([rows[index] for index in order(search)])["all"] for search in (lazy, eager)]
    assert ratios[0] <= 1.02 * ratios[1]
    assert lazy.measured < eager.measured


def test_a_round_ends_where_its_block_repeats_itself() -> None:
    """Rows of one mould are each new at first, so they fill the first block; one of them makes the others stale."""
    mould = "quartz jigs vex bumpy dwarfs who lack zinc oxide by the fjord, said number {}"
    alike = [mould.format(number).encode() for number in range(40)]
    others = sentences(200, length=12)
    search = LongZip([*alike, *others], k3=20, allowance=Allowance(Budget(40, "rows")))
    first = next(search.rounds())
    assert len(first) < 20
    assert sum(pick.index < 40 for pick in first) <= 3
    picked = order(LongZip([*alike, *others], k3=20, allowance=Allowance(Budget(40, "rows"))))
    assert sum(index < 40 for index in picked) <= 5


def test_quality_weighs_against_bytes() -> None:
    rows = sentences(40, length=15)
    weights = [1.0 if index % 2 else 0.01 for index in range(40)]
    picked = order(LongZip(rows, k3=5, weights=weights, allowance=Allowance(Budget(20, "rows"))))
    assert all(index % 2 for index in picked)


def test_groups_that_are_full_are_passed_over() -> None:
    rows = sentences(40, length=15)
    groups = ["a" if index < 35 else "b" for index in range(40)]
    allowance = Allowance(Budget(10, "rows"), caps=[Cap("source", groups, 0.5)])
    picked = order(LongZip(rows, k3=4, allowance=allowance))
    assert sum(groups[index] == "a" for index in picked) == 5
    assert len(picked) == 10


def test_settings_without_meaning_are_refused() -> None:
    for wrong in ({"k3": 0}, {"window": 0}, {"level": 99}):
        with pytest.raises(SettingsError):
            LongZip([b"a"], **wrong)
    for weights in ([1.0, 2.0], [0.0]):
        with pytest.raises(SettingsError, match="weights"):
            LongZip([b"a"], weights=weights)


def test_nothing_comes_of_nothing() -> None:
    assert order(LongZip([])) == []
    assert order(LongZip([b"", b""])) == []
    assert order(LongZip([b"a"], allowance=Allowance(Budget(0, "rows")))) == []
    assert LongZip([b"a"]).picks == []
    assert isinstance(next(LongZip([b"a"]).rounds())[0], Pick)
