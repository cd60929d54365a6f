"""Weights that are not finite are refused by one line with the model's or the adapter's name, wherever they are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from command import luthier
from luthier.errors import EngineError
from luthier.models.hardware import Dtype
from luthier.models.local import LocalModel
from luthier.models.merging import merge
from luthier.models.protocol import Prompt, Sampling
from luthier.models.weights import refuse_broken
from luthier.records import Message, write_jsonl
from luthier.train.start import adapted_model

FORMS: tuple[Dtype, ...] = ("float32", "bfloat16")
CHATS = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day"}]}] * 4


def broken(folder: Path, file: str) -> Path:
    weights = load_file(folder / file)
    name = next(name for name in sorted(weights) if "embed" not in name)
    weights[name].view(-1)[-1] = float("nan")
    save_file(weights, folder / file, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def base(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with one weight that is not a number."""
    folder = tmp_path_factory.mktemp("broken") / "base"
    shutil.copytree(tiny_model_folder, folder)
    return broken(folder, "model.safetensors")


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model with one such weight."""
    folder = tmp_path_factory.mktemp("broken") / "adapter"
    adapted_model(LocalModel(tiny_model_folder), None).save_pretrained(str(folder))
    return broken(folder, "adapter_model.safetensors")


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "chats.jsonl"
    write_jsonl(path, CHATS)
    return path


def test_a_broken_base_is_named(base: Path, adapter: Path) -> None:
    for load in (
        lambda: LocalModel(base).generate([Prompt((Message("user", "Hi"),))]),
        lambda: merge(base, None),
        lambda: adapted_model(LocalModel(base), None),
    ):
        with pytest.raises(EngineError, match=rf"{base}: the weights of \S+ are not finite"):
            load()


def test_a_broken_adapter_is_named(tiny_model_folder: Path, adapter: Path) -> None:
    model = LocalModel(tiny_model_folder)
    for load in (
        lambda: LocalModel(tiny_model_folder, adapter=adapter).module,
        lambda: merge(tiny_model_folder, adapter),
        lambda: adapted_model(model, str(adapter)),
    ):
        with pytest.raises(EngineError, match=rf"{adapter}: the weights of \S+ are not finite"):
            load()


@pytest.mark.parametrize("words", [["generate", "Hi"], ["train", "sft", "{chats}"]])
def test_commands_say_so_in_one_line(words: list[str], base: Path, chats: Path, tmp_path: Path) -> None:
    out = [] if words[0] == "generate" else ["--out", tmp_path / "run"]
    said = luthier(*(word.format(chats=chats) for word in words), "--model", base, *out, "--quiet", ok=False)
    assert f"{base}: the weights of " in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    if out:
        assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_sharpness_refuses_a_broken_adapter(tiny_model_folder: Path, adapter: Path, chats: Path, tmp_path: Path) -> None:
    words = ["probe", "sharpness", adapter, chats, "--model", tiny_model_folder, "--draws", "1", "--out", tmp_path / "run", "--quiet"]
    assert f"{adapter}: the weights of " in luthier(*words, ok=False).stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_export_refuses_a_broken_adapter(tiny_model_folder: Path, adapter: Path, tmp_path: Path) -> None:
    said = luthier("export", adapter, "--model", tiny_model_folder, "--to", "merged", "--out", tmp_path / "merged", ok=False)
    assert f"{adapter}: the weights of " in said.stderr
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_each_number_that_is_not_finite_is_seen_and_large_sums_are_not_taken_for_one(number: float) -> None:
    large = torch.full((1000,), 3e38)
    refuse_broken(
        [("large", large), ("half", torch.full((1000,), 6e4, dtype=torch.float16)), ("packed", torch.zeros(3, dtype=torch.uint8))], "here"
    )
    large[500] = number
    with pytest.raises(EngineError, match="here: the weights of large are not finite"):
        refuse_broken([("large", large)], "here")


@pytest.fixture(scope="module")
def wide(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with numbers in its middle that float32 holds and float16 does not."""
    folder = tmp_path_factory.mktemp("wide") / "base"
    shutil.copytree(tiny_model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    raised = {name: weight * 3000 if "up_proj" in name or "down_proj" in name else weight for name, weight in weights.items()}
    save_file(raised, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_numbers_that_a_format_does_not_hold_end_in_a_line_that_names_another(wide: Path, temperature: float) -> None:
    prompt, sampling = Prompt((Message("user", "Hi"),)), Sampling(temperature=temperature, max_tokens=4)
    for form in FORMS:
        assert LocalModel(wide, dtype=form).generate([prompt], sampling)[0].completion_tokens > 0
    half = LocalModel(wide, dtype="float16")
    with pytest.raises(EngineError, match=r"not finite in float16, .* give --dtype float32 or bfloat16"):
        half.generate([prompt], sampling)
    with pytest.raises(EngineError, match="not finite in float16"):
        half.score([prompt], ["Good day"])


def test_a_token_that_a_model_rules_out_is_no_overflow(tiny_model_folder: Path) -> None:
    model = LocalModel(tiny_model_folder)
    with torch.no_grad():
        row = model.tokenizer("Good", add_special_tokens=False)["input_ids"][0]
        bias = torch.zeros(model.module.config.vocab_size)
        bias[row] = float("-inf")
        model.module.lm_head.register_forward_hook(lambda _, __, logits: logits + bias)
        [score] = model.score([Prompt((Message("user", "Hi"),))], ["Good day"])
    assert score.logprobs[0] == float("-inf")
    assert score.logprobs[-1] > float("-inf")
