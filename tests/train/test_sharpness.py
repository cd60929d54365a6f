"""The sharpness probe: paired, clean afterwards, and right about a minimum whose curvature is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from flat_models import adapted, assert_same, frozen, gradients
from luthier.errors import SettingsError
from luthier.train.answer_head import answer_loss
from luthier.train.shared_prompts import collate, share_prompts
from luthier.train.sharpness import mean_loss, sharpness

ROWS = [{"input_ids": [1, 40 + i, 41, 42 + i, 43], "labels": [-100, -100, 41, 42 + i, 43]} for i in range(5)] + [
    {"input_ids": [1, 90, 91, 92, 93, 94, 95, 96], "labels": [-100] * 4 + [93, 94, 95, 96]}
]


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    return adapted(tiny_model_folder)


def learn(model: Any, steps: int = 60) -> None:
    batch = collate(share_prompts(ROWS, range(len(ROWS)), branches=1, tokens=0))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        answer_loss(model, batch)[0].backward()
        optimizer.step()


def test_the_loss_is_that_of_the_target_tokens_one_row_at_a_time(model: Any):
    total, tokens = 0.0, 0
    for row in ROWS:
        batch = {name: torch.tensor([row[name]]) for name in row}
        targets = sum(label >= 0 for label in row["labels"])
        total += float(answer_loss(model, batch)[0].detach()) * targets
        tokens += targets
    for size in (1, 2, 6):
        assert mean_loss(model, ROWS, size) == pytest.approx(total / tokens, rel=1e-4)


def test_the_rise_grows_with_the_noise_and_repeats_with_the_seed(model: Any):
    learn(model)  # the loss rises around a minimum, not everywhere
    before, clean = frozen(model), gradients(model)
    made = sharpness(model, ROWS, [0.05, 0.2, 0.6], draws=6, seed=4)
    rises = [one.rise for one in made.rises]
    assert rises[0] < rises[1] < rises[2]
    assert made.loss == pytest.approx(mean_loss(model, ROWS))
    assert made.tokens == 19
    assert all(one.error > 0 and len(one.draws) == 6 for one in made.rises)
    assert made == sharpness(model, ROWS, [0.05, 0.2, 0.6], draws=6, seed=4)
    assert made.rises[0].draws != sharpness(model, ROWS, [0.05], draws=6, seed=5).rises[0].draws
    assert_same(before, model)
    again = gradients(model)
    assert all(torch.equal(again[name], clean[name]) for name in clean)
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_dropout_is_off_while_it_measures_and_on_again_afterwards(tiny_model_folder: Path):
    model = adapted(tiny_model_folder, lora_dropout=0.5)
    model.eval()
    clean = mean_loss(model, ROWS)
    assert sharpness(model, ROWS, [0.05], draws=2).loss == pytest.approx(clean, rel=1e-5)
    assert not model.training
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.5}


def test_one_draw_has_no_error_and_settings_without_meaning_are_refused(model: Any):
    assert sharpness(model, ROWS, [0.1], draws=1).rises[0].error is None
    with pytest.raises(SettingsError, match="strengths above 0"):
        sharpness(model, ROWS, [0.0])
    with pytest.raises(SettingsError, match="at least one of each"):
        sharpness(model, ROWS, [], draws=0)
    with pytest.raises(SettingsError, match="no row has a target token"):
        sharpness(model, [{"input_ids": [1, 2], "labels": [-100, -100]}], [0.1])
