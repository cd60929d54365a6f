"""Fixtures that several rooms share: a small random model in the standard layout, and the bundled model where it can be had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15: beside other tests its workers starve
os.environ.setdefault("TQDM_DISABLE", "1")  # read when a library is imported, before the command that would set it

import pytest
from hypothesis import settings

from luthier.errors import FetchError

# No deadline: these machines are shared. CI draws the same examples every time, and fewer, so it judges the change and not its luck.
CI = "CI" in os.environ
settings.register_profile("luthier", deadline=None, derandomize=CI, max_examples=20 if CI else 100)
settings.load_profile("luthier")

# The tokenizer learns its merges here: words, numbers, brackets and letters outside ASCII, all of which the tests use.
CORPUS = (
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "Functions: Answer with calls, [name(argument=value, ...)]. If no function fits or a required value is missing, say so.",
    'get_weather(city: string, days?: integer): Weather of a city. [get_weather(city="Zürich", days=3)]',
    '[book_table(place="Chez Zoé", people=4, outside=True, tags=["a", "b"]), find(options={"deep": None, "rate": 0.25})]',
    "user assistant system tool What is the weather in Lisbon on Tuesday? Please book a table for 12 people at 19:30.",
    "0 1 2 3 4 5 6 7 8 9 10 100 1000 -5 3.14 naïve façade 日本語 emoji 🎻 \"quoted\" 'single' back\\slash",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes (`-n`)."""
    from scheduling import whole_files

    return whole_files(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def write_tiny_model(folder: Path) -> Path:
    """A random Llama (2 layers, 64 wide, float32) with a byte-level BPE tokenizer and the bundled chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from luthier.models.known import chat_template

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end, turn_start, turn_end = special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, min_frequency=1, show_progress=False)
    bpe.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=turn_start,
        eos_token=turn_end,
        pad_token=turn_end,
        unk_token=end,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 24,  # padded, as the vocabularies of most models are
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(eos_token_id=[2, 0], pad_token_id=2, do_sample=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bundled_model() -> object:
    """The bundled model as a `LocalModel`; tests that use it are marked `weights`."""
    from luthier.models.known import pull
    from luthier.models.local import LocalModel

    try:
        return LocalModel(pull())
    except FetchError as problem:
        pytest.skip(str(problem))
