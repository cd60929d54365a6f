"""One door to models: a folder opens as the same class wherever it is named, and a broken one is one line that names it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from luthier.errors import EngineError, LuthierError, MissingFileError, SettingsError
from luthier.models.local import LocalModel
from luthier.models.opening import ModelSettings, ServedModelSettings, open_embedder, open_model
from luthier.models.protocol import Prompt
from luthier.records import Message

HELLO = Prompt((Message("user", "Hello"),))


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_folder), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    place = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(place)
    return place


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def other_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


BROKEN = {
    "cut weights": lambda folder: cut(folder / "model.safetensors"),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "pickled weights": lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
    "cut config": lambda folder: cut(folder / "config.json"),
    "list config": lambda folder: (folder / "config.json").write_text("[]"),
    "cut tokenizer": lambda folder: cut(folder / "tokenizer.json"),
    "own code": lambda folder: other_config(folder, model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}),
    "other size": lambda folder: other_config(folder, hidden_size=32),
    "broken template": lambda folder: (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }"),
    "hostile template": lambda folder: (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "refusing template": lambda folder: (folder / "chat_template.jinja").write_text("{{ raise_exception('no system turns') }}"),
}


@pytest.mark.parametrize("harm", BROKEN)
def test_a_broken_folder_is_one_line_that_names_it(harm: str, folder: Path) -> None:
    BROKEN[harm](folder)
    with pytest.raises(LuthierError) as told:
        open_model(str(folder)).generate([HELLO])
    assert str(folder) in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("harm", ["cut", "none", "config", "base"])
def test_a_broken_or_foreign_adapter_is_one_line_that_names_it(harm: str, folder: Path, adapter: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    if harm == "cut":
        cut(place / "adapter_model.safetensors")
    elif harm == "none":
        (place / "adapter_model.safetensors").unlink()
    elif harm == "config":
        (place / "adapter_config.json").write_text("{")
    else:
        other_config(folder, num_hidden_layers=3)  # the third layer has no weights in the adapter
        from transformers import AutoConfig, AutoModelForCausalLM

        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    with pytest.raises(EngineError, match=str(place)) as told:
        open_model(str(folder), str(place)).generate([HELLO])
    assert len(str(told.value).splitlines()) == 1


def test_what_is_no_model_is_named(tmp_path: Path, tiny_model_folder: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere: no model here"):
        open_model("nowhere")
    with pytest.raises(MissingFileError, match="no adapter here"):
        open_model(str(tiny_model_folder), str(tmp_path))
    with pytest.raises(SettingsError, match="leave --endpoint out"):
        open_model("served", "adapter", endpoint="http://127.0.0.1:1/v1")
    with pytest.raises(MissingFileError, match="no such model"):
        open_embedder("nowhere")


def test_an_open_model_is_taken_as_it_is(tiny_model_folder: Path) -> None:
    model = open_model(str(tiny_model_folder))
    assert isinstance(model, LocalModel)
    assert open_model(model) is model


def test_an_adapter_is_part_of_the_name_by_its_bytes(tiny_model_folder: Path, adapter: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    names = [open_model(str(tiny_model_folder), str(place)).name]
    weights = place / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    names.append(open_model(str(tiny_model_folder), str(place)).name)
    assert len({str(tiny_model_folder), *names}) == 3


def test_settings_open_what_they_name(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = ModelSettings(model=str(tiny_model_folder), dtype="float32")
    assert local.open().dtype == "float32"
    assert local.reads() == [(str(tiny_model_folder), tiny_model_folder)]
    monkeypatch.setenv("LUTHIER_API_KEY", "sk-secret")
    served = ServedModelSettings(model="m", endpoint="http://127.0.0.1:1/v1")
    assert served.open().api_key == "sk-secret"
    assert served.reads() == []
    assert "sk-secret" not in repr(served)
