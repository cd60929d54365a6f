"""The loss monitor in real trainers: what it averages is what the trainer logged, also over a resume, and what it writes is judged."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

from luthier.errors import BadRowError, SettingsError
from luthier.select.ledger import DataFacts, Version, add_version, measure_data, read_ledger
from luthier.select.loss_monitor import EntropyLawCallback, describe_setup, tokens_per_byte

TEXTS = [f"What is the weather in town {number}? It is {number % 7} degrees. " * (1 + number % 3) for number in range(40)]
FACTS = measure_data(TEXTS)


class Steps(TrainerCallback):
    """The loss of every optimizer step, taken from the model's own training steps and not from any log."""

    def __init__(self, stop: int | None = None) -> None:
        self.logged: list[dict[str, Any]] = []
        self.stop = stop

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.logged.append({**logs, "step": state.global_step})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.stop:
            raise KeyboardInterrupt


class Recording(Trainer):
    """A plain Trainer that notes the loss of each of its micro-batches, as it adds them up."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.__dict__.setdefault("parts", []).append((self.state.global_step, float(loss)))
        return loss

    def step_losses(self) -> dict[int, float]:
        """By step, from 1."""
        found: dict[int, float] = {}
        for done, loss in self.__dict__["parts"]:
            found[done + 1] = found.get(done + 1, 0.0) + loss
        return found


@pytest.fixture
def make(tiny_model_folder: Path, tmp_path: Path) -> Callable[..., Recording]:
    """Builds a trainer on 40 rows in batches of 2: 20 steps an epoch without accumulation."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    rows = [tokenizer(text, truncation=True, max_length=60)["input_ids"] for text in TEXTS]

    def collate(batch: list[list[int]]) -> dict[str, torch.Tensor]:
        width = max(map(len, batch))
        ids = torch.tensor([row + [2] * (width - len(row)) for row in batch])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    def make(*callbacks: TrainerCallback, **settings: Any) -> Recording:
        chosen = {"logging_steps": 1, "num_train_epochs": 1, "learning_rate": 1e-3, "save_strategy": "no", "seed": 7, **settings}
        args = TrainingArguments(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=2,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **chosen,
        )
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        return Recording(
            model=model, args=args, train_dataset=rows, data_collator=collate, processing_class=tokenizer, callbacks=list(callbacks)
        )

    return make


def mean(losses: dict[int, float], after: int, last: int) -> float:
    return sum(losses[step] for step in range(after + 1, last + 1)) / (last - after)


def test_a_whole_epoch_is_written_with_its_losses(make: Callable[..., Recording], tmp_path: Path) -> None:
    monitor = EntropyLawCallback(tmp_path / "law.jsonl", FACTS, name="v1")
    trainer = make(monitor, num_train_epochs=2)
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    losses = trainer.step_losses()
    assert len(losses) == 40
    assert version.window == (1, 5)
    assert version.loss == pytest.approx(mean(losses, 1, 5), abs=1e-4)
    assert version.loss_epoch == pytest.approx(mean(losses, 0, 20), abs=1e-4)
    assert (version.name, version.seed, version.rows, version.fingerprint) == ("v1", 7, 40, FACTS.fingerprint)
    assert (version.ratio, version.tokens, version.metric) == (FACTS.ratio, None, None)
    tokenizer = trainer.processing_class
    share = sum(len(tokenizer(text)["input_ids"]) for text in TEXTS) / sum(len(text.encode()) for text in TEXTS)
    assert version.bits_per_byte == pytest.approx(version.loss / math.log(2) * share)
    assert version == monitor.version


@pytest.mark.parametrize("logging_steps", [1, 2])
def test_counted_tokens_weigh_the_logs(make: Callable[..., Recording], tmp_path: Path, logging_steps: int) -> None:
    watch = Steps()
    trainer = make(
        EntropyLawCallback(tmp_path / "law.jsonl", FACTS, window=(0.1, 0.5)),
        watch,
        include_num_input_tokens_seen="non_padding",
        logging_steps=logging_steps,
    )
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    counts = [0] + [row["num_input_tokens_seen"] for row in watch.logged]
    spent = [int(b - a) for a, b in pairwise(counts)]
    inside = [(row["loss"], n) for row, n in zip(watch.logged, spent, strict=True) if 2 < row["step"] <= 10]
    assert version.window == (2, 10)
    assert version.loss == pytest.approx(sum(loss * n for loss, n in inside) / sum(n for _, n in inside))
    assert version.loss != pytest.approx(sum(loss for loss, _ in inside) / len(inside), abs=1e-6)
    assert version.tokens == counts[-1] == sum(len(row) for row in trainer.train_dataset)


def test_accumulated_batches_are_one_step(make: Callable[..., Recording], tmp_path: Path) -> None:
    """20 batches accumulated by 3: 7 steps an epoch, the last of them short."""
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS, window=(0.1, 0.6)), num_train_epochs=2, gradient_accumulation_steps=3)
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    losses = trainer.step_losses()
    assert len(losses) == 14
    assert version.window == (1, 5)
    assert version.loss == pytest.approx(mean(losses, 1, 5), abs=1e-4)
    assert version.loss_epoch == pytest.approx(mean(losses, 0, 7), abs=1e-4)


def test_fewer_steps_than_an_epoch_are_the_epoch(make: Callable[..., Recording], tmp_path: Path) -> None:
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS, window=(0.2, 0.8)), max_steps=5)
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    assert version.window == (1, 4)
    assert version.loss == pytest.approx(mean(trainer.step_losses(), 1, 4), abs=1e-4)
    assert version.loss_epoch == pytest.approx(mean(trainer.step_losses(), 0, 5), abs=1e-4)


def test_the_window_begins_after_the_warmup(make: Callable[..., Recording], tmp_path: Path) -> None:
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS), warmup_steps=6)
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    assert version.window == (6, 10)
    assert version.loss == pytest.approx(mean(trainer.step_losses(), 6, 10), abs=1e-4)


@pytest.mark.parametrize("settings", [{"logging_steps": 10}, {"logging_strategy": "epoch"}, {"logging_strategy": "no"}])
def test_a_trainer_that_logs_too_seldom_is_refused_before_the_first_step(
    make: Callable[..., Recording], tmp_path: Path, settings: dict[str, Any]
) -> None:
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS), **settings)
    with pytest.raises(SettingsError, match=r"the loss window is steps 2 to 5 .* logging_steps=1$"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert not (tmp_path / "law.jsonl").exists()


# Checkpoints at steps that were logged and at one between two logs, within the window, after it, and after a first resume.
@pytest.mark.parametrize("stops", [(4,), (12,), (3, 9)])
@pytest.mark.parametrize("counted", ["no", "non_padding"])
def test_a_resumed_run_writes_what_an_uninterrupted_one_would(
    make: Callable[..., Recording], tmp_path: Path, stops: tuple[int, ...], counted: str
) -> None:
    settings = {"logging_steps": 2, "include_num_input_tokens_seen": counted, "save_strategy": "steps", "save_steps": 1}

    def monitor(name: str) -> EntropyLawCallback:
        return EntropyLawCallback(tmp_path / f"{name}.jsonl", FACTS, window=(0.1, 0.5))

    whole = make(monitor("whole"), **settings)
    whole.train()
    (expected,) = read_ledger(tmp_path / "whole.jsonl")
    parts = dict(whole.step_losses())
    resume: str | None = None
    for stop in stops:
        trainer = make(monitor("law"), Steps(stop + 1), **settings)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=resume)
        resume = str(tmp_path / "out" / f"checkpoint-{stop}")
    assert not (tmp_path / "law.jsonl").exists()
    make(monitor("law"), **settings).train(resume_from_checkpoint=resume)
    (found,) = read_ledger(tmp_path / "law.jsonl")
    assert (found.window, found.group, found.key) == (expected.window, expected.group, expected.key)
    if all(stop % 2 == 0 for stop in stops):
        assert found.loss == pytest.approx(expected.loss, abs=1e-5)
        assert found.loss_epoch == pytest.approx(expected.loss_epoch, abs=1e-5)
        assert found.tokens == expected.tokens
    elif counted == "no":  # steps 3 and 9 were trained before the checkpoint and never logged
        seen = [step for step in range(3, 11) if step not in stops]
        assert found.loss == pytest.approx(sum(parts[step] for step in seen) / len(seen), abs=1e-4)


def test_a_monitor_that_joins_at_a_resume_sees_the_rest_and_saving_goes_on(make: Callable[..., Recording], tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 2}
    with pytest.raises(KeyboardInterrupt):
        make(Steps(5), **settings).train()
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS, window=(0.1, 0.5)), **settings)
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    (version,) = read_ledger(tmp_path / "law.jsonl")
    assert version.loss == pytest.approx(mean(trainer.step_losses(), 4, 10), abs=1e-4)
    assert (tmp_path / "out" / "checkpoint-20" / "trainer_state.json").is_file()


def test_the_state_of_callbacks_may_be_restored_by_the_trainer_itself(make: Callable[..., Recording], tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 4, "restore_callback_states_from_checkpoint": True}
    ledger = tmp_path / "law.jsonl"
    with pytest.raises(KeyboardInterrupt):
        make(EntropyLawCallback(ledger, FACTS), Steps(9), **settings).train()
    make(EntropyLawCallback(ledger, FACTS), **settings).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-8"))
    (version,) = read_ledger(ledger)
    assert version.loss_epoch is not None


def test_a_run_that_is_trained_twice_is_one_version(make: Callable[..., Recording], tmp_path: Path) -> None:
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS))
    trainer.train()
    trainer.train()
    assert len(read_ledger(tmp_path / "law.jsonl")) == 1


class Stop(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


def test_a_run_that_ends_within_the_window_writes_nothing_and_after_it_no_epoch(
    make: Callable[..., Recording], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = tmp_path / "law.jsonl"
    make(EntropyLawCallback(ledger, FACTS), Stop(3)).train()
    assert not ledger.exists()
    assert "the training ended at step 3 and the loss window is steps 2 to 5; nothing was added" in caplog.text
    make(EntropyLawCallback(ledger, FACTS), Stop(15)).train()
    (version,) = read_ledger(ledger)
    assert version.loss_epoch is None
    assert version.tokens is None


@pytest.mark.parametrize("stop_on", [None, "stop"])
def test_a_high_risk_is_logged_and_stops_only_where_that_was_asked_for(
    make: Callable[..., Recording], tmp_path: Path, caplog: pytest.LogCaptureFixture, stop_on: Any
) -> None:
    """A ledger whose only version had a lower ratio and a far lower loss: the pattern of x5."""
    ledger = tmp_path / "law.jsonl"
    ratio = {window: value / 1.1 for window, value in FACTS.ratio.items()}
    add_version(ledger, Version("x4", "mine", "older", 40, ratio, 0.5))
    monitor = EntropyLawCallback(ledger, FACTS, name="x5", group="mine", stop_on=stop_on)
    trainer = make(monitor)
    caplog.set_level(logging.INFO)
    trainer.train()
    said = [record for record in caplog.records if record.getMessage().startswith("entropy law, rule")]
    assert [record.getMessage().split(":")[0] for record in said] == ["entropy law, rule A (warn)", "entropy law, rule A+B (stop)"]
    assert {record.levelno for record in said} == {logging.WARNING}
    assert [alarm.rule for alarm in monitor.alarms] == ["A+B"]
    assert trainer.state.global_step == (5 if stop_on else 20)
    assert [version.name for version in read_ledger(ledger)] == ["x4", "x5"]
    assert (read_ledger(ledger)[1].loss_epoch is None) == (stop_on is not None)


def test_a_damaged_ledger_is_said_before_the_first_step(make: Callable[..., Recording], tmp_path: Path) -> None:
    (tmp_path / "law.jsonl").write_text("{}\n")
    trainer = make(EntropyLawCallback(tmp_path / "law.jsonl", FACTS))
    with pytest.raises(BadRowError, match=r"law.jsonl:1: no name"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_the_group_changes_with_what_changes_the_loss_and_with_nothing_else(make: Callable[..., Recording]) -> None:
    def setup(model: Any = None, **settings: Any) -> Any:
        trainer = make(**settings)
        return describe_setup(trainer.args, model or trainer.model, trainer.processing_class)

    base = setup()
    assert setup(seed=1, logging_steps=3, save_strategy="epoch") == base
    for change in ({"learning_rate": 2e-3}, {"gradient_accumulation_steps": 2}, {"num_train_epochs": 2}, {"warmup_steps": 5}):
        assert setup(**change)["recipe"] != base["recipe"]
    tuned = get_peft_model(make().model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    with_adapter = setup(tuned)
    assert with_adapter["base"] == base["base"]
    assert with_adapter["recipe"]["adapters"]["default"]["target_modules"] == ["q_proj", "v_proj"]
    assert json.loads(json.dumps(with_adapter)) == with_adapter


def test_tokens_a_byte_need_a_sample_and_a_tokenizer(tiny_model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    assert tokens_per_byte(FACTS, None) is None
    assert tokens_per_byte(FACTS._replace(sample=()), tokenizer) is None
    assert tokens_per_byte(DataFacts(1, 4, "f", {"32K": 1.0}, (b"\xff\xfe",)), tokenizer) > 0


def test_in_trls_trainer_the_logged_token_counts_weigh_the_losses(tiny_model_folder: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [{"text": text} for text in TEXTS]
    config = SFTConfig(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        save_strategy="no",
        eval_strategy="steps",
        eval_steps=3,
        report_to="none",
        use_cpu=True,
        bf16=False,
        max_length=32,
        disable_tqdm=True,
        logging_steps=1,
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
    )
    watch = Steps()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:4]),
        processing_class=AutoTokenizer.from_pretrained(tiny_model_folder),
        peft_config=LoraConfig(r=4, target_modules=["q_proj"]),
        callbacks=[EntropyLawCallback(tmp_path / "law.jsonl", rows, name="sft", window=(0.2, 0.8)), watch],
    )
    trainer.train()
    (version,) = read_ledger(tmp_path / "law.jsonl")
    assert version.window == (2, 8)
    counts = [0] + [row["num_tokens"] for row in watch.logged]
    spent = [b - a for a, b in pairwise(counts)]
    inside = [(row["loss"], n) for row, n in zip(watch.logged, spent, strict=True) if 2 < row["step"] <= 8]
    assert version.loss == pytest.approx(sum(loss * n for loss, n in inside) / sum(n for _, n in inside))
    assert version.tokens == counts[10]
    assert version.setup["sequence_length"] == 32
    assert set(version.setup["recipe"]["adapters"]) == {"default"}
    assert version.fingerprint == FACTS.fingerprint
