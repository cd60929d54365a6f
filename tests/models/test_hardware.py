"""Where a model computes, and in which form: what is not there is refused by name, and what computes elsewhere gives the same numbers."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.errors import EngineError, SettingsError
from luthier.models import hardware
from luthier.models.branches import Head, TokenTree, mask_as, read_tree
from luthier.models.hardware import HardwareSettings, check_hardware, chosen_device, default_device, input_device
from luthier.models.local import LocalModel
from luthier.models.opening import ModelSettings, open_model
from luthier.models.precision import fast_dtype
from luthier.models.protocol import Prompt, Sampling
from luthier.models.weights import _place, reading_dtype, training_dtype
from luthier.records import Message
from luthier.run import Run
from luthier.settings import recorded
from luthier.train.settings import SftRunSettings

PROMPTS = [Prompt((Message("user", text),)) for text in ("What is the weather in Lisbon?", "Book a table for 12 people", "10")]
SAID = ["It is 10 in Lisbon", "get_weather(days=3)", "5"]


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, *, bf16: bool = True) -> None:
    """As if torch saw so many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    monkeypatch.setattr(torch.cuda, "device", lambda place: nullcontext())


def test_auto_takes_an_nvidia_gpu_then_apples_then_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    gpus(monkeypatch, 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert default_device() == chosen_device("auto") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert default_device() == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "7")
    assert default_device() == "cuda"
    gpus(monkeypatch, 0)
    assert default_device() == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert default_device() == "cpu"


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "cpu:0", "", "cuda:0 "])
def test_a_device_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(SettingsError, match="give cpu, cuda, cuda:N or mps"):
        chosen_device(asked)


@pytest.mark.parametrize(
    ("asked", "seen", "told"),
    [("cuda", 0, "--device cuda: "), ("cuda:1", 1, "the GPUs here are cuda:0; give"), ("cuda:2", 2, "cuda:0, cuda:1"), ("mps", 0, "Apple")],
)
def test_a_device_that_is_not_here_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, asked: str, seen: int, told: str) -> None:
    gpus(monkeypatch, seen)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=told) as problem:
        chosen_device(asked)
    assert "leave --device out" in str(problem.value)
    assert len(str(problem.value).splitlines()) == 1
    gpus(monkeypatch, 3)
    if asked != "mps":
        assert chosen_device(asked) == asked


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"dtype": "float8"}, "--dtype is 'float8'; choose one of auto, float32"),
        ({"attention": "fast"}, "--attention is 'fast'"),
        ({"quantize": "2bit"}, "--quantize is '2bit'; choose one of 4bit, 8bit"),
        ({"device_map": "everywhere"}, "--device-map is 'everywhere'"),
        ({"device_map": "auto", "device": "cpu"}, "leave one of them out"),
        ({"attention": "flash_attention_2", "device": "cpu"}, "the device is cpu; give --attention sdpa"),
    ],
)
def test_what_does_not_go_together_is_refused_before_weights_are_read(asked: dict[str, Any], told: str, tiny_model_folder: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        open_model(str(tiny_model_folder), **asked)
    with pytest.raises(SettingsError, match=told):
        LocalModel(tiny_model_folder, **asked)


def test_flash_attention_is_refused_without_its_package_and_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 1)
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: False)
    with pytest.raises(SettingsError, match="pip install flash-attn"):
        check_hardware(HardwareSettings(attention="flash_attention_2"))
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: True)
    with pytest.raises(SettingsError, match="knows no float32"):
        check_hardware(HardwareSettings(attention="flash_attention_2", dtype="float32"))
    check_hardware(HardwareSettings(attention="flash_attention_2"))


def test_few_bits_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs bitsandbytes; run: pip install 'luthier\[quantize\]'"):
        check_hardware(HardwareSettings(quantize="4bit"))
    monkeypatch.setattr(hardware, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(SettingsError, match="not on mps"):
        check_hardware(HardwareSettings(quantize="8bit", device="mps"))


ASKED = {"device": "cpu", "dtype": "float16", "attention": "eager", "device_map": "auto", "quantize": "4bit"}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("how", [{"endpoint": "http://127.0.0.1:1/v1"}, {"engine": "openvino"}, {"engine": "llamacpp"}])
def test_engines_of_their_own_place_and_precision_refuse_each_setting_by_name(
    name: str, how: dict[str, Any], tiny_model_folder: Path
) -> None:
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')} {ASKED[name]} is of the transformers engine"):
        open_model(str(tiny_model_folder), **how, **{name: ASKED[name]})


def test_settings_of_a_model_are_refused_where_none_is_asked() -> None:
    from luthier.probe.settings import TreeFitSettings
    from luthier.synthesize.fusion.settings import FusionSettings

    with pytest.raises(SettingsError, match="--device is of a model, and none is asked here: name one with --reader"):
        FusionSettings(documents=("a.csv",), device="cpu")
    with pytest.raises(SettingsError, match=r"--quantize is of a model.*give --labels judge"):
        TreeFitSettings(run="runs/probe", quantize="4bit")
    FusionSettings(documents=("a.csv",), device="cpu", reader="bundled")


def test_the_number_format_is_what_the_card_computes(monkeypatch: pytest.MonkeyPatch, tiny_model_folder: Path) -> None:
    gpus(monkeypatch, 1)
    assert fast_dtype("cuda") is fast_dtype("cuda:0") is torch.bfloat16
    asked = HardwareSettings()
    assert training_dtype(asked) is torch.bfloat16
    assert reading_dtype(tiny_model_folder, asked) == "auto"
    gpus(monkeypatch, 1, bf16=False)
    assert training_dtype(asked) is fast_dtype("cuda") is torch.float16
    assert reading_dtype(tiny_model_folder, asked) == "auto"  # stored in float32, which every card computes
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *_, **__: SimpleNamespace(dtype=torch.bfloat16))
    assert reading_dtype(tiny_model_folder, asked) is torch.float16
    assert training_dtype(HardwareSettings(dtype="float32")) is reading_dtype(tiny_model_folder, HardwareSettings(dtype="float32"))
    gpus(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: True)
    assert fast_dtype("mps") is torch.bfloat16
    assert training_dtype(asked) is torch.float32


def totals(model: LocalModel) -> list[float]:
    return [one.total for one in model.score(PROMPTS, SAID)]


@pytest.fixture(scope="module")
def plain(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32", device="cpu")


def test_a_mapped_model_gives_the_same_numbers(plain: LocalModel) -> None:
    mapped = LocalModel(plain.folder, dtype="float32", device_map={"": "cpu"})
    assert totals(mapped) == totals(plain)
    sampling = Sampling(max_tokens=8, temperature=0.8)
    assert [one.text for one in mapped.generate(PROMPTS, sampling)] == [one.text for one in plain.generate(PROMPTS, sampling)]
    assert mapped.device == torch.device("cpu")


def test_inputs_go_where_a_spread_model_begins() -> None:
    def of(spread: Any) -> torch.device:
        return input_device(SimpleNamespace(hf_device_map=spread, device=torch.device("meta")))

    assert of({"model.embed_tokens": 1, "model.layers.0": 0}) == torch.device("cuda:1")
    assert of({"model.embed_tokens": "cpu", "model.layers.0": "cuda:0"}) == torch.device("cuda:0")
    assert of({"model.embed_tokens": "cpu", "model.layers.0": "disk"}) == torch.device("cpu")
    assert of(None) == torch.device("meta")


def test_few_bits_go_to_a_gpu_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate compares it with the trainer's device by number."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert [_place(device) for device in ("cpu", "cuda", "cuda:0", "cuda:3")] == ["cpu", 1, 0, 3]


def test_weights_outside_the_memory_have_no_fingerprint(tiny_model_folder: Path) -> None:
    from luthier.decode.tap import fingerprint

    with pytest.raises(SettingsError, match="--device-map"):
        fingerprint(LocalModel(tiny_model_folder, device="cpu").module.to("meta"))


@pytest.mark.parametrize("mode", ["packed", "rollback"])
def test_what_a_tree_is_read_with_lies_where_its_model_lies(tiny_model_folder: Path, mode: Any) -> None:
    """On the meta device, operators refuse positions and masks that lie on another."""
    module = LocalModel(tiny_model_folder, device="cpu").module.to("meta")
    tree = TokenTree()
    trunk = tree.add(range(10))
    branch = tree.add([1, 2, 3], trunk, 4)
    assert read_tree(module, tree, [Head(trunk, 9), Head(branch, 2)], mode).logits.device.type == "meta"
    with pytest.raises(RuntimeError, match="not on the expected device"):
        module(input_ids=torch.tensor([[1, 2]], device="meta"), attention_mask=torch.ones(1, 1, 2, 2, dtype=torch.bool))


def test_kernels_give_equal_log_probabilities(plain: LocalModel) -> None:
    eager = LocalModel(plain.folder, dtype="float32", device="cpu", attention="eager")
    sdpa = LocalModel(plain.folder, dtype="float32", device="cpu", attention="sdpa")
    assert eager.module.config._attn_implementation == "eager"
    assert totals(eager) == pytest.approx(totals(plain), abs=1e-4)
    tree = TokenTree()
    trunk = tree.add(range(20, 40))
    heads = [Head(tree.add([at, at + 1], trunk, at), 1) for at in (3, 9, 20)]
    expected = read_tree(sdpa.module, tree, heads, "naive").logits
    for model in (eager, sdpa):
        torch.testing.assert_close(read_tree(model.module, tree, heads, "packed").logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", ["flash_attention_2", "flex_attention", None])
def test_a_mask_by_position_is_never_passed_over(kernel: str | None) -> None:
    with pytest.raises(EngineError, match=f"attention kernel {kernel} takes no mask by position"):
        mask_as(kernel, torch.ones(1, 1, 2, 2, dtype=torch.bool))


def dequantised(model: LocalModel) -> Any:
    """A full-precision module with the values that the quantised one holds."""
    from peft.utils.integrations import dequantize_bnb_weight

    full = LocalModel(model.folder, dtype="float32", device="cpu").module
    with torch.no_grad():
        for name, layer in model.module.named_modules():
            base = getattr(layer, "base_layer", layer)
            if type(base).__name__ in ("Linear4bit", "Linear8bitLt") and not name.endswith("base_layer"):
                full.get_submodule(name).weight.copy_(dequantize_bnb_weight(base.weight, getattr(base, "state", None)))
    return full


# Two layers of 8 bit round what passes through them as well.
BITS = [("4bit", "Linear4bit", 1e-4), ("8bit", "Linear8bitLt", 0.15)]


@pytest.mark.parametrize(("bits", "kind", "apart"), BITS)
def test_weights_of_few_bits_read_and_write(plain: LocalModel, bits: Any, kind: str, apart: float) -> None:
    pytest.importorskip("bitsandbytes")
    model = LocalModel(plain.folder, dtype="float32", device="cpu", quantize=bits)
    assert type(model.module.model.layers[0].mlp.up_proj).__name__ == kind
    found = totals(model)  # an 8-bit layer knows its scales once it has read
    same = LocalModel.of(dequantised(model), plain.tokenizer)
    assert found == pytest.approx(totals(same), abs=8 * apart)
    assert found != pytest.approx(totals(plain), abs=1e-3)
    assert len(model.generate(PROMPTS, Sampling(max_tokens=4))) == len(PROMPTS)


@pytest.mark.parametrize(("bits", "kind", "apart"), BITS)
def test_an_adapter_stays_beside_weights_of_few_bits(plain: LocalModel, tmp_path: Path, bits: Any, kind: str, apart: float) -> None:
    """Merged, it would be rounded away."""
    pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(plain.folder), LoraConfig(r=4, target_modules="all-linear"))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(tmp_path)
    model = LocalModel(plain.folder, adapter=tmp_path, dtype="float32", device="cpu", quantize=bits)
    found = totals(model)
    assert type(model.module.model.layers[0].mlp.up_proj.base_layer).__name__ == kind
    same = PeftModel.from_pretrained(dequantised(model), tmp_path).merge_and_unload()
    assert found == pytest.approx(totals(LocalModel.of(same, plain.tokenizer)), abs=8 * apart)
    assert found != pytest.approx(totals(LocalModel(plain.folder, dtype="float32", device="cpu", quantize=bits)), abs=1e-2)


def test_what_came_later_stands_in_a_record_only_where_it_is_set() -> None:
    before = {"model", "adapter", "dtype", "engine"}
    assert set(recorded(ModelSettings())) == before
    assert set(recorded(ModelSettings(device="cpu"))) == {*before, "device"}
    assert not {"device", "device_map", "quantize", "attention"} & set(recorded(SftRunSettings(data=("a.jsonl",))))


def test_a_run_tells_what_its_models_computed_on(tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = ModelSettings(model=str(tiny_model_folder), device="cpu", attention="eager")
    for _ in range(2):
        with Run(tmp_path / "run", "probe run", settings, reads=settings.reads()) as made:
            made.step(
                "read", lambda: {"answers": len(settings.open().generate(PROMPTS, Sampling(max_tokens=1)))}, uses=("device", "quantize")
            )
    told = json.loads((tmp_path / "run" / "run.json").read_text())["models"]
    wanted = {"device": "cpu", "dtype": "float32", "attention": "eager", "quantize": None}
    assert [one for one in told if one["model"] == str(tiny_model_folder) and one.items() >= wanted.items()]
