"""Flat-LoRA noise: the law of its size, where it acts and where it must not, and that it leaves no trace in the weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import AdaLoraConfig, IA3Config, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from flat_models import IDS, adapted, assert_same, equal, frozen, gradients, loss_of
from luthier.errors import SettingsError
from luthier.train.flat import FlatLoraCallback, FlatNoise, merged_row_norms, noise_scale, ramp

Build = Callable[..., Any]


@pytest.fixture
def build(tiny_model_folder: Path) -> Build:
    return partial(adapted, tiny_model_folder)


@pytest.mark.parametrize(
    ("progress", "strength"), [(0, 0), (0.1, 0.024472), (0.25, 0.146447), (0.5, 0.5), (0.75, 0.853553), (1, 1), (-1, 0), (2, 1)]
)
def test_the_ramp_has_its_known_values(progress: float, strength: float):
    assert ramp(progress) == pytest.approx(strength, abs=1e-6)


def test_row_norms_and_scale_have_their_known_values():
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, -1.0]])
    norms = merged_row_norms(weight, torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0], [1.0], [0.5]]), 2.0)
    assert norms.tolist() == pytest.approx([5, 4.472136, 2.236068], abs=1e-6)
    assert noise_scale(norms, 2, 0.05).flatten().tolist() == pytest.approx([0.176777, 0.158114, 0.079057], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.floats(0, 4), st.integers(0, 1000))
def test_row_norms_agree_with_the_merged_weight(rows: int, columns: int, rank: int, scaling: float, seed: int):
    chance = torch.Generator().manual_seed(seed)
    weight, a, b = (torch.randn(s, generator=chance) for s in ((rows, columns), (rank, columns), (rows, rank)))
    expected = (weight.double() + scaling * (b.double() @ a.double())).norm(dim=1)
    torch.testing.assert_close(merged_row_norms(weight, a, b, scaling).double(), expected, rtol=1e-4, atol=2e-3)


def test_rows_that_cancel_out_get_no_noise():
    weight, a, b = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 2.0]]), torch.tensor([[-1.0], [0.0]])
    norms = merged_row_norms(weight, a, b, 1.0)
    assert norms.tolist() == [0.0, 0.0]
    assert noise_scale(norms, 2, 0.05).tolist() == [[0.0], [0.0]]


def test_the_noise_has_the_size_of_the_law(build: Build):
    """300 draws: the deviation of each row is sigma ||W'_i|| / sqrt(n), and the norm of its noise about sigma ||W'_i||."""
    model = build(use_rslora=True)
    flat = FlatNoise(model, 0.07, schedule=lambda _: 1.0)
    layer = flat.layers[3]
    scaling = layer.lora.scaling["default"]
    assert scaling == 8 / 4**0.5
    merged = layer.base.weight + scaling * layer.lora.lora_B["default"].weight @ layer.lora.lora_A["default"].weight
    norms = merged.detach().norm(dim=1)
    draws = []
    for step in range(300):
        flat.draw(step, 300)
        draws.append(layer.noisy - layer.base.weight.detach())
    noise = torch.stack(draws)
    spread = noise.square().mean((0, 2)).sqrt() / (0.07 * norms / merged.shape[1] ** 0.5)
    assert spread.mean().item() == pytest.approx(1, abs=0.01)
    assert (noise.norm(dim=2) / (0.07 * norms)).mean().item() == pytest.approx(0.998, abs=0.01)
    assert noise.mean().abs() < 0.01 * noise.std()


def test_the_layer_computes_with_the_noisy_weight_and_the_clean_adapter(build: Build):
    model = build()
    flat = FlatNoise(model, 0.1)
    layer, x = flat.layers[0], torch.randn(5, 64)
    a, b = layer.lora.lora_A["default"].weight, layer.lora.lora_B["default"].weight
    with flat.step(1, 2):
        made = layer.lora(x)
        torch.testing.assert_close(made, x @ layer.noisy.t() + 2.0 * x @ a.t() @ b.t())
    torch.testing.assert_close(layer.lora(x), x @ layer.base.weight.t() + 2.0 * x @ a.t() @ b.t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_leaves_every_base_weight_bit_identical(build: Build, dtype: torch.dtype):
    model = build(dtype)
    before = frozen(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    flat = FlatNoise(model, 0.1)
    for step in range(4):
        with flat.step(step, 4):
            for _micro in range(2):
                loss_of(model).backward()
        optimizer.step()
        optimizer.zero_grad()
        model.eval()
        loss_of(model)
        model.train()
    assert_same(before, model)
    flat.remove()
    assert_same(before, model)


def test_an_exception_within_a_step_leaves_no_noise(build: Build):
    model = build()
    before, clean = frozen(model), gradients(model)
    flat = FlatNoise(model, 0.1)

    def broken_step() -> None:
        with flat.step(3, 4):
            loss_of(model).backward()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_step()
    assert_same(before, model)
    assert equal(gradients(model), clean)


def test_one_step_has_one_noise_and_each_step_and_layer_its_own(build: Build):
    model = build()
    flat = FlatNoise(model, 0.1, seed=5)
    with flat.step(2, 4):
        first = gradients(model)
        assert equal(gradients(model), first)
        copies = [layer.noisy.clone() for layer in flat.layers]
    assert len(
        {copy.sub(layer.base.weight).flatten()[:8].abs().sum().item() for copy, layer in zip(copies, flat.layers, strict=True)}
    ) == len(copies)
    other = FlatNoise(build(), 0.1, seed=6)
    with other.step(2, 4):
        assert not any(torch.equal(copy, layer.noisy) for copy, layer in zip(copies, other.layers, strict=True))
    with flat.step(2, 4):
        assert all(torch.equal(copy, layer.noisy) for copy, layer in zip(copies, flat.layers, strict=True))
    with flat.step(3, 4):
        assert not any(torch.equal(copy, layer.noisy) for copy, layer in zip(copies, flat.layers, strict=True))
        assert not equal(gradients(model), first)


@pytest.mark.parametrize("backend", ["cached", "recompute"])
def test_recomputation_under_gradient_checkpointing_sees_the_same_noise(build: Build, backend: Any):
    model = build()
    flat = FlatNoise(model, 0.1, backend=backend)
    with flat.step(3, 4):
        plain = gradients(model)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    with flat.step(3, 4):
        again = gradients(model)
    assert equal(plain, again)


def test_a_run_that_resumes_at_a_step_draws_what_an_uninterrupted_one_draws(build: Build):
    model = build()
    straight = FlatNoise(model, 0.1)
    for step in range(4):
        straight.draw(step, 6)
    copies = [layer.noisy.clone() for layer in straight.layers]
    resumed = FlatNoise(build(), 0.1)
    resumed.draw(3, 6)
    assert all(torch.equal(copy, layer.noisy) for copy, layer in zip(copies, resumed.layers, strict=True))


def test_no_global_random_state_is_touched(build: Build):
    model = build()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    flat = FlatNoise(model, 0.1)
    with flat.step(1, 2):
        loss_of(model).backward()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


@pytest.mark.parametrize(("sigma", "step"), [(0.0, 3), (0.1, 0)])
def test_without_strength_it_is_plain_lora_bit_by_bit(build: Build, sigma: float, step: int):
    model = build()
    clean = gradients(model)
    flat = FlatNoise(model, sigma)
    with flat.step(step, 4):
        assert equal(gradients(model), clean)


def test_evaluation_and_passes_without_the_adapter_are_clean(build: Build):
    """The reference pass of preference training switches the adapter off; evaluation switches training off."""
    model = build()
    noisy_loss, flat = loss_of(model).item(), FlatNoise(model, 0.2)
    with model.disable_adapter():
        reference = loss_of(model).item()
    with flat.step(3, 4):
        assert loss_of(model).item() != noisy_loss
        with model.disable_adapter():
            assert loss_of(model).item() == reference
        model.eval()
        assert loss_of(model).item() == noisy_loss
        state = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert all(torch.equal(weight, state[name]) for name, weight in model.state_dict().items())


def test_a_removed_noise_gives_each_layer_its_own_forward_back(build: Build):
    model = build()
    flat = FlatNoise(model, 0.1)
    flat.draw(3, 4)
    flat.remove()
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_a_second_noise_replaces_the_first(build: Build):
    """A trainer that breaks off never says so: the noise of its last step must not reach the next run."""
    model = build()
    clean = gradients(model)
    first = FlatNoise(model, 0.3)
    first.draw(3, 4)
    second = FlatNoise(model, 0.1)
    assert equal(gradients(model), clean)
    first.remove()
    with second.step(3, 4):
        assert not equal(gradients(model), clean)
    second.remove()
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_layers_without_an_active_adapter_get_no_noise(build: Build):
    model = build(target_modules=["q_proj"])
    model.add_adapter("other", LoraConfig(r=2, target_modules=["k_proj"]))
    assert {layer.name.rsplit(".", 1)[-1] for layer in FlatNoise(model, 0.1).layers} == {"q_proj"}
    model.set_adapter("other")
    assert {layer.name.rsplit(".", 1)[-1] for layer in FlatNoise(model, 0.1).layers} == {"k_proj"}


def test_an_adapted_head_or_embedding_is_refused_unless_it_is_excluded(build: Build):
    model = build(target_modules=["q_proj", "lm_head", "embed_tokens"])
    assert_refused(model, "embed_tokens cannot take noise: .* Embedding; leave it out of target_modules or pass exclude")
    with pytest.raises(SettingsError, match=r"lm_head cannot take noise: trainers read the output head's weight"):
        FlatNoise(model, 0.1, exclude=["embed_tokens"])
    flat = FlatNoise(model, 0.1, exclude=["embed_tokens", "lm_head"])
    assert {layer.name.rsplit(".", 1)[-1] for layer in flat.layers} == {"q_proj"}


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_a_strength_without_meaning_is_refused(build: Build, sigma: float):
    assert_refused(build(), "the strength of the noise is a number from 0 up", sigma)


def test_layers_that_cannot_take_noise_are_refused_in_one_line(build: Build, tiny_model_folder: Path):
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    assert_refused(base, "no LoRA layer")
    ada = get_peft_model(base, AdaLoraConfig(target_modules=["q_proj"], total_step=10))
    assert_refused(ada, r"q_proj cannot take noise: its adapter is a SVDLinear on a Linear")
    other = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model_folder), IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    )
    assert_refused(other, r"k_proj cannot take noise: noise is made for LoRA, and this is peft\.tuners\.ia3")
    merged = build(target_modules=["q_proj"])
    merged.merge_adapter()
    assert_refused(merged, "its adapter is merged into the base; unmerge it")
    two = build(target_modules=["q_proj"], use_dora=True)
    two.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
    two.base_model.set_adapter(["default", "other"])
    assert_refused(two, "the merged weight of DoraLinearVariant with 2 active is not known here")


def assert_refused(model: Any, pattern: str, sigma: float = 0.1) -> None:
    with pytest.raises(SettingsError, match=pattern) as caught:
        FlatNoise(model, sigma)
    assert "\n" not in str(caught.value)
    assert not any("forward" in module.__dict__ for module in model.modules())


ROWS = [{"input_ids": IDS[i % 2].tolist()[: 5 + i % 4], "labels": IDS[i % 2].tolist()[: 5 + i % 4]} for i in range(10)]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_in_a_real_trainer_only_training_is_noisy(build: Build, tiny_model_folder: Path, tmp_path: Path, checkpointing: bool):
    """10 rows in batches of 2, accumulated by 3: two steps an epoch, the last of them short; evaluated after each step."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model = build(target_modules=["q_proj"])
    before, seen = frozen(model), []
    probe = model.base_model.model.model.layers[1].self_attn.q_proj.base_layer

    def watch(module: Any, inputs: Any, output: Any) -> None:
        clean = torch.nn.functional.linear(inputs[0], module.weight)
        seen.append((module.training, trainer.state.global_step, torch.equal(clean, output)))

    config = SFTConfig(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=3,
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=1,
        per_device_eval_batch_size=4,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=checkpointing,
        max_length=None,
        disable_tqdm=True,
        logging_steps=1,
        dataloader_pin_memory=False,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(ROWS),
        eval_dataset=Dataset.from_list(ROWS[:4]),
        processing_class=AutoTokenizer.from_pretrained(tiny_model_folder),
        callbacks=[FlatLoraCallback(0.2)],
    )
    probe.register_forward_hook(watch)
    trainer.train()
    assert trainer.state.global_step == 4
    assert {clean for training, step, clean in seen if training and step > 0} == {False}
    assert {clean for training, step, clean in seen if not training or step == 0} == {True}
    assert len([step for training, step, _ in seen if training]) >= 10
    assert_same(before, trainer.model)
    assert "forward" not in probe.__dict__
