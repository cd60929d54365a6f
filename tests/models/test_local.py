"""The local engine on a small random model: the answer to a prompt depends on nothing but the prompt, and scores are cross-entropies."""

from __future__ import annotations

import random
import shutil
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import EngineError, MissingFileError
from luthier.models import Completion, LanguageModel, Prompt, Sampling
from luthier.models.grammar import calls_grammar
from luthier.models.local import LocalModel
from luthier.records import Message, Tool, ToolCall
from luthier.records.calls import parse_calls

WEATHER = Tool(
    "get_weather",
    "Weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]},
)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32")


def ask(text: str, **more: Any) -> Prompt:
    return Prompt((Message("user", text),), **more)


PROMPTS = [
    ask(" ".join(["What is the weather in Lisbon?", "12 people", "日本語 🎻", "a"][i % 4] for i in range(n)))
    for n in (1, 7, 2, 30, 3, 3, 11, 4)
]
SAMPLED = Sampling(max_tokens=12, temperature=1.5, top_p=0.95, top_k=200, seed=7)


def again(model: LocalModel, **settings: Any) -> LocalModel:
    return LocalModel(model.folder, dtype="float32", **settings)


def test_it_is_a_language_model(model: LocalModel):
    assert isinstance(model, LanguageModel)
    assert model.name == "tiny"
    assert again(model, name="other").name == "other"


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=12), SAMPLED])
@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_answers_do_not_depend_on_the_batch(model: LocalModel, batch_size: int, sampling: Sampling):
    assert again(model, batch_size=batch_size).generate(PROMPTS, sampling) == model.generate(PROMPTS, sampling)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=12), SAMPLED])
def test_equal_prompts_are_read_once_and_answered_as_if_read_apart(model: LocalModel, sampling: Sampling, monkeypatch: pytest.MonkeyPatch):
    """Some stand twice or three times, in one batch and across two."""
    prompts = [PROMPTS[i] for i in (3, 0, 1, 0, 6, 0, 1, 3, 4, 5)]
    alone = again(model, batch_size=1).generate(prompts, sampling)
    shared = again(model, batch_size=4)
    read: list[int] = []
    forward = shared.module.forward

    @wraps(forward)  # generation looks at its signature
    def watched(*args: Any, input_ids: Any = None, **kwargs: Any) -> Any:
        read.append(input_ids.numel())
        return forward(*args, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(shared.module, "forward", watched)
    assert shared.generate(prompts, sampling) == alone
    read.clear()
    shared.generate([PROMPTS[3]] * 4, Sampling(max_tokens=3))
    length = len(shared.encode(shared.render(PROMPTS[3])))
    assert read == [length, 4, 4]  # one prompt, then four rows of a token each


def test_equal_prompts_are_answered_under_their_own_grammars(model: LocalModel):
    free, bound = (ask("What is the weather in Lisbon?"), ask("What is the weather in Lisbon?", grammar='start: "12 people"'))
    told = model.generate([free, bound, free], Sampling(max_tokens=8))
    assert told[1].text == "12 people"
    assert told[0] == told[2] == again(model, batch_size=1).generate([free], Sampling(max_tokens=8))[0]


def test_greedy_answers_do_not_depend_on_the_order(model: LocalModel):
    order = random.Random(0).sample(range(len(PROMPTS)), len(PROMPTS))
    straight = model.generate(PROMPTS, Sampling(max_tokens=12))
    assert model.generate([PROMPTS[i] for i in order], Sampling(max_tokens=12)) == [straight[i] for i in order]


def test_a_draw_belongs_to_the_place_of_the_prompt_and_to_the_seed(model: LocalModel):
    first = model.generate(PROMPTS, SAMPLED)
    assert model.generate(PROMPTS, SAMPLED) == first
    assert model.generate(PROMPTS[:3], SAMPLED) == first[:3]
    same = model.generate([PROMPTS[0]] * 4, SAMPLED)
    assert len({answer.text for answer in same}) > 1
    assert model.generate(PROMPTS, Sampling(**{**vars(SAMPLED), "seed": 8})) != first
    big = model.generate(PROMPTS[:1], Sampling(max_tokens=2, temperature=1.0, seed=2**40))
    assert len(big) == 1


def test_drawing_leaves_the_global_random_state_alone(model: LocalModel):
    import torch

    before = torch.get_rng_state()
    model.generate(PROMPTS[:2], SAMPLED)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_candidate_or_a_cold_draw_is_greedy(model: LocalModel):
    greedy = model.generate(PROMPTS, Sampling(max_tokens=6))
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert model.generate(PROMPTS, Sampling(**{"max_tokens": 6, "temperature": 1.0, **narrow})) == greedy


def test_draws_follow_the_probabilities():
    import torch

    from luthier.models.local import SeededDraw

    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).log_softmax(-1)
    draw = SeededDraw(Sampling(temperature=1.0, top_k=3), [0])
    counts = torch.bincount(torch.tensor([draw.pick(0, scores) for _ in range(4000)]), minlength=4) / 4000
    expected = torch.cat([scores[0, :3].softmax(-1), torch.zeros(1)])
    assert torch.allclose(counts, expected, atol=0.025)
    nucleus = SeededDraw(Sampling(temperature=1.0, top_p=0.6), [0])
    assert {nucleus.pick(0, scores) for _ in range(50)} == {2}


def test_usage_and_progress_count_everything_once(model: LocalModel):
    fresh, seen = again(model, batch_size=3), []
    answers = fresh.generate(PROMPTS, Sampling(max_tokens=5), seen.append)
    assert sum(seen) == len(PROMPTS)
    assert fresh.usage.calls == len(PROMPTS)
    assert fresh.usage.prompt_tokens == sum(len(fresh.tokenizer(fresh.render(p))["input_ids"]) for p in PROMPTS)
    assert fresh.usage.completion_tokens == sum(answer.completion_tokens for answer in answers)
    assert all(answer.completion_tokens == 5 for answer in answers if answer.finish == "length")
    assert fresh.generate([]) == []


def test_an_answer_ends_at_a_stop_token(model: LocalModel):
    """The first token of a greedy answer, made a stop token, ends the answer before it says anything."""
    stopping = again(model)
    texts = [answer.text for answer in model.generate(PROMPTS, Sampling(max_tokens=1))]
    index, first = next((i, ids) for i, ids in enumerate(map(model.tokenizer.encode, texts)) if len(ids) == 1)
    stopping.module.generation_config.eos_token_id = [2, *first]
    answer = stopping.generate([PROMPTS[index]], Sampling(max_tokens=8))[0]
    assert answer == Completion("", "stop", answer.prompt_tokens, 1)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_stop_string_cuts_the_answer_the_same_in_any_batch(model: LocalModel, batch_size: int):
    free = model.generate(PROMPTS, Sampling(max_tokens=12))
    stop = free[3].text[4:6]
    stopped = again(model, batch_size=batch_size).generate(PROMPTS, Sampling(max_tokens=12, stop=(stop,)))
    for before, after in zip(free, stopped, strict=True):
        assert after.text == before.text.split(stop)[0]
        assert after.finish == ("stop" if stop in before.text else before.finish)
        ids = model.tokenizer.encode(before.text)
        enough = next((n for n in range(1, 13) if stop in model.tokenizer.decode(ids[:n])), before.completion_tokens)
        assert after.completion_tokens <= max(enough, before.completion_tokens)
    alone = again(model, batch_size=1).generate(PROMPTS, Sampling(max_tokens=12, stop=(stop,)))
    assert stopped == alone


CONTINUATIONS = ["", "a", "The weather is fine.", '[get_weather(city="Zürich", days=3)]', "日本語 🎻", "no", "x" * 40, "12"]


def reference(model: LocalModel, prompt: Prompt, text: str) -> list[float]:
    """Cross-entropies straight from torch: one row, no padding, no cache."""
    import torch

    before = model.tokenizer(model.render(prompt), add_special_tokens=False)["input_ids"]
    after = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = model.module(torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
    return (-torch.nn.functional.cross_entropy(logits, torch.tensor(after, dtype=torch.long), reduction="none")).tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_scores_are_cross_entropies_whatever_the_padding(model: LocalModel, batch_size: int):
    scores = again(model, batch_size=batch_size).score(PROMPTS, CONTINUATIONS)
    for prompt, text, score in zip(PROMPTS, CONTINUATIONS, scores, strict=True):
        assert list(score.token_ids) == model.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert score.logprobs == pytest.approx(reference(model, prompt, text), abs=1e-4)
        assert score.total == pytest.approx(sum(score.logprobs))


def test_scores_agree_with_what_is_generated(model: LocalModel):
    """The greedy continuation is at least as likely, token by token, as any other first token."""
    answer = model.generate([PROMPTS[2]], Sampling(max_tokens=1))[0]
    options = [answer.text, "a", "b", "(", "9"]
    first = [score.logprobs[0] for score in model.score([PROMPTS[2]] * len(options), options)]
    assert first[0] == max(first)


def test_scores_need_one_continuation_a_prompt(model: LocalModel):
    with pytest.raises(EngineError, match="8 prompts but 1 continuations"):
        model.score(PROMPTS, ["a"])
    assert model.score([], []) == []
    with pytest.raises(EngineError, match="at least one token"):
        model.score_tokens([([], [5, 6])])


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("max_tokens", [36, 50, 120])
def test_answers_under_a_grammar_parse(model: LocalModel, temperature: float, max_tokens: int):
    grammar = calls_grammar([WEATHER])
    prompts = [ask("Weather?", tools=(WEATHER,), grammar=grammar) for _ in range(6)]
    prompts.insert(2, ask("Say something"))
    answers = model.generate(prompts, Sampling(max_tokens=max_tokens, temperature=temperature, seed=1))
    free = answers.pop(2)
    assert free.completion_tokens > 0
    for answer in answers:
        (call,) = parse_calls(answer.text)
        assert (call.name, list(call.arguments)) == ("get_weather", ["city", "days"])
        assert answer.finish == "stop"


def test_drawn_answers_under_a_grammar_do_not_depend_on_the_batch(model: LocalModel):
    prompts = [*PROMPTS[:3], *(ask("Weather?", tools=(WEATHER,), grammar=calls_grammar([WEATHER])) for _ in range(3))]
    sampling = Sampling(max_tokens=50, temperature=1.5, seed=3)
    assert again(model, batch_size=1).generate(prompts, sampling) == model.generate(prompts, sampling)


def test_answers_under_a_json_schema_are_json(model: LocalModel):
    import json

    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
    answers = model.generate([ask("Json?", json_schema=schema)], Sampling(max_tokens=60, temperature=1.0))
    assert json.loads(answers[0].text)["a"] in (True, False)


def test_a_broken_grammar_is_an_engine_error(model: LocalModel):
    with pytest.raises(EngineError, match="the grammar cannot be used"):
        model.generate([ask("?", grammar="start: (")])


def test_a_folder_without_a_model_is_named(tmp_path: Path, model: LocalModel):
    with pytest.raises(MissingFileError, match=r"nowhere: no model here"):
        LocalModel(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"adapter: no adapter here"):
        LocalModel(model.folder, adapter=tmp_path / "adapter")


def test_one_sampling_a_prompt_draws_by_its_own_seed_alone(model: LocalModel):
    hot = [Sampling(max_tokens=6, temperature=1.5, seed=seed) for seed in (3, 4, 3)]
    mixed = [*hot, Sampling(max_tokens=2), Sampling(max_tokens=6, temperature=0.7, top_k=5, seed=3)]
    prompts = [PROMPTS[0]] * len(mixed)
    answers = model.generate(prompts, mixed)
    assert answers[0] == answers[2] != answers[1]
    assert [model.generate([prompt], [one])[0] for prompt, one in zip(prompts, mixed, strict=True)] == answers
    assert model.generate([PROMPTS[0]], hot[0])[0] == answers[0]
    with pytest.raises(EngineError, match="2 prompts but 1 samplings"):
        model.generate(PROMPTS[:2], hot[:1])


def test_a_folder_without_weights_is_named(tmp_path: Path, model: LocalModel):
    (tmp_path / "config.json").write_bytes((model.folder / "config.json").read_bytes())
    with pytest.raises(EngineError, match=r"the model cannot be loaded: .*; ") as caught:
        _ = LocalModel(tmp_path).module
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match=r"the tokenizer cannot be loaded: .*; "):
        _ = LocalModel(tmp_path).tokenizer


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path, model: LocalModel):
    folder = tmp_path / "base"
    shutil.copytree(model.folder, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EngineError, match="no chat template"):
        _ = LocalModel(folder).tokenizer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_added_in_float32_and_rounded_once(model: LocalModel, tmp_path: Path, dtype: str):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32)
    torch.manual_seed(1)
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path)
    layer = tuned.base_model.model.model.layers[1].self_attn.q_proj
    delta = 2.0 * layer.lora_B["default"].weight.detach() @ layer.lora_A["default"].weight.detach()
    weight = layer.base_layer.weight.detach().to(getattr(torch, dtype))
    merged = LocalModel(model.folder, adapter=tmp_path, dtype=dtype).module.model.layers[1].self_attn.q_proj
    assert type(merged) is torch.nn.Linear
    assert merged.weight.dtype == weight.dtype
    torch.testing.assert_close(merged.weight.float(), (weight.float() + delta).to(weight.dtype).float(), rtol=0, atol=1e-6)


def assistant_texts(model: LocalModel, messages: list[Message]) -> list[str]:
    """What the generation markers cover, run by run."""
    rows = [message.to_row() for message in messages]
    made = model.tokenizer.apply_chat_template(
        rows, tools=[WEATHER.to_row()], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    runs: list[list[int]] = [[]]
    for token, mask in zip(made["input_ids"], made["assistant_masks"], strict=True):
        if mask:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [model.tokenizer.decode(run) for run in runs if run]


DIALOGUE = [
    Message("system", "Be brief."),
    Message("user", "Weather in Zürich for 3 days?"),
    Message("assistant", tool_calls=(ToolCall("get_weather", {"city": "Zürich 🎻", "days": 3}),)),
    Message("tool", '{"sky": "clear"}', name="get_weather"),
    Message("assistant", "It is clear."),
    Message("user", "assistant"),
    Message("assistant", "And again:", tool_calls=(ToolCall("get_weather", {"city": "日本", "days": -1}), ToolCall("now"))),
]
SAID = [
    '[get_weather(city="Zürich 🎻", days=3)]<|im_end|>',
    "It is clear.<|im_end|>",
    'And again:\n[get_weather(city="日本", days=-1), now()]<|im_end|>',
]


def test_the_markers_cover_exactly_what_the_assistant_says(model: LocalModel):
    assert assistant_texts(model, DIALOGUE) == SAID


def test_a_prompt_is_rendered_up_to_where_the_answer_begins(model: LocalModel):
    assert model.render(Prompt(tuple(DIALOGUE[:2]), (WEATHER,))) == (
        "<|im_start|>system\nBe brief.\n\nFunctions:\n"
        "get_weather(city: string, days: integer): Weather of a city.\n"
        "Answer with calls, [name(argument=value, ...)]. If no function fits or a required value is missing, say so in a sentence.<|im_end|>\n"
        "<|im_start|>user\nWeather in Zürich for 3 days?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.weights
def test_bundled_markers_cover_exactly_what_the_assistant_says(bundled_model: LocalModel):
    assert assistant_texts(bundled_model, DIALOGUE) == SAID


@pytest.mark.weights
def test_bundled_digits_stand_alone_and_spaces_stay_together(bundled_model: LocalModel):
    tokens = bundled_model.tokenizer.tokenize("12345  67")
    assert tokens == ["1", "2", "3", "4", "5", "ĠĠ", "6", "7"]
    assert bundled_model.tokenizer.model_max_length == 8192
    assert bundled_model.stop_ids == [2, 0]


@pytest.mark.weights
def test_bundled_weights_know_english(bundled_model: LocalModel):
    """A broken conversion gives about 11 nats a token, the logarithm of the vocabulary."""
    prompt = ask("Complete: The quick brown fox jumps over the lazy")
    likely, shuffled = bundled_model.score(
        [prompt, prompt], ["The quick brown fox jumps over the lazy dog.", "dog. the quick over lazy The fox jumps brown"]
    )
    assert 0 < -likely.total / len(likely.logprobs) < 1.0
    assert -shuffled.total / len(shuffled.logprobs) > 3.0


@pytest.mark.weights
def test_bundled_answers_under_a_grammar_are_valid_calls(bundled_model: LocalModel):
    prompt = ask("What is the weather in Paris for 3 days?", tools=(WEATHER,), grammar=calls_grammar([WEATHER]))
    answer = bundled_model.generate([prompt], Sampling(max_tokens=40))[0]
    (call,) = parse_calls(answer.text)
    assert call.name == "get_weather"
    assert (type(call.arguments["city"]), type(call.arguments["days"])) == (str, int)
    assert answer.finish == "stop"


def test_what_is_longer_than_the_context_is_one_line_with_the_lengths(tmp_path: Path):
    from transformers import GPT2Config, GPT2LMHeadModel

    from stock_templates import tokenizer_with

    tokenizer = tokenizer_with("{% for m in messages %}{{ m.content }}{% endfor %}")
    config = GPT2Config(vocab_size=len(tokenizer) + 24, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = LocalModel(tmp_path, dtype="float32")
    long, near = (Prompt((Message("user", "~" * count),)) for count in (60, 20))
    lengths = [len(model.encode(model.render(prompt))) for prompt in (long, near)]
    with pytest.raises(EngineError, match=rf"a prompt of {lengths[0]} tokens, and the model has room for 32; shorten it"):
        model.generate([long], Sampling(max_tokens=4))
    with pytest.raises(EngineError, match="has room for 32"):
        model.score([long], ["x"])
    answer = model.generate([near], Sampling(max_tokens=100))[0]
    assert answer.completion_tokens <= 32 - lengths[1]
