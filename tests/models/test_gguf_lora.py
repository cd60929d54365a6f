"""An adapter on llama.cpp says what it says on transformers, and one that is not plain LoRA is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.errors import EngineError
from luthier.models import Prompt, Sampling
from luthier.models.gguf_lora import write_lora
from luthier.models.gguf_writing import write_gguf
from luthier.models.local import LocalModel
from luthier.records import Message

PROMPTS = [Prompt((Message("user", text),)) for text in ("What is the weather in Lisbon?", "12 people", "10")]
SAID = ["It is 10 in Lisbon", "get_weather(days=3)", "5"]
PLAIN: dict[str, dict[str, Any]] = {
    "every layer": {"target_modules": "all-linear", "lora_alpha": 8},
    "rank-stabilised": {"target_modules": ["q_proj", "k_proj"], "use_rslora": True, "lora_alpha": 3},
    "by layer": {
        "target_modules": ["q_proj", "down_proj"],
        "rank_pattern": {"layers.0.self_attn.q_proj": 2},
        "alpha_pattern": {"down_proj": 7},
    },
}


def adapted(folder: Path, to: Path, **config: Any) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(**{"r": 4, **config}))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(to)
    return to


@pytest.mark.parametrize("way", PLAIN)
def test_log_probabilities_are_those_of_transformers(way: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra luthier[llamacpp] is not installed")
    from luthier.models.llamacpp import LlamaCppModel

    adapter = adapted(tiny_model_folder, tmp_path / "adapter", **PLAIN[way])
    write_gguf(tiny_model_folder, tmp_path / "model.gguf", weights="f32")
    here = LlamaCppModel(tmp_path / "model.gguf", tiny_model_folder, adapter=adapter)
    there = LocalModel(tiny_model_folder, adapter=adapter, dtype="float32")
    bare = LocalModel(tiny_model_folder, dtype="float32")
    found, wanted, before = ([value for one in model.score(PROMPTS, SAID) for value in one.logprobs] for model in (here, there, bare))
    assert found == pytest.approx(wanted, abs=0.02)
    assert wanted != pytest.approx(before, abs=0.1)
    answers = [[one.text for one in model.generate(PROMPTS[:1], Sampling(max_tokens=4))] for model in (here, there)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"target_modules": ["q_proj"], "use_dora": True}, "has use_dora"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, "has modules_to_save"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["lm_head"]}, "lm_head"),
    ],
)
def test_what_llama_cpp_cannot_put_on_is_refused_by_name(
    tiny_model_folder: Path, tmp_path: Path, config: dict[str, Any], told: str
) -> None:
    adapter = adapted(tiny_model_folder, tmp_path / "adapter", **config)
    with pytest.raises(EngineError, match=told) as problem:
        write_lora(adapter, tiny_model_folder, tmp_path / "adapter.gguf")
    assert "luthier export --to gguf" in str(problem.value)


def test_another_kind_of_adapter_and_of_model_is_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    adapter = adapted(tiny_model_folder, tmp_path / "adapter", target_modules=["q_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(EngineError, match="the type IA3"):
        write_lora(adapter, tiny_model_folder, tmp_path / "adapter.gguf")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(EngineError, match="of the type gpt2 is not written as GGUF here"):
        write_lora(adapter, tmp_path / "other", tmp_path / "adapter.gguf")
