"""Folders that lack what a model needs to read and to stop, and texts longer than its context: one sentence that names them, at every door."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from command import luthier
from luthier.errors import EngineError, PromptError
from luthier.models import Prompt, Sampling
from luthier.models.branches import Head, TokenTree, read_tree
from luthier.models.check import check_model
from luthier.models.local import LocalModel
from luthier.records import Message

ROOM = 40


@pytest.fixture
def copied(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def short(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has no more than `ROOM` positions, and fails behind them."""
    folder = tmp_path_factory.mktemp("short") / "model"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model_folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=ROOM, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Path]:
    long = "So it is, as I said. " * 12
    rows = {
        "chats": {"messages": [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": long}]},
        "choices": {"question": long, "options": ["yes", "no"], "answer": "yes"},
        "statements": {"text": long},
    }
    for name, row in rows.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    return {name: tmp_path / f"{name}.jsonl" for name in rows}


def without(folder: Path, *names: str) -> None:
    for file in ("tokenizer_config.json", "generation_config.json", "config.json", "special_tokens_map.json"):
        if (folder / file).is_file():
            told = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps({key: value for key, value in told.items() if key not in names}))


def test_a_model_that_never_stops_is_named(copied: Path) -> None:
    without(copied, "eos_token", "eos_token_id")
    with pytest.raises(EngineError, match="model: nothing tells which token ends an answer"):
        LocalModel(copied).generate([Prompt((Message("user", "Hi"),))])
    (stop,) = [one for one in check_model(copied) if one.what == "stop"]
    assert stop.told.startswith("nothing tells which token ends an answer")
    assert not stop.good


@pytest.mark.parametrize("words", [["generate", "hi"], ["train", "sft", "{chats}"], ["evaluate", "choice", "{choices}"]])
def test_a_tokenizer_that_cannot_pad_is_named(words: list[str], copied: Path, data: dict[str, Path], tmp_path: Path) -> None:
    without(copied, "eos_token", "eos_token_id", "pad_token", "pad_token_id")
    filled = [word.format(**data) for word in words]
    out = [] if words[0] == "generate" else ["--out", tmp_path / "run"]
    said = luthier(*filled, "--model", copied, *out, ok=False)
    assert "the tokenizer names neither a token that ends an answer nor one that pads" in said.stderr


@pytest.mark.parametrize(
    "template", ["", "hello", "{% for one in messages %}{% if one.role == 'user' %}{{ one.content }}{% endif %}{% endfor %}"]
)
def test_a_template_that_leaves_turns_out_is_named(template: str, copied: Path, data: dict[str, Path], tmp_path: Path) -> None:
    (copied / "chat_template.jinja").write_text(template)
    said = luthier("train", "sft", data["chats"], "--model", copied, "--out", tmp_path / "run", ok=False)
    assert "the chat template renders nothing of what the assistant says" in said.stderr
    assert "marks" not in said.stderr
    if "user" not in template:
        with pytest.raises(EngineError, match="the chat template renders nothing of what is said"):
            LocalModel(copied).generate([Prompt((Message("user", "Hi"),))])


def test_rows_without_a_turn_to_learn_are_told_as_that(tiny_model_folder: Path, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": False}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    said = luthier("train", "sft", tmp_path / "rows.jsonl", "--model", tiny_model_folder, "--out", tmp_path / "run", ok=False)
    assert "none of 1 rows has an assistant turn to learn from (turns of no weight are none)" in said.stderr


def test_what_is_longer_than_the_context_is_told(short: Path, data: dict[str, Path], tmp_path: Path) -> None:
    model = LocalModel(short)
    prompt = Prompt((Message("user", "Is it so, or is it not? " * 9),))
    with pytest.raises(PromptError, match=f"the model has room for {ROOM}; shorten it"):
        model.generate([prompt])
    (answer,) = model.generate([Prompt((Message("user", "Hi"),))], Sampling(max_tokens=500))
    assert answer.prompt_tokens + answer.completion_tokens <= ROOM
    tree = TokenTree()
    segment = tree.add(range(5, 6 + ROOM))
    with pytest.raises(PromptError, match=f"a prompt of {ROOM + 1} tokens, and the model has room for {ROOM}"):
        read_tree(model.module, tree, [Head(segment, 0)])
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "Is it?", "chosen": "So it is, as I said. " * 12, "rejected": "No."}) + "\n")
    commands: dict[str, list[object]] = {
        "left out: 1 too long": ["train", "preference", pairs, "--out", tmp_path / "d"],
        f"training.max_length is 100, and {short} has room for {ROOM} tokens": [
            *("train", "preference", pairs, "--set", "training.max_length=100", "--out", tmp_path / "e")
        ],
        f"room for {ROOM}": ["generate", "Is it so, or is it not? " * 9],
        f"none of 1 rows has an assistant turn within {ROOM} tokens": ["train", "sft", data["chats"], "--out", tmp_path / "a"],
        f"sft.max_length is 100, and {short} has room for {ROOM} tokens": [
            *("train", "sft", data["chats"], "--set", "sft.max_length=100", "--out", tmp_path / "b")
        ],
        f"has room for {ROOM};": ["evaluate", "choice", data["choices"], "--out", tmp_path / "c"],
    }
    for message, words in commands.items():
        assert message in luthier(*words, "--model", short, ok=False).stderr
