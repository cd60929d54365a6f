"""Models, adapters and embedders by name, from a hub on loopback, by processes of their own: the hub's address is read once a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_hub import DatasetHub
from luthier.models.hub import hub_named
from retrieval_tasks import static_folder

COMMAND = "import sys; from luthier.cli import main; main(sys.argv[1:])"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    place = tmp_path_factory.mktemp("adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def hub(tiny_model_folder: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetHub]:
    model = files(tiny_model_folder)
    hostile = {**model, "modeling.py": b"raise SystemExit('never run')", "pytorch_model.bin": b"pickle"}
    held = {
        "sea/tiny": {"main": hostile, "v1": model},
        "sea/gated": {"main": model},
        "sea/cut": {"main": model},
        "sea/busy": {"main": model},
    }
    held |= {"sea/adapter": {"main": files(adapter)}, "sea/empty": {"main": {"README.md": b"soon"}}}
    held["sea/encoder"] = {"main": files(static_folder(tmp_path_factory.mktemp("encoder") / "encoder", ["rain", "snow"], 8))}
    with DatasetHub(held, {"sea/gated": 403, "sea/cut": "cut", "sea/busy": 429}, token="hf_known") as server:
        yield server


def luthier(hub: DatasetHub, home: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return python(hub, home, COMMAND, *words, **environment)


def python(hub: DatasetHub, home: Path, program: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        **environment,
    }
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=240, check=False)


def talks(folder: Path) -> Path:
    rows = [{"messages": [{"role": "user", "content": f"Paint {n}"}, {"role": "assistant", "content": "Red."}]} for n in range(4)]
    (folder / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "talks.jsonl"


def inputs(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())["inputs"]
    return found


@pytest.mark.slow
def test_a_model_of_the_hub_is_trained_and_its_commit_is_recorded(hub: DatasetHub, tmp_path: Path) -> None:
    words = ["train", "sft", talks(tmp_path), "--epochs", 1, "--quiet", "--out"]
    done = luthier(hub, tmp_path / "home", *words, tmp_path / "out", "--model", "sea/tiny")
    assert done.returncode == 0, done.stderr
    assert f"sea/tiny@{hub.sha('sea/tiny', 'main')}" in inputs(tmp_path / "out")
    assert not any("modeling.py" in asked or "pytorch_model" in asked for asked in hub.asked if "/resolve/" in asked)
    before = len(hub.asked)
    done = luthier(hub, tmp_path / "home", *words, tmp_path / "again", "--model", "sea/tiny", "--offline")
    assert done.returncode == 0, done.stderr  # what was fetched is in the cache
    assert len(hub.asked) == before
    done = luthier(hub, tmp_path / "home", *words, tmp_path / "older", "--model", "sea/tiny@v1", "--adapter", "sea/adapter")
    assert done.returncode == 0, done.stderr
    assert {f"sea/tiny@{hub.sha('sea/tiny', 'v1')}", f"sea/adapter@{hub.sha('sea/adapter', 'main')}"} <= set(inputs(tmp_path / "older"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "sea/nothing",
            ["sea/nothing is no folder here, and as a model of the hub there is none of this name, or it is private", "HF_TOKEN"],
        ),
        ("sea/tiny@v9", ["it has no revision v9"]),
        ("sea/gated", ["it is gated: ask for access on its page, and give a token"]),
        ("sea/busy", ["too many requests (429)"]),
        ("sea/cut", ["sea/cut is no folder here", "the same command fetches the rest"]),
        ("sea/empty", ["sea/empty: no model here (config.json is missing)"]),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(name: str, parts: list[str], hub: DatasetHub, tmp_path: Path) -> None:
    done = luthier(hub, tmp_path / "home", "train", "sft", talks(tmp_path), "--model", name, "--quiet", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("Warning")] == done.stderr.splitlines()[-1:], done.stderr
    assert all(part in done.stderr for part in parts), done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_token_opens_what_is_gated_and_is_never_repeated(hub: DatasetHub, tmp_path: Path) -> None:
    words = ["train", "sft", talks(tmp_path), "--model", "sea/gated", "--epochs", 1, "--quiet", "--out", tmp_path / "out"]
    done = luthier(hub, tmp_path / "home", *words, HF_TOKEN="hf_known")
    assert done.returncode == 0, done.stderr
    assert "hf_known" not in done.stdout + done.stderr + (tmp_path / "out" / "run.json").read_text()


EMBED = """
from luthier.models.opening import embedder_reads, open_embedder
print(open_embedder("sea/encoder").encode(["rain"]).shape, embedder_reads("sea/encoder")[0][0])
"""


@pytest.mark.slow
def test_an_embedder_of_the_hub(hub: DatasetHub, tmp_path: Path) -> None:
    done = python(hub, tmp_path / "home", EMBED)
    assert done.stdout.split() == ["(1,", "8)", f"sea/encoder@{hub.sha('sea/encoder', 'main')}"], done.stderr


@pytest.mark.slow
def test_offline_is_honoured_and_said(hub: DatasetHub, tmp_path: Path) -> None:
    before = len(hub.asked)
    for more in ({"HF_HUB_OFFLINE": "1"}, {}):
        offline = [] if more else ["--offline"]
        words = ["train", "sft", talks(tmp_path), "--model", "sea/tiny", "--quiet", "--out", tmp_path / "out", *offline]
        done = luthier(hub, tmp_path / "home", *words, **more)
        assert done.returncode == 2
        assert "it is not in the cache, and nothing is fetched offline" in done.stderr
    assert len(hub.asked) == before


@pytest.mark.slow
def test_a_model_of_this_machine_asks_no_hub(hub: DatasetHub, tiny_model_folder: Path, adapter: Path, tmp_path: Path) -> None:
    before = len(hub.asked)
    words = ["train", "sft", talks(tmp_path), "--model", tiny_model_folder, "--adapter", adapter, "--epochs", 1, "--quiet", "--out"]
    done = luthier(hub, tmp_path / "home", *words, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert hub.asked[before:] == []


def test_names_of_the_hub_and_paths_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "adapter").mkdir(parents=True)
    assert hub_named("org/name") is not None
    assert str(hub_named("org/name@v1.0")) == "org/name@v1.0"
    for path in ("runs/adapter", "./org/name", "/org/name", "org/name/more", "model.gguf", "org/weights.gguf", "name", "org/name:train"):
        assert hub_named(path) is None, path


@pytest.mark.slow
def test_what_was_trained_is_pushed_and_used_by_its_name(hub: DatasetHub, tmp_path: Path) -> None:
    home, run = tmp_path / "home", tmp_path / "run"
    words = ["train", "sft", talks(tmp_path), "--model", "sea/tiny@v1", "--epochs", 1, "--quiet", "--out", run]
    assert luthier(hub, home, *words, HF_TOKEN="hf_known").returncode == 0
    told = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["revision"]) == ("sea/tiny", hub.sha("sea/tiny", "v1"))
    push = ["export", run, "--to", "hub", "--repo", "sea/rain", "--out", tmp_path / "pushed"]
    refused = luthier(hub, home, *push, HF_TOKEN="hf_other")
    assert refused.returncode == 2
    assert "sea/rain: cannot be pushed to: the hub answers 403; give a token that may write there" in refused.stderr
    assert "hf_other" not in refused.stderr
    done = luthier(hub, home, *push, HF_TOKEN="hf_known")
    assert done.returncode == 0, done.stderr
    assert "pushed: sea/rain@" + "c" * 40 in done.stdout
    assert hub.created["sea/rain"].get("private") or hub.created["sea/rain"].get("visibility") == "private"
    pushed = hub.files["sea/rain"]["main"]
    assert {"adapter_model.safetensors", "adapter_config.json", "base.json", "README.md"} <= pushed.keys()
    assert b'base_model: "sea/tiny"' in pushed["README.md"]
    used = luthier(
        hub, tmp_path / "new", "export", "sea/rain", "--to", "merged", "--out", tmp_path / "merged"
    )  # the adapter tells its base
    assert used.returncode == 0, used.stderr
    assert (tmp_path / "merged" / "model.safetensors").is_file()
