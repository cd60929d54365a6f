"""Short trainings: each step of theirs is learned from, and longer ones warm up as they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.train.preference.tuning import tune_preferences
from luthier.train.settings import PreferenceSettings, SftSettings
from luthier.train.sft import fine_tune
from luthier.train.warmup import short_warmup
from preference_rows import ROWS as PAIRS

TALKS = [
    {"messages": [{"role": "user", "content": f"What is {n}+{n}?"}, {"role": "assistant", "content": f"It is {2 * n}."}]} for n in range(12)
]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder)


def rates(folder: Path) -> list[float]:
    return [json.loads(line)["learning_rate"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def learned(folder: Path) -> bool:
    from safetensors.torch import load_file

    saved = load_file(folder / "adapter" / "adapter_model.safetensors")
    return all(weight.any() for name, weight in saved.items() if "lora_B" in name)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 9))
def test_a_share_is_never_rounded_up(share: float, planned: int):
    assert short_warmup(share, planned) <= share * planned + 1e-6
    assert short_warmup(share, planned) > share * planned - 1


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_each_of_few_steps_has_a_rate(model: LocalModel, tmp_path: Path, steps: int, by_length: bool):
    few = {"max_steps": steps, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    fine_tune(TALKS, model, tmp_path, SftSettings(sigma=0, by_length=by_length, sft=few))
    assert len(rates(tmp_path)) == steps
    assert all(rates(tmp_path))
    assert learned(tmp_path)


def test_default_settings_learn_from_a_batch_of_rows(model: LocalModel, tmp_path: Path):
    assert fine_tune(TALKS, model, tmp_path / "sft", SftSettings(sigma=0)).steps == 1
    assert tune_preferences(PAIRS, model, tmp_path / "pairs", PreferenceSettings()).steps == 1
    for name in ("sft", "pairs"):
        assert learned(tmp_path / name)


@pytest.mark.parametrize(("share", "cold"), [(0.03, 1), (0.25, 1)])
def test_longer_trainings_begin_at_no_rate_and_shares_of_whole_steps_stay(model: LocalModel, tmp_path: Path, share: float, cold: int):
    steps = 10 if share == 0.03 else 8
    long: dict[str, Any] = {"max_steps": steps, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "warmup_steps": share}
    fine_tune(TALKS, model, tmp_path, SftSettings(sigma=0, sft=long))
    assert rates(tmp_path).count(0.0) == cold
    assert rates(tmp_path)[0] == 0.0
    assert rates(tmp_path).index(max(rates(tmp_path))) == (1 if share == 0.03 else 2)


def test_a_warmup_that_takes_the_only_step_is_refused(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match="warmup_steps is 1 and the training has 1 step"):
        fine_tune(TALKS, model, tmp_path, SftSettings(sigma=0, sft={"max_steps": 1, "warmup_steps": 1}))
