"""Training an embedder: a kill changes nothing, time limits hold, and what cannot be trained is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import EngineError, SettingsError
from luthier.train.retriever import RetrieverSettings, train_retriever
from retrieval_tasks import static_folder

WORDS = [f"w{number}" for number in range(60)]
PAIRS = [(f"w{at % 60} w{at * 7 % 60} q{at}", f"w{(at + 3) % 60} w{at * 5 % 60} d{at}") for at in range(96)]
KILLED = """
import os, signal, sys
from pathlib import Path
from luthier.train.retriever import RetrieverSettings, train_retriever
from test_retriever import PAIRS
def count(done, planned, loss):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
train_retriever(PAIRS, Path(sys.argv[1]), Path(sys.argv[2]), RetrieverSettings(epochs=4, batch_size=16, save_seconds=0), static=True, progress=count)
"""


def test_a_killed_training_continues_to_the_same_weights(tmp_path: Path):
    base = static_folder(tmp_path / "base", WORDS)
    settings = RetrieverSettings(epochs=4, batch_size=16, save_seconds=0)
    whole = train_retriever(PAIRS, base, tmp_path / "whole", settings, static=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(base), str(tmp_path / "cut"), "10"], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "cut" / "checkpoints").iterdir())
    cut = train_retriever(PAIRS, base, tmp_path / "cut", settings, static=True)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == (tmp_path / "cut" / "model.safetensors").read_bytes()
    assert not (tmp_path / "cut" / "checkpoints").exists()
    assert (cut.steps, cut.loss) == (whole.steps, whole.loss)
    assert whole.steps == 24


def test_a_transformer_is_trained_too_and_time_may_run_out(tiny_model_folder: Path, tmp_path: Path):
    from luthier.models.transformer_embedder import TransformerEmbedder

    settings = RetrieverSettings(epochs=50, batch_size=8, max_length=16, seconds=0, warmup=0, device="cpu")
    result = train_retriever(PAIRS[:16], tiny_model_folder, tmp_path / "out", settings)
    assert result.steps == 1
    before, after = (TransformerEmbedder(folder).encode(["w1 w2"]) for folder in (tiny_model_folder, tmp_path / "out"))
    assert before.shape == after.shape
    assert (before != after).any()


@pytest.mark.parametrize(
    ("pairs", "settings", "message"),
    [(PAIRS[:1], RetrieverSettings(), "1 pairs to train on"), (PAIRS, RetrieverSettings(batch_size=1), "batch_size must be 2 or more")],
)
def test_settings_without_meaning_are_named(pairs, settings, message, tmp_path: Path):
    with pytest.raises(SettingsError, match=message):
        train_retriever(pairs, tmp_path, tmp_path / "out", settings, static=True)


@pytest.mark.parametrize(
    ("device", "static", "told"),
    [
        ("cuda", True, "--device cuda: static embeddings are a table, which is trained on the CPU"),
        ("cuda:1", False, "start it with CUDA_VISIBLE_DEVICES=1"),
        ("tpu", False, "--device is 'tpu'"),
    ],
)
def test_a_device_that_does_not_train_is_refused(device: str, static: bool, told: str, tmp_path: Path):
    with pytest.raises(SettingsError, match=told):
        train_retriever(PAIRS, tmp_path, tmp_path / "out", RetrieverSettings(device=device), static=static)


def test_a_base_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(EngineError, match="cannot be read"):
        train_retriever(PAIRS, tmp_path, tmp_path / "out")
