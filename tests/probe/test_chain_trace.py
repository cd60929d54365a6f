"""What is derived from a trajectory: worked values, and what must hold for any."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_traces import WORKED, drawn, trace

from luthier.errors import BadRowError
from luthier.probe import ChainTrace
from luthier.probe.chain_trace import SCORES, Mix, measures
from luthier.probe.statistics import by_steps, summary
from luthier.statistics.rates import wilson


def test_the_worked_example():
    one = trace(WORKED)
    assert one.answers == (0, 1, 1)
    assert (one.final, one.early, one.changes, one.decision_step) == (1, False, 1, 1)
    assert measures(one).decision_share == 0.5
    assert one.score("mean") == pytest.approx(0.48333, abs=1e-4)
    assert (one.score("gain"), one.score("final"), one.score("mono")) == pytest.approx((0.40, 0.70, 0.70))
    assert one.helpful
    assert not one.harmful


def test_the_worked_example_backwards():
    one = trace(WORKED[::-1])
    assert one.answers == (1, 1, 0)
    assert (one.early, one.changes, one.decision_step) == (False, 1, 2)
    assert one.score("mean") == pytest.approx(0.31667, abs=1e-4)
    assert one.score("gain") == pytest.approx(0.20)
    assert one.harmful


def test_constant_rows_and_no_steps():
    constant = trace([WORKED[0]] * 4)
    assert (constant.early, constant.changes, constant.decision_step, constant.area_over_curve) == (True, 0, 0, 0.0)
    assert constant.score("gain") == 0
    empty = trace([WORKED[0]])
    assert empty.score("mean") == empty.score("final") == 0.40
    assert empty.score("gain") == 0
    assert empty.early


def test_mono_pays_for_every_drop():
    assert trace([[0.5, 0.5], [0.8, 0.2], [0.6, 0.4], [0.9, 0.1]]).score("mono") == pytest.approx(0.9 - 0.2)


def test_mix_weighs_its_ingredients():
    one = trace(WORKED)
    assert one.score("mix", Mix(1, 0, 0, 0)) == pytest.approx(0.30)
    assert one.score("mix", Mix(0, 0, 0, 1)) == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="needs its weights"):
        one.score("mix")


@given(seed=st.integers(0, 2**32), steps=st.integers(0, 8), options=st.integers(2, 6), order=st.randoms())
def test_scores_stay_in_range_and_do_not_care_for_the_order_of_options(seed: int, steps: int, options: int, order: object):
    one = drawn(np.random.default_rng(seed), steps, options)
    shuffled = list(range(options))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    other = trace(one.conf[:, shuffled])
    for kind in SCORES:
        assert other.score(kind) == pytest.approx(one.score(kind))
    assert 0 <= one.score("mean") <= 1
    assert 0 <= one.score("final") <= 1
    assert -1 <= one.score("gain") <= 1
    assert (other.early, other.changes, other.decision_step) == (one.early, one.changes, one.decision_step)


@given(seed=st.integers(0, 2**32), steps=st.integers(0, 5))
def test_a_row_reads_back_equal(seed: int, steps: int):
    one = drawn(np.random.default_rng(seed), steps, stated=2, number=3)
    back = ChainTrace.from_row(json.loads(one.to_json()))
    assert back.to_row() == one.to_row()
    assert np.array_equal(back.conf, one.conf)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"conf": [[0.5, 0.5]]}, "shape"),
        ({"conf": "x"}, "not a trace"),
        ({"options": None}, "not a trace"),
        ({"steps": None}, "not a trace"),
    ],
)
def test_rows_that_are_no_traces(change: dict[str, object], problem: str):
    with pytest.raises(BadRowError, match=problem):
        ChainTrace.from_row({**trace(WORKED).to_row(), **change})


def test_a_model_that_always_says_the_same_answers_early():
    traces = [trace([[0.1, 0.8, 0.1]] * 5, answer=place % 3, question=f"{place}") for place in range(9)]
    found = summary(traces)
    assert found.known is not None
    assert found.early == wilson(9, 9)
    assert found.known.right_before == found.known.right_after == wilson(3, 9)
    assert found.position.places[1].held == 9
    assert found.position.largest == pytest.approx(6 / 9)


@given(flip=st.integers(1, 6), steps=st.integers(6, 8))
def test_a_model_that_flips_once_decides_there(flip: int, steps: int):
    one = trace([[0.9, 0.1]] * flip + [[0.1, 0.9]] * (steps + 1 - flip))
    assert (one.changes, one.decision_step, one.early) == (1, flip, False)


def test_statistics_count_what_they_say():
    traces = [trace(WORKED, 1, 1, question="a"), trace(WORKED[::-1], 1, 0, question="b"), trace([WORKED[0]], 0, None, question="c")]
    found = summary(traces)
    known = found.known
    assert known is not None
    assert (known.helpful, known.harmful, found.early) == (wilson(1, 3), wilson(1, 3), wilson(1, 3))
    assert known.right_early == wilson(1, 1)
    assert known.right_late == wilson(1, 2)
    assert found.agrees_after == wilson(2, 2)
    assert known.right_stated == wilson(1, 2)
    assert [row.chains for row in by_steps(traces)] == [1, 2]
    assert found.to_row()["right_after"] == known.right_after.to_row()
    unknown = summary([trace(WORKED, None)])
    assert "right_after" not in unknown.to_row()
