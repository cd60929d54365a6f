"""A folder as GGUF and back: the same tokens and, in float32, the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gguf_models import write_gguf as write_small
from luthier.errors import EngineError
from luthier.models.gguf_conversion import convert
from luthier.models.gguf_writing import write_gguf
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt
from luthier.records import Message
from stock_templates import stock, write_architecture

HELLO = Prompt((Message("user", "What is the weather in Lisbon on Tuesday?"),))
SAID = " It will rain, 12 or 345 times."


@pytest.mark.parametrize("weights", ["f32", "bf16", "f16", "q8_0"])
def test_a_folder_comes_back_from_gguf(weights: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    write_gguf(tiny_model_folder, tmp_path / "model.gguf", weights=weights, name="Tiny", license="MIT")  # type: ignore[arg-type]
    convert(tmp_path / "model.gguf", tmp_path / "back")
    before, after = LocalModel(tiny_model_folder, dtype="float32"), LocalModel(tmp_path / "back", dtype="float32")
    assert after.encode(SAID) == before.encode(SAID)
    assert "{% generation" not in after.tokenizer.chat_template
    assert after.render(HELLO) == before.render(HELLO)
    one, other = before.score([HELLO], [SAID])[0], after.score([HELLO], [SAID])[0]
    assert other.total == pytest.approx(one.total, rel={"q8_0": 0.05}.get(weights, 0.02))
    assert after.stop_ids[0] == before.stop_ids[0]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_every_architecture_keeps_its_numbers(kind: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = write_architecture(kind, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    write_gguf(folder, tmp_path / "model.gguf", weights="f32")
    from gguf import GGUFReader

    held = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "model.gguf").tensors}
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert len(held) == len([name for name in model.state_dict() if "rotary" not in name])
    assert torch.equal(torch.tensor(held["token_embd.weight"].copy()), model.get_input_embeddings().weight.detach())


def test_a_known_gguf_survives_the_way_there_and_back(tmp_path: Path) -> None:
    write_small(tmp_path / "one.gguf")
    convert(tmp_path / "one.gguf", tmp_path / "one")
    write_gguf(tmp_path / "one", tmp_path / "two.gguf", weights="bf16")
    convert(tmp_path / "two.gguf", tmp_path / "two")
    one, two = LocalModel(tmp_path / "one", dtype="float32"), LocalModel(tmp_path / "two", dtype="float32")
    assert one.encode("the 12 rivers") == two.encode("the 12 rivers")
    assert one.score([HELLO], ["the"])[0].total == pytest.approx(two.score([HELLO], ["the"])[0].total, abs=1e-4)


def test_what_is_not_known_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = write_architecture("gemma2", tmp_path / "model")
    with pytest.raises(EngineError, match=r"a model of the type gemma2 is not written as GGUF here; export it --to merged"):
        write_gguf(folder, tmp_path / "model.gguf")
