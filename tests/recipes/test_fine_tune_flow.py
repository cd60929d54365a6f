"""`luthier train sft` and `luthier probe sharpness` from the command line: files in, adapter, record and page out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interruption import kill_after
from luthier.errors import SettingsError
from luthier.recipes.fine_tune import read_settings
from luthier.records import write_jsonl
from luthier.train.fine_tune import FineTuneSettings

QUICK = ["--set", "sft.per_device_train_batch_size=2", "--set", "sft.gradient_accumulation_steps=1", "--set", "sft.save_steps=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"{n} it is."}]} for n in range(12)]
    write_jsonl(path, rows)
    return path


def luthier(*words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "luthier", *words], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode == 0) is ok, done.stderr
    return done


def test_train_and_probe_from_the_command_line(data: Path, tiny_model_folder: Path, tmp_path: Path):
    out = tmp_path / "run"
    words = [
        "train",
        "sft",
        str(data),
        "--model",
        str(tiny_model_folder),
        "--out",
        str(out),
        "--flat",
        "--backend",
        "table",
        "--learning-rate",
        "1e-2",
        "--epochs",
        "2",
        "--eval",
        str(data),
        "--quiet",
        *QUICK,
    ]
    said = luthier(*words).stdout
    assert said.startswith("12 steps of flat on 12 rows: loss ")
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "done"
    assert record["steps"]["train"]["results"]["strength"] == 0.05
    assert list(record["inputs"]) == [str(data)]
    assert luthier(*words).stdout == said  # kept, not trained again
    page = tmp_path / "sharp.html"
    probed = luthier(
        "probe",
        "sharpness",
        str(out / "adapter"),
        str(data),
        "--model",
        str(tiny_model_folder),
        "--draws",
        "2",
        "--sigma",
        "0.1",
        "--sigma",
        "0.3",
        "--page",
        str(page),
        "--json",
        "--quiet",
    )
    before, after = json.loads(probed.stdout)
    assert before["adapter"] is None
    assert after["loss"] < before["loss"]
    assert [rise["sigma"] for rise in after["rises"]] == [0.1, 0.3]
    text = page.read_text()
    assert "before training" in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_killed_training_continues_to_the_same_adapter(data: Path, tiny_model_folder: Path, tmp_path: Path):
    def words(name: str) -> list[str]:
        return [
            "train",
            "sft",
            str(data),
            "--model",
            str(tiny_model_folder),
            "--out",
            str(tmp_path / name),
            "--quiet",
            "--epochs",
            "20",
            *QUICK,
        ]

    luthier(*words("whole"))
    kill_after(words("cut"), tmp_path / "cut" / "metrics.jsonl")
    luthier(*words("cut"))
    whole, cut = ((tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    told = [json.loads((tmp_path / name / "run.json").read_text())["steps"]["train"]["results"] for name in ("whole", "cut")]
    assert told[0] == told[1]


def test_the_choices_of_the_command_are_those_of_the_library():
    from luthier.cli.train import sft
    from luthier.train.fine_tune import STRENGTHS
    from luthier.train.flat import BACKENDS

    choices = {option.name: list(option.type.choices) for option in sft.params if hasattr(option.type, "choices")}
    assert choices == {"method": list(STRENGTHS), "backend": list(BACKENDS)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "sft", "missing.jsonl"], "missing.jsonl"),
        (["train", "sft", "{data}", "--set", "sft.learning_rte=1"], "did you mean learning_rate?"),
        (["train", "sft", "{data}", "--set", "learning_rate=1"], "write it as sft.NAME=VALUE"),
        (["train", "sft", "{data}", "--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["train", "sft", "{data}", "--flat", "sam"], "'sam' is not one of"),
        (["probe", "sharpness", "{data}"], "give at least one adapter folder"),
        (["probe", "sharpness", "nowhere", "{data}", "--no-before"], "nowhere: no adapter_config.json there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(data: Path, tiny_model_folder: Path, tmp_path: Path, words: list[str], message: str):
    filled = [word.format(data=data) for word in words]
    where = ["--out", str(tmp_path / "run")] if words[0] == "train" else []
    done = luthier(*filled, "--model", str(tiny_model_folder), "--quiet", *where, ok=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_a_config_file_comes_before_single_settings(tmp_path: Path):
    config = tmp_path / "train.yaml"
    config.write_text("sft: {learning_rate: 1e-3, packing: true}\nlora: {r: 4}\n")
    made = read_settings(config, ["lora.r=16", "flat.exclude=[lm_head]", "sft.optim=adamw_torch"], FineTuneSettings(seed=3))
    assert made.sft == {"learning_rate": 1e-3, "packing": True, "optim": "adamw_torch"}
    assert (made.lora, made.flat, made.seed) == ({"r": 16}, {"exclude": ["lm_head"]}, 3)


@pytest.mark.parametrize("text", ["- a list", "model: x", "sft: 3", "{broken"])
def test_a_config_that_is_not_sections_of_settings_is_refused(tmp_path: Path, text: str):
    config: Any = tmp_path / "bad.yaml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=r"bad.yaml: (not YAML|give sections sft, lora and flat)"):
        read_settings(config, [], FineTuneSettings())
