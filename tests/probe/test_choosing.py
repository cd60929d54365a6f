"""Ways of choosing among chains: what they agree on, what they weigh, what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_traces import drawn, trace

from luthier.errors import SettingsError
from luthier.probe import ChainTrace
from luthier.probe.choosing import STRATEGIES, by_question, choose, chosen_right, fit_mix, held, tokens_spent
from luthier.probe.judge import ChainJudge, Node

ACCEPTING = ChainJudge(Node(0.1, 10, 1), 0.5)
FLAGGING = ChainJudge(Node(0.9, 10, 9), 0.5)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 5))
def test_all_agree_where_all_chains_agree(seed: int, count: int):
    random = np.random.default_rng(seed)
    place = int(random.integers(0, 4))
    rows = np.full((3, 4), 0.1)
    rows[:, place] = 0.7
    traces = [trace(rows, stated=place, number=number) for number in range(count)]
    assert {choose(traces, strategy, judge=ACCEPTING) for strategy in STRATEGIES} == {place}


@given(seed=st.integers(0, 2**32))
def test_one_chain_is_chosen_as_it_is(seed: int):
    one = drawn(np.random.default_rng(seed), 3, stated=2)
    for strategy in STRATEGIES:
        expected = one.answers[0] if strategy == "no-cot" else one.final if strategy == "confidence" else held(one)
        assert choose([one], strategy, judge=FLAGGING) == expected


def test_what_each_strategy_looks_at():
    sure = trace([[0.2, 0.8], [0.1, 0.9]], stated=1)
    unsure = [trace([[0.6, 0.4], [0.55, 0.45]], stated=0, number=number) for number in (1, 2)]
    traces = [sure, *unsure]
    assert choose(traces, "vote") == 0
    assert choose(traces, "cop") == 1
    assert choose(traces, "confidence") == 1
    assert choose(traces, "weighted") == 0  # .85 against .575 twice
    assert choose(traces, "weighted", score="gain") == 1  # .10 against drops
    assert choose(traces, "no-cot") == 1
    assert choose(traces, "first") == 1


def test_a_tie_goes_to_the_larger_confidence_then_to_the_first():
    one, two = trace([[0.5, 0.5], [0.6, 0.4]], stated=0), trace([[0.5, 0.5], [0.1, 0.9]], stated=1)
    assert choose([one, two], "vote") == 1
    assert choose([trace([[0.5, 0.5]], stated=0), trace([[0.5, 0.5]], stated=1)], "vote") == 0


def test_a_chain_that_states_nothing_is_read_by_its_probe():
    assert held(trace([[0.1, 0.9]], stated=None)) == 1
    assert held(trace([[0.1, 0.9]], stated=0)) == 0


def test_the_tree_leaves_flagged_chains_out_unless_all_are():
    class Picky(ChainJudge):
        def accepts(self, one: object) -> bool:
            return one.number == 2  # type: ignore[attr-defined]

    traces = [trace([[0.5, 0.5]], stated=place, number=number) for number, place in enumerate([0, 0, 1])]
    assert choose(traces, "tree", judge=Picky(Node(0.5, 1, 0), 0.5)) == 1
    assert choose(traces, "tree", judge=FLAGGING) == 0
    for strategy in ("tree", "resample"):
        with pytest.raises(SettingsError, match="needs a tree"):
            choose(traces, strategy)
    with pytest.raises(SettingsError, match="no chains"):
        choose([], "vote")


def test_drawing_again_stops_at_the_first_accepted_chain():
    def suspect(one: ChainTrace) -> float:
        return [0.9, 0.6, 0.2, 0.1][one.number]

    class Reading(ChainJudge):
        def predict(self, one: ChainTrace) -> float:
            return suspect(one)

    traces = [trace([[0.5, 0.5, 0.5, 0.5]], stated=number, number=number) for number in range(4)]
    patient, strict = Reading(Node(0.5, 1, 0), 0.5), Reading(Node(0.5, 1, 0), 0.05)
    assert choose(traces, "resample", judge=patient) == 2
    assert tokens_spent([traces], "resample", patient) == (30, 60)
    assert choose(traces, "resample", judge=strict) == 3  # all are flagged: the least suspect
    assert tokens_spent([traces], "resample", strict) == (40, 80)


def test_a_vote_counts_what_chains_state():
    silent = [trace([[0.1, 0.9]], stated=None, number=number) for number in range(3)]
    assert choose([trace([[0.4, 0.6]], stated=0, number=9), *silent], "vote") == 0
    assert choose(silent, "vote") == 1  # none states anything: the probes stand in


def test_questions_are_gathered_and_tokens_counted():
    traces = [trace([[0.2, 0.8], [0.3, 0.7]], 1, 1, question=q, number=n, tokens=7) for n in (1, 0) for q in "ab"]
    questions = by_question(traces)
    assert [[each.number for each in one] for one in questions] == [[0, 1], [0, 1]]
    assert chosen_right(questions, "vote") == [True, True]
    assert [tokens_spent(questions, name) for name in ("no-cot", "first", "vote", "cop")] == [(0, 0), (14, 0), (28, 0), (28, 80)]


def test_the_mix_learns_the_sign_of_what_matters():
    random = np.random.default_rng(0)
    traces = []
    for number in range(300):
        rows = random.dirichlet(np.ones(2) * 3, size=4)
        one = trace(rows, question=str(number))
        right = one.score("gain") + random.normal(0, 0.1) > 0
        traces.append(trace(rows, one.final if right else 1 - one.final, question=str(number)))
    mix = fit_mix(traces)
    scores = [each.score("mix", mix) for each in traces]
    rights = [bool(each.right) for each in traces]
    assert np.mean([s for s, r in zip(scores, rights, strict=True) if r]) > np.mean(
        [s for s, r in zip(scores, rights, strict=True) if not r]
    )
    assert mix.gain > 0
    with pytest.raises(SettingsError, match="right and with wrong"):
        fit_mix([each for each in traces if each.right])
