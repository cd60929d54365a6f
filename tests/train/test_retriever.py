"""Training an embedder: a kill changes nothing, time limits hold, and what cannot be trained is named."""

from __future__ import annotations

import json
import os
import shutil
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


def resaved(base: Path, folder: Path, pooling: str) -> Path:
    """The base as a folder of sentence-transformers of its own, of 24 tokens a text."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    inner = Transformer(str(base))
    inner.modality_config.pop("message", None)
    SentenceTransformer(modules=[inner, Pooling(64, pooling)], device="cpu").save(str(folder), create_model_card=False)
    told = folder / "sentence_bert_config.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "max_seq_length": 24}))
    return folder


@pytest.mark.parametrize("pooling", [None, "weightedmean", "lasttoken", "cls"])
def test_where_nothing_is_learned_a_transformer_reads_as_before(tiny_model_folder: Path, tmp_path: Path, pooling: str | None):
    from sentence_transformers import SentenceTransformer

    from luthier.models.transformer_embedder import TransformerEmbedder

    base = tiny_model_folder if pooling is None else resaved(tiny_model_folder, tmp_path / "base", pooling)
    settings = RetrieverSettings(epochs=1, batch_size=8, max_length=16, learning_rate=1e-30, device="cpu")
    train_retriever(PAIRS[:16], base, tmp_path / "out", settings)
    texts = ["w1 w2", "What is the weather in Lisbon?", "w3 " * 40]
    before, after = (TransformerEmbedder(folder, device="cpu") for folder in (base, tmp_path / "out"))
    assert (before.pooling, before.max_length) == (after.pooling, after.max_length)
    assert (before.encode(texts) == after.encode(texts)).all()
    library = SentenceTransformer(str(tmp_path / "out"), device="cpu")  # reads it in the same way, and so did training
    assert abs(library.encode(texts, normalize_embeddings=True) - after.encode(texts)).max() < 1e-5


def test_a_base_that_is_cut_short_is_named(tiny_model_folder: Path, tmp_path: Path):
    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(EngineError, match="base: the model cannot be loaded: "):
        train_retriever(PAIRS, base, tmp_path / "out", RetrieverSettings(device="cpu"))


def test_a_base_that_lacks_weights_is_named(tiny_model_folder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    held = load_file(base / "model.safetensors")
    del held["model.layers.1.mlp.up_proj.weight"]
    save_file(held, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match=r"base: the weights lack layers\.1\.mlp\.up_proj\.weight"):
        train_retriever(PAIRS, base, tmp_path / "out", RetrieverSettings(device="cpu"))


def test_a_base_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(EngineError, match="the model cannot be loaded"):
        train_retriever(PAIRS, tmp_path, tmp_path / "out")
