"""The OpenVINO engine against transformers on the same weights: logits, greedy answers, an adapter; and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import DiskError, EngineError, MissingFileError, SettingsError
from luthier.models import LanguageModel, Prompt, Sampling
from luthier.models.grammar import FORMS as CALL_FORMS
from luthier.models.grammar import calls_grammar
from luthier.models.local import LocalModel
from luthier.models.openvino import OpenVinoModel, generation_settings, stop_ids, token_room
from luthier.models.openvino_export import StoredWeights, adapter_scale, exported, weight_files
from luthier.models.openvino_form import read_form
from luthier.models.openvino_graph import build_graph, quantize
from luthier.records import Message, Tool
from luthier.records.call_forms import read_calls
from stock_templates import stock, write_architecture

needs_extra = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("openvino", "openvino_genai", "openvino_tokenizers")),
    reason="the extra luthier[openvino] is not installed",
)
BFLOAT_NOISE = 0.06  # nats a token: the random model's logits are wide, and the engine multiplies in bfloat16 where it can
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def ask(text: str, **more: Any) -> Prompt:
    return Prompt((Message("user", text),), **more)


PROMPTS = [ask(text) for text in ("What is the weather in Lisbon?", "12 people", "a", "Please book a table", "日本語 🎻")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _exports_go_to_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(cache))  # for each test: the bundled model is found in the user's own


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> OpenVinoModel:
    return OpenVinoModel(tiny_model_folder, weights="f16")


@pytest.fixture(scope="module")
def reference(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32")


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LoRA of rank 4 and alpha 8 on all seven linear layers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    layers = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    module = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=layers, init_lora_weights=False))
    folder = tmp_path_factory.mktemp("adapter")
    module.save_pretrained(folder)
    return folder


def edited(folder: Path, target: Path, name: str, **changes: Any) -> Path:
    """A copy of a folder with one of its JSON files changed."""
    shutil.copytree(folder, target)
    row = json.loads((target / name).read_text())
    (target / name).write_text(json.dumps({**row, **changes}))
    return target


def tokens(model: OpenVinoModel, prompts: list[Prompt], count: int = 16) -> list[tuple[list[int], list[int], list[float]]]:
    """Each prompt's ids, its greedy answer's ids and the log-probabilities the engine gave them."""
    import openvino as ov

    pipeline, handles, befores = model._ready_pipeline(), [], []
    for index, prompt in enumerate(prompts):
        settings = generation_settings(prompt, Sampling(max_tokens=count), index, [])
        settings.logprobs = 1
        befores.append(model.tokenizer(model.reader.render(prompt), add_special_tokens=False)["input_ids"])
        handles.append(pipeline.add_request(index, ov.Tensor(np.array([befores[-1]], dtype=np.int64)), settings))
    while pipeline.has_non_finished_requests():
        pipeline.step()
    ends = [handle.read_all()[0] for handle in handles]
    return [(ids, list(end.generated_ids), list(end.generated_log_probs)) for ids, end in zip(befores, ends, strict=True)]


def errors(module: torch.nn.Module, answers: list[tuple[list[int], list[int], list[float]]]) -> np.ndarray:
    """How far the engine's log-probabilities are from the module's, token by token."""
    gaps = []
    for before, after, found in answers:
        with torch.inference_mode():
            logprobs = module(torch.tensor([before + after])).logits[0].float().log_softmax(-1)
        rows = logprobs[len(before) - 1 : len(before) + len(after) - 1]
        gaps.append(np.abs(np.array(found) - rows.gather(-1, torch.tensor(after)[:, None])[:, 0].numpy()))
    return np.concatenate(gaps)


SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-3,
    "initializer_range": 0.1,
    "pad_token_id": 0,
}
BASE_TURNS = {"rope_type": "default", "rope_theta": 500.0}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"head_dim": 16}),
    "tied": ("llama", {"head_dim": 16, "num_key_value_heads": 4, "tie_word_embeddings": True}),
    "biases everywhere": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama3 turns": (
        "llama",
        {
            "rope_parameters": {
                **BASE_TURNS,
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 6,
            }
        },
    ),
    "linear turns": ("llama", {"rope_parameters": {**BASE_TURNS, "rope_type": "linear", "factor": 4.0}}),
    "mistral": ("mistral", {"head_dim": 16, "sliding_window": 4096}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2 yarn": ("qwen2", {"rope_parameters": {**BASE_TURNS, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "qwen3 biases": ("qwen3", {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": True}),
}
PRECISIONS = [(form, "f32", 2e-5) for form in FORMS] + [("llama", "f16", 5e-3), ("llama", "int8", 0.2), ("qwen2", "int8", 0.2)]


def write_form(name: str, folder: Path) -> torch.nn.Module:
    """A random model of the form, in several files; also its biases and norms are random, as those of a new model are not."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes = FORMS[name]
    torch.manual_seed(2)
    config = AutoConfig.for_model(kind, **{**SMALL, "rope_parameters": BASE_TURNS, **changes})
    module = AutoModelForCausalLM.from_config(config).float().eval()
    for parameter in module.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    module.save_pretrained(folder, max_shard_size="10KB")
    assert len(weight_files(folder)) > 1
    return module


@needs_extra
@pytest.mark.parametrize(("form", "precision", "tolerance"), PRECISIONS)
def test_the_graph_computes_the_logits_of_transformers(tmp_path: Path, form: str, precision: str, tolerance: float):
    import openvino as ov

    module = write_form(form, tmp_path)
    graph = build_graph(read_form(tmp_path), StoredWeights(tmp_path), precision)
    run = ov.Core().compile_model(graph, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": 1}).create_infer_request()

    def logits(ids: np.ndarray, past: int, mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
        beams = np.arange(len(ids), dtype=np.int32)
        inputs = {"input_ids": ids[:, past:], "attention_mask": mask, "position_ids": positions[:, past:]}
        return run.infer({**inputs, "beam_idx": beams})["logits"]

    ids = np.random.default_rng(0).integers(0, 50, (3, 12))
    mask = np.ones_like(ids)
    mask[1, :5] = 0  # padded on the left
    positions = (mask.cumsum(-1) - 1).clip(0)
    with torch.inference_mode():
        inputs = {"attention_mask": torch.tensor(mask), "position_ids": torch.tensor(positions)}
        expected = module(input_ids=torch.tensor(ids), **inputs).logits.numpy()
    whole = logits(ids, 0, mask, positions)
    real = mask.astype(bool)
    np.testing.assert_allclose(whole[real], expected[real], atol=tolerance)
    run.reset_state()
    first = logits(ids[:, :7], 0, mask[:, :7], positions[:, :7])
    second = logits(ids, 7, mask, positions)
    np.testing.assert_allclose(np.concatenate([first, second], 1)[real], whole[real], atol=1e-4)


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=6))
def test_an_int8_row_is_off_by_half_a_step_at_most(rows: list[list[float]]):
    matrix = torch.tensor(rows)
    stored, scale = quantize(matrix, "int8")
    assert stored.dtype == np.int8
    assert scale.shape == (len(rows), 1)
    step = np.abs(matrix.numpy()).max(1, keepdims=True) / 127
    assert (np.abs(stored * scale - matrix.numpy()) <= step * 0.5001 + 1e-9).all()


@needs_extra
def test_greedy_answers_carry_the_log_probabilities_of_transformers(model: OpenVinoModel, reference: LocalModel):
    assert errors(reference.module, tokens(model, PROMPTS)).mean() < BFLOAT_NOISE


@needs_extra
def test_an_adapter_is_applied_once_at_its_scale(model: OpenVinoModel, reference: LocalModel, adapter: Path):
    with_adapter = OpenVinoModel(model.folder, weights="f16", adapter=adapter)
    merged = LocalModel(model.folder, dtype="float32", adapter=adapter)
    answers = tokens(with_adapter, PROMPTS)
    assert errors(merged.module, answers).mean() < BFLOAT_NOISE
    assert errors(reference.module, answers).mean() > 5 * BFLOAT_NOISE
    assert errors(reference.module, tokens(model, PROMPTS)).mean() < BFLOAT_NOISE  # the model without it is as it was


@needs_extra
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_qwen_answers_scores_and_takes_adapters(kind: str, tmp_path: Path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = write_architecture(kind, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(stock("qwen2_5"), encoding="utf-8")
    module = AutoModelForCausalLM.from_pretrained(folder)
    for name, parameter in module.named_parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
        if "embed" in name:
            parameter.data *= 0.2  # logits less wide: the noise of bfloat16 is theirs
    module.save_pretrained(folder)
    tuned = get_peft_model(module, LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    texts = ["Lisbon", "a table for 12 people"] * 2
    for adapter in (None, tmp_path / "adapter"):
        ours, theirs = LocalModel(folder, dtype="float32", adapter=adapter), OpenVinoModel(folder, weights="f16", adapter=adapter)
        assert errors(ours.module, tokens(theirs, PROMPTS[:4], 8)).mean() < BFLOAT_NOISE
        if adapter is None:
            for found, expected in zip(theirs.score(PROMPTS[:4], texts), ours.score(PROMPTS[:4], texts), strict=True):
                np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=0.3)


@needs_extra
def test_it_is_a_language_model(model: OpenVinoModel, adapter: Path):
    assert isinstance(model, LanguageModel)
    assert model.name == "tiny"
    assert model.supports == {"generate", "grammar", "json_schema", "score"}
    assert "score" not in OpenVinoModel(model.folder, adapter=adapter).supports


@needs_extra
@pytest.mark.parametrize("sampling", [Sampling(max_tokens=10), Sampling(max_tokens=10, temperature=1.0, top_k=50, seed=3)])
def test_answers_come_in_the_order_of_the_prompts_whatever_runs_beside_them(model: OpenVinoModel, sampling: Sampling):
    prompts = PROMPTS * 2
    steps: list[int] = []
    narrow = OpenVinoModel(model.folder, weights="f16", batch_size=3)
    answers = narrow.generate(prompts, sampling, steps.append)
    wide = model.generate(prompts, sampling)
    lengths = [len(model.tokenizer(model.reader.render(p), add_special_tokens=False)["input_ids"]) for p in prompts]
    assert [answer.prompt_tokens for answer in answers] == lengths
    assert sum(steps) == narrow.usage.calls == len(prompts)
    assert narrow.usage.prompt_tokens == sum(lengths)
    assert narrow.usage.completion_tokens == sum(answer.completion_tokens for answer in answers)
    same = sum(one == other for one, other in zip(answers, wide, strict=True))
    assert same >= len(prompts) - 2  # a near tie may fall otherwise in another batch


@needs_extra
def test_a_draw_follows_its_seed_and_place(model: OpenVinoModel):
    sampling = Sampling(max_tokens=10, temperature=1.5, seed=3)
    first = model.generate([PROMPTS[0]] * 4, sampling)
    assert len({answer.text for answer in first}) > 1
    assert model.generate([PROMPTS[0]] * 4, Sampling(max_tokens=10, temperature=1.5, seed=4)) != first
    assert model.generate([PROMPTS[0]], sampling) == first[:1]


@needs_extra
def test_a_stop_text_ends_the_answer_and_is_left_out(model: OpenVinoModel):
    free = model.generate(PROMPTS, Sampling(max_tokens=24))
    stop = next(answer.text for answer in free if len(answer.text) > 8)[3:5]
    ended = model.generate(PROMPTS, Sampling(max_tokens=24, stop=(stop,)))
    assert any(answer.finish == "stop" and answer.completion_tokens < 24 for answer in ended)
    assert not any(stop in answer.text for answer in ended)


@needs_extra
def test_a_stop_token_ends_the_answer(tmp_path: Path, model: OpenVinoModel):
    _, ids, _ = tokens(model, PROMPTS[:1])[0]
    folder = edited(model.folder, tmp_path / "model", "generation_config.json", eos_token_id=[ids[2]])
    answer = OpenVinoModel(folder, weights="f16").generate(PROMPTS[:1], Sampling(max_tokens=24))[0]
    assert answer.finish == "stop"
    assert answer.completion_tokens == ids.index(ids[2]) + 1
    assert model.generate(PROMPTS[:1], Sampling(max_tokens=2))[0].finish == "length"


@needs_extra
def test_an_answer_follows_its_json_schema(model: OpenVinoModel):
    colour = {"enum": ["red", "blue", "dark green"]}
    answers = model.generate([ask("a", json_schema=colour), ask("a")], Sampling(max_tokens=40))
    assert json.loads(answers[0].text) in colour["enum"]
    assert answers[0].finish == "stop"
    assert answers[1].text != answers[0].text


@needs_extra
def test_a_bad_schema_is_refused_and_the_engine_goes_on(model: OpenVinoModel):
    with pytest.raises(EngineError, match=r"^OpenVINO could not generate: .*nope"):
        model.generate([ask("a", json_schema={"type": "nope"}), *PROMPTS])
    assert len(model.generate(PROMPTS, Sampling(max_tokens=2))) == len(PROMPTS)


@needs_extra
def test_an_interrupted_call_leaves_nothing_behind(model: OpenVinoModel):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    stopped = OpenVinoModel(model.folder, weights="f16", batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        stopped.generate(PROMPTS, Sampling(max_tokens=3), interrupt)
    assert len(stopped.generate(PROMPTS, Sampling(max_tokens=3))) == len(PROMPTS)


@needs_extra
def test_scores_are_those_of_transformers(model: OpenVinoModel, reference: LocalModel):
    texts = ["Lisbon", "", "a table for 12 people at 19:30 and more", "[find()]", "日本語"]
    for found, expected in zip(model.score(PROMPTS, texts), reference.score(PROMPTS, texts), strict=True):
        assert found.token_ids == expected.token_ids
        np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=0.2)


@needs_extra
def test_no_prompts_no_work(model: OpenVinoModel):
    assert model.generate([]) == []
    assert model.score([], []) == []


@needs_extra
def test_the_export_is_made_once_and_again_when_the_weights_change(model: OpenVinoModel, cache: Path, tmp_path: Path):
    made = exported(model.folder, "f16", model.tokenizer)
    stamp = made.stat().st_mtime_ns
    assert exported(model.folder, "f16", model.tokenizer) == made
    assert made.stat().st_mtime_ns == stamp
    assert {len(entry.name) for entry in (cache / "openvino").iterdir()} == {16}  # no scratch folder stays
    other = edited(model.folder, tmp_path / "model", "generation_config.json")
    (other / "model.safetensors").touch()
    assert exported(other, "f16", model.tokenizer) != made


@needs_extra
def test_a_cache_that_cannot_be_written_is_named(model: OpenVinoModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DiskError, match="LUTHIER_CACHE"):
        OpenVinoModel(model.folder).generate(PROMPTS)


@needs_extra
@pytest.mark.parametrize("form", CALL_FORMS)
@pytest.mark.parametrize("kind", ["one call", "a call or a sentence", "text or calls"])
def test_calls_follow_their_grammar_as_the_local_engine_reads_it(model: OpenVinoModel, reference: LocalModel, form: str, kind: str):
    """The oracle is llguidance, which reads the Lark itself; the model is random, so that whatever is let through is written."""
    numbers = {"type": "array", "items": {"type": "integer"}, "maxItems": 2}
    schema = {"properties": {"city": {"enum": ["Oslo", "größe"]}, "days": numbers, "detail": {"type": "boolean"}}, "required": ["city"]}
    tools = [Tool("weather", "Weather.", {"type": "object", **schema}), Tool("clock.now", "Time.", {"type": "object", "properties": {}})]
    sentence, text = kind == "a call or a sentence", kind == "text or calls"
    grammar = calls_grammar(tools, calls=(1, 2), sentence=sentence, text=text, form=form)
    limit = 200 if kind == "one call" else 12
    spoken = model.speak([ask(str(number), grammar=grammar) for number in range(12)], Sampling(max_tokens=limit, temperature=1.5))
    calls, whole = 0, [one for one in spoken if "\ufffd" not in one.completion.text]  # only llguidance forbids bytes that are no UTF-8
    assert len(whole) > 3
    for one in whole:
        ended = one.completion.finish == "stop"
        ids = list(one.ids[:-1] if ended else one.ids)
        matcher = reference.grammar_engine.matcher(grammar)
        assert matcher.try_consume_tokens(ids) == len(ids)
        if ended:
            assert matcher.is_accepting()
            calls += bool(read_calls(one.completion.text, [tool.name for tool in tools]).calls)
    assert calls or kind != "one call"


@needs_extra
def test_what_it_cannot_do_is_refused_in_one_line(model: OpenVinoModel, adapter: Path, tmp_path: Path):
    with pytest.raises(EngineError, match="cannot be written as EBNF"):
        model.generate([ask("a", grammar="start: /(?=a)b/")])
    with pytest.raises(EngineError, match=r"take \d+ tokens where the model has room for 4096; shorten it"):
        model.generate([*PROMPTS, ask("a b c " * 2000)])
    with pytest.raises(EngineError, match=r"^OpenVINO could not generate: Check '.*max_new_tokens.*'$"):
        model.generate(PROMPTS, Sampling(max_tokens=0))
    with pytest.raises(EngineError, match="score with an adapter"):
        OpenVinoModel(model.folder, adapter=adapter).score(PROMPTS[:1], ["a"])
    with pytest.raises(EngineError, match="2 continuations"):
        model.score(PROMPTS[:1], ["a", "b"])
    with pytest.raises(SettingsError, match="int4"):
        OpenVinoModel(model.folder, weights="int4")  # type: ignore[arg-type]
    with pytest.raises(MissingFileError, match=r"config\.json"):
        OpenVinoModel(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "gemma"}, "'gemma'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}, "rope 'dynamic'"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5, "rope_theta": 10000.0}}, "rope on a part of each head"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized weights"),
    ],
)
def test_models_of_another_form_are_refused(tiny_model_folder: Path, tmp_path: Path, change: dict[str, Any], named: str):
    folder = edited(tiny_model_folder, tmp_path / "model", "config.json", **change)
    with pytest.raises(EngineError, match=rf"plain models of llama, mistral, qwen2, qwen3, not {named}; use the local engine$"):
        read_form(folder)


def test_a_window_is_where_the_room_ends(tmp_path: Path):
    from transformers import AutoConfig

    def room(kind: str, **changes: Any) -> tuple[int, bool]:
        AutoConfig.for_model(kind, **{**SMALL, "max_position_embeddings": 512, **changes}).save_pretrained(tmp_path)
        form = read_form(tmp_path)
        return token_room(form), form.windowed

    assert room("mistral", sliding_window=64) == (64, True)
    assert room("mistral", sliding_window=None) == (512, False)
    assert room("mistral", sliding_window=4096) == (512, False)
    assert room("qwen2", sliding_window=64) == (512, False)  # it is not in use
    assert room("qwen2", sliding_window=64, use_sliding_window=True, max_window_layers=1) == (64, True)


@needs_extra
def test_weights_that_the_graph_would_leave_out_are_named(model: OpenVinoModel, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = edited(model.folder, tmp_path / "model", "generation_config.json")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model.layers.0.self_attn.q_proj.bias": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(EngineError, match=r"hold model\.layers\.0\.self_attn\.q_proj\.bias, which the openvino engine would leave out"):
        exported(folder, "f16", model.tokenizer)


def test_missing_weights_are_named(tiny_model_folder: Path, tmp_path: Path):
    with pytest.raises(EngineError, match="hold no lm_tail"):
        StoredWeights(tiny_model_folder)("lm_tail.weight")
    with pytest.raises(MissingFileError, match=r"model\.safetensors"):
        weight_files(tmp_path)


def test_the_scale_of_an_adapter_is_peft_s(adapter: Path, tmp_path: Path):
    assert adapter_scale(adapter) == 2.0
    assert adapter_scale(edited(adapter, tmp_path / "a", "adapter_config.json", use_rslora=True)) == 4.0
    for number, change in enumerate([{"rank_pattern": {"q_proj": 2}}, {"peft_type": "IA3"}]):
        assert adapter_scale(edited(adapter, tmp_path / str(number), "adapter_config.json", **change)) is None


@needs_extra
@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [5, 80], "lm_head": [5, 80]}},
        {"target_modules": "all-linear", "use_dora": True},
    ],
    ids=["rows of tokens", "DoRA"],
)
def test_an_adapter_with_more_than_lora_is_merged_once(
    config: dict[str, Any], model: OpenVinoModel, reference: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(2)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(model.folder), LoraConfig(r=4, init_lora_weights=False, **config))
    for name, weight in tuned.named_parameters():
        if "trainable_tokens" in name:
            torch.nn.init.normal_(weight, std=0.3)
    tuned.save_pretrained(tmp_path / "adapter")
    ours = OpenVinoModel(model.folder, weights="f16", adapter=tmp_path / "adapter")
    merged = LocalModel(model.folder, dtype="float32", adapter=tmp_path / "adapter")
    answers = tokens(ours, PROMPTS)
    assert errors(merged.module, answers).mean() < BFLOAT_NOISE
    assert errors(reference.module, answers).mean() > 5 * BFLOAT_NOISE
    (kept,) = (tmp_path / "cache" / "openvino").iterdir()
    before = kept.stat().st_mtime_ns
    assert tokens(OpenVinoModel(model.folder, weights="f16", adapter=tmp_path / "adapter"), PROMPTS[:1])
    assert [one.stat().st_mtime_ns for one in (tmp_path / "cache" / "openvino").iterdir()] == [before]


def test_stop_tokens_come_from_the_generation_config_then_the_config(tiny_model_folder: Path, tmp_path: Path):
    tokenizer = LocalModel(tiny_model_folder).tokenizer
    assert stop_ids(tiny_model_folder, tokenizer) == [2, 0]
    folder = edited(tiny_model_folder, tmp_path / "model", "config.json", eos_token_id=None)
    (folder / "generation_config.json").unlink()
    assert stop_ids(folder, tokenizer) == [tokenizer.eos_token_id]


def test_a_missing_extra_is_named(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(EngineError, match=r"^the openvino engine needs: pip install 'luthier\[openvino\]'$"):
        OpenVinoModel(tiny_model_folder)


@needs_extra
@pytest.mark.weights
def test_the_bundled_model_in_int8_picks_what_transformers_would(bundled_model: LocalModel):
    questions = ["What is the capital of France?", "Name three colours.", "Why is the sky blue?", "Who wrote Hamlet?"]
    answers = tokens(OpenVinoModel(bundled_model.folder), [ask(question) for question in questions], 24)
    assert errors(bundled_model.module, answers).mean() < 0.15
    picked = []
    for before, after, _ in answers:
        with torch.inference_mode():
            best = bundled_model.module(torch.tensor([before + after])).logits[0].argmax(-1)
        picked += [token == int(best[at]) for at, token in enumerate(after, len(before) - 1)]
    assert sum(picked) > 0.85 * len(picked)
