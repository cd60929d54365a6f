"""Weights that are not the model that config.json describes: named and refused at every door, and never filled with random numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from luthier.errors import EngineError
from luthier.models.check import check_model
from luthier.models.gguf_writing import write_gguf
from luthier.models.hardware import HardwareSettings
from luthier.models.loading import POOLER, load_module
from luthier.models.merging import merge
from luthier.models.transformer_embedder import TransformerEmbedder
from luthier.models.weights import load_weights

WRONG = {
    "lacks one tensor": ({}, "layers.1.mlp.down_proj", "the weights lack model.layers.1.mlp.down_proj.weight of the llama model"),
    "lacks the output": ({}, "lm_head", "the weights lack lm_head.weight of the llama model"),
    "more layers told": (
        {"num_hidden_layers": 4},
        None,
        r"the weights lack model.layers.2.\S+, .* and 15 other tensors of the llama model",
    ),
    "fewer layers told": (
        {"num_hidden_layers": 1},
        None,
        r"the weights hold model.layers.1.\S+, .* layers that config.json does not count",
    ),
    "another kind": ({"model_type": "bert"}, None, r"the weights lack bert\.embeddings"),
    "another width": ({"intermediate_size": 80}, None, r"mlp\.down_proj\.weight as 64x96 in place of 64x80"),
}


@pytest.fixture
def damaged(tiny_model_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        changes, without, _ = WRONG[name]
        folder = Path(shutil.copytree(tiny_model_folder, tmp_path / name.replace(" ", "_")))
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**told, **changes}))
        weights = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if without is None or without not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.mark.parametrize("name", WRONG)
def test_no_door_fills_weights_in_or_leaves_layers_out(name: str, damaged: Callable[[str], Path], tmp_path: Path) -> None:
    folder = damaged(name)
    for door in (lambda: load_weights(folder, HardwareSettings(device="cpu"), "auto"), lambda: merge(folder, None)):
        with pytest.raises(EngineError, match=WRONG[name][2]) as caught:
            door()
        assert str(caught.value).startswith(str(folder))
    (weights,) = [one for one in check_model(folder) if one.what == "weights"]
    assert not weights.good
    if name != "lacks the output":  # a state is read without it
        with pytest.raises(EngineError, match="the weights"):
            TransformerEmbedder(folder).encode(["a"])
    with pytest.raises(EngineError, match=r"the weights|a model of the type bert"):
        write_gguf(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_shared_output_and_an_unused_pooler_may_be_lacking(tiny_model_folder: Path, tmp_path: Path) -> None:
    tied = Path(shutil.copytree(tiny_model_folder, tmp_path / "tied"))
    told = json.loads((tied / "config.json").read_text())
    (tied / "config.json").write_text(json.dumps({**told, "tie_word_embeddings": True}))
    weights = load_file(tied / "model.safetensors")
    save_file(
        {name: one for name, one in weights.items() if name != "lm_head.weight"}, tied / "model.safetensors", metadata={"format": "pt"}
    )
    module = load_weights(tied, HardwareSettings(device="cpu"), "auto")
    assert module.get_output_embeddings().weight is module.get_input_embeddings().weight
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    assert load_module(BertModel, tmp_path / "bert", without=POOLER).config.hidden_size == 16
    with pytest.raises(EngineError, match="the weights lack pooler"):
        load_module(BertModel, tmp_path / "bert")
