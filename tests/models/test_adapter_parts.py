"""Adapters that bring a tokenizer, a chat template or tokens of their own are read as they were trained, wherever they are used; those that bring the base's change nothing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import EngineError
from luthier.models import adapter_parts
from luthier.models.adapter_parts import reading_of
from luthier.models.base_model import base_of
from luthier.models.export import ExportSettings
from luthier.models.export import answer as export
from luthier.models.known import chat_template
from luthier.models.local import LocalModel
from luthier.models.merging import merge
from luthier.models.protocol import Prompt, Sampling
from luthier.models.source import Source
from luthier.records import Conversation, Message
from luthier.train.settings import SftSettings
from luthier.train.sft import encode_all, fine_tune
from stock_templates import stock, write_architecture

OTHER = "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
ASKED = Prompt((Message("user", "What is the weather in Lisbon?"),))
ROWS = [Conversation((Message("user", "What is the weather in Lisbon?"), Message("assistant", "It will rain.")))] * 2
ONE_STEP = SftSettings(sigma=0.0, method="none", sft={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 1})
IDS = [5, 6, 7, 8]


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_parts, "_said", set())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with ChatML, whose rows end with its tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = write_architecture("llama", tmp_path_factory.mktemp("parts") / "base")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    return folder


def adapter_of(
    base: Path, to: Path, *, template: str | None = None, tokenizer: bool = True, added: int = 0, eos: str = "", **lora: Any
) -> Any:
    """A LoRA that changes what the model says, saved as PEFT's trainers save it. What it gives for IDS, and for the last of the tokens it adds."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    model, read = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    if added:
        read.add_special_tokens(
            {"additional_special_tokens": [f"<|new{number}|>" for number in range(added)]}, replace_extra_special_tokens=False
        )
        model.resize_token_embeddings(len(read), mean_resizing=False)
    tuned = get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | lora))
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data = weight.data + 0.3 * torch.randn_like(weight)
    tuned.eval().save_pretrained(to)
    if template is not None:
        read.chat_template = template
    if eos:
        read.eos_token = eos
    if tokenizer:
        read.save_pretrained(to)
    with torch.inference_mode():
        return tuned(torch.tensor([[*IDS, len(read) - 1]])).logits


def logits(model: Any, last: int) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[*IDS, last]])).logits


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.partition(": ")[2].partition(", which")[0] for one in caplog.messages if "its own" in one]


BRINGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"tokenizer": False}, []),
    "the base's tokenizer and template": ({}, []),
    "another template": ({"template": OTHER}, ["its own chat template is used"]),
    "another end": ({"eos": "<|im_end|>"}, ["its own tokenizer is used"]),
    "more tokens": ({"added": 3, "modules_to_save": ["embed_tokens", "lm_head"]}, ["its own tokenizer is used"]),
    "more tokens and another template": ({"added": 3, "template": OTHER}, ["its own tokenizer is used", "its own chat template is used"]),
}


@pytest.mark.parametrize("kind", BRINGS)
def test_what_an_adapter_brings_is_used_and_said_once(kind: str, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    brought, told = BRINGS[kind]
    adapter_of(plain, tmp_path / "adapter", **brought)
    rendered = set()
    with caplog.at_level(logging.WARNING, "luthier"):
        for _ in range(2):
            model = LocalModel(plain, adapter=tmp_path / "adapter")
            rendered.add(model.render(ASKED))
            encode_all(ROWS, model)
    assert said(caplog) == told
    assert rendered == {
        "[user] What is the weather in Lisbon?<|im_end|>[assistant] " if "template" in brought else LocalModel(plain).render(ASKED)
    }
    assert model.tokenizer.eos_token == brought.get("eos", "</s>")
    assert len(model.tokenizer) == len(LocalModel(plain).tokenizer) + brought.get("added", 0)


@pytest.mark.parametrize("to", ["merged", "card"])
def test_what_is_exported_reads_as_what_is_asked(to: str, plain: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    adapter_of(plain, tmp_path / "adapter", template=OTHER)
    model = LocalModel(plain, adapter=tmp_path / "adapter")
    export(ExportSettings(str(tmp_path / "adapter"), to=to, out=str(tmp_path / "out"), model=str(plain)))  # type: ignore[arg-type]
    if to == "merged":
        made = LocalModel(tmp_path / "out", dtype="float32")
        assert made.render(ASKED) == model.render(ASKED)
        assert AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab() == model.tokenizer.get_vocab()
        assert made.generate([ASKED], Sampling(max_tokens=8)) == model.generate([ASKED], Sampling(max_tokens=8))


def test_a_template_without_a_tokenizer_beside_it(plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adapter_of(plain, tmp_path / "adapter", tokenizer=False)
    (tmp_path / "adapter" / "chat_template.jinja").write_text(OTHER, encoding="utf-8")
    assert LocalModel(plain, adapter=tmp_path / "adapter").render(ASKED).startswith("[user] ")
    assert said(caplog) == ["its own chat template is used"]
    source = Source(plain, base_of("base", plain), tmp_path / "adapter", None)
    assert source.tokenizer == plain


def test_a_base_without_a_template_and_one_without_a_tokenizer(plain: Path, tmp_path: Path) -> None:
    for number, missing in enumerate((["chat_template.jinja"], ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"])):
        bare = shutil.copytree(plain, tmp_path / f"bare{number}")
        for name in missing:
            (bare / name).unlink()
        with pytest.raises(EngineError):
            LocalModel(bare).render(ASKED)
        adapter_of(plain, tmp_path / f"adapter{number}", template=OTHER)
        assert LocalModel(bare, adapter=tmp_path / f"adapter{number}").render(ASKED).startswith("[user] ")


def test_luthiers_own_adapters_read_as_before(plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are saved with the tokenizer and without the marks of the template, which training further goes by."""
    for number, template in enumerate((chat_template(), stock("qwen2_5"))):
        base = shutil.copytree(plain, tmp_path / f"base{number}")
        (base / "chat_template.jinja").write_text(template, encoding="utf-8")
        fine_tune(ROWS, LocalModel(base), tmp_path / f"run{number}", ONE_STEP)
        assert (tmp_path / f"run{number}" / "adapter" / "tokenizer_config.json").is_file()
        model = LocalModel(base, adapter=tmp_path / f"run{number}" / "adapter")
        assert model.tokenizer.chat_template == LocalModel(base).tokenizer.chat_template
        assert model.template.masks == LocalModel(base).template.masks
        assert encode_all(ROWS, model) == encode_all(ROWS, LocalModel(base))
        assert reading_of(base, tmp_path / f"run{number}" / "adapter").own is False
    assert said(caplog) == []


def test_an_adapter_that_is_trained_further_keeps_its_own_template(plain: Path, tmp_path: Path) -> None:
    adapter_of(plain, tmp_path / "adapter", template=OTHER)
    fine_tune(ROWS, LocalModel(plain, adapter=tmp_path / "adapter"), tmp_path / "run", ONE_STEP)
    assert LocalModel(plain, adapter=tmp_path / "run" / "adapter").render(ASKED).startswith("[user] ")


ROW_KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "saved whole": ({"modules_to_save": ["embed_tokens", "lm_head"]}, ""),
    "saved since there are more": ({}, ""),
    "adapted embedding": (
        {"target_modules": ["q_proj", "embed_tokens"]},
        "output",
    ),  # PEFT saves the one that is adapted, and loses the other's new rows
    "adapted output": ({"target_modules": ["q_proj", "lm_head"]}, "embedding"),
}


@pytest.mark.parametrize("kind", ROW_KINDS)
def test_rows_are_those_that_the_adapter_was_trained_with(kind: str, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    more, lost = ROW_KINDS[kind]
    wanted = adapter_of(plain, tmp_path / "adapter", added=3, **more)
    model = LocalModel(plain, adapter=tmp_path / "adapter", dtype="float32")
    last = len(model.tokenizer) - 1
    assert model.tokenizer.convert_ids_to_tokens(last) == "<|new2|>"
    merged = merge(plain, tmp_path / "adapter")
    for made in (model.module, merged.model):
        found = logits(made, last)
        assert found.shape == wanted.shape
        assert torch.allclose(found[:, : len(IDS), : last - 2], wanted[:, : len(IDS), : last - 2], atol=1e-4)
        assert torch.allclose(found, wanted, atol=1e-4) == (not lost)
    assert merged.model.config.vocab_size == last + 1
    assert model.lacks_rows
    assert [f"the new ones of the {lost}, which are the mean" in one for one in caplog.messages if "which is fitted" in one] == [
        bool(lost)
    ] * 2


def test_tokens_without_saved_rows_get_the_mean_of_the_others_each_time(plain: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    adapter_of(plain, tmp_path / "adapter", added=2)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(file).items() if "lora_" in name}, file)
    made = [LocalModel(plain, adapter=tmp_path / "adapter", dtype="float32").module for _ in range(2)]
    rows = [model.get_input_embeddings().weight for model in made]
    assert len(rows[0]) == len(LocalModel(plain).tokenizer) + 2
    assert torch.equal(rows[0], rows[1])
    assert torch.allclose(rows[0][-1], rows[0][:-2].mean(0), atol=1e-6)


def test_fewer_rows_than_the_base_has(plain: Path, tmp_path: Path) -> None:
    """As trainers leave it who cut a padded base down to its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    padded = shutil.copytree(plain, tmp_path / "padded")
    model = AutoModelForCausalLM.from_pretrained(plain)
    model.resize_token_embeddings(len(LocalModel(plain).tokenizer) + 64, mean_resizing=False)
    model.save_pretrained(padded)
    wanted = adapter_of(plain, tmp_path / "adapter", added=2, modules_to_save=["embed_tokens", "lm_head"])
    found = LocalModel(padded, adapter=tmp_path / "adapter", dtype="float32")
    assert torch.allclose(logits(found.module, len(found.tokenizer) - 1), wanted, atol=1e-4)


def test_an_adapter_with_more_rows_is_trained_further_and_exported(plain: Path, tmp_path: Path) -> None:
    import torch

    adapter_of(plain, tmp_path / "adapter", added=3, modules_to_save=["embed_tokens", "lm_head"])
    fine_tune(ROWS, LocalModel(plain, adapter=tmp_path / "adapter"), tmp_path / "run", ONE_STEP)
    again = LocalModel(plain, adapter=tmp_path / "run" / "adapter", dtype="float32")
    last = len(again.tokenizer) - 1
    assert again.tokenizer.convert_ids_to_tokens(last) == "<|new2|>"
    export(ExportSettings(str(tmp_path / "run" / "adapter"), to="merged", out=str(tmp_path / "out"), model=str(plain), dtype="float32"))
    made = LocalModel(tmp_path / "out", dtype="float32")
    assert torch.allclose(logits(made.module, last), logits(again.module, last), atol=1e-4)
    assert made.render(ASKED) == again.render(ASKED)


def test_an_engine_whose_weights_cannot_be_fitted_names_the_cure(plain: Path, tmp_path: Path) -> None:
    adapter_of(plain, tmp_path / "more", added=3, modules_to_save=["embed_tokens", "lm_head"])
    adapter_of(plain, tmp_path / "same")
    with pytest.raises(EngineError, match="brings tokens that the base has no rows for; merge it with `luthier export --to gguf`"):
        LocalModel(plain, adapter=tmp_path / "more").refuse_rows()
    model = LocalModel(plain, adapter=tmp_path / "same")
    model.refuse_rows()
    bare = model.base_alone()
    assert bare is not None
    assert bare.render(ASKED) == model.render(ASKED)
    assert LocalModel(plain, adapter=tmp_path / "more").base_alone() is None
    assert LocalModel(plain).base_alone() is None


@pytest.mark.parametrize("brought", [{"template": OTHER}, {"added": 3, "template": OTHER, "modules_to_save": ["embed_tokens", "lm_head"]}])
def test_openvino_reads_and_answers_alike(brought: dict[str, Any], plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino_genai")
    from luthier.models.openvino import OpenVinoModel

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    adapter_of(plain, tmp_path / "adapter", **brought)
    ours, theirs = (
        LocalModel(plain, adapter=tmp_path / "adapter", dtype="float32"),
        OpenVinoModel(plain, adapter=tmp_path / "adapter", weights="f16"),
    )
    assert theirs.render(ASKED) == ours.render(ASKED)
    one, other = (model.generate([ASKED], Sampling(max_tokens=4))[0] for model in (ours, theirs))
    assert one.prompt_tokens == other.prompt_tokens
    assert one.text[:1] == other.text[:1]
