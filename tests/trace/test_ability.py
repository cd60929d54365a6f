from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from luthier.errors import SettingsError
from luthier.trace.ability import AbilityModel

CONCEPTS_OF = [(0,), (1,), (2,), (0, 1), (), (0, 1, 2)] * 4


def model(spread: float = 0.7, slopes: float = 0.3, seed: int = 0) -> AbilityModel:
    draw = np.random.default_rng(seed)
    return AbilityModel(draw.normal(0, 1.5, 24), CONCEPTS_OF, 3, np.exp(draw.normal(0, slopes, 24)), mean=0.2, sd=1.1, spread=spread)


answers = st.lists(st.tuples(st.integers(0, 23), st.floats(0, 1)), min_size=1, max_size=30)


@given(answers, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.7]))
def test_the_order_of_answers_does_not_change_a_bit(rows: list[tuple[int, float]], random, spread: float) -> None:
    learner = model(spread)
    state = learner.start()
    for item, correct in rows:
        state = learner.update(state, item, correct)
    random.shuffle(rows)
    other = learner.start()
    for item, correct in rows:
        other = learner.update(other, item, correct)
    items, correct = (np.array(column) for column in zip(*rows, strict=True))
    assert np.array_equal(state, other)
    assert np.array_equal(state, learner.state_of(items, correct))
    assert np.array_equal(learner.predict(state, range(24)), learner.predict(other, range(24)))


def exact_mode(learner: AbilityModel, items: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The joint mode (common ability, then groups) from the answers themselves."""

    def negative(x: np.ndarray) -> float:
        total = (x[0] - learner.mean) ** 2 / (2 * learner.sd**2) + ((x[1:] - x[0]) ** 2).sum() / (2 * learner.spread**2)
        for item, right in zip(items, correct, strict=True):
            for group in learner.groups_of[item]:
                logit = learner.slopes[item] * (x[1 + group] - learner.difficulty[item])
                total += (np.logaddexp(0, logit) - right * logit) / len(learner.groups_of[item])
        return float(total)

    return minimize(negative, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("count", [1, 7, 60])
def test_the_posterior_is_the_mode_an_optimiser_finds(count: int) -> None:
    learner, draw = model(), np.random.default_rng(count)
    items, correct = draw.integers(0, 24, count), draw.integers(0, 2, count).astype(float)
    known = learner.posterior(learner.state_of(items, correct))
    mode = exact_mode(learner, items, correct)
    assert known.ability == pytest.approx(mode[0], abs=1e-3)
    assert known.group_ability == pytest.approx(mode[1:], abs=1e-3)


def test_one_ability_agrees_with_quadrature() -> None:
    learner, draw = model(spread=0.0), np.random.default_rng(1)
    items, correct = draw.integers(0, 24, 40), draw.integers(0, 2, 40).astype(float)
    known = learner.posterior(learner.state_of(items, correct))
    x = np.linspace(-8, 8, 4001)
    logits = learner.slopes[items][:, None] * (x - learner.difficulty[items][:, None])
    density = np.exp((correct[:, None] * logits - np.logaddexp(0, logits)).sum(0) - (x - 0.2) ** 2 / (2 * 1.1**2))
    density /= density.sum()
    mean = (density * x).sum()
    assert known.ability == pytest.approx(mean, abs=0.03)
    assert known.sd == pytest.approx(np.sqrt((density * (x - mean) ** 2).sum()), rel=0.05)


def test_a_concept_without_answers_stands_where_the_others_do_and_is_less_certain() -> None:
    learner = model()
    state = learner.start()
    for _ in range(6):
        state = learner.update(state, 0, 1.0)  # item 0 is of concept 0 alone
    known = learner.posterior(state)
    assert known.group_ability[1] == pytest.approx(known.ability, abs=1e-6)
    assert known.group_ability[0] > known.group_ability[1]
    assert known.group_sd[0] < known.group_sd[1]
    assert learner.mastery(state).evidence.tolist() == [6, 0, 0]


def test_mastery_lies_in_its_interval_which_narrows_with_answers() -> None:
    learner, widths = model(), []
    state = learner.start()
    for count in range(40):
        if count in (0, 10, 39):
            mastery = learner.mastery(state)
            assert (mastery.low <= mastery.probability).all()
            assert (mastery.probability <= mastery.high).all()
            widths.append(float(mastery.high[0] - mastery.low[0]))
        state = learner.update(state, count % 3 * 3, count % 2)
    assert widths == sorted(widths, reverse=True)


def test_the_state_has_one_size_whatever_the_history_and_ten_thousand_right_answers_are_finite() -> None:
    learner = model()
    state = learner.state_of(np.zeros(10_000, dtype=int), np.ones(10_000))
    assert state.shape == learner.start().shape
    known = learner.posterior(state)
    assert np.isfinite([known.ability, known.sd, *known.group_ability, *known.group_sd]).all()
    assert learner.predict(state, [0])[0] > 0.97


def test_before_any_answer_only_the_item_counts() -> None:
    learner = replace(model(), discrimination=None)
    chances = learner.predict(learner.start(), range(24))
    assert (np.argsort(-learner.difficulty[[0, 6, 12, 18]]) == np.argsort(chances[[0, 6, 12, 18]])).all()
    doubted = replace(learner, difficulty_sd=np.full(24, 2.0)).predict(learner.start(), range(24))
    assert (abs(doubted - 0.5) < abs(chances - 0.5)).all()


def test_states_of_many_learners_are_read_at_once() -> None:
    learner, draw = model(), np.random.default_rng(3)
    states = np.stack([learner.state_of(draw.integers(0, 24, n), draw.integers(0, 2, n)) for n in (1, 5, 30)])
    for place, state in enumerate(states):
        assert learner.predict(states, [3, 4])[place] == pytest.approx(learner.predict(state, [3, 4]), abs=1e-8)
        assert learner.mastery(states).low[place] == pytest.approx(learner.mastery(state).low, abs=1e-8)


def test_a_fraction_counts_between_wrong_and_right() -> None:
    learner = model()
    wrong, half, right = (learner.update(learner.start(), 3, score) for score in (0.0, 0.5, 1.0))
    assert half == pytest.approx((wrong + right) / 2, abs=1e-8)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"correct is 1\.5"):
        model().update(model().start(), 0, 1.5)
    with pytest.raises(SettingsError, match="24 difficulties for 2 items"):
        replace(model(), concepts_of=[(0,), (1,)])
    with pytest.raises(SettingsError, match="sd is 0"):
        replace(model(), sd=0.0)
