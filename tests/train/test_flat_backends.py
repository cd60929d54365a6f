"""The backends of flat noise: the same noise from each, other kinds of layers, and what the published scheme costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from flat_models import IDS, adapted, assert_same, equal, fill, frozen, gradients, loss_of, with_adapter
from luthier.errors import SettingsError
from luthier.train.flat import FlatNoise
from luthier.train.flat.normals import CHUNK, Generated, Table

Build = Callable[..., Any]
always = lambda _: 1.0  # noqa: E731


@pytest.fixture
def build(tiny_model_folder: Path) -> Build:
    return partial(adapted, tiny_model_folder)


def noisy_gradients(model: Any, backend: str, step: int = 2, **settings: Any) -> dict[str, torch.Tensor]:
    flat = FlatNoise(model, 0.1, always, 5, backend, **settings)
    with flat.step(step, 4):
        made = gradients(model)
    flat.remove()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_recomputed_noise_gives_bit_for_bit_the_gradients_of_a_kept_copy(build: Build, dtype: torch.dtype, autocast: bool):
    model = build(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        kept, again, clean = noisy_gradients(model, "cached"), noisy_gradients(model, "recompute"), gradients(model)
    assert equal(kept, again)
    assert not equal(kept, clean)


@pytest.mark.parametrize("backend", ["cached", "recompute", "table"])
def test_no_backend_but_the_published_one_ever_writes_a_weight(build: Build, backend: str):
    model = build(torch.bfloat16)
    before = frozen(model)
    flat = FlatNoise(model, 0.1, always, backend=backend)
    for step in range(3):
        with flat.step(step, 3):
            assert_same(before, model)
            gradients(model)
    assert_same(before, model)


def test_the_published_scheme_drifts_and_gives_the_same_gradients_at_first(build: Build):
    model = build(torch.bfloat16)
    before, kept = frozen(model), noisy_gradients(build(torch.bfloat16), "cached")
    flat = FlatNoise(model, 0.1, always, 5, "inplace")
    with flat.step(2, 4):
        inside = gradients(model)
    for name, expected in kept.items():
        torch.testing.assert_close(inside[name], expected, rtol=0.1, atol=0.05)
    for step in range(20):
        with flat.step(step, 20):
            pass
    now = dict(model.named_parameters())
    changed = sum(int((now[name] != weight).sum()) for name, weight in before.items() if "proj" in name)
    entries = sum(weight.numel() for name, weight in before.items() if "proj" in name)
    assert 0.02 < changed / entries < 0.9
    with pytest.raises(SettingsError, match="in-place backend cannot be paused"), flat.paused():
        pass


def test_the_in_place_noise_is_taken_back_after_an_exception_and_before_the_next_step(build: Build):
    model = build()
    before = frozen(model)
    flat = FlatNoise(model, 0.1, always, backend="inplace")
    flat.draw(1, 4)
    flat.draw(2, 4)
    flat.clear()
    now = dict(model.named_parameters())
    for name, weight in before.items():
        torch.testing.assert_close(now[name], weight, rtol=1e-5, atol=1e-6)


def test_a_table_serves_slices_of_normal_draws_at_places_of_their_own():
    table = Table("7", 4096)
    shape = torch.empty(64, 64)
    one, again, later, other = (table.take(name, step, shape) for name, step in (("a", 1), ("a", 1), ("a", 2), ("b", 1)))
    assert torch.equal(one, again)
    assert not torch.equal(one, later)
    assert not torch.equal(one, other)
    assert one.mean().abs() < 0.06
    assert one.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(one, Table("7", 4096).take("a", 1, shape))
    assert not torch.equal(one, Table("8", 4096).take("a", 1, shape))


def test_draws_of_a_large_layer_do_not_depend_on_the_number_of_threads():
    shape = torch.empty(3, CHUNK)
    threads = torch.get_num_threads()
    made = []
    for count in (1, 2):
        torch.set_num_threads(count)
        made.append(Generated("1").take("layer", 4, torch.empty_like(shape)).clone())
    torch.set_num_threads(threads)
    assert torch.equal(*made)
    flat = made[0].flatten()
    assert not torch.equal(flat[:CHUNK], flat[CHUNK : 2 * CHUNK])
    assert flat.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("backend", ["cached", "recompute", "table"])
def test_a_transposed_weight_gets_the_noise_of_its_filters(backend: str):
    """GPT-2 stores (inputs, outputs): filters are columns. The same layer as a Linear gets the same law."""
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=100, resid_pdrop=0, attn_pdrop=0, embd_pdrop=0))
    model = with_adapter(gpt, target_modules=["c_attn"], fan_in_fan_out=True)
    flat = FlatNoise(model, 0.1, always, backend=backend)
    (layer,) = flat.layers
    assert layer.stored_shape == tuple(layer.base.weight.shape) == (16, 48)
    merged = layer.base.weight.t() + layer.lora.get_delta_weight("default").t()
    torch.testing.assert_close(layer.row_norms(), merged.detach().norm(dim=1), rtol=1e-4, atol=1e-5)
    x = torch.randn(200, 16)
    errors = []
    with torch.no_grad():
        clean = layer.base(x)
        for step in range(60):
            with flat.step(step, 60):
                errors.append(layer.base(x) - clean)
    spread = torch.stack(errors).std((0, 1)) / (0.1 * merged.detach().norm(dim=1))
    assert spread.mean().item() == pytest.approx(x.square().mean().sqrt().item(), rel=0.05)
    with flat.step(1, 2):
        gradients(model)


def test_dora_gets_noise_on_its_output_by_the_length_of_its_magnitudes(build: Build):
    """DoRA scales the base anew, so the noise of a row must follow the merged weight: E = N(0, (sigma |m_i|)^2 / n)."""
    model = build(use_dora=True, target_modules=["q_proj"])
    clean = gradients(model)
    flat = FlatNoise(model, 0.1, always, 5)
    layer = flat.layers[0]
    assert layer.place == "layer output"
    merged = layer.base.weight.detach() + layer.lora.get_delta_weight("default").detach()
    magnitude = layer.lora.lora_magnitude_vector["default"].weight.detach()
    torch.testing.assert_close(layer.row_norms(), magnitude.abs())
    assert merged.shape[0] == magnitude.shape[0]
    x = torch.randn(2, 5, 64)
    before = layer.lora(x)
    with flat.step(1, 2):
        torch.testing.assert_close(layer.lora(x), before + x @ layer.noisy.t(), rtol=1e-4, atol=1e-5)
        noisy = gradients(model)
    assert not equal(noisy, clean)
    flat.remove()
    assert equal(gradients(model), clean)
    assert equal(noisy_gradients(model, "recompute", 1), noisy_gradients(model, "cached", 1))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_base_gets_noise_on_its_output(tiny_model_folder: Path, bits: int):
    """Its stored weight is not its values: norms come from the dequantised weight, noise enters as x E^T."""
    bnb = pytest.importorskip("bitsandbytes")
    from peft.utils.integrations import dequantize_bnb_weight
    from transformers import BitsAndBytesConfig

    if bits == 4:
        config = BitsAndBytesConfig(load_in_4bit=True)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, quantization_config=config, dtype=torch.float32)
    else:  # loaded by transformers on a CPU, an 8-bit layer has no scales
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
        for layer in base.model.layers:
            for parent, name in ((layer.self_attn, "q_proj"), (layer.mlp, "down_proj")):
                linear = getattr(parent, name)
                quantised = bnb.nn.Linear8bitLt(linear.in_features, linear.out_features, bias=False, has_fp16_weights=False)
                quantised.load_state_dict(linear.state_dict())
                setattr(parent, name, quantised.to("cpu"))
        base.is_loaded_in_8bit = True
    model = with_adapter(base, target_modules=["q_proj", "down_proj"])
    before, clean = frozen(model), gradients(model)
    flat = FlatNoise(model, 0.1, always, 5)
    layer = flat.layers[0]
    assert layer.place == "base output"
    merged = (
        dequantize_bnb_weight(layer.base.weight, getattr(layer.base, "state", None)).float()
        + layer.lora.lora_B["default"].weight @ layer.lora.lora_A["default"].weight * layer.lora.scaling["default"]
    )
    torch.testing.assert_close(layer.row_norms(), merged.detach().norm(dim=1), rtol=1e-3, atol=1e-4)
    x = torch.randn(3, 64)
    with torch.no_grad(), flat.step(1, 2):
        torch.testing.assert_close(layer.base(x) - layer.clean(x), (x @ layer.noisy.t()), rtol=1e-3, atol=1e-3)
    with flat.step(1, 2):
        noisy = gradients(model)
    assert not equal(noisy, clean)
    flat.remove()
    again = noisy_gradients(model, "recompute", 1)
    assert equal(again, noisy)
    assert_same(before, model)


def test_several_active_adapters_are_measured_together(build: Build):
    model = build(target_modules=["q_proj"])
    model.add_adapter("other", LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"], use_rslora=True))
    fill(model)
    model.base_model.set_adapter(["default", "other"])
    (layer, *_) = FlatNoise(model, 0.1).layers
    merged = layer.base.weight + sum(layer.lora.get_delta_weight(name) for name in ("default", "other"))
    torch.testing.assert_close(layer.row_norms(), merged.detach().norm(dim=1), rtol=1e-4, atol=1e-5)


def test_layers_that_share_a_frozen_weight_share_its_noise(build: Build, tiny_model_folder: Path):
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    first, second = (layer.self_attn for layer in base.model.layers[:2])
    second.q_proj.weight = first.q_proj.weight
    model = with_adapter(base, target_modules=["q_proj"])
    flat = FlatNoise(model, 0.1, always, 5)
    with flat.step(1, 2):
        a, b = ((layer.noisy - layer.base.weight) / layer.row_norms()[:, None] for layer in flat.layers[:2])
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    weight = first.q_proj.base_layer.weight if hasattr(first.q_proj, "base_layer") else first.q_proj.weight
    before = weight.detach().clone()
    published = FlatNoise(model, 0.1, always, 5, "inplace")
    with published.step(1, 2):
        moved = (weight - before).norm() / before.norm()
    assert 0.08 < moved < 0.12  # written once, not twice


@pytest.mark.parametrize("backend", ["cached", "recompute", "table"])
def test_a_model_merged_or_saved_within_a_noisy_step_is_clean(build: Build, tmp_path: Path, backend: str):
    from peft import PeftModel

    expected = build().merge_and_unload().state_dict()
    model = build()
    flat = FlatNoise(model, 0.3, always, backend=backend)
    flat.draw(1, 2)
    loss_of(model)
    model.save_pretrained(tmp_path)
    merged = model.merge_and_unload().state_dict()
    assert all(torch.equal(merged[name], weight) for name, weight in expected.items())
    base = type(model.base_model.model)(model.base_model.model.config)
    base.load_state_dict(build().unload().state_dict())
    loaded = PeftModel.from_pretrained(base, tmp_path).merge_and_unload().state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())


def test_paused_noise_is_off_within_and_the_same_afterwards(build: Build):
    model = build()
    clean = loss_of(model).item()
    flat = FlatNoise(model, 0.2, always)
    with flat.step(1, 2):
        noisy = loss_of(model).item()
        with flat.paused():
            assert loss_of(model).item() == clean
        assert loss_of(model).item() == noisy != clean
    with flat.paused():
        assert loss_of(model).item() == clean


def test_answers_generated_within_a_step_are_clean(build: Build):
    """As GRPO does: its model is in training mode and its step has begun."""
    model = build()
    asked = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    clean = model.generate(**asked)
    flat = FlatNoise(model, 2.0, always)
    with flat.step(1, 2):
        assert model.training
        assert torch.equal(model.generate(**asked), clean)
        assert not torch.equal(model(input_ids=IDS).logits.argmax(-1), build()(input_ids=IDS).logits.argmax(-1))
    flat.remove()
    assert not any("generate" in module.__dict__ for module in model.modules())


def test_steps_in_between_are_clean_where_every_second_one_is_perturbed(build: Build):
    model = build()
    clean = loss_of(model).item()
    flat = FlatNoise(model, 0.2, always, every=2)
    seen = []
    for step in range(4):
        with flat.step(step, 4):
            seen.append(loss_of(model).item() == clean)
    assert seen == [False, True, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "fast"}, "backend is 'fast'; choose one of auto, cached, recompute, table, inplace"),
        ({"every": 0}, "every is 0"),
        ({"ranks": "some"}, "ranks 'some'"),
        ({"exclude": ["proj"]}, None),
        ({"exclude": ["q_proj"]}, "no LoRA layer"),
    ],
)
def test_settings_without_meaning_are_refused(build: Build, settings: dict[str, Any], message: str | None):
    model = build(target_modules=["q_proj"])
    if message is None:  # an end of a name is whole parts of it
        assert FlatNoise(model, 0.1, **settings).layers
        return
    with pytest.raises(SettingsError, match=message):
        FlatNoise(model, 0.1, **settings)


def test_dpo_reference_log_probabilities_are_those_without_noise(build: Build, tiny_model_folder: Path, tmp_path: Path):
    """TRL's DPOTrainer runs its reference pass with another adapter on, or none, within the noisy step: it must not see the noise."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from luthier.train.flat import FlatLoraCallback

    pairs = [{"prompt": f"question {i}", "chosen": f" answer {i}", "rejected": f" other {i}"} for i in range(6)]

    def reference_calls(callbacks: list[Any]) -> tuple[list[bool], list[torch.Tensor]]:
        model = build(target_modules=["q_proj"])
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        outputs, noisy = [], []
        config = DPOConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=2,
            learning_rate=0.0,
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
            dataloader_pin_memory=False,
            max_length=64,
        )
        trainer = DPOTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(pairs),
            processing_class=AutoTokenizer.from_pretrained(tiny_model_folder),
            callbacks=callbacks,
        )

        def watch(module: Any, inputs: Any, output: Any) -> None:
            clean = torch.nn.functional.linear(inputs[0], module.weight)
            reference = layer.disable_adapters or layer.active_adapters == ["ref"]
            if reference:
                outputs.append(output.detach().clone())
            noisy.append((reference, torch.equal(clean, output)))

        layer.base_layer.register_forward_hook(watch)
        trainer.train()
        return noisy, outputs

    noisy, with_noise = reference_calls([FlatLoraCallback(0.3, always)])
    _, without = reference_calls([])
    assert {clean for reference, clean in noisy if reference} == {True}
    assert {clean for reference, clean in noisy if not reference} == {False}
    assert len(with_noise) == len(without) > 0
    shapes = [output.shape for output in with_noise]
    assert shapes == [output.shape for output in without]
    assert all(torch.equal(a, b) for a, b in zip(with_noise, without, strict=True))


def test_the_loss_of_a_batch_is_differentiable_where_its_input_needs_no_gradient(build: Build):
    """The first layer's input comes from frozen embeddings: nothing flows back into it."""
    model = build(target_modules=["q_proj"])
    flat = FlatNoise(model, 0.1, always, backend="recompute")
    with flat.step(1, 2):
        model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
