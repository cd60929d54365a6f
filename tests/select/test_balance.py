"""Shares of sources and languages: what is warned about, and what a cap holds."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.select.balance import shifts
from luthier.select.selection import select
from luthier.select.settings import SelectSettings

ENGLISH = "the ship is in the harbour and it was there for a long time with all of its sails"
GERMAN = "das schiff ist nicht auf der see und die segel sind mit dem wind für eine weile"
OPEN = {"noise": None, "near": None}


def rows() -> list[dict[str, str]]:
    draw = Random(1)
    words = {"English": ENGLISH.split(), "German": GERMAN.split()}
    found = []
    for at in range(200):
        language = "German" if at % 5 == 0 else "English"
        text = f"{' '.join(words[language])} {' '.join(draw.choices(words[language], k=20 if language == 'German' else 4))} {at}"
        found.append({"text": text, "topic": "war" if at % 2 else "peace"})
    return found


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 500), min_size=1))
def test_a_pool_taken_whole_has_no_shift(pool: dict[str, int]) -> None:
    assert shifts("source", pool, pool) == []


def test_what_chance_does_is_no_shift() -> None:
    pool = {"a": 500, "b": 500}
    assert shifts("source", pool, {"a": 14, "b": 6}) == []  # 1.8 standard deviations
    first, second = shifts("source", pool, {"a": 140, "b": 60})
    assert str(first) == "source a: 50% of the pool, 70% of the picks"
    assert (second.group, second.taken) == ("b", 0.3)


def test_a_small_group_that_vanishes_is_a_shift() -> None:
    assert [shift.group for shift in shifts("language", {"English": 970, "Greek": 30}, {"English": 900})] == ["Greek"]


def test_a_shift_of_language_is_reported_and_a_cap_ends_it() -> None:
    free = select(rows(), budget=40, method="longest", **OPEN)
    assert free.report["taken_by_language"] == {"German": 40}
    assert {shift["group"] for shift in free.report["shifts"]} == {"German", "English"}
    held = select(rows(), budget=40, method="longest", max_share=("language=0.5",), **OPEN)
    assert held.report["taken_by_language"] == {"German": 20, "English": 20}
    reasons = [row["reason"] for row in held.scores() if not row["taken"]]
    assert "source-cap: language German has its share of the budget" in reasons


def test_several_caps_hold_together() -> None:
    made = select(rows(), budget=40, method="zip-long", k3=10, max_share=("language=0.5", "topic=0.6"), **OPEN)
    topics = [row["topic"] for row in made.rows()]
    assert len(topics) == 40
    assert max(made.report["taken_by_language"].values()) <= 20
    assert max(topics.count("war"), topics.count("peace")) <= 24


@pytest.mark.parametrize("told", ["language=", "=0.3", "0", "1.5", "language=nan", "a=b", "language=0.3 language=0.2"])
def test_shares_without_meaning_are_refused(told: str) -> None:
    with pytest.raises(SettingsError, match="--max-share"):
        SelectSettings(budget=3, max_share=tuple(told.split(" ")))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_share": ("tpoic=0.5",)}, "--max-share tpoic=…"),
        ({"quality": "tpoic"}, "--quality tpoic"),
        ({"quality": "tpoic", "method": "score"}, "--quality tpoic"),
        ({"quality": "tpoic", "method": "zip"}, "--quality tpoic"),
    ],
)
def test_a_column_that_no_row_has_is_refused_with_those_there_are(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"{told}: no row of the pool has a column 'tpoic'; there are 'text', 'topic'"):
        select(rows(), budget=3, **settings)


def test_a_share_of_sources_needs_sources_and_rows_without_one_are_one_source() -> None:
    with pytest.raises(SettingsError, match="--max-share of source: no row of the pool has a column 'source'; there are 'text', 'topic'"):
        select(rows(), budget=3, max_share=("0.5",))
    absent = [row | ({"source": "a"} if at % 3 == 0 else {"source": None} if at % 3 == 1 else {}) for at, row in enumerate(rows())]
    made = select(absent, budget=40, method="longest", max_share=("0.5",), **OPEN)
    assert made.report["taken_by_source"] == {"": 20, "a": 20}


def test_a_column_that_is_empty_everywhere_is_one() -> None:
    made = select([row | {"stars": None} for row in rows()], budget=3, quality="stars", **OPEN)
    assert not made.picks
    assert {dropped.gate for dropped in made.dropped.values()} == {"quality"}
