"""The llama.cpp engine against transformers on the same weights: what is read, log-probabilities, answers, grammars; and what it refuses."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from luthier import open_model
from luthier.errors import EngineError, FetchError, MissingFileError, SettingsError
from luthier.models import Prompt, Sampling
from luthier.models.llamacpp import CONTEXT, LlamaCppModel
from luthier.models.local import LocalModel
from luthier.records import Message

needs_extra = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="the extra luthier[llamacpp] is not installed")
QUANTISED = 0.35  # nats a token: the 4-bit file multiplies in 8 bits what transformers multiplies in bfloat16


def ask(text: str, **more: Any) -> Prompt:
    return Prompt((Message("user", text),), **more)


PROMPTS = [ask(text) for text in ("What is the capital of France?", "12 people", "Say yes.", "日本語 🎻")]


@pytest.fixture(scope="module")
def model() -> LlamaCppModel:
    pytest.importorskip("xllamacpp", reason="the extra luthier[llamacpp] is not installed")
    try:
        opened: LlamaCppModel = open_model("bundled", engine="llamacpp")
    except FetchError as problem:
        pytest.skip(str(problem))
    return opened


@pytest.fixture(scope="module")
def reference(bundled_model: LocalModel) -> LocalModel:
    return bundled_model


def test_log_probabilities_are_those_of_transformers_but_for_the_quantisation(model: LlamaCppModel, reference: LocalModel) -> None:
    texts = ["The capital of France is Paris.", "There are 12 people.", "Yes.", "バイオリン"]
    here, there = model.score(PROMPTS, texts), reference.score(PROMPTS, texts)
    for one, two in zip(here, there, strict=True):
        assert one.token_ids == two.token_ids
        assert len(one.logprobs) == len(two.logprobs) > 0
        assert sum(abs(a - b) for a, b in zip(one.logprobs, two.logprobs, strict=True)) / len(one.logprobs) < QUANTISED


def test_prompts_are_read_token_by_token_as_there(model: LlamaCppModel, reference: LocalModel) -> None:
    answers = model.generate(PROMPTS, Sampling(max_tokens=1))
    assert [answer.prompt_tokens for answer in answers] == [len(reference.encode(reference.render(prompt))) for prompt in PROMPTS]


def test_greedy_answers_begin_alike_and_end_with_their_stop(model: LlamaCppModel, reference: LocalModel) -> None:
    here, there = (each.generate(PROMPTS[1:2], Sampling(max_tokens=40))[0] for each in (model, reference))
    one, two = reference.score([PROMPTS[1]] * 2, [here.text, there.text])
    chances = zip(one.token_ids, two.token_ids, one.logprobs, two.logprobs, strict=False)
    parting = next(((here, there) for token, other, here, there in chances if token != other), (0.0, 0.0))
    assert parting[0] > parting[1] - QUANTISED  # where they part, it is at a near tie
    assert (here.finish, "<|im_end|>" in here.text) == ("stop", False)
    assert model.generate(PROMPTS[:1], Sampling(max_tokens=2))[0].finish == "length"


def test_stop_texts_cut_the_answer(model: LlamaCppModel) -> None:
    whole = model.generate(PROMPTS[:1], Sampling(max_tokens=40))[0].text
    word = whole[6:9]
    cut = model.generate(PROMPTS[:1], Sampling(max_tokens=40, stop=(word,)))[0]
    assert (cut.text, cut.finish) == (whole[: whole.index(word)], "stop"), whole


def test_grammars_and_schemas_are_followed(model: LlamaCppModel) -> None:
    answers = model.generate(
        [
            ask("Say a number", grammar='start: "x" /[0-9]{3}/ "z"'),
            ask("Say a number", json_schema={"type": "integer", "minimum": 10}),
            ask("Hi"),
        ],
        Sampling(max_tokens=24),
    )
    assert re.fullmatch("x[0-9]{3}z", answers[0].text)
    assert int(answers[1].text) >= 10
    assert not answers[2].text.startswith("x")


def test_each_prompt_draws_by_its_own_seed(model: LlamaCppModel) -> None:
    drawn = [Sampling(max_tokens=12, temperature=1.5, seed=seed) for seed in (1, 2)]
    alone = [model.generate([PROMPTS[1]], [one])[0].text for one in (*drawn, drawn[0])]
    assert alone[0] == alone[2] != alone[1]
    together = [answer.text for answer in model.generate([PROMPTS[1]] * 3, Sampling(max_tokens=12, temperature=1.5, seed=1))]
    assert len(set(together)) > 1


def test_usage_and_progress_are_counted(model: LlamaCppModel) -> None:
    before, told = model.usage.calls, list[int]()
    answers = model.generate(PROMPTS, Sampling(max_tokens=3), told.append)
    assert (sum(told), model.usage.calls - before) == (4, 4)
    assert all(0 < answer.completion_tokens <= 3 for answer in answers)
    assert model.generate([]) == []


def test_a_closed_model_is_loaded_again(model: LlamaCppModel) -> None:
    first = model.generate(PROMPTS[2:3], Sampling(max_tokens=4))[0].text
    model.close()
    assert model.generate(PROMPTS[2:3], Sampling(max_tokens=4))[0].text == first


def test_too_long_is_one_line(model: LlamaCppModel) -> None:
    with pytest.raises(EngineError, match="there is room for"):
        model.generate(PROMPTS[:1], Sampling(max_tokens=CONTEXT))
    assert model.room == 8192  # the model's own, below what the engine holds
    with pytest.raises(EngineError, match="room for 8,192"):
        model.generate(PROMPTS[:1], Sampling(max_tokens=8192))
    with pytest.raises(EngineError, match="continuations to score"):
        model.score(PROMPTS, ["a"])


@needs_extra
def test_files_that_are_none_are_one_line(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no GGUF file"):
        LlamaCppModel(tmp_path / "missing.gguf", tiny_model_folder)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(EngineError, match=r"bad\.gguf: llama\.cpp cannot load it"):
        LlamaCppModel(tmp_path / "bad.gguf", tiny_model_folder).generate(PROMPTS[:1])


@needs_extra
def test_an_adapter_folder_and_a_transformers_folder_are_refused(tiny_model_folder: Path) -> None:
    with pytest.raises(MissingFileError, match="no GGUF file"):
        open_model(tiny_model_folder, engine="llamacpp")
    with pytest.raises(SettingsError, match="--dtype float32 is of the transformers engine"):
        open_model(tiny_model_folder, engine="llamacpp", dtype="float32")
