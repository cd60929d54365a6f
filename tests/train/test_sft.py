"""Fine-tuning on a small random model: what is learned, and that a stopped run continues to the same bits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import SettingsError
from luthier.models import Prompt
from luthier.models.chat_template import without_markers
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.records.calls import render_calls
from luthier.train.sft import SftSettings, encode, fine_tune, fine_tune_rows
from training_progress import Watched

WEATHER = Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CITIES = ["Oslo", "Zürich", "Lisbon", "Rome", "Paris", "日本"]
BATCH = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
SFT = {**BATCH, "max_length": 200, "save_steps": 2, "warmup_steps": 0.1}
SETTINGS = SftSettings(rank=4, lora={"lora_alpha": 8}, learning_rate=1e-2, sigma=0.05, by_length=True, sft=SFT, seed=1)
SHARED = replace(SETTINGS, branches=4, sft={**SFT, "gradient_accumulation_steps": 1})


def dialogue(number: int) -> Conversation:
    city = CITIES[number % len(CITIES)]
    question = "Please tell me. " * (number % 4) + f"What is the weather in {city}?"
    call = ToolCall("get_weather", {"city": city})
    return Conversation((Message("user", question), Message("assistant", tool_calls=(call,))), (WEATHER,))


ROWS = [dialogue(number) for number in range(24)]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="bfloat16")


@pytest.fixture(scope="module")
def whole(model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run of six steps that nothing interrupts, and its result."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, fine_tune(ROWS, model, folder, SETTINGS)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def assert_same_adapter(a: Path, b: Path) -> None:
    import torch

    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def killed(model: LocalModel, folder: Path, step: int, settings: SftSettings = SETTINGS) -> None:
    with pytest.raises(KeyboardInterrupt):
        fine_tune(ROWS, model, folder, settings, progress=Watched(step))


def test_only_what_the_assistant_says_is_learned(model: LocalModel):
    call = ToolCall("get_weather", {"city": "Zürich 🎻"})
    messages = (
        Message("system", "Be brief."),
        Message("user", "assistant?"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", '{"sky": "clear"}'),
        Message("assistant", "It is clear."),
        Message("user", "Thanks."),
        Message("assistant", "Bye!"),
    )
    row = encode(Conversation(messages, (WEATHER,)), model.tokenizer)
    said = "".join(model.tokenizer.decode([token]) if token >= 0 else "¦" for token in row["labels"])
    assert model.tokenizer.decode([token for token in row["labels"] if token >= 0]) == (
        f"{render_calls([call])}<|im_end|>It is clear.<|im_end|>Bye!<|im_end|>"
    )
    assert len([run for run in said.split("¦") if run]) == 3
    assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))


def test_a_run_learns_its_answers(model: LocalModel, whole: tuple[Path, Any]):
    folder, result = whole
    assert [step for step, _ in losses(folder)] == [1, 2, 3, 4, 5, 6]
    assert losses(folder)[-1][1] < 0.9 * losses(folder)[0][1]
    assert (result.steps, result.planned_steps, result.left_out, result.made) == (6, 6, 0, "adapter")
    assert result.tokens == sum(len(encode(row, model.tokenizer)["input_ids"]) for row in ROWS)
    tuned = LocalModel(model.folder, adapter=folder / "adapter")
    prompts = [Prompt(row.messages[:1], row.tools) for row in ROWS[:6]]
    answers = [render_calls(row.messages[1].tool_calls) for row in ROWS[:6]]
    before = sum(score.total for score in model.score(prompts, answers))
    assert sum(score.total for score in tuned.score(prompts, answers)) > 0.9 * before


def test_conversations_on_the_same_tools_share_rows(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    result = fine_tune(ROWS, model, tmp_path, SHARED)
    assert (result.steps, result.rows, result.left_out) == (3, 24, 0)
    assert whole[1].rows == 24
    assert result.tokens < 0.6 * whole[1].tokens
    assert losses(tmp_path)[-1][1] < losses(tmp_path)[0][1]
    killed(model, tmp_path / "again", 2, SHARED)
    fine_tune(ROWS, model, tmp_path / "again", SHARED)
    assert_same_adapter(tmp_path, tmp_path / "again")


def test_the_adapter_is_float32_and_small(whole: tuple[Path, Any]):
    folder, result = whole
    saved = weights(folder)
    assert {str(weight.dtype) for weight in saved.values()} == {"torch.float32"}
    assert sum(weight.numel() for weight in saved.values()) == result.trainable_parameters
    assert all("lora_" in name for name in saved)


def test_the_same_run_twice_gives_the_same_bits(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    fine_tune(ROWS, model, tmp_path, SETTINGS)
    assert_same_adapter(tmp_path, whole[0])
    assert losses(tmp_path) == losses(whole[0])


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_killed_run_continues_to_the_same_bits(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path, step: int):
    """Killed before the first checkpoint, after one, and after the last step but before the adapter is written."""
    killed(model, tmp_path, step)
    assert not (tmp_path / "adapter").exists()
    watch = Watched()
    result = fine_tune(ROWS, model, tmp_path, SETTINGS, progress=watch)
    assert watch.seen == list(range(step - step % 2 - (step == 6) * 2 + 1, 7))
    assert_same_adapter(tmp_path, whole[0])
    assert losses(tmp_path) == losses(whole[0])
    assert (result.steps, result.tokens) == (whole[1].steps, whole[1].tokens)


def test_a_half_written_checkpoint_is_passed_over(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    killed(model, tmp_path, 5)
    checkpoints = tmp_path / "checkpoints"
    assert [path.name for path in checkpoints.glob("checkpoint-*")] == ["checkpoint-4"]
    shutil.copytree(checkpoints / "checkpoint-4", checkpoints / "checkpoint-5")
    (checkpoints / "checkpoint-5" / "trainer_state.json").unlink()
    shutil.copytree(checkpoints / "checkpoint-4", checkpoints / "checkpoint-6")
    state = checkpoints / "checkpoint-6" / "trainer_state.json"
    state.write_bytes(state.read_bytes()[:100])
    watch = Watched()
    fine_tune(ROWS, model, tmp_path, SETTINGS, progress=watch)
    assert watch.seen == [5, 6]
    assert_same_adapter(tmp_path, whole[0])


@pytest.mark.parametrize("part", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_checkpoint_without_a_part_is_passed_over_and_that_is_said(
    model: LocalModel, whole: tuple[Path, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, part: str, cut: bool
):
    """The older one is taken; without one, training starts again. Either way the bits are those of the run that nothing stopped."""
    killed(model, tmp_path, 5, SETTINGS if cut else replace(SETTINGS, sft={**SFT, "save_total_limit": 2}))
    checkpoint = tmp_path / "checkpoints" / "checkpoint-4"
    held = (checkpoint / part).read_bytes()
    (checkpoint / part).unlink()
    if cut:
        (checkpoint / part).write_bytes(held[: len(held) // 2])
    watch = Watched()
    fine_tune(ROWS, model, tmp_path, SETTINGS if cut else replace(SETTINGS, sft={**SFT, "save_total_limit": 2}), progress=watch)
    assert watch.seen == ([1, 2, 3, 4, 5, 6] if cut else [3, 4, 5, 6])
    assert_same_adapter(tmp_path, whole[0])
    assert losses(tmp_path) == losses(whole[0])
    assert f"{checkpoint}: is no whole checkpoint (" in caplog.text


def test_checkpoints_without_what_a_run_goes_on_with_are_refused(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match="save_only_model leaves out"):
        fine_tune(ROWS, model, tmp_path, SftSettings(sft={"save_only_model": True}))


def test_a_finished_run_is_not_trained_further(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    folder = tmp_path / "again"
    shutil.copytree(whole[0], folder)
    result = fine_tune(ROWS, model, folder, SETTINGS, progress=Watched(7))
    assert result.steps == 6
    assert_same_adapter(folder, whole[0])
    assert losses(folder) == losses(whole[0])


def test_a_time_limit_plans_steps_once(model: LocalModel, tmp_path: Path):
    roomy = replace(SETTINGS, seconds=3600.0)
    killed(model, tmp_path, 3, roomy)
    plan = tmp_path / "plan.json"
    assert json.loads(plan.read_text())["planned_steps"] == 6
    plan.write_text(plan.read_text().replace('"planned_steps": 6', '"planned_steps": 4'))
    kept = plan.read_bytes()
    result = fine_tune(ROWS, model, tmp_path, roomy)
    assert (result.steps, result.planned_steps) == (4, 4)
    assert plan.read_bytes() == kept


def test_a_limit_without_room_still_takes_two_steps(model: LocalModel, tmp_path: Path):
    result = fine_tune(ROWS, model, tmp_path, replace(SETTINGS, seconds=1e-6))
    assert result.steps == 2
    assert [step for step, _ in losses(tmp_path)] == [1, 2]


def test_a_slow_machine_makes_the_steps_that_teach(model: LocalModel, tmp_path: Path):
    result = fine_tune(ROWS, model, tmp_path, replace(SETTINGS, seconds=1e-6, least_steps=4))
    assert (result.steps, result.planned_steps) == (4, 4)


def test_the_noise_changes_what_is_learned_and_zero_is_plain_lora(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    fine_tune(ROWS, model, tmp_path, replace(SETTINGS, sigma=0.0))
    assert losses(tmp_path)[0] == losses(whole[0])[0]
    assert losses(tmp_path)[-1] != losses(whole[0])[-1]


def test_rows_that_do_not_fit_are_counted(model: LocalModel, tmp_path: Path):
    long = Conversation((Message("user", "word " * 400), Message("assistant", "Yes.")))
    silent = Conversation((Message("user", "Nobody answers."),))
    result = fine_tune([*ROWS[:8], long, silent], model, tmp_path, SETTINGS)
    assert (result.steps, result.left_out) == (2, 2)


def test_rows_of_which_none_fits_are_refused(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match="none of 24 rows has an assistant turn within 10 tokens"):
        fine_tune(ROWS, model, tmp_path, replace(SETTINGS, sft={**SFT, "max_length": 10}))


def test_a_template_without_generation_markers_teaches_the_same(model: LocalModel, tmp_path: Path):
    folder = tmp_path / "unmarked"
    shutil.copytree(model.folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text(without_markers(template.read_text()))
    other = LocalModel(folder).tokenizer
    assert [encode(row, other) for row in ROWS] == [encode(row, model.tokenizer) for row in ROWS]


@pytest.mark.parametrize("asked", [{"by_length": True}, {"seconds": 60.0}, {"branches": 2}])
@pytest.mark.parametrize("other", ["packing", "use_liger_kernel", "padding_free"])
def test_a_loss_of_another_kind_and_batches_of_ours_exclude_each_other(
    model: LocalModel, tmp_path: Path, asked: dict[str, Any], other: str
):
    with pytest.raises(SettingsError, match=f"sft.{other} brings a loss of its own") as caught:
        fine_tune(ROWS, model, tmp_path / "run", SftSettings(sft={other: True}, **asked))
    assert f"--{next(iter(asked)).replace('_', '-')}" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_rows_without_conversations_share_nothing(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match="only conversations tell what they share"):
        fine_tune_rows([encode(row, model.tokenizer) for row in ROWS], model, tmp_path, SHARED)


def test_an_adapter_is_trained_further(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    tuned = LocalModel(model.folder, adapter=whole[0] / "adapter", dtype="bfloat16")
    more = replace(SETTINGS, rank=None, lora={})
    result = fine_tune(ROWS, tuned, tmp_path, more)
    assert result.loss < whole[1].loss
    assert weights(tmp_path).keys() == weights(whole[0]).keys()
    with pytest.raises(SettingsError, match="has settings of its own"):
        fine_tune(ROWS, tuned, tmp_path / "other", SETTINGS)


def test_weights_that_are_not_finite_are_never_saved(model: LocalModel, tmp_path: Path):
    wild = replace(SETTINGS, learning_rate=100.0, sft={**SFT, "weight_decay": 1e30, "lr_scheduler_type": "constant"})
    with pytest.raises(SettingsError, match=r"not finite after it, so nothing is saved; the learning rate \(100\) is likely too high"):
        fine_tune(ROWS * 4, model, tmp_path, wild)
    assert not (tmp_path / "adapter").exists()


@pytest.fixture(scope="module")
def unlearned_end(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """The model, whose token that ends a turn has the row of all that was never learned."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("unlearned") / "model"
    shutil.copytree(tiny_model_folder, folder)
    weights = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        weights.lm_head.weight[-24:] = weights.lm_head.weight[2]
    weights.save_pretrained(folder)
    return LocalModel(folder, dtype="bfloat16")


@pytest.mark.parametrize("ordered", [False, True])
def test_a_mark_that_the_model_never_learned_gets_a_row_of_its_own(
    unlearned_end: LocalModel, tmp_path: Path, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    settings = replace(SETTINGS, by_length=ordered, sft={**SFT, "max_steps": 30})
    made = fine_tune(ROWS[:6], unlearned_end, tmp_path, settings)
    found = {name: weight for name, weight in weights(tmp_path).items() if "trainable_tokens" in name}
    assert {name.rpartition("model.")[2].partition(".")[0] for name in found} == {"embed_tokens", "lm_head"}
    assert {tuple(weight.shape) for weight in found.values()} == {(1, 64)}
    assert "never learned the tokens <|im_end|>" in caplog.text
    tuned = LocalModel(unlearned_end.folder, adapter=tmp_path / "adapter", dtype="bfloat16")
    prompt = Prompt(ROWS[0].messages[:1], ROWS[0].tools)
    assert tuned.generate([prompt])[0].finish == "stop"
    assert made.loss < 20


def test_rows_of_marks_stay_where_that_is_said(unlearned_end: LocalModel, tmp_path: Path) -> None:
    settings = replace(SETTINGS, lora={"lora_alpha": 8, "trainable_token_indices": []}, sft={**SFT, "max_steps": 2})
    fine_tune(ROWS[:6], unlearned_end, tmp_path, settings)
    assert not [name for name in weights(tmp_path) if "trainable_tokens" in name]
