"""Fine-tuning with TRL's and PEFT's own settings: each way to flat minima trains, resumes to the same bits, and says what is wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers.integrations import is_deepspeed_zero3_enabled

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message
from luthier.train.settings import Method
from luthier.train.sft import SftSettings, encode, fine_tune
from luthier.train.sharpness import mean_loss
from luthier.train.start import adapted_model
from training_progress import Watched

COLOURS = ["red", "green", "blue", "grey", "pink", "black"]


def dialogue(number: int) -> Conversation:
    colour = COLOURS[number % len(COLOURS)]
    return Conversation((Message("user", f"Paint it {colour} {number}"), Message("assistant", f"It is {colour}.")))


ROWS = [dialogue(number) for number in range(16)]
SETTINGS = SftSettings(
    sft={"learning_rate": 1e-2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "save_steps": 2}, lora={"r": 4}, seed=1
)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_learns_and_leaves_an_adapter_that_loads(model: LocalModel, tmp_path: Path, method: Any):
    result = fine_tune(ROWS, model, tmp_path, replace(SETTINGS, method=method), evaluation=ROWS[:4])
    assert (result.steps, result.rows, result.left_out) == (4, 16, 0)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    rows = [encode(row, model.tokenizer) for row in ROWS]
    before, after = (mean_loss(adapted_model(model, name).eval(), rows) for name in (None, str(tmp_path / "adapter")))
    assert after < 0.9 * before
    assert result.eval_loss == pytest.approx(mean_loss(adapted_model(model, str(tmp_path / "adapter")).eval(), rows[:4]), rel=0.3)
    assert not [name for name in weights(tmp_path) if "base_layer" in name]


@pytest.mark.parametrize("method", ["flat", "neftune", "lora-sam"])
def test_a_stopped_run_continues_to_the_same_bits(model: LocalModel, tmp_path: Path, method: Any):
    settings = replace(SETTINGS, method=method)
    fine_tune(ROWS, model, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(ROWS, model, tmp_path / "cut", settings, progress=Watched(3))
    fine_tune(ROWS, model, tmp_path / "cut", settings)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []


def test_settings_of_trl_and_peft_reach_them(model: LocalModel, tmp_path: Path):
    sft = {
        "max_steps": 2,
        "packing": True,
        "max_length": 64,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 1,
    }
    fine_tune(ROWS, model, tmp_path, SftSettings(sft=sft, lora={"use_dora": True, "r": 2, "target_modules": ["q_proj"]}))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["use_dora"], config["r"], config["target_modules"]) == (True, 2, ["q_proj"])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == [1e-3, 1e-3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sft": {"learning_rte": 1}}, r"sft.learning_rte is not a setting; did you mean learning_rate\?"),
        ({"sft": {"chat_template_path": "x.jinja"}}, "sft.chat_template_path has no effect here"),
        ({"seconds": 9.0, "sft": {"train_sampling_strategy": "random"}}, "sft.train_sampling_strategy is set by --seconds"),
        ({"lora": {"zzzz": 1}}, "lora.zzzz is not a setting; see the fields of peft.LoraConfig"),
        ({"flat": {"bakend": "table"}}, r"flat.bakend is not a setting; did you mean backend\?"),
        ({"sft": {"output_dir": "x"}}, "sft.output_dir is not a setting"),
        ({"method": "none", "flat": {"backend": "table"}}, "settings of flat are given, but the method is none"),
        ({"method": "sgd"}, "--method is 'sgd'; choose one of flat, none, neftune, lora-sam, bi-lora"),
        ({"method": "neftune", "sigma": 0.1}, "--flat is 0.1, but the method is neftune"),
        ({"strength": 0.1}, "the sigma of its noise is --flat"),
        ({"sft": {"max_length": 3}}, "none of 16 rows has an assistant turn within 3 tokens"),
        ({"sft": {"eval_strategy": "sometimes"}}, "TRL refuses these settings"),
        ({"lora": {"target_modules": ["nowhere"]}}, "refuses these settings: .*nowhere"),
        ({"sft": {"per_device_train_batch_size": "abc"}}, "sft.per_device_train_batch_size is abc; give a whole number"),
        ({"sft": {"per_device_train_batch_size": 0}}, "sft.per_device_train_batch_size is 0; give a number from 1"),
        ({"sft": {"learning_rate": math.inf}}, "sft.learning_rate is inf; give a number"),
        ({"sft": {"packing": "maybe"}}, "sft.packing is 'maybe'; it is either true or false"),
        ({"sft": {"report_to": "wandb"}}, "refuses these settings: .*wandb"),
        ({"sft": {"deepspeed": "x"}}, "refuses these settings: "),
        ({"lora": {"r": 10**10}}, "lora.r is 10000000000; give a number from 1 up to 65,536"),
        ({"learning_rate": 1e-3, "sft": {"learning_rate": 1e-4}}, "which are one setting; give one of them"),
    ],
)
def test_wrong_settings_are_one_clear_line(model: LocalModel, tmp_path: Path, settings: dict[str, Any], message: str):
    with pytest.raises(SettingsError, match=message) as caught:
        fine_tune(ROWS, model, tmp_path, SftSettings(**settings))
    assert "\n" not in str(caught.value)
    assert not is_deepspeed_zero3_enabled()  # a refused configuration, which the error still holds, would meet the next model


@pytest.fixture(scope="module")
def mixture(model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import MixtralConfig, MixtralForCausalLM

    folder = tmp_path_factory.mktemp("experts")
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.5, "output_router_logits": True}
    config = MixtralConfig(vocab_size=len(model.tokenizer), initializer_range=0.2, **sizes, **experts)
    MixtralForCausalLM(config).save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def balanced(mixture: Path, out: Path, rows: list[Conversation] = ROWS, accumulated: int = 1, **sft: Any) -> float:
    sft = {"max_steps": 1, "per_device_train_batch_size": 4, "gradient_accumulation_steps": accumulated, **sft}
    settings = SftSettings(sigma=0.0, lora={"target_modules": ["q_proj"]}, sft=sft)
    return fine_tune(rows, LocalModel(mixture, dtype="float32"), out, settings).loss


@pytest.mark.parametrize("accumulated", [1, 2])
def test_experts_are_balanced_as_trl_does_it(mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulated: int):
    from trl import SFTTrainer

    coefs = {"none": {"router_aux_loss_coef": 0.0}, "usual": {}, "large": {"router_aux_loss_coef": 5.0}}
    losses = {name: balanced(mixture, tmp_path / name, accumulated=accumulated, **coef) for name, coef in coefs.items()}
    assert losses["none"] + 0.3 < losses["usual"] < losses["large"] - 3
    monkeypatch.setattr("luthier.train.answer_head.answer_head_trainer", lambda: SFTTrainer)
    for name, coef in coefs.items():
        theirs = balanced(mixture, tmp_path / f"{name}-trl", accumulated=accumulated, **coef)
        assert losses[name] == pytest.approx(theirs, abs=1e-5), name


def test_weights_of_turns_reach_a_mixture_of_experts(mixture: Path, tmp_path: Path):
    def weighed(first: float) -> list[Conversation]:
        return [
            replace(row, messages=(row.messages[0], replace(row.messages[1], weight=first if number else 1.0)))
            for number, row in enumerate(ROWS[:2])
        ]

    plain, none, half = (balanced(mixture, tmp_path / str(first), weighed(first)) for first in (1.0, 0.0, 0.5))
    assert min(plain, none) < half < max(plain, none)


def test_shared_rows_and_the_balance_of_experts_do_not_go_together(mixture: Path, tmp_path: Path):
    settings = SftSettings(sigma=0.0, branches=2, lora={"target_modules": ["q_proj"]})
    with pytest.raises(SettingsError, match=r"^--branches reads rows by masks .* balances experts .* set sft.router_aux_loss_coef=0"):
        fine_tune(ROWS, LocalModel(mixture, dtype="float32"), tmp_path / "refused", settings)
    off = replace(settings, sft={"router_aux_loss_coef": 0.0, "max_steps": 1})
    assert fine_tune(ROWS, LocalModel(mixture, dtype="float32"), tmp_path / "off", off).loss > 0


def test_evaluation_rows_that_do_not_fit_are_counted_and_not_passed_over(model: LocalModel, tmp_path: Path):
    long = Conversation((Message("user", "word " * 900), Message("assistant", "Yes.")))
    short = replace(SETTINGS, sft={**SETTINGS.sft, "max_steps": 1, "max_length": 100})
    assert fine_tune(ROWS, model, tmp_path / "a", short, evaluation=[*ROWS[:2], long]).eval_left_out == 1
    with pytest.raises(SettingsError, match="none of 1 rows has an assistant turn within 100 tokens; nothing to evaluate"):
        fine_tune(ROWS, model, tmp_path / "b", short, evaluation=[long])


def test_a_folder_without_an_adapter_or_of_another_model_is_named(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"no adapter_config.json there; give a PEFT adapter folder"):
        adapted_model(model, str(tmp_path))
