"""Supervised fine-tuning with LoRA by TRL's SFTTrainer, on assistant tokens only, fitted to a time limit.

The base stays in bf16 where the device computes it fast, the adapters in float32, under autocast; no gradient checkpointing. Rows are tokenised here with the model's
own chat template, because Arrow tables cannot hold arguments of differing shapes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from transformers import TrainerCallback

from luthier.errors import DiskError, SettingsError
from luthier.models.local import LocalModel
from luthier.records import JSON, Conversation
from luthier.records.files import atomic_write
from luthier.train.flat import BackendName
from luthier.train.shared_prompts import collate, share_prompts

FULL = 4 << 20  # bytes: less free space than a checkpoint part needs
ROW_TOKENS = 2  # a row with a shared prompt may be so many times `max_tokens` long
PLAN, METRICS = "plan.json", "metrics.jsonl"
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class SftSettings:
    """Settings of a LoRA run; the rank, scale and schedule of ToolACE (arXiv 2409.00920, sec. 4), a rate for small models.

    sigma: Flat-LoRA noise, 0 for plain LoRA; backend: how it is drawn. seconds: time limit of the training loop; the number of steps is fitted to it.
    max_tokens: longer conversations are left out. branches: conversations with the same tools and system message that one row holds, so
    that what they share is read once (1: none); batch_size and micro_batch count rows.
    """

    rank: int = 16
    alpha: int = 32
    learning_rate: float = 1e-3
    batch_size: int = 4
    micro_batch: int = 2
    branches: int = 1
    epochs: float = 1.0
    warmup: float = 0.1
    sigma: float = 0.05
    backend: BackendName = "auto"
    seconds: float | None = None
    max_tokens: int = 320
    save_steps: int = 20
    seed: int = 0


@dataclass(frozen=True)
class SftResult:
    """What a run did. conversations: how many it learned from; tokens: positions read, padding left out."""

    steps: int
    planned_steps: int
    conversations: int
    tokens: int
    seconds: float
    tokens_per_second: float
    precision: str
    trainable_parameters: int
    too_long: int
    adapter: str


def encode(conversation: Conversation, tokenizer: Any) -> dict[str, list[int]]:
    """`input_ids` and `labels` of a conversation; labels are -100 outside what the assistant says."""
    row = conversation.to_row()
    made = tokenizer.apply_chat_template(
        row["messages"], tools=row.get("tools"), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    labels = [token if mask else -100 for token, mask in zip(made["input_ids"], made["assistant_masks"], strict=True)]
    return {"input_ids": list(made["input_ids"]), "labels": labels}


def train_sft(
    conversations: Sequence[Conversation],
    model: LocalModel,
    folder: Path,
    settings: SftSettings = SftSettings(),
    progress: Progress | None = None,
) -> SftResult:
    """Train an adapter on the conversations and save it, with the tokenizer, as `folder/adapter`.

    Checkpoints every `save_steps`; the same call continues a stopped run. progress gets (steps done, steps planned, loss).
    Raises SettingsError where no row fits into `max_tokens`, the template has no generation markers, a batch is not whole micro-batches,
    or the model already carries an adapter.
    """
    _check(model, settings)
    rows = _rows(conversations, model, settings)
    if not rows:
        raise SettingsError(
            f"none of {len(conversations)} rows has assistant tokens within {settings.max_tokens} tokens; nothing to train on"
        )
    too_long = len(conversations) - sum(map(_conversations, rows))
    ordered = _by_length(rows, settings)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(ordered, model, folder, settings, progress)
    latest = latest_checkpoint(folder / "checkpoints")
    adapter = folder / "adapter"
    with full_disk_named(folder):
        trainer.train(resume_from_checkpoint=latest)
        trainer.model.save_pretrained(str(adapter))
        model.tokenizer.save_pretrained(adapter)
    return _result(trainer, folder, too_long, adapter)


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raises DiskError where the disk of `folder` is full: torch and safetensors name that in words of their own."""
    try:
        yield
    except Exception as problem:
        if shutil.disk_usage(folder).free < FULL:
            raise DiskError(f"{folder}: no space left for checkpoints; free some and run the same command again") from problem
        raise


def _check(model: LocalModel, settings: SftSettings) -> None:
    if settings.micro_batch < 1 or settings.batch_size < 1 or settings.batch_size % settings.micro_batch:
        raise SettingsError(f"batch_size {settings.batch_size} is not a multiple of micro_batch {settings.micro_batch}; change one of them")
    if model.adapter is not None:
        raise SettingsError(f"{model.name} has an adapter, which training would leave out; merge it into a folder first")


def _rows(conversations: Sequence[Conversation], model: LocalModel, settings: SftSettings) -> list[dict[str, list[int]]]:
    """Encoded conversations that can be trained on; those on the same tools and system message share a row."""
    encoded = [(conversation, encode(conversation, model.tokenizer)) for conversation in conversations]
    kept = [
        (json.dumps([conversation.to_row().get("tools"), _system(conversation)]), row)
        for conversation, row in encoded
        if len(row["input_ids"]) <= settings.max_tokens and any(label >= 0 for label in row["labels"])
    ]
    return share_prompts(
        [row for _, row in kept], [key for key, _ in kept], branches=settings.branches, tokens=ROW_TOKENS * settings.max_tokens
    )


def _system(conversation: Conversation) -> str | None:
    first = conversation.messages[0]
    return first.content if first.role == "system" else None


def _conversations(row: dict[str, list[int]]) -> int:
    return max(1, *row["branch"])


def _by_length(rows: list[dict[str, list[int]]], settings: SftSettings) -> list[dict[str, list[int]]]:
    """Rows in training order: shuffled, then batches of like length in random order, so that padding costs little."""
    random = Random(settings.seed)
    order: list[dict[str, list[int]]] = []
    whole, part = divmod(settings.epochs, 1)
    for share in [1.0] * int(whole) + ([part] if part else []):
        epoch = random.sample(rows, max(1, round(len(rows) * share)))
        size = settings.batch_size
        for start in range(0, len(epoch), size * 8):
            window = sorted(epoch[start : start + size * 8], key=lambda row: len(row["input_ids"]))
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            random.shuffle(batches)
            order += [row for batch in batches for row in batch]
    return order


def _trainer(rows: list[dict[str, list[int]]], model: LocalModel, folder: Path, settings: SftSettings, progress: Progress | None) -> Any:
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, PrinterCallback, set_seed
    from trl import SFTConfig

    from luthier.train.answer_head import answer_head_trainer
    from luthier.train.flat import FlatLoraCallback
    from luthier.train.plan import planned_steps

    set_seed(settings.seed)
    dtype = model.training_dtype
    base = AutoModelForCausalLM.from_pretrained(model.folder, dtype=dtype, local_files_only=True)
    lora = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(LINEAR_LAYERS), task_type="CAUSAL_LM")
    peft_model = get_peft_model(base, lora, autocast_adapter_dtype=True)
    planned = planned_steps(
        peft_model,
        rows,
        folder / PLAN,
        seconds=settings.seconds,
        batch_size=settings.batch_size,
        micro_batch=settings.micro_batch,
        sigma=settings.sigma,
        backend=settings.backend,
    )
    config = SFTConfig(
        output_dir=str(folder / "checkpoints"),
        max_steps=planned,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch_size // settings.micro_batch,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(settings.warmup * planned)),
        max_grad_norm=1.0,
        bf16=dtype is torch.bfloat16,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        max_length=None,
        logging_steps=1,
        save_steps=settings.save_steps,
        save_total_limit=1,
        report_to="none",
        seed=settings.seed,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
    )
    callbacks = [MetricsCallback(folder / METRICS, progress)]
    if settings.sigma > 0:
        callbacks.append(FlatLoraCallback(settings.sigma, seed=settings.seed, backend=settings.backend))
    trainer = answer_head_trainer()(
        model=peft_model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=model.tokenizer,
        data_collator=partial(collate, padding=model.tokenizer.pad_token_id or 0, multiple=16),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def latest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; one that a kill cut short lacks its state file, or the end of it, and is passed over."""
    found = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _result(trainer: Any, folder: Path, too_long: int, adapter: Path) -> SftResult:
    rows = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    seconds = sum(row["seconds"] for row in rows)
    used = trainer.train_dataset.select(
        range(
            min(
                len(trainer.train_dataset),
                trainer.state.max_steps * trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps,
            )
        )
    )
    tokens = sum(len(ids) for ids in used["input_ids"])
    conversations = sum(max(1, *branch) for branch in used["branch"])
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    steps = trainer.state.global_step
    return SftResult(
        steps,
        trainer.state.max_steps,
        conversations,
        tokens,
        seconds,
        tokens / seconds if seconds else 0.0,
        "bf16, adapters float32" if trainer.args.bf16 else "float32",
        trainable,
        too_long,
        adapter.name,
    )


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes one row a step to metrics.jsonl; on resume, rows after the checkpoint are dropped first."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self.path, self.progress, self.started = path, progress, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= state.global_step]
        with atomic_write(self.path) as stream:
            stream.writelines(f"{line}\n" for line in kept)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: JSON | None = None, **kwargs: Any) -> None:
        if logs is None or "loss" not in logs:
            return
        row = {"step": state.global_step, "loss": logs["loss"], "learning_rate": logs["learning_rate"]}
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        row |= {name: value for name, value in logs.items() if "/" in name}  # rewards of preference pairs
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, logs["loss"])
