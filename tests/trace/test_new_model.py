from __future__ import annotations

import numpy as np
import pytest

from luthier.errors import SettingsError
from luthier.trace.ability import AbilityModel
from luthier.trace.item_response import calibrate
from luthier.trace.new_model import choose_items, estimate_accuracy, families, family_of, hold_out_families, interval_inflation
from model_answers import planted


def test_families_that_were_left_out_are_estimated_better_than_by_the_share_right() -> None:
    log = planted(40, 300, sd=1.5, seed=3).log
    held = hold_out_families(log, (30,), draws=4)
    assert {one.family for one in held} == {name * 3 for name in "abcdefghij"}
    ours, plain = (np.mean([abs(getattr(one, side) - one.accuracy) for one in held]) for side in ("guess", "plain"))
    assert ours < 0.9 * plain
    covered = [one.estimate.low <= one.accuracy <= one.estimate.high for one in held]
    assert 0.88 < np.mean(covered) <= 1
    assert 1 <= interval_inflation(held) < 1.4
    assert {one.learner: one.accuracy for one in held}[log.learners[7]] == pytest.approx(log.correct[log.of_learner(7)].mean())


def test_the_left_out_family_is_not_in_the_calibration() -> None:
    """Other answers of its members to items not asked change nothing."""
    log = planted(12, 60, seed=1).log
    names = ["a"] * 4 + ["b"] * 8
    first = hold_out_families(log, (60,), names=names)[0].estimate
    changed = log.correct.copy()
    changed[log.of_learner(2)] = 1 - changed[log.of_learner(2)]
    from dataclasses import replace

    again = hold_out_families(replace(log, correct=changed), (60,), names=names)[0].estimate
    assert again == first


def test_an_estimate_from_all_items_is_the_accuracy_itself() -> None:
    made = planted(20, 50)
    model, part = calibrate(made.log).model(made.log), made.log.of_learner(3)
    items, correct = made.log.item[part], made.log.correct[part].astype(float)
    whole = estimate_accuracy(model, items, correct)
    assert whole.accuracy == pytest.approx(correct.mean())
    assert whole.low == pytest.approx(whole.high)
    few = estimate_accuracy(model, items[:10], correct[:10])
    assert (few.answered, few.items, few.observed) == (10, 50, correct[:10].mean())
    assert few.low < few.accuracy < few.high
    assert estimate_accuracy(model, items[:10], correct[:10], inflation=2.0).low < few.low
    with pytest.raises(SettingsError, match="no answers"):
        estimate_accuracy(model, items[:0], correct[:0])


def test_items_to_ask_are_spread_over_concepts_and_difficulties_and_not_asked_before() -> None:
    difficulty = np.linspace(-3, 3, 90)
    model = AbilityModel(difficulty, [(at % 3,) for at in range(90)], 3)
    chosen = choose_items(model, 12, asked=range(0, 90, 2))
    assert len(set(chosen.tolist())) == 12
    assert (chosen % 2 == 1).all()
    assert np.bincount(chosen % 3).tolist() == [4, 4, 4]
    for concept in range(3):
        quarters = np.sort(difficulty[chosen[chosen % 3 == concept]])
        assert (np.diff(quarters) > 0.2).all()
    assert choose_items(model, 500).tolist() == list(range(90))
    assert choose_items(model, 5, asked=range(90)).tolist() == []
    assert choose_items(model, 12, seed=1).tolist() != choose_items(model, 12, seed=2).tolist()


def test_items_for_a_learner_are_those_that_tell_most_of_it() -> None:
    model = AbilityModel(np.linspace(-4, 4, 200), mean=0.0, sd=1.0)
    strong = model.start()
    for _ in range(30):
        strong = model.update(strong, 160, 1.0)
    ability = float(model.posterior(strong).ability)
    assert ability > 2
    near = abs(model.difficulty[choose_items(model, 40, state=strong)] - ability).mean()
    assert near < 0.8 * abs(model.difficulty[choose_items(model, 40)] - ability).mean()


def test_an_adaptive_choice_leaves_less_doubt_and_still_holds_the_truth() -> None:
    log = planted(40, 300, sd=1.5, seed=5).log
    held = {chosen: hold_out_families(log, (40,), draws=2, chosen=chosen) for chosen in ("random", "spread", "adaptive")}
    widths = {chosen: np.mean([one.estimate.high - one.estimate.low for one in each]) for chosen, each in held.items()}
    assert widths["adaptive"] < 0.95 * widths["random"]
    assert np.mean([one.estimate.low <= one.accuracy <= one.estimate.high for one in held["adaptive"]]) > 0.85


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("meta-llama/Llama-3.1-8B", "llama"),
        ("Meta-Llama-3-70B-Instruct", "llama"),
        ("Qwen2.5-7B", "qwen"),
        ("chatgpt-4o-latest", "gpt"),
        ("gpt-4-0314", "gpt"),
        ("01-ai/Yi-1.5-9B-Chat", "yi"),
        ("o1-mini", "o"),
        ("7", "7"),
    ],
)
def test_families_by_name(name: str, family: str) -> None:
    assert family_of(name) == family
    assert families([name], {name: "mine"}) == ["mine"]


def test_one_family_cannot_be_left_out() -> None:
    with pytest.raises(SettingsError, match="all learners are of one family"):
        hold_out_families(planted(3, 5).log, names=["a", "a", "a"])
