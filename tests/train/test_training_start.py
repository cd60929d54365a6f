"""Where training starts: an adapter on the base that it was trained on, or a word about it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from luthier.errors import EngineError
from luthier.models.local import LocalModel
from luthier.train.preference.tuning import tune_preferences
from luthier.train.settings import PreferenceSettings, SftSettings
from luthier.train.sft import fine_tune
from luthier.train.start import adapted_model, starting_weights
from preference_rows import ROWS as PAIRS

TALKS = [{"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"{n} it is."}]} for n in range(4)]


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tiny model."""
    out = tmp_path_factory.mktemp("trained")
    fine_tune(TALKS, LocalModel(tiny_model_folder), out, SftSettings(sigma=0))
    return out / "adapter"


@pytest.fixture(scope="module")
def other(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with other weights of the same shapes."""
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(tiny_model_folder, tmp_path_factory.mktemp("models") / "other"))
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.model.norm.weight.data += 0.5
    model.save_pretrained(folder)
    return folder


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING and "other weights" in record.getMessage()
    ]


def test_an_adapter_of_another_base_is_said_at_each_door(other: Path, adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tuned = LocalModel(other, adapter=adapter)
    fine_tune(TALKS, tuned, tmp_path / "sft", SftSettings(sigma=0))
    assert len(said(caplog)) == 1
    assert f"{adapter}: was trained on tiny" in said(caplog)[0]
    tune_preferences(PAIRS[:4], tuned, tmp_path / "pairs", PreferenceSettings())
    assert len(said(caplog)) == 2
    adapted_model(LocalModel(other), str(adapter))
    assert len(said(caplog)) == 3


def test_an_adapter_on_its_own_base_is_nothing_to_say(
    tiny_model_folder: Path, adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fine_tune(TALKS, LocalModel(tiny_model_folder, adapter=adapter), tmp_path, SftSettings(sigma=0))
    assert said(caplog) == []


def test_an_adapter_of_other_shapes_is_refused(tiny_model_folder: Path, adapter: Path, tmp_path: Path):
    from transformers import AutoModelForCausalLM, LlamaConfig

    wide = Path(shutil.copytree(tiny_model_folder, tmp_path / "wide"))
    config = LlamaConfig.from_pretrained(wide)
    config.intermediate_size = 128
    AutoModelForCausalLM.from_config(config).save_pretrained(wide)
    with pytest.raises(EngineError, match="adapter: the adapter cannot be loaded"):
        starting_weights(LocalModel(wide, adapter=adapter))
