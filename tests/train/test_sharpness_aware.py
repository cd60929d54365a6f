"""SAM on the adapters and Bi-LoRA: the gradients are those of the ascended weights, and nothing of the ascent stays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flat_models import IDS, adapted, assert_same, frozen, gradients, loss_of
from luthier.errors import SettingsError
from luthier.train.sharpness_aware import BiLoraCallback, ascended, sam_trainer


class PlainTrainer:
    """The part of a transformers trainer that SAM builds on: one forward and backward pass a call."""

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        loss = model(input_ids=inputs.pop("input_ids"), labels=IDS).loss
        loss.backward()
        return loss.detach()


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    return adapted(tiny_model_folder)


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def test_sam_takes_the_gradient_a_step_up_the_gradient(model: Any):
    rho = 0.05
    first = gradients(model)
    norm = torch.sqrt(sum(g.square().sum() for g in first.values()))
    before = {name: p.detach().clone() for name, p in trained(model).items()}
    with torch.no_grad():
        for name, p in trained(model).items():
            p.add_(first[name], alpha=rho / float(norm))
    expected = gradients(model)
    with torch.no_grad():
        for name, p in trained(model).items():
            p.copy_(before[name])
    model.zero_grad()
    earlier = {name: torch.full_like(p, 0.5) for name, p in trained(model).items()}
    for name, p in trained(model).items():
        p.grad = earlier[name].clone()  # of an earlier micro-batch
    loss = sam_trainer(PlainTrainer, rho)().training_step(model, {"input_ids": IDS})
    assert loss.item() == pytest.approx(loss_of(model).item())
    for name, p in trained(model).items():
        torch.testing.assert_close(p.grad, expected[name] + earlier[name])
        assert torch.equal(p, before[name])


def test_sam_gives_the_weights_back_when_the_second_pass_fails(model: Any):
    class Failing(PlainTrainer):
        calls = 0

        def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().training_step(model, inputs, num_items_in_batch)

    before = {name: p.detach().clone() for name, p in trained(model).items()}
    with pytest.raises(KeyboardInterrupt):
        sam_trainer(Failing, 0.1)().training_step(model, {"input_ids": IDS})
    assert all(torch.equal(p, before[name]) for name, p in trained(model).items())


def begun(model: Any, **settings: Any) -> BiLoraCallback:
    callback = BiLoraCallback(**settings)
    callback.on_train_begin(SimpleNamespace(world_size=1), None, None, model=model)
    return callback


def test_bi_lora_climbs_within_its_ball_and_leaves_the_model_alone(model: Any):
    before, clean, names = frozen(model), loss_of(model).item(), list(model.state_dict())
    callback = begun(model, rho=0.5, share=0.5)
    losses = []
    for _ in range(6):
        callback.on_step_begin(None, None, None)
        loss = loss_of(model)
        loss.backward()
        losses.append(loss.item())
        callback.on_pre_optimizer_step(None, None, None)
        assert callback.length() <= 0.5 * (1 + 1e-5)
        assert loss_of(model).item() == clean  # outside of the pass the model is as it was
    assert losses[0] == clean  # its B starts at zero
    assert losses[-1] > losses[0]
    assert callback.length() > 0.05
    assert list(model.state_dict()) == names
    assert_same(before, model)
    model.eval()
    callback.active = True
    assert loss_of(model).item() == pytest.approx(clean)
    callback.on_train_end(None, None, None)
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_gradients_that_overflow_move_nothing(model: Any):
    """Under float16's gradient scaler the first steps may be infinite, and are skipped."""
    callback = begun(model)
    before = [factor.detach().clone() for pair in callback.factors for factor in pair]
    for pair in callback.factors:
        for factor in pair:
            factor.grad = torch.full_like(factor, torch.inf)
    callback.ascend()
    assert all(torch.equal(a, b) for a, b in zip(before, (factor for pair in callback.factors for factor in pair), strict=True))
    weights = [torch.ones(2, requires_grad=True)]
    weights[0].grad = torch.full((2,), torch.inf)
    with ascended(weights, 0.1):
        assert torch.equal(weights[0], torch.ones(2))


def test_bi_lora_measures_its_length_as_the_product_would(model: Any):
    callback = begun(model)
    with torch.no_grad():
        for _, b in callback.factors:
            b.normal_()
    expected = sum(float((b @ a).detach().square().sum()) for a, b in callback.factors) ** 0.5
    assert callback.length() == pytest.approx(expected, rel=1e-4)


def test_settings_without_meaning_are_refused(model: Any, tiny_model_folder: Path):
    with pytest.raises(SettingsError, match=r"rho is 0; the length of the step up is a number above 0, such as 0.003"):
        sam_trainer(PlainTrainer, 0)
    with pytest.raises(SettingsError, match="rho -1 and share"):
        BiLoraCallback(-1)
    with pytest.raises(SettingsError, match="one process"):
        BiLoraCallback().on_train_begin(SimpleNamespace(world_size=2), None, None, model=model)
    with pytest.raises(SettingsError, match="q_proj: Bi-LoRA needs plain LoRA, found DoRA"):
        begun(adapted(tiny_model_folder, use_dora=True, target_modules=["q_proj"]))
