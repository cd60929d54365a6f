"""What leaves: merged weights that say the same, GGUF that comes back, a Modelfile, a card, tools as a client sends them, a push."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.errors import MissingFileError, SettingsError
from luthier.models.base_model import read_base, weights_hash
from luthier.models.chat_template import has_markers
from luthier.models.export import ExportSettings, answer
from luthier.models.gguf_conversion import convert
from luthier.models.local import LocalModel
from luthier.models.merging import merge, save_merged
from luthier.models.protocol import Prompt
from luthier.models.source import find_source
from luthier.records import Message
from stock_templates import stock, write_architecture

HELLO = Prompt((Message("user", "What is the weather in Lisbon?"),))
SAID = " It will rain on Tuesday."
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def adapter_of(folder: Path, to: Path, **config: Any) -> Path:
    """An adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(**{"r": 4, "target_modules": "all-linear", **config}))
    for name, weight in tuned.named_parameters():
        if weight.requires_grad and any(part in name for part in ("lora_B", "lora_embedding", "modules_to_save", "trainable_tokens")):
            torch.nn.init.normal_(weight, std=0.3)
    tuned.save_pretrained(to)
    return to


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose output is its embedding."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = write_architecture("qwen2", tmp_path_factory.mktemp("tied") / "model")
    config = AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    return folder


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "output": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "rows of tokens": {"trainable_token_indices": [5, 80]},
    "output as a whole": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_merged_weights_say_what_the_adapter_said(kind: str, tied: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = adapter_of(tied, tmp_path / "adapter", **CONFIGS[kind])
    made = merge(tied, adapter)
    save_merged(made, tmp_path / "merged", dtype=torch.float32)
    ids = torch.tensor([[5, 80, 120, 300, 41]])
    with torch.inference_mode():
        expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tied), adapter)(input_ids=ids).logits
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(input_ids=ids).logits
        base = AutoModelForCausalLM.from_pretrained(tied)(input_ids=ids).logits
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    assert (base - expected).abs().max() > 1e-2
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["tie_word_embeddings"] is (kind in ("plain", "rslora", "dora", "rows of tokens"))
    assert made.untied is not config["tie_word_embeddings"]


@pytest.fixture(scope="module")
def run(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `train sft` on rows with tools."""
    place = tmp_path_factory.mktemp("run")
    rows = [
        {"messages": [{"role": "user", "content": f"Rain {n}?"}, {"role": "assistant", "content": "Yes."}], "tools": [TOOL]}
        for n in range(4)
    ]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    luthier("train", "sft", place / "rows.jsonl", "--model", tiny_model_folder, "--epochs", 1, "--quiet", "--out", place / "out")
    return place / "out"


def export(source: Path | str, to: str, out: Path, **more: Any) -> dict[str, Any]:
    value: dict[str, Any] = answer(ExportSettings(str(source), to=to, out=str(out), **more)).value  # type: ignore[arg-type]
    return value


def test_an_adapter_names_its_base(run: Path, tiny_model_folder: Path) -> None:
    base = read_base(run / "adapter")
    assert base is not None
    assert base.name == str(tiny_model_folder)
    assert base.weights == weights_hash(tiny_model_folder)


def test_an_adapter_on_other_weights_is_told(run: Path, tiny_model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from transformers import AutoModelForCausalLM

    other = Path(shutil.copytree(tiny_model_folder, tmp_path / "other"))
    model = AutoModelForCausalLM.from_pretrained(other)
    model.model.norm.weight.data += 0.5
    model.save_pretrained(other)
    assert LocalModel(other, adapter=run / "adapter").module is not None
    assert "was trained on" in caplog.text
    assert "and these are other weights" in caplog.text


def test_a_run_is_merged_into_a_folder_that_says_the_same(run: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    told = export(run, "merged", tmp_path / "out")
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "README.md", "tools.json"} <= told["files"].keys()
    before = LocalModel(tiny_model_folder, adapter=run / "adapter", dtype="float32")
    after = LocalModel(tmp_path / "out", dtype="float32")
    assert after.score([HELLO], [SAID])[0].total == pytest.approx(before.score([HELLO], [SAID])[0].total, abs=1e-4)
    assert not has_markers((tmp_path / "out" / "chat_template.jinja").read_text())
    assert json.loads((tmp_path / "out" / "tools.json").read_text()) == [TOOL]
    with pytest.raises(SettingsError, match="holds something already"):
        export(run, "merged", tmp_path / "out")


@pytest.mark.parametrize("weights", ["f16", "q8_0"])
def test_a_run_as_gguf_comes_back(weights: str, run: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    told = export(run, "gguf", tmp_path / "out", weights=weights, parity=False)
    assert set(told["files"]) == {"README.md", "model.gguf", "tools.json"}
    convert(tmp_path / "out" / "model.gguf", tmp_path / "back")
    before, after = LocalModel(tiny_model_folder, adapter=run / "adapter", dtype="float32"), LocalModel(tmp_path / "back", dtype="float32")
    assert after.render(HELLO) == before.render(HELLO)
    assert after.score([HELLO], [SAID])[0].total == pytest.approx(before.score([HELLO], [SAID])[0].total, rel=0.05)


def test_ollama_is_told_of_tools_and_what_it_writes_otherwise(run: Path, tied: Path, tmp_path: Path) -> None:
    told = export(tied, "ollama", tmp_path / "tied", parity=False)
    assert told["tools"].startswith("in the Modelfile; ")
    assert ".ToolCalls" in (tmp_path / "tied" / "Modelfile").read_text()
    told = export(run, "ollama", tmp_path / "run", parity=False)  # with brackets
    assert told["tools"] == "not in the Modelfile: the chat template does not write tools as JSON"
    assert ".ToolCalls" not in (tmp_path / "run" / "Modelfile").read_text()


def test_the_card_tells_what_the_run_recorded(run: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    rate = {"correct": 35, "items": 40, "rate": 0.875, "low": 0.74, "high": 0.95}
    results = {"scores": [{"category": "simple_python", "decoding": "free", "official": rate}]}
    (scores / "run.json").write_text(json.dumps({"name": "evaluate tools", "steps": {"answers": {"results": results}}}))
    export(run, "card", tmp_path / "out", scores=(str(scores),), license="mit")
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith('---\nlicense: "mit"\nlibrary_name: "peft"\n')
    assert "| tools | simple_python free official | 87.5% | 74.0% to 95.0% | 40 |" in text
    assert "| `rows.jsonl` |" in text
    assert "SHA-256 of its weights" in text
    assert "| learning_rate |" not in text  # what nobody set is not told as if somebody had


def test_what_is_missing_is_said(tmp_path: Path, run: Path, tiny_model_folder: Path) -> None:
    adapter = adapter_of(tiny_model_folder, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/gone/model"}))
    with pytest.raises(MissingFileError, match=r"is an adapter of /gone/model, which is not to be had .*give it with --model"):
        find_source(str(adapter))
    known = find_source(str(adapter), str(tiny_model_folder))
    assert known.folder == tiny_model_folder
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text(json.dumps({"name": "train sft", "steps": {}}))
    with pytest.raises(MissingFileError, match="has made no adapter and no model yet"):
        find_source(str(tmp_path / "begun"))
    with pytest.raises(SettingsError, match="go together"):
        ExportSettings("x", to="hub", out="y")


def test_a_run_of_preference_training_is_exported_and_compared_on_its_prompts(tiny_model_folder: Path, tmp_path: Path) -> None:
    from luthier.models.parity import prompts_of

    user = {"role": "user", "content": "Rain?"}
    rows = [
        {
            "prompt": [user],
            "chosen": [{"role": "assistant", "content": f"Yes, {n}."}],
            "rejected": [{"role": "assistant", "content": f"No, {n}."}],
        }
        for n in range(4)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    luthier(
        "train", "preference", tmp_path / "pairs.jsonl", "--model", tiny_model_folder, "--epochs", 1, "--quiet", "--out", tmp_path / "run"
    )
    source = find_source(str(tmp_path / "run"))
    assert source.adapter == tmp_path / "run" / "adapter"
    assert read_base(tmp_path / "run" / "adapter") is not None
    assert [prompt.messages[-1].content for prompt in prompts_of(source, (), 2)] == ["Rain?", "Rain?"]


def test_the_data_of_a_part_of_a_flow_are_found_from_anywhere(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow trains in a folder below its own, on rows whose names are relative to where the command ran."""
    from luthier.models.export import tools_of
    from luthier.models.parity import hold_gguf

    (tmp_path / "there" / "flow").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    row = {"messages": [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "Yes."}], "tools": [TOOL]}
    rows = Path("flow/selected.jsonl")
    rows.write_text("".join(json.dumps(row) + "\n" for _ in range(4)))
    luthier("train", "sft", rows, "--model", tiny_model_folder, "--epochs", 1, "--quiet", "--out", "flow/sft")
    (tmp_path / "there" / "flow" / "run.json").write_text(json.dumps({"name": "run tools", "steps": {}, "settings": {}}))
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("../there/flow", str(tmp_path / "there" / "flow" / "sft"), str(tmp_path / "there" / "flow" / "sft" / "adapter")):
        source = find_source(name)
        assert [path.resolve() for path in source.data] == [(tmp_path / "there" / rows).resolve()], name
    assert [tool["function"]["name"] for tool in tools_of(source.data)] == ["get_weather"]
    (tmp_path / "there" / rows).write_text(json.dumps(row) + "\n")  # other rows under the same name are not what it was trained on
    assert source.data == []
    told = hold_gguf(source, tmp_path / "none.gguf", weights="f16", conversations=4)
    assert told.lines[0].startswith("not held against what was trained: ")
