"""What a program is worth, and that the answer passes wherever one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.search.reward import Candidate, choose, reward
from luthier.search.wants import Tested, Tried


def candidate(number: int, passed: int, of: int, estimate: float | None = None, thoughts: int = 1) -> Candidate:
    tried = Tried(tuple(Tested("passed" if n < passed else "wrong_answer", "", "") for n in range(of)))
    return Candidate(number, f"p{number}", tried, reward(tried.share, estimate), estimate, 0, thoughts, "written", 0, 0, 0.0)


def test_the_reward_of_the_paper() -> None:
    assert reward(0.75, 1.0) == 0.75
    assert reward(1.0, 1.0) == pytest.approx(1.0)
    assert reward(1.0, -1.0) == pytest.approx(0.6)
    assert reward(1.0, None) == pytest.approx(0.8)
    assert reward(1.0, 7.0) == pytest.approx(1.0)


@given(st.floats(0, 1), st.none() | st.floats(-5, 5))
def test_a_reward_is_between_nothing_and_one(share: float, estimate: float | None) -> None:
    assert 0 <= reward(share, estimate) <= 1 + 1e-12


def test_a_program_that_fails_one_of_many_tests_beats_one_that_passes_only_in_the_paper() -> None:
    almost, passing = candidate(0, 7, 8), candidate(1, 8, 8, -1.0)
    assert almost.reward > passing.reward
    assert choose([almost, passing], by_reward_alone=True) == almost
    assert choose([almost, passing]) == passing


def test_equals_are_told_apart_by_fewer_thoughts_then_by_age() -> None:
    assert choose([candidate(0, 2, 2, thoughts=3), candidate(1, 2, 2, thoughts=1), candidate(2, 2, 2, thoughts=1)]).number == 1
    assert choose([]) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1), st.integers(0, 3)), min_size=1))
def test_if_any_passes_the_answer_does(rows: list[tuple[int, float, int]]) -> None:
    candidates = [candidate(n, passed, 4, estimate, thoughts) for n, (passed, estimate, thoughts) in enumerate(rows)]
    assert choose(candidates).passes == any(one.passes for one in candidates)
