"""Training: what it learns from, that it can be stopped and continued, and that it repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trace_logs import WordVectors, catalogue, learners

from luthier.errors import SettingsError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.progress import quiet
from luthier.trace.fitting import fit, long_enough, predict_log
from luthier.trace.graph import build_graph
from luthier.trace.learner_model import GraphTracer
from luthier.trace.sequences import Answers, history_batches, training_batches
from luthier.trace.settings import FitSettings
from luthier.trace.sinkt import SinktSettings
from luthier.trace.splits import split_learners
from luthier.trace.texts import text_vectors

SETTINGS = FitSettings(epochs=3, batch=16, least=5)


def model(log, folder: Path) -> GraphTracer:
    graph = build_graph(log.catalogue)
    torch.manual_seed(0)
    return GraphTracer(
        SinktSettings(48, 16, items=len(log.catalogue.items)), graph, text_vectors(graph, WordVectors(), EmbeddingCache(folder))
    )


def test_training_learns_and_repeats_and_leaves_texts_alone(tmp_path: Path):
    log, valid = learners(80), learners(20, seed=1)
    first, second = (model(log, tmp_path) for _ in range(2))
    texts = first.concept_texts.clone()
    one, two = (fit(each, log, valid, SETTINGS) for each in (first, second))
    assert one == two
    assert one[-1].loss < one[0].loss
    assert np.array_equal(predict_log(first, valid), predict_log(second, valid))
    assert torch.equal(first.concept_texts, texts)


class StoppedError(Exception):
    """Stands for whatever ends a process."""


class Told(type(quiet)):
    """Hears of epochs, and stops after one of them."""

    def __init__(self, stop: int):
        self.epochs: list[str] = []
        self.stop = stop

    def update(self, done: int, total: int, note: str = "") -> None:
        self.epochs.append(f"{done} of {total}: {note}")
        if len(self.epochs) == self.stop:
            raise StoppedError


@pytest.mark.parametrize("after", [1, 2])
def test_a_stopped_training_continues_to_the_same_weights(tmp_path: Path, after: int):
    log, valid = learners(40), learners(10, seed=1)
    whole, halves = model(log, tmp_path), model(log, tmp_path)
    expected = fit(whole, log, valid, SETTINGS)
    told = Told(after)
    with pytest.raises(StoppedError):
        fit(halves, log, valid, SETTINGS, folder=tmp_path / "epochs", progress=told)
    again = model(log, tmp_path)
    assert fit(again, log, valid, SETTINGS, folder=tmp_path / "epochs", progress=told) == expected
    assert len(told.epochs) == SETTINGS.epochs
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    other = replace(SETTINGS, learning_rate=1e-3)
    fit(model(log, tmp_path), log, valid, other, folder=tmp_path / "epochs", progress=told)
    assert len(told.epochs) == 2 * SETTINGS.epochs  # other settings begin anew
    fit(model(log, tmp_path), learners(40, seed=2), valid, other, folder=tmp_path / "epochs", progress=told)
    assert len(told.epochs) == 3 * SETTINGS.epochs  # and so do other answers


def test_held_out_concepts_are_in_no_training_batch():
    log = learners(60)
    split = split_learners(log, hold="concepts", held_share=0.3)
    assert len(split.held_concepts) == 2
    unseen = split.unseen(log)
    for name in ("train", "valid"):
        part = split.part(log, name)
        for batch in training_batches(Answers(part), 8, torch.Generator().manual_seed(0)):
            assert not unseen[batch.item[batch.mask].numpy()].any()
    assert unseen[split.part(log, "test").item].any()


def test_batches_hold_every_answer_once_and_windows_the_last_ones():
    log = learners(30, 40)
    answers = Answers(log)
    seen = np.concatenate([batch.place[batch.mask].numpy() for batch in history_batches(answers, 4)])
    assert sorted(seen) == list(range(len(log)))
    places = np.concatenate(
        [batch.place[batch.mask].numpy() for batch in training_batches(answers, 4, torch.Generator().manual_seed(0), window=10)]
    )
    last = [
        place for learner in range(30) for place in range(max(log.starts[learner], log.starts[learner + 1] - 10), log.starts[learner + 1])
    ]
    assert sorted(places) == last


def test_too_short_histories_are_refused_in_plain_words():
    log = learners(5, 8)
    assert len(long_enough(log, 9)) == 0
    with pytest.raises(SettingsError, match="no learner has 9 answers or more"):
        fit(torch.nn.Linear(1, 1), log, log, FitSettings(least=9))


def test_a_learner_and_an_answer_alone_are_enough(tmp_path: Path):
    known = catalogue(2)
    log = learners(1, 2, known=known)
    epochs = fit(model(log, tmp_path), log, log.take_learners([]), FitSettings(epochs=1, least=1))
    assert epochs[0].auc is None
    everything_right = replace(log, correct=np.ones(len(log), dtype=np.float32))
    assert fit(model(log, tmp_path), everything_right, everything_right, FitSettings(epochs=1, least=1))[0].auc is None


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0, 1.5])
def test_a_learning_rate_without_meaning_is_refused(rate: float):
    with pytest.raises(SettingsError, match=r"--learning-rate is .*; give a number above 0 to 1"):
        FitSettings(learning_rate=rate)


def test_weights_that_left_the_finite_numbers_end_the_training(tmp_path: Path):
    log, broken = learners(20), model(learners(20), tmp_path)
    with torch.no_grad():
        next(iter(broken.parameters())).fill_(float("inf"))
    with pytest.raises(SettingsError, match=r"epoch 1: .* not finite; choose a learning rate below 0.002"):
        fit(broken, log, log, replace(SETTINGS, learning_rate=2e-3), folder=tmp_path / "epochs")
    assert not list((tmp_path / "epochs").glob("*"))
