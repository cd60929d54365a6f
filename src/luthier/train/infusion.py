"""Infusing facts into a model's weights: continued pre-training on their statements, then supervised fine-tuning on what to do with them (arXiv 2405.19010).

Both stages are `fine_tune_rows`: LoRA, Flat-LoRA or all weights. The second stage builds on what the first one made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.records import JSON, Conversation
from luthier.records.fusion_suite import Stage
from luthier.train.fine_tune import FineTuneSettings, Method, Progress, fine_tune_rows
from luthier.train.sft import encode

Way = Literal["full", "lora", "flat"]
END = "<|endoftext|>"
WAYS: tuple[Way, ...] = ("lora", "flat", "full")
Row = dict[str, list[int]]
EPOCHS: dict[Stage, float] = {"continued": 14, "supervised": 3}
ROWS: dict[Stage, int] = {"continued": 2, "supervised": 4}  # of a step: many small steps store more than few large ones
RATES: dict[Way, float] = {"full": 1e-4, "lora": 1e-3, "flat": 1e-3}


@dataclass(frozen=True)
class InfusionSettings:
    """way: all weights, LoRA, or LoRA towards flat minima. general: share of the tokens of continued pre-training that are general text, against
    forgetting. pack: tokens of a row of statements. continued, supervised: fields of `trl.SFTConfig` for each stage; lora: of `peft.LoraConfig`."""

    way: Way = "lora"
    general: float = 0.2
    pack: int = 160
    continued: JSON = field(default_factory=dict)
    supervised: JSON = field(default_factory=dict)
    lora: JSON = field(default_factory=dict)
    seed: int = 0


def infuse(
    stage: Stage,
    model: LocalModel,
    folder: Path,
    settings: InfusionSettings = InfusionSettings(),
    *,
    statements: Sequence[str] = (),
    conversations: Sequence[Conversation] = (),
    general: Sequence[Conversation] = (),
    progress: Progress | None = None,
) -> JSON:
    """Train one stage in `folder`, which then holds `adapter` or `model`; the same call continues a stopped one.

    continued: learns `statements`, mixed with `general`; supervised: learns what the assistant says in `conversations`. Returns what was done.
    Raises SettingsError where there is nothing to learn or a setting has no meaning.
    """
    check_infusion(settings)
    if stage == "continued":
        rows = statement_rows(statements, model.tokenizer, settings.pack)
        mixed = general_rows(general, rows, model.tokenizer, settings)
    else:
        rows, mixed = [encode(one, model.tokenizer) for one in conversations], []
    if not rows:
        raise SettingsError(f"nothing to learn in the stage {stage!r}; the suite infuses no facts")
    result = fine_tune_rows([*rows, *mixed], model, folder, stage_settings(stage, settings, model), progress=progress)
    return {**asdict(result), "stage": stage, "way": settings.way, "general_rows": len(mixed)}


def stage_settings(stage: Stage, settings: InfusionSettings, model: LocalModel) -> FineTuneSettings:
    """How `fine_tune_rows` is set for a stage. An adapter that is there already keeps its own LoRA settings."""
    method: Method = "flat" if settings.way == "flat" else "none"
    own = {
        "num_train_epochs": EPOCHS[stage],
        "learning_rate": RATES[settings.way],
        "weight_decay": 0.0,
        "save_steps": 100,
        "per_device_train_batch_size": ROWS[stage],
        "gradient_accumulation_steps": 1,
    }
    given = settings.continued if stage == "continued" else settings.supervised
    fresh = settings.way != "full" and model.adapter is None
    lora = {"r": 32, "lora_alpha": 64, **settings.lora} if fresh else {}
    return FineTuneSettings(method, sft={**own, **given}, lora=lora, seed=settings.seed, full=settings.way == "full")


def statement_rows(statements: Sequence[str], tokenizer: Any, pack: int) -> list[Row]:
    """Rows of several statements, each ended by the end-of-text token, of at most `pack` tokens where one is not longer; every token is learned."""
    end = end_of_text(tokenizer)
    rows: list[Row] = []
    current: list[int] = []
    for text in statements:
        ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
        if current and len(current) + len(ids) > pack:
            rows.append({"input_ids": current, "labels": list(current)})
            current = []
        current = current + ids
    return [*rows, {"input_ids": current, "labels": list(current)}] if current else rows


def general_rows(general: Sequence[Conversation], rows: Sequence[Row], tokenizer: Any, settings: InfusionSettings) -> list[Row]:
    """As many conversations, drawn by the seed, as make up the wanted share of all tokens. None where none are given."""
    if not general or settings.general == 0:
        return []
    wanted = sum(len(row["input_ids"]) for row in rows) * settings.general / (1 - settings.general)
    chosen: list[Row] = []
    for one in Random(settings.seed).sample(list(general), len(general)):
        if sum(len(row["input_ids"]) for row in chosen) >= wanted:
            break
        row = encode(one, tokenizer)
        if len(row["input_ids"]) <= 2 * settings.pack:
            chosen.append(row)
    return chosen


def end_of_text(tokenizer: Any) -> int:
    """The token that ends a document: the base model's, where the tokenizer still has it beside the end of a turn."""
    known = tokenizer.convert_tokens_to_ids(END)
    return int(known if known is not None and tokenizer.convert_ids_to_tokens(known) == END else tokenizer.eos_token_id)


def check_infusion(settings: InfusionSettings) -> None:
    """Raises SettingsError for a setting without meaning."""
    if settings.way not in WAYS:
        raise SettingsError(f"the way is {settings.way!r}; choose one of {', '.join(WAYS)}")
    if not 0 <= settings.general < 1:
        raise SettingsError(f"the share of general text is {settings.general}; it must be from 0 to below 1")
    if settings.pack < 1:
        raise SettingsError(f"pack is {settings.pack}; it must be at least 1 token")
    if settings.way == "full" and settings.lora:
        raise SettingsError("all weights are trained, so there is no adapter: leave lora settings out, or choose --way lora")
