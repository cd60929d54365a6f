from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from luthier.errors import SettingsError
from luthier.trace.answers import AnswerCollector, Catalogue, Item
from luthier.trace.item_response import DifficultyPrior, calibrate
from model_answers import planted


def test_planted_difficulties_abilities_and_their_spread_come_back() -> None:
    made = planted(120, 150)
    fitted = calibrate(made.log)
    assert np.corrcoef(fitted.difficulty, made.difficulty)[0, 1] > 0.97
    assert np.corrcoef(fitted.ability, made.ability[:, 0])[0, 1] > 0.97
    assert fitted.sd == pytest.approx(1.2, abs=0.25)
    within = abs((fitted.difficulty - fitted.difficulty.mean()) - (made.difficulty - made.difficulty.mean())) < 1.96 * fitted.difficulty_sd
    assert 0.88 < within.mean() <= 1.0


def test_two_parameters_find_discriminations() -> None:
    made = planted(400, 60, slopes=0.4)
    fitted = calibrate(made.log, parameters=2)
    assert np.corrcoef(np.log(fitted.discrimination), np.log(made.discrimination))[0, 1] > 0.7
    assert (calibrate(made.log).discrimination == 1).all()


def penalised_likelihood(difficulty: np.ndarray, sd: float, prior: DifficultyPrior, log) -> float:
    """The marginal likelihood by fine quadrature over abilities, and the prior of the difficulties."""
    x = np.linspace(-6, 6, 241)
    weights = np.exp(-(x**2) / (2 * sd**2))
    weights /= weights.sum()
    total = -(((difficulty - prior.mean) / prior.sd) ** 2).sum() / 2
    for learner in range(len(log.learners)):
        part = log.of_learner(learner)
        logits = x - difficulty[log.item[part]][:, None]
        total += np.log((weights * np.exp((log.correct[part][:, None] * logits - np.logaddexp(0, logits)).sum(0))).sum())
    return float(total)


def test_no_step_away_from_the_fit_is_likelier() -> None:
    made = planted(80, 25, answered=0.7)
    fitted, draw = calibrate(made.log), np.random.default_rng(0)
    best = penalised_likelihood(fitted.difficulty, fitted.sd, fitted.prior, made.log)
    for _ in range(25):
        step = draw.normal(0, 0.15, 25)
        assert penalised_likelihood(fitted.difficulty + step, fitted.sd, fitted.prior, made.log) < best


def test_the_order_of_rows_does_not_matter() -> None:
    log = planted(20, 30, answered=0.6).log
    order = np.lexsort((np.random.default_rng(0).random(len(log)), log.learner))
    other = replace(log, item=log.item[order], correct=log.correct[order])
    assert calibrate(other).difficulty == pytest.approx(calibrate(log).difficulty, abs=1e-9)


def test_an_item_without_answers_keeps_its_prior() -> None:
    made = planted(20, 10)
    log = replace(made.log, catalogue=Catalogue.of([*made.log.catalogue.items, Item("new", "text")]))
    fitted = calibrate(log)
    assert fitted.difficulty[-1] == fitted.prior.mean[-1]
    assert fitted.difficulty_sd[-1] == fitted.prior.sd[-1]
    told = DifficultyPrior(np.r_[fitted.prior.mean[:-1], 2.5], np.r_[fitted.prior.sd[:-1], 0.4])
    again = calibrate(log, prior=told)
    assert again.difficulty[-1] == 2.5
    model = again.model(log)
    assert model.difficulty_sd is not None
    assert model.difficulty_sd[-1] == 0.4
    assert (model.difficulty_sd[:-1] == 0).all()


def test_the_spread_between_concepts_is_estimated() -> None:
    for spread in (0.0, 1.0):
        log = planted(60, 200, concepts=4, spread=spread).log
        assert calibrate(log).model(log).spread == pytest.approx(spread, abs=0.25)
    one = planted(20, 30).log
    assert calibrate(one).model(one).spread == 0


@pytest.mark.parametrize(
    "rows",
    [[("a", "x", 1.0)], [("a", "x", 1.0), ("a", "y", 1.0)], [("a", "x", 0.0), ("b", "x", 0.0)], [("a", "x", 0.5)] * 3],
    ids=["one answer", "all correct", "all wrong", "halves"],
)
def test_little_to_go_by_gives_finite_numbers(rows: list[tuple[str, str, float]]) -> None:
    collector = AnswerCollector()
    for row in rows:
        collector.add(*row)
    log = collector.log()
    for parameters in (1, 2):
        fitted = calibrate(log, parameters)
        assert np.isfinite(np.r_[fitted.difficulty, fitted.difficulty_sd, fitted.ability, fitted.ability_sd, fitted.sd]).all()
        assert 0 < fitted.model(log).predict(fitted.model(log).start(), [0])[0] < 1


def test_three_parameters_are_refused() -> None:
    with pytest.raises(SettingsError, match="parameters is 3"):
        calibrate(planted(2, 2).log, parameters=3)
