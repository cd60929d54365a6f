from __future__ import annotations

import numpy as np
import pytest

from luthier.errors import SettingsError
from luthier.statistics.ranks import spearman
from luthier.trace.answers import AnswerLog, Catalogue, Item
from luthier.trace.difficulty import GAIN, PLAIN, calibrate_with_text, fit_text_difficulty, text_features
from luthier.trace.item_response import calibrate
from model_answers import planted


def texts_and_difficulties(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of ten random dimensions and two plain ones, difficulties that four of them tell, and what is known of these."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 10 + PLAIN))
    true = features @ np.r_[1.0, -0.7, np.zeros(8), 0.8, 0.4] + draw.normal(0, 0.6, count) - 1
    sd = draw.uniform(0.2, 0.5, count)
    return features, true, sd


def test_left_out_predictions_are_those_of_a_fit_without_the_item() -> None:
    features, true, sd = texts_and_difficulties(40)
    fitted = fit_text_difficulty(features, true, sd)
    scale = features.std(axis=0)
    scale[-PLAIN:] /= GAIN
    x = (features - features.mean(axis=0)) / scale
    weight = 1 / (sd**2 + true.var())
    weight /= weight.mean()
    middle = (weight * true).sum() / weight.sum()
    for left in (0, 7, 39):
        kept = np.arange(40) != left
        a = (x[kept].T * weight[kept]) @ x[kept] + fitted.penalty * 40 * np.eye(x.shape[1])
        beta = np.linalg.solve(a, (x[kept].T * weight[kept]) @ (true[kept] - middle))
        assert fitted.left_out[left] == pytest.approx(middle + x[left] @ beta, abs=1e-9)


def test_new_texts_lie_within_what_the_prediction_says() -> None:
    features, true, sd = texts_and_difficulties(900)
    noisy = true + np.random.default_rng(1).normal(0, sd)
    fitted = fit_text_difficulty(features[:400], noisy[:400], sd[:400])
    told = fitted.predict(features[400:])
    assert fitted.doubt == pytest.approx(0.6, abs=0.1)
    assert 0.92 < (abs(told.mean - true[400:]) < 1.96 * told.sd).mean() < 0.98
    assert spearman(told.mean, true[400:]) == pytest.approx(fitted.correlation, abs=0.06)


def test_length_and_digits_are_read() -> None:
    features = text_features(["", "abc", "1234"], None)
    assert features == pytest.approx(np.log([[1, 1], [4, 1], [5, 5]]))


def test_items_with_few_answers_start_from_their_text() -> None:
    made = planted(60, 120, seed=2)  # longer texts are harder
    few = np.arange(120) % 4 == 0
    kept = ~few[made.log.item] | (made.log.learner < 1)
    log = made.log.where(kept)
    plain = calibrate(log)
    fitted, text = calibrate_with_text(log, lambda texts: text_features(texts, None))
    assert text is not None
    assert text.items == 90
    errors = [abs(found.difficulty - made.difficulty)[few].mean() for found in (fitted, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert (fitted.difficulty_sd[few] < plain.difficulty_sd[few]).all()
    assert fitted.difficulty[~few] == pytest.approx(plain.difficulty[~few], abs=0.15)
    without = AnswerLog(log.learners, Catalogue.of(Item(i.item) for i in log.catalogue.items), log.learner, log.item, log.correct, log.time)
    assert calibrate_with_text(without, lambda _: pytest.fail("nothing to read"))[1] is None


def test_one_value_everywhere_is_no_crash_and_few_items_are_refused() -> None:
    flat = fit_text_difficulty(np.ones((25, 4)), np.zeros(25), np.full(25, 0.5))
    assert flat.correlation is None
    assert flat.predict(np.ones((1, 4))).mean[0] == pytest.approx(0)
    with pytest.raises(SettingsError, match="at least 20"):
        fit_text_difficulty(np.ones((5, 4)), np.zeros(5), np.ones(5))
