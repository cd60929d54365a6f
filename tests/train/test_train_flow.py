"""`luthier train sft` and `luthier probe sharpness` from the command line: files in, adapter, record and page out; stopped, killed and misused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from command import luthier as command
from interruption import kill_after
from luthier.errors import SettingsError
from luthier.records import write_jsonl
from luthier.settings import configured
from luthier.train.settings import SftRunSettings

QUICK = ["--set", "sft.per_device_train_batch_size=2", "--set", "sft.gradient_accumulation_steps=1", "--set", "sft.save_steps=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"{n} it is."}]} for n in range(12)]
    write_jsonl(path, rows)
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of plain LoRA, which tests copy and do not change."""
    out = tmp_path_factory.mktemp("trained") / "run"
    command("train", "sft", data, "--model", tiny_model_folder, "--out", out, "--flat", "0", "--quiet", *QUICK)
    return out


def luthier(*words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "luthier", *words], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode == 0) is ok, done.stderr
    return done


def test_train_and_probe_from_the_command_line(data: Path, tiny_model_folder: Path, tmp_path: Path):
    out = tmp_path / "run"
    words = ["train", "sft", str(data), "--model", str(tiny_model_folder), "--out", str(out), "--flat", "--backend", "table"]
    words += ["--learning-rate", "1e-2", "--epochs", "2", "--eval", str(data), "--quiet", *QUICK]
    said = luthier(*words).stdout
    assert said.startswith("12 steps of flat on 12 rows: loss ")
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "done"
    assert record["steps"]["train"]["results"]["strength"] == 0.05
    assert list(record["inputs"]) == [str(data), str(tiny_model_folder)]
    assert command(*words).stdout == said  # kept, not trained again
    page = out / "report.html"
    drawn = page.read_bytes()
    page.unlink()
    command("report", out)
    assert page.read_bytes() == drawn
    assert b"12 steps of <strong>flat</strong> on 12 rows" in drawn
    sharp = tmp_path / "sharp"
    probe = ["probe", "sharpness", str(out / "adapter"), str(data), "--model", str(tiny_model_folder), "--out", str(sharp)]
    probe += ["--draws", "2", "--sigma", "0.1", "--sigma", "0.3", "--quiet"]
    probed = json.loads(command(*probe, "--json").stdout)
    before, after = probed["steps"]["sharpness"]["results"]["measured"]
    assert before["adapter"] is None
    assert after["loss"] < before["loss"]
    assert [rise["sigma"] for rise in after["rises"]] == [0.1, 0.3]
    drawn = (sharp / "report.html").read_bytes()
    assert b"before training" in drawn
    assert b"http" not in drawn.replace(b"http-equiv", b"")
    command("report", sharp)
    assert (sharp / "report.html").read_bytes() == drawn
    assert "sigma 0.3: " in command(*probe).stdout  # kept, and told again


def test_a_killed_training_continues_to_the_same_adapter(data: Path, tiny_model_folder: Path, tmp_path: Path):
    def words(name: str) -> list[str]:
        places = ["--model", str(tiny_model_folder), "--out", str(tmp_path / name)]
        return ["train", "sft", str(data), *places, "--quiet", "--epochs", "10", *QUICK]

    command(*words("whole"))
    kill_after(words("cut"), tmp_path / "cut" / "metrics.jsonl")
    command(*words("cut"))
    whole, cut = ({path.name: path.read_bytes() for path in (tmp_path / name / "adapter").iterdir()} for name in ("whole", "cut"))
    assert "adapter_model.safetensors" in whole
    assert "training_args.bin" not in whole
    assert whole == cut
    told = [json.loads((tmp_path / name / "run.json").read_text())["steps"]["train"]["results"] for name in ("whole", "cut")]
    assert told[0] == told[1]


def test_an_adapter_is_trained_further_and_another_byte_of_it_is_another_run(
    data: Path, trained: Path, tiny_model_folder: Path, tmp_path: Path
):
    first = tmp_path / "first"
    shutil.copytree(trained / "adapter", first)
    words = ["train", "sft", data, "--model", tiny_model_folder, "--adapter", first, "--out", tmp_path / "run", "--quiet", *QUICK]
    command(*words)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert str(first) in record["inputs"]
    assert json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())["r"] == 8
    (first / "README.md").write_text("More.")
    assert "holds a run of other data or settings" in command(*words, ok=False).stderr
    assert "6 steps of flat" in command(*words, "--replace").stdout
    assert (tmp_path / "run.1" / "adapter").is_dir()


def test_what_is_refused_leaves_a_finished_run_as_it_was(data: Path, trained: Path, tiny_model_folder: Path, tmp_path: Path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    held = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    bad, half = tmp_path / "bad.jsonl", tmp_path / "half.jsonl"
    bad.write_bytes(data.read_bytes() + b'{"messages": 3}\n')
    half.write_bytes(data.read_bytes() + b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "b"}]}\n')
    (tmp_path / "empty").mkdir()
    base = ["train", "sft", data, "--model", tiny_model_folder, "--out", out, "--flat", "0", "--quiet", *QUICK]
    for change, complaint in (
        (["--set", "sft.learnin_rate=1e-4"], "did you mean learning_rate?"),
        (["--set", "lora.rnk=4"], "lora.rnk is not a setting"),
        (["--set", "sft.per_device_train_batch_size=abc"], "sft.per_device_train_batch_size is abc; give a whole number"),
        (["--set", "sft.per_device_train_batch_size=0"], "give a number from 1"),
        (["--set", "sft.report_to=wandb"], "TRL refuses these settings"),
        (["--set", "sft.deepspeed=x"], "TRL refuses these settings"),
        (["--rank", "10000000000"], "--rank is 10000000000; give a whole number from 1 to 65,536"),
        (["--learning-rate", "nan"], "--learning-rate is nan"),
        (["--epochs", "0"], "--epochs is 0.0; give a number above 0"),
        (["--flat", "11"], "--flat is 11.0; give a number from 0 to 10"),
        (["--method", "neftune", "--strength", "inf", "--replace"], "--strength is inf"),
        (["--engine", "openvino"], "gives no gradients"),
        (["--eval", bad], "bad.jsonl:13: "),
        (["--eval", half], "half.jsonl:13: half of a surrogate pair"),
        (["--adapter", tmp_path / "empty", "--replace"], "adapter_config.json"),
        (["--model", tmp_path / "empty", "--replace"], "config.json is missing"),
        (["--seconds", "60", "--set", "sft.packing=true", "--replace"], "sft.packing brings a loss of its own"),
        (["--learning-rate", "1e-3"], "holds a run of other data or settings (learning_rate was null, is 0.001)"),
    ):
        said = command(*base, *change, ok=False)
        assert (said.code, len(said.stderr.strip().splitlines())) == (2, 1), (change, said.stderr)
        assert complaint in said.stderr
        assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == held, change
        assert not (tmp_path / "run.1").exists()


def test_a_time_limit_and_shared_prompts_from_the_command_line(data: Path, tiny_model_folder: Path, tmp_path: Path):
    words = ["train", "sft", data, "--model", tiny_model_folder, "--out", tmp_path, "--seconds", 600, "--branches", 3, "--quiet", *QUICK]
    assert "2 steps of flat on 12 rows" in command(*words).stdout
    assert json.loads((tmp_path / "plan.json").read_text())["planned_steps"] == 2


@pytest.mark.slow
def test_two_processes_train_together_and_one_keeps_the_record(data: Path, tiny_model_folder: Path, tmp_path: Path):
    """Rows with weights in one process: the same steps, once with all rows of a step and once with half of them each."""
    pairs, weighed = tmp_path / "pairs.jsonl", tmp_path / "weighed.jsonl"
    write_jsonl(pairs, ({"prompt": f"Say {n}", "chosen": f"{n} it is.", "rejected": f"Not {n}."} for n in range(8)))
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["messages"][1] |= {"content": "it is. " * (1 + number % 3), "weight": 0.25 * (1 + number % 4)}
    write_jsonl(weighed, rows)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "luthier", "train"]
    one = [*QUICK, "--flat", "0", "--learning-rate", "1e-2", "--dtype", "float32"]
    half = [*one[2:], "--set", "sft.per_device_train_batch_size=1"]
    command("train", "sft", weighed, *one, "--model", tiny_model_folder, "--out", tmp_path / "alone", "--quiet")
    for words in (["sft", weighed, *half], ["preference", pairs, "--set", "training.per_device_train_batch_size=2"]):
        out = tmp_path / str(words[0])
        told = [*launch, *map(str, words), "--model", str(tiny_model_folder), "--out", str(out), "--quiet"]
        done = subprocess.run(told, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("report.html") == 1
        assert json.loads((out / "run.json").read_text())["status"] == "done"
        assert (out / "adapter" / "adapter_model.safetensors").is_file()
    alone, both = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("alone", "sft"))
    assert all(torch.allclose(alone[name], both[name], rtol=1e-3, atol=1e-5) for name in alone)
    assert any(torch.any(tensor != 0) for name, tensor in both.items() if "lora_B" in name)
    refused = subprocess.run([*told, "--replace", "--set", "training.betta=1"], capture_output=True, text=True, timeout=280, check=False)
    assert "did you mean beta?" in refused.stderr
    assert not (tmp_path / "preference.1").exists()


def test_a_time_limit_is_refused_where_several_processes_train(
    data: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "world_size", property(lambda _: 2))
    timed = ["train", "sft", data, "--model", tiny_model_folder, "--out", tmp_path / "timed", "--seconds", "60", "--quiet"]
    assert "--seconds trains in one process, and these are 2" in command(*timed, ok=False).stderr
    assert not (tmp_path / "timed").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "sft", "missing.jsonl"], "missing.jsonl"),
        (["train", "sft"], "DATA is missing: Files of conversations."),
        (["train", "sft", "{data}", "--set", "learning_rte=1"], "did you mean learning_rate?"),
        (["train", "sft", "{data}", "--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["train", "sft", "{data}", "--flat", "sam"], "'sam' is not a valid float"),
        (["train", "sft", "{data}", "--method", "sam"], "'sam' is not one of"),
        (["train", "sft", "{data}", "--full", "--rank", "4"], "all weights are trained, so there is no adapter"),
        (["probe", "sharpness", "{data}"], "give at least one adapter folder"),
        (["probe", "sharpness", "nowhere", "{data}", "--no-before"], "nowhere: no adapter_config.json there"),
        (["probe", "sharpness", "nowhere", "{data}", "--sigma", "nan"], "--sigma is nan; give a number above 0 to 10"),
        (["probe", "sharpness", "nowhere", "{data}", "--draws", "0"], "--draws is 0; give a whole number from 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(data: Path, tiny_model_folder: Path, tmp_path: Path, words: list[str], message: str):
    filled = [word.format(data=data) for word in words]
    done = command(*filled, "--model", str(tiny_model_folder), "--quiet", "--out", tmp_path / "run", ok=False)
    assert done.code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_config_file_comes_before_single_settings(tmp_path: Path):
    config = tmp_path / "train.yaml"
    config.write_text("sft: {learning_rate: 1e-3, packing: true}\nlora: {r: 4}\nflat: {every: 2}\ndata: [a.jsonl]\n")
    made = configured(SftRunSettings, config, ["lora.r=16", "flat.exclude=[lm_head]", "sft.optim=adamw_torch", "flat=0.1"], {"seed": 3})
    assert made.sft == {"learning_rate": 1e-3, "packing": True, "optim": "adamw_torch"}
    assert (made.lora, made.flat, made.sigma, made.seed) == ({"r": 16}, {"exclude": ["lm_head"], "every": 2}, 0.1, 3)
    assert made.flat_settings() == {"seed": 3, "exclude": ["lm_head"], "every": 2}


@pytest.mark.parametrize("text", ["- a list", "modle: x", "sft: 3", "{broken"])
def test_a_config_that_is_not_settings_is_refused(tmp_path: Path, text: str):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=r"bad.yaml: (not YAML|give settings by name|modle is not a setting|sft is a section)"):
        configured(SftRunSettings, config, [])
