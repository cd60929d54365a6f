"""A first look at a model: what each line says, and what it warns of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import luthier
from luthier.models.check import Finding, check_model
from stock_templates import MISTRALS, STOCK, stock, write_architecture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_architecture("llama", tmp_path_factory.mktemp("check") / "model")


def look(folder: Path, template: str, stops: list[str] | None = None) -> dict[str, Finding]:
    from transformers import AutoTokenizer

    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in stops or ("</s>",)]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return {one.what: one for one in check_model(folder)}


ENDS = {
    "qwen2_5": "<|im_end|>",
    "llama3_1": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "phi3": "<|end|>",
    "gptoss": "<|return|>",
    "glm4moe": "<|user|>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
}


@pytest.mark.parametrize("name", [*STOCK, *MISTRALS])
def test_every_stock_template_is_told_in_a_line_each(name: str, folder: Path) -> None:
    found = look(folder, stock(name), ["</s>", *([ENDS[name]] if name in ENDS else ["<|im_end|>"])])
    assert list(found) == ["model", "weights", "tokens", "template", "system", "stop", "tools", "calls", "thoughts", "masks"]
    assert all("\n" not in one.told for one in found.values())
    assert found["masks"].good, found["masks"]
    assert found["calls"].good, found["calls"]
    if name in ENDS and name != "glm4moe":  # what ends a turn there is the header of the next one
        assert found["stop"].told == f"{ENDS[name]} ends a turn, is learned, and ends an answer"


def test_marks_that_were_never_learned_are_named(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = write_architecture("llama", tmp_path / "model")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert "marks" not in look(folder, stock("qwen2_5"), ["<|im_end|>"])
    mark = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert mark in tokenizer.added_tokens_decoder
    with torch.no_grad():
        model.lm_head.weight[-40:] = model.lm_head.weight[mark]
    model.save_pretrained(folder)
    found = look(folder, stock("qwen2_5"), ["<|im_end|>"])["marks"]
    assert "<|im_end|>" in found.told
    assert not found.good


def test_what_is_wrong_is_told_with_its_cure(folder: Path) -> None:
    found = look(folder, stock("qwen2_5"), ["</s>"])
    assert found["stop"] == Finding(
        "stop", "</s>; but a turn ends with <|im_end|>: add it to eos_token_id in generation_config.json", False
    )
    assert not look(folder, "{{ raise_exception('never') }}")["template"].good
    assert "gemma" not in look(folder, stock("gemma"))["system"].told
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    wrong = look(folder, stock("qwen2_5"))
    assert "have no row" in wrong["tokens"].told
    assert not wrong["weights"].good
    assert "in place of 100x" in wrong["weights"].told
    (folder / "config.json").write_text(json.dumps(config))


def test_the_command(folder: Path, tmp_path: Path) -> None:
    look(folder, stock("gemma"), ["<end_of_turn>"])
    said = luthier("models", "check", folder)
    assert "system     refused, dropped or moved; it stands before the first user turn" in said.stdout
    assert "calls      not rendered by the template; written as <tool_call> tags; read as hermes" in said.stdout
    told = json.loads(luthier("models", "check", folder, "--json").stdout)
    assert told["findings"][0]["what"] == "model"
    assert "thoughts   no place for them in the template; left out of what is trained and asked, and counted" in said.stdout
    assert "no model here" in luthier("models", "check", tmp_path, ok=False).stderr


TOLD = {
    "qwen3": ("rendered by the template", False),
    "gemma4": ("rendered by the template before calls alone", False),
    "llama3_1": ("no place for them in the template; left out of what is trained and asked, and counted", True),
    "phi3": ("no place for them in the template; left out of what is trained and asked, and counted", False),
    "mistral_v3": ("no place for them in the template; left out of what is trained and asked, and counted", True),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_has_no_place_in_a_turn_is_told(name: str, folder: Path) -> None:
    found = look(folder, stock(name))
    thoughts, drops = TOLD[name]
    assert found["thoughts"].told == thoughts
    assert (", without what is said beside them" in found["calls"].told) == drops
