"""Training where and in the form that was asked for: on weights of few bits, by other attention kernels; what cannot be trained on is refused."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.models.merging import merge
from luthier.records import Conversation, Message, to_pair
from luthier.train.page import draw
from luthier.train.preference.tuning import tune_preferences
from luthier.train.settings import PreferenceSettings, SftSettings
from luthier.train.sft import encode_all, fine_tune, prepare
from luthier.train.sharpness import mean_loss, sharpness
from luthier.train.start import adapted_model, check_start, trainer_config
from run_folders import drawn, run_folder

PLACES = ["Oslo", "Lisbon", "Rome", "Paris"]
ROWS = [
    Conversation(
        (Message("user", f"What is the weather in {PLACES[n % 4]}? {'Please. ' * (n % 3)}"), Message("assistant", f"It is {n % 4}."))
    )
    for n in range(16)
]
STEPS = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 4, "max_length": 200, "warmup_steps": 0}
SETTINGS = SftSettings(rank=4, learning_rate=1e-2, sigma=0.05, sft=STEPS, seed=1)
PAIRS = [
    to_pair({"prompt": f"Which place is number {n}?", "chosen": f"It is {PLACES[n % 4]}.", "rejected": f"10 {PLACES[n % 4]} 10"})
    for n in range(8)
]


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("changes", [{}, {"sigma": 0.0, "method": "none"}, {"by_length": True}], ids=["flat", "plain", "by length"])
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_is_trained_on_weights_of_few_bits(tiny_model_folder: Path, tmp_path: Path, bits: Any, changes: dict[str, Any]) -> None:
    """Its own weights are float32, and it is merged into the base as it was before."""
    pytest.importorskip("bitsandbytes")
    model = LocalModel(tiny_model_folder, dtype="float32", device="cpu", quantize=bits)
    made = fine_tune(ROWS, model, tmp_path, replace(SETTINGS, **changes))
    assert made.precision == f"float32, base {bits}"
    assert made.steps == (4 if "by_length" not in changes else made.planned_steps)
    saved = adapter(tmp_path)
    assert {weight.dtype for weight in saved.values()} == {torch.float32}
    assert all(bool(weight.abs().max() > 0) for name, weight in saved.items() if "lora_B" in name)
    merged = merge(tiny_model_folder, tmp_path / "adapter")
    assert merged.difference < 1e-4
    assert {weight.dtype for weight in merged.model.parameters()} == {torch.float32}
    tuned = LocalModel(tiny_model_folder, adapter=tmp_path / "adapter", dtype="float32", device="cpu", quantize=bits)
    before, after = (mean_loss(one.module, encode_all(ROWS, model)) for one in (model, tuned))
    assert after < before


def test_an_adapter_is_trained_further_without_losing_bits(tiny_model_folder: Path, tmp_path: Path) -> None:
    """TRL makes adapters on quantised weights bfloat16, in which a small step changes nothing."""
    pytest.importorskip("bitsandbytes")
    fine_tune(ROWS, LocalModel(tiny_model_folder, dtype="float32", device="cpu", quantize="4bit"), tmp_path / "one", SETTINGS)
    begun = LocalModel(tiny_model_folder, adapter=tmp_path / "one" / "adapter", dtype="float32", device="cpu", quantize="4bit")
    fine_tune(ROWS, begun, tmp_path / "two", replace(SETTINGS, rank=None, learning_rate=0.0))
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_preferences_are_tuned_on_weights_of_few_bits(tiny_model_folder: Path, tmp_path: Path, sigma: float) -> None:
    """Pairs are judged in evaluation before the first step; the gradients reach every adapter all the same."""
    pytest.importorskip("bitsandbytes")
    model = LocalModel(tiny_model_folder, dtype="float32", device="cpu", quantize="4bit")
    given = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 4, "warmup_steps": 0}
    settings = PreferenceSettings(learning_rate=1e-2, rank=4, sigma=sigma, training=given)
    made = tune_preferences(PAIRS, model, tmp_path, settings, evaluation=PAIRS[:4])
    assert made.after["loss"] < made.before["loss"]
    assert all(bool(weight.abs().max() > 0) for name, weight in adapter(tmp_path).items() if "lora_B" in name)


@pytest.mark.parametrize("bits", [None, "4bit"])
def test_gradients_are_the_same_when_activations_are_computed_again(tiny_model_folder: Path, tmp_path: Path, bits: Any) -> None:
    if bits is not None:
        pytest.importorskip("bitsandbytes")
    model = LocalModel(tiny_model_folder, dtype="float32", device="cpu", quantize=bits)
    for again in (False, True):
        fine_tune(ROWS, model, tmp_path / str(again), replace(SETTINGS, sft={**STEPS, "gradient_checkpointing": again}))
    one, two = adapter(tmp_path / "False"), adapter(tmp_path / "True")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_sharpness_is_measured_on_weights_of_few_bits(tiny_model_folder: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = LocalModel(tiny_model_folder, dtype="float32", device="cpu", quantize="4bit")
    found = sharpness(adapted_model(model, None), encode_all(ROWS[:4], model), [0.1], draws=2)
    assert found.loss == pytest.approx(mean_loss(model.module, encode_all(ROWS[:4], model)), rel=1e-4)
    assert len(found.rises[0].draws) == 2


def test_kernels_train_alike_on_rows_with_masks(tiny_model_folder: Path, tmp_path: Path) -> None:
    """Branches of a row do not see each other under either, and sharpness is measured under the same masks."""
    losses, rises = [], []
    for kernel in ("sdpa", "eager"):
        model = LocalModel(tiny_model_folder, dtype="float32", device="cpu", attention=kernel)
        made = fine_tune(ROWS, model, tmp_path / kernel, replace(SETTINGS, branches=4, sft={**STEPS, "max_steps": -1}))
        losses.append(made.loss)
        rises.append(mean_loss(adapted_model(model, None), encode_all(ROWS, model)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert rises[0] == pytest.approx(rises[1], abs=1e-5)
    one, two = (adapter(tmp_path / kernel) for kernel in ("sdpa", "eager"))
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)


@pytest.mark.parametrize("changes", [{"by_length": True}, {"branches": 2}, {"seconds": 5.0}])
def test_rows_with_masks_are_refused_by_kernels_that_take_none(tiny_model_folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    model = LocalModel(tiny_model_folder, device="cpu", attention="flex_attention")
    with pytest.raises(SettingsError, match=r"masks that --attention flex_attention does not take"):
        prepare(ROWS, model, tmp_path, replace(SETTINGS, **changes))


@pytest.mark.parametrize(
    ("asked", "full", "told"),
    [
        ({"quantize": "4bit"}, True, "holds weights that have no gradients"),
        ({"device_map": "auto"}, False, "--device-map is for reading a model"),
        ({"dtype": "float16", "device": "cpu"}, False, "--dtype float16 is trained on NVIDIA GPUs, and the device is cpu"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_name(tiny_model_folder: Path, asked: dict[str, Any], full: bool, told: str) -> None:
    if "quantize" in asked:
        pytest.importorskip("bitsandbytes")
    with pytest.raises(SettingsError, match=told):
        check_start(LocalModel(tiny_model_folder, **asked), full=full, lora={})


def test_training_takes_the_first_gpu_that_it_sees(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_start(LocalModel(tiny_model_folder, device="cuda:0"), full=False, lora={})
    with pytest.raises(SettingsError, match="start it with CUDA_VISIBLE_DEVICES=1"):
        check_start(LocalModel(tiny_model_folder, device="cuda:1"), full=False, lora={})


def test_the_page_tells_what_was_computed_on(tmp_path: Path) -> None:
    model = {
        "model": "<m>",
        "device": "cuda:0",
        "layers": {"0": 20, "cpu": 4},
        "dtype": "bfloat16",
        "attention": "eager",
        "quantize": "4bit",
    }
    run = run_folder(tmp_path, "train sft", {}, models=[model], device={"gpus": ["NVIDIA T4, 15 GiB"]})
    text = drawn(run, draw)
    for shown in ("&lt;m&gt;", "cuda:0, 20 parts on 0, 4 parts on cpu", "bfloat16", "eager", "4bit", "NVIDIA T4, 15 GiB"):
        assert shown in text
    assert "Number format" not in drawn(run_folder(tmp_path / "before", "train sft", {}), draw)


class Config(SimpleNamespace):
    """What a trainer's configuration was made with."""

    n_gpu, report_to = 2, ()

    def __init__(self, **given: Any) -> None:
        super().__init__(**given, _n_gpu=2)


@pytest.mark.parametrize(("bf16", "wanted"), [(True, ("bf16", "fp16")), (False, ("fp16", "bf16"))])
def test_half_precision_is_what_the_card_computes(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, wanted: tuple[str, str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", lambda place: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    monkeypatch.setattr("transformers.integrations.get_reporting_integration_callbacks", lambda names: [])
    model = LocalModel(tiny_model_folder)
    made: Any = trainer_config(Config, model, tmp_path, {"seed": 1}, evaluated=False)
    assert (made.use_cpu, made.dataloader_pin_memory) == (False, True)
    assert (getattr(made, wanted[0]), getattr(made, wanted[1])) == (True, False)
    assert made._n_gpu == 1  # several are for several processes
    given: Any = trainer_config(Config, model, tmp_path, {"fp16": True}, evaluated=False)
    assert (given.bf16, given.fp16) == (False, True)
