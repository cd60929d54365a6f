"""One row a pair gives what two sequences give: log-probabilities and gradients, for every kernel, padding and kind of pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    MistralForCausalLM,
    MptConfig,
)

from luthier.train.preference.forward import PairCollator, answer_logps, takes_shared_rows

IDS = st.lists(st.integers(3, 40), min_size=1, max_size=7)


def pair(prompt: list[int], chosen: list[int], rejected: list[int]) -> dict[str, Any]:
    marks = {"chosen_diff": [0] * len(chosen), "rejected_diff": [0] * len(rejected)}
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, **marks}


PAIRS = [
    pair([5, 6, 7], [10, 11, 12, 13], [10, 11, 20]),  # a common beginning
    pair([5], [10, 11], [10, 11, 12, 13, 14]),  # chosen is a beginning of rejected
    pair([8, 9, 8, 9, 8], [10, 11, 12], [10]),  # and the other way round
    pair([5, 6], [30], [31]),  # nothing in common
]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32).eval()


def one_by_one(model: Any, pairs: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """The plain way: each sequence alone, without padding or masks."""
    found: dict[str, list[list[float]]] = {"chosen": [], "rejected": []}
    for row in pairs:
        for side, values in found.items():
            ids, start = row["prompt_ids"] + row[f"{side}_ids"], len(row["prompt_ids"])
            logs = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
            values.append([logs[at - 1, ids[at]].item() for at in range(start, len(ids))])
    return found


def assert_equal(model: Any, pairs: list[dict[str, Any]], *, shared: bool, tolerance: float = 2e-5) -> None:
    batch = PairCollator(shared=shared)(pairs)
    with torch.no_grad():
        expected = one_by_one(model, pairs)
        for side, logps in zip(("chosen", "rejected"), answer_logps(model, batch), strict=True):
            for row, values in zip(logps, expected[side], strict=True):
                assert row[: len(values)].tolist() == pytest.approx(values, abs=tolerance)
                assert not row[len(values) :].any()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_log_probabilities_are_those_of_single_sequences(tiny_model_folder: Path, kernel: str, shared: bool):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32, attn_implementation=kernel)
    assert_equal(model.eval(), PAIRS, shared=shared)


def test_flex_attention_takes_its_own_mask(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a compiler at hand the kernel runs uncompiled here; what is tested is the mask."""
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations import flex_attention as integration

    monkeypatch.setattr(
        integration, "compile_friendly_flex_attention", lambda q, k, v, training=False, **rest: flex_attention(q, k, v, **rest)
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32, attn_implementation="flex_attention")
    assert takes_shared_rows(model, 64) == ""
    assert_equal(model.eval(), PAIRS, shared=True)


@settings(max_examples=25)
@given(st.lists(st.tuples(IDS, IDS, IDS, IDS), min_size=1, max_size=3))
def test_any_pairs(model: Any, drawn: list[tuple[list[int], ...]]):
    pairs = [pair(prompt, common + chosen, common + rejected) for prompt, common, chosen, rejected in drawn]
    assert_equal(model, pairs, shared=True)


def test_gradients_are_those_of_two_sequences(tiny_model_folder: Path):
    def gradients(shared: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        chosen, rejected = answer_logps(model, PairCollator(shared=shared)(PAIRS))
        (chosen.sum(-1) - 0.5 * rejected.sum(-1)).sigmoid().sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    one, two = gradients(True), gradients(False)
    assert len(one) == 28
    for name, value in one.items():
        assert (value - two[name]).norm() <= 1e-5 * two[name].norm() + 1e-9, name


def test_only_positions_that_predict_go_through_the_head(model: Any):
    seen: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    answer_logps(model, PairCollator()(PAIRS))
    hook.remove()
    assert seen == [4 + 5 + 3 + 1]  # each token of each pair once, the common ones too, and the last common one for both


SMALL = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1}


def test_kernels_and_windows_that_rule_shared_rows_out_are_named(model: Any):
    assert takes_shared_rows(model, 64) == ""
    config = MistralConfig(**SMALL, intermediate_size=16, num_attention_heads=2, num_key_value_heads=2, sliding_window=16)
    windowed = MistralForCausalLM(config)
    assert "a sliding window of 16 tokens is shorter than the longest" in takes_shared_rows(windowed, 17)
    assert takes_shared_rows(windowed, 16) == ""

    class Flash:
        config = LlamaConfig(**SMALL, intermediate_size=16, num_attention_heads=2)

    Flash.config._attn_implementation = "flash_attention_2"
    assert "flash_attention_2 takes no mask by position" in takes_shared_rows(Flash(), 16)


@pytest.mark.parametrize(
    "config",
    [
        MptConfig(vocab_size=64, d_model=16, n_heads=2, n_layers=2),  # ALiBi counts columns
        GPTNeoConfig(vocab_size=64, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], window_size=4),
        Lfm2Config(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            layer_types=["conv", "full_attention"],
        ),  # convolutions mix neighbours
    ],
    ids=lambda config: config.model_type,
)
def test_a_trial_finds_models_that_see_through_the_mask(config: Any):
    torch.manual_seed(0)
    config.initializer_range = 0.3
    model = AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    assert "trial" in takes_shared_rows(model, 16)
    assert_equal(model.eval(), PAIRS, shared=False, tolerance=1e-4)


def test_other_architectures_pass_the_trial(model: Any):
    torch.manual_seed(0)
    gpt2 = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2))
    assert takes_shared_rows(gpt2, 16) == ""
    assert_equal(gpt2.eval(), PAIRS, shared=True)
