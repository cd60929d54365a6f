"""Fine-tuning on a small random model: what is learned, and that a stopped run continues to the same bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import SettingsError
from luthier.models import Prompt
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.records.calls import render_calls
from luthier.train.sft import SftSettings, encode, train_sft

WEATHER = Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CITIES = ["Oslo", "Zürich", "Lisbon", "Rome", "Paris", "日本"]
SETTINGS = SftSettings(
    rank=4, alpha=8, learning_rate=1e-2, batch_size=4, micro_batch=2, branches=1, sigma=0.05, max_tokens=200, save_steps=2, seed=1
)


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
    return folder, train_sft(ROWS, model, folder, SETTINGS)


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


def stop_at(step: int) -> Callable[[int, int, float], None]:
    def progress(done: int, planned: int, loss: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def killed(model: LocalModel, folder: Path, step: int, settings: SftSettings = SETTINGS) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_sft(ROWS, model, folder, settings, stop_at(step))


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
    assert (result.steps, result.planned_steps, result.too_long, result.adapter) == (6, 6, 0, "adapter")
    assert result.tokens == sum(len(encode(row, model.tokenizer)["input_ids"]) for row in ROWS)
    tuned = LocalModel(model.folder, adapter=folder / "adapter")
    prompts = [Prompt(row.messages[:1], row.tools) for row in ROWS[:6]]
    answers = [render_calls(row.messages[1].tool_calls) for row in ROWS[:6]]
    before = sum(score.total for score in model.score(prompts, answers))
    assert sum(score.total for score in tuned.score(prompts, answers)) > 0.9 * before


def test_conversations_on_the_same_tools_share_rows(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    result = train_sft(ROWS, model, tmp_path, replace(SETTINGS, branches=4, batch_size=2))
    assert (result.steps, result.conversations, result.too_long) == (3, 24, 0)
    assert whole[1].conversations == 24
    assert result.tokens < 0.6 * whole[1].tokens
    assert losses(tmp_path)[-1][1] < losses(tmp_path)[0][1]
    killed(model, tmp_path / "again", 2, replace(SETTINGS, branches=4, batch_size=2))
    train_sft(ROWS, model, tmp_path / "again", replace(SETTINGS, branches=4, batch_size=2))
    assert_same_adapter(tmp_path, tmp_path / "again")


def test_the_adapter_is_float32_and_small(whole: tuple[Path, Any]):
    folder, result = whole
    saved = weights(folder)
    assert {str(weight.dtype) for weight in saved.values()} == {"torch.float32"}
    assert sum(weight.numel() for weight in saved.values()) == result.trainable_parameters
    assert all("lora_" in name for name in saved)


def test_the_same_run_twice_gives_the_same_bits(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    train_sft(ROWS, model, tmp_path, SETTINGS)
    assert_same_adapter(tmp_path, whole[0])
    assert losses(tmp_path) == losses(whole[0])


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_killed_run_continues_to_the_same_bits(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path, step: int):
    """Killed before the first checkpoint, after one, and after the last step but before the adapter is written."""
    killed(model, tmp_path, step)
    assert not (tmp_path / "adapter").exists()
    seen: list[int] = []
    result = train_sft(ROWS, model, tmp_path, SETTINGS, lambda done, planned, loss: seen.append(done))
    assert seen == list(range(step - step % 2 - (step == 6) * 2 + 1, 7))
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
    seen: list[int] = []
    train_sft(ROWS, model, tmp_path, SETTINGS, lambda done, planned, loss: seen.append(done))
    assert seen == [5, 6]
    assert_same_adapter(tmp_path, whole[0])


def test_a_finished_run_is_not_trained_further(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    folder = tmp_path / "again"
    shutil.copytree(whole[0], folder)
    result = train_sft(ROWS, model, folder, SETTINGS, stop_at(7))
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
    result = train_sft(ROWS, model, tmp_path, roomy)
    assert (result.steps, result.planned_steps) == (4, 4)
    assert plan.read_bytes() == kept


def test_a_limit_without_room_still_takes_two_steps(model: LocalModel, tmp_path: Path):
    result = train_sft(ROWS, model, tmp_path, replace(SETTINGS, seconds=1e-6))
    assert result.steps == 2
    assert [step for step, _ in losses(tmp_path)] == [1, 2]


def test_the_noise_changes_what_is_learned_and_zero_is_plain_lora(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    train_sft(ROWS, model, tmp_path, replace(SETTINGS, sigma=0.0))
    assert losses(tmp_path)[0] == losses(whole[0])[0]
    assert losses(tmp_path)[-1] != losses(whole[0])[-1]


def test_rows_that_do_not_fit_are_counted(model: LocalModel, tmp_path: Path):
    long = Conversation((Message("user", "word " * 400), Message("assistant", "Yes.")))
    silent = Conversation((Message("user", "Nobody answers."),))
    result = train_sft([*ROWS[:8], long, silent], model, tmp_path, SETTINGS)
    assert (result.steps, result.too_long) == (2, 2)


def test_rows_of_which_none_fits_are_refused(model: LocalModel, tmp_path: Path):
    with pytest.raises(SettingsError, match="none of 24 rows has assistant tokens within 10 tokens"):
        train_sft(ROWS, model, tmp_path, replace(SETTINGS, max_tokens=10))


def test_a_template_without_generation_markers_is_refused(model: LocalModel, tmp_path: Path):
    folder = tmp_path / "unmarked"
    shutil.copytree(model.folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    with pytest.raises(SettingsError, match="none of 24 rows has assistant tokens"):
        train_sft(ROWS, LocalModel(folder), tmp_path / "run", SETTINGS)


@pytest.mark.parametrize(("batch_size", "micro_batch"), [(4, 3), (2, 4), (4, 0)])
def test_a_batch_that_its_parts_do_not_fill_is_refused(model: LocalModel, tmp_path: Path, batch_size: int, micro_batch: int):
    with pytest.raises(SettingsError, match=f"batch_size {batch_size} is not a multiple of micro_batch {micro_batch}"):
        train_sft(ROWS, model, tmp_path, replace(SETTINGS, batch_size=batch_size, micro_batch=micro_batch))


def test_a_model_that_carries_an_adapter_is_refused(model: LocalModel, whole: tuple[Path, Any], tmp_path: Path):
    """It would be left out silently: training starts from the weights in the folder."""
    tuned = LocalModel(model.folder, adapter=whole[0] / "adapter")
    with pytest.raises(SettingsError, match="has an adapter"):
        train_sft(ROWS, tuned, tmp_path, SETTINGS)
