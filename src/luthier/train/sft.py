"""Supervised fine-tuning by TRL's SFTTrainer with every setting of TRL and PEFT at hand: LoRA, plainly or towards flat minima, or all weights.

Rows are tokenised here with the model's own chat template, because Arrow tables cannot hold arguments of differing shapes. The base stays in
bf16 where the device computes it fast, the adapters in float32, under autocast.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.models.hardware import attention_kernel, takes_masks
from luthier.models.local import LocalModel
from luthier.progress import Progress, quiet
from luthier.records import JSON, Conversation
from luthier.records.sources import Source
from luthier.train.encoding import encode, encode_all, encode_each
from luthier.train.rows import conversations_in
from luthier.train.settings import SftSettings
from luthier.train.shared_prompts import Encoded, collate, share_prompts
from luthier.train.start import (
    balances_experts,
    check_names,
    check_start,
    checked,
    defaults,
    learning_marks,
    lora_config,
    refused_by,
    starting_weights,
    trainer_config,
)
from luthier.train.turn_weights import IGNORED, weighing_collator, with_weights
from luthier.train.warmup import SHORT, short_warmup, warming_trainer

if TYPE_CHECKING:
    from transformers import TrainerCallback

__all__ = ["FineTuned", "Prepared", "SftSettings", "encode", "encode_all", "fine_tune", "fine_tune_rows", "prepare"]

ROW_TOKENS = 2  # a row with a shared prompt may be so many times `max_length` long
OWN = ("output_dir", "neftune_noise_alpha")  # set here
NO_EFFECT = ("assistant_only_loss", "completion_only_loss", "chat_template_path", "truncation_mode", "eos_token", "model_init_kwargs")
ORDER = ("train_sampling_strategy", "remove_unused_columns")  # set where rows are trained on by length
OTHER_LOSS = (
    "loss_type",
    "packing",
    "padding_free",
    "label_smoothing_factor",
    "use_liger_kernel",
    "dataset_kwargs",
    "activation_offloading",
)


@dataclass(frozen=True)
class FineTuned:
    """What a run did. loss: mean training loss, nats a token; eval_loss: at the end, where evaluation rows were given.

    rows: texts it learned from, and tokens: their positions, padding left out; where rows are trained on by length, those that were read.
    left_out, eval_left_out: too long, or without anything to learn. seconds: of all steps. made: the folder of what was made.
    """

    steps: int
    planned_steps: int
    loss: float
    eval_loss: float | None
    rows: int
    left_out: int
    eval_left_out: int
    tokens: int
    seconds: float
    precision: str
    trainable_parameters: int
    made: str

    def to_row(self) -> JSON:
        """What the same run gives again: all but the time it took."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


@dataclass(frozen=True)
class Prepared:
    """What training can begin with: rows of `input_ids` and `labels` that fit, and the settings that TRL has taken."""

    rows: list[Encoded]
    held: list[Encoded]
    left_out: int
    eval_left_out: int
    config: Any
    lora: Any


def fine_tune(
    conversations: Source,
    model: LocalModel,
    folder: str | Path,
    settings: SftSettings = SftSettings(),
    *,
    evaluation: Source = (),
    progress: Progress = quiet,
) -> FineTuned:
    """Train an adapter on what the assistant says, and save it with the tokenizer as `folder/adapter` (all weights: as `folder/model`).

    conversations: `Conversation`s, rows of any layout, a file, a `Dataset` or a `DataFrame`.

    An adapter that the model has is trained further. The same call continues from the last checkpoint. Raises SettingsError for settings that
    do not exist or do not fit together, and where what was trained is not finite.
    """
    place, held = Path(folder), conversations_in(evaluation)
    return train(prepare(conversations_in(conversations), model, place, settings, evaluation=held), model, place, settings, progress)


def fine_tune_rows(
    encoded: Sequence[Encoded],
    model: LocalModel,
    folder: Path,
    settings: SftSettings = SftSettings(),
    *,
    evaluation: Sequence[Encoded] = (),
    progress: Progress = quiet,
) -> FineTuned:
    """The same on rows of `input_ids` and `labels`, -100 where nothing is learned."""
    return train(prepare_rows(encoded, model, folder, settings, evaluation=evaluation), model, folder, settings, progress)


def prepare(
    conversations: Sequence[Conversation],
    model: LocalModel,
    folder: Path,
    settings: SftSettings,
    *,
    evaluation: Sequence[Conversation] = (),
) -> Prepared:
    """Everything that can be refused before weights are loaded; writes nothing."""
    check_start(model, full=settings.full, lora=settings.lora_settings())
    each, held = encode_each(conversations, model), encode_all(evaluation, model)
    keys = [json.dumps([one.to_row().get("tools"), _system(one)]) for one in conversations] if settings.branches > 1 else None
    repeated = None if keys is None else [key for key, rows in zip(keys, each, strict=True) for _ in rows]
    return prepare_rows([row for rows in each for row in rows], model, folder, settings, keys=repeated, evaluation=held)


def prepare_rows(
    encoded: Sequence[Encoded],
    model: LocalModel,
    folder: Path,
    settings: SftSettings,
    *,
    keys: Sequence[Hashable] | None = None,
    evaluation: Sequence[Encoded] = (),
    section: str = "sft",
) -> Prepared:
    """The same of rows. keys: those with equal ones begin alike, and may share a row. section: what the settings of TRL are called."""
    from trl import SFTConfig

    check_start(model, full=settings.full, lora=settings.lora_settings())
    given = defaults(settings.seed, learning_rate=5e-4, warmup_steps=0.03, max_length=min(1024, model.room)) | checked(
        section, settings.sft_settings(), SFTConfig, OWN
    )
    if (idle := next((name for name in NO_EFFECT if name in settings.sft), None)) is not None:
        raise SettingsError(f"{section}.{idle} has no effect here: rows are read by the model's own chat template; leave it out")
    _checked_flat(settings)
    longest = given["max_length"]
    if longest is not None and longest > model.room:
        raise SettingsError(f"{section}.max_length is {longest}, and {model.name} has room for {model.room:,} tokens")
    if settings.way == "neftune":
        given["neftune_noise_alpha"] = settings.amount
    if settings.ordered:
        given |= {"max_length": None, "train_sampling_strategy": "sequential", "remove_unused_columns": False}
    config = trainer_config(SFTConfig, model, folder, given, evaluated=bool(evaluation), library="TRL")
    if settings.ordered:
        _check_ordered(settings, config, model)
    if settings.branches > 1 and keys is None:
        raise SettingsError(f"--branches is {settings.branches}; only conversations tell what they share")
    lora = None if settings.full or model.adapter is not None else lora_config(settings.lora_settings())
    weighed = with_weights([*encoded, *evaluation])
    encoded, evaluation = weighed[: len(encoded)], weighed[len(encoded) :]
    if weighed and "weights" in weighed[0]:
        _check_weighed(settings)
        config.remove_unused_columns = False
    kept, held = ([at for at, row in enumerate(some) if _fits(row, longest)] for some in (encoded, evaluation))
    learned = "a statement" if section == "continued" else "an assistant turn"
    for some, found, purpose in ((encoded, kept, "train on"), (evaluation, held, "evaluate")):
        if not found and (some or some is encoded):
            silent = some and not any(label >= 0 for row in some for label in row["labels"])
            where = "to learn from (turns of no weight are none)" if silent else f"within {longest} tokens"
            raise SettingsError(f"none of {len(some)} rows has {learned} {where}; nothing to {purpose}")
    rows, judged = [encoded[at] for at in kept], [evaluation[at] for at in held]
    if settings.ordered:
        same = [at if keys is None else keys[at] for at in kept]
        tokens = ROW_TOKENS * (longest or max(len(row["input_ids"]) for row in rows))
        rows = share_prompts(rows, same, branches=settings.branches, tokens=tokens)
        judged = share_prompts(judged, range(len(judged)), branches=1, tokens=tokens)
    return Prepared(rows, judged, len(encoded) - len(kept), len(evaluation) - len(held), config, lora)


def train(prepared: Prepared, model: LocalModel, folder: Path, settings: SftSettings, progress: Progress = quiet) -> FineTuned:
    """Train on what was prepared."""
    import torch

    from luthier.train.steps import METRICS, full_disk_named, refuse_broken, resumed, save

    folder.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(prepared, model, folder, settings, progress)
    with full_disk_named(folder):
        trainer.train(resume_from_checkpoint=resumed(folder, prepared.rows, settings, model, writes=trainer.is_world_process_zero()))
        refuse_broken(trainer.model, trainer.args, settings.noise)
        measured = trainer.evaluate() if prepared.held else {}
        if settings.full:
            trainer.model.to(model.training_dtype)  # as the base is held
        save(trainer, folder / settings.made, model)
    trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    logged = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()] if (folder / METRICS).is_file() else []
    used = _read(trainer) if settings.ordered else prepared.rows
    return FineTuned(
        trainer.state.global_step,
        trainer.state.max_steps,
        # The trainer's own mean forgets the steps before a resumed run's checkpoint.
        fmean(row["loss"] for row in trainer.state.log_history if "loss" in row),
        measured.get("eval_loss"),
        sum(max(1, *row.get("branch", (1,))) for row in used),
        prepared.left_out,
        prepared.eval_left_out,
        sum(len(row["input_ids"]) for row in used),
        sum(row["seconds"] for row in logged),
        _precision(trainer.args, model, full=settings.full),
        trainable,
        settings.made,
    )


@dataclass(frozen=True)
class Trial:
    """What a training would take: optimizer steps, and the seconds of each."""

    steps: int
    seconds: float


def trial(prepared: Prepared, model: LocalModel, settings: SftSettings) -> Trial:
    """The steps that `train` makes of ordered rows without a time limit, measured by a few probe steps; nothing is trained or written."""
    from peft import get_peft_model

    from luthier.train.steps import step_seconds

    config = prepared.config
    base = starting_weights(model, full=settings.full)
    if (lora := _lora(prepared, base, model, told=False)) is not None:
        base = get_peft_model(base, lora, autocast_adapter_dtype=True)
    seconds = step_seconds(base, prepared.rows, config=config, sigma=settings.noise, flat=_checked_flat(settings))
    return Trial(_whole(len(prepared.rows), settings, config), seconds)


def _lora(prepared: Prepared, base: Any, model: LocalModel, *, told: bool) -> Any:
    """Of a fresh adapter, None where there is none to make; with the rows of marks that the model has yet to learn."""
    if prepared.lora is None:
        return None
    targets = {token for row in prepared.rows for token in row["labels"] if token != IGNORED}
    return learning_marks(prepared.lora, base, targets, model.tokenizer, told=told)


def _whole(rows: int, settings: SftSettings, config: Any) -> int:
    """Steps without a time limit: those that are asked for, or one pass, and the least that are worth it."""
    if config.max_steps > 0:
        return int(config.max_steps)
    batch: int = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return max(1, settings.least_steps, rows // batch)


def _precision(args: Any, model: LocalModel, *, full: bool) -> str:
    """What was computed in, in words."""
    held = "float32" if full else str(model.training_dtype).removeprefix("torch.")
    alone = held if held == "float32" else f"base {held} without autocast, adapters float32"  # told so by `sft.bf16=false`
    computed = "bf16, adapters float32" if args.bf16 else "fp16, adapters float32" if args.fp16 else alone
    return computed if model.hardware.quantize is None else f"{computed}, base {model.hardware.quantize}"


def _read(trainer: Any) -> list[Encoded]:
    """The rows that the steps of an ordered run read."""
    rows, args = trainer.train_dataset, trainer.args
    count = min(len(rows), trainer.state.max_steps * args.train_batch_size * args.gradient_accumulation_steps)
    return list(rows.select(range(count)))


def _fits(row: Encoded, longest: int | None) -> bool:
    return (longest is None or len(row["input_ids"]) <= longest) and any(label >= 0 for label in row["labels"])


def _system(conversation: Conversation) -> str | None:
    first = conversation.messages[0]
    return first.content if first.role == "system" else None


def _checked_flat(settings: SftSettings) -> JSON:
    """The settings of the noise by name. Raises SettingsError."""
    check_names("flat", settings.flat, ("backend", "exclude", "ranks", "every", "seed"), "luthier.train.flat.FlatNoise")
    return settings.flat_settings()


def _check_weighed(settings: SftSettings) -> None:
    """Weights other than 0 and 1 need the loss of `answer_head`."""
    if (other := next((name for name in OTHER_LOSS if name in settings.sft), None)) is not None:
        raise SettingsError(
            f"rows have weights other than 0 and 1, and sft.{other} brings a loss that knows none; leave it out, or the weights"
        )


def _check_ordered(settings: SftSettings, config: Any, model: LocalModel) -> None:
    attention = model.hardware.attention
    asked = "--seconds" if settings.seconds is not None else "--branches" if settings.branches > 1 else "--by-length"
    other = next((name for name in OTHER_LOSS if name in settings.sft), None)
    if other is not None:
        raise SettingsError(f"sft.{other} brings a loss of its own, which {asked} does not go with; leave one of them out")
    if (own := next((name for name in ORDER if name in settings.sft), None)) is not None:
        raise SettingsError(f"sft.{own} is set by {asked}; leave one of them out")
    if attention is not None and not takes_masks(attention):
        raise SettingsError(f"{asked} reads rows by masks that --attention {attention} does not take; give sdpa or eager")
    if config.world_size > 1:
        raise SettingsError(f"{asked} trains in one process, and these are {config.world_size}; leave it out, or start one")
    if balances_experts(model, config.router_aux_loss_coef):
        raise SettingsError(
            f"{asked} reads rows by masks that the loss which balances experts does not know; set sft.router_aux_loss_coef=0, or leave it out"
        )


def _by_length(rows: list[Encoded], settings: SftSettings, config: Any) -> list[Encoded]:
    """Rows in training order: shuffled, then batches of like length in random order, so that padding costs little."""
    random = Random(settings.seed)
    size = config.per_device_train_batch_size * config.gradient_accumulation_steps
    order: list[Encoded] = []
    whole, part = divmod(config.num_train_epochs, 1)
    for share in [1.0] * int(whole) + ([part] if part else []):
        epoch = random.sample(rows, max(1, round(len(rows) * share)))
        for start in range(0, len(epoch), size * 8):
            window = sorted(epoch[start : start + size * 8], key=lambda row: len(row["input_ids"]))
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            random.shuffle(batches)
            order += [row for batch in batches for row in batch]
    return order


def _trainer(prepared: Prepared, model: LocalModel, folder: Path, settings: SftSettings, progress: Progress) -> Any:
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    from luthier.train.answer_head import answer_head_trainer
    from luthier.train.sharpness_aware import sam_trainer

    config, rows = prepared.config, prepared.rows
    set_seed(config.seed)
    base = starting_weights(model, full=settings.full)
    lora = _lora(prepared, base, model, told=True)
    more: JSON = {}
    if settings.ordered:
        rows = _by_length(rows, settings, config)
    if lora is not None and (settings.ordered or model.hardware.quantize):  # the steps that are planned are those of the adapted model
        with refused_by("PEFT"):
            base, lora = get_peft_model(base, lora, autocast_adapter_dtype=True), None
    if settings.ordered:
        _plan(base, rows, folder, settings, config, progress)
        more = {"data_collator": partial(collate, padding=model.tokenizer.pad_token_id or 0, multiple=16, kernel=attention_kernel(base))}
    kind = SFTTrainer if any(name in settings.sft for name in OTHER_LOSS) else answer_head_trainer()
    if settings.way == "lora-sam":
        kind = sam_trainer(kind, settings.amount)
    kind = warming_trainer(kind)
    adapter = {name: weight.data for name, weight in base.named_parameters() if weight.requires_grad} if model.hardware.quantize else {}
    with refused_by("TRL"):
        trainer = kind(
            model=base,
            args=config,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(prepared.held) if prepared.held else None,
            processing_class=model.tokenizer,
            peft_config=lora,
            callbacks=list(_callbacks(settings, folder, config, progress)),
            **more,
        )
    for name, weight in base.named_parameters():  # which TRL has made bfloat16, in which small steps vanish
        weight.data = adapter.get(name, weight.data)
    trainer.remove_callback(PrinterCallback)
    if not settings.ordered and rows and "weights" in rows[0]:
        trainer.data_collator = weighing_collator(trainer.data_collator)
    return trainer


def _plan(base: Any, rows: list[Encoded], folder: Path, settings: SftSettings, config: Any, progress: Progress) -> None:  # noqa: PLR0917
    """Set the number of steps: one pass over the ordered rows, or what the time limit holds."""
    from luthier.train.steps import PLAN, planned_steps

    planned = _whole(len(rows), settings, config)
    if settings.seconds is not None:
        passes = 2 if settings.way == "lora-sam" else 1
        flat = _checked_flat(settings)
        planned = planned_steps(
            base,
            rows,
            folder / PLAN,
            most=planned,
            seconds=settings.seconds,
            config=config,
            sigma=settings.noise,
            flat=flat,
            passes=passes,
            least=max(2, settings.least_steps),
            progress=progress,
        )
    config.max_steps = planned
    if 0 < config.warmup_steps < 1:  # a share, of which transformers would take the next whole step
        share = config.warmup_steps
        config.warmup_steps = short_warmup(share, planned) if planned < SHORT else max(1, round(share * planned))


def _callbacks(settings: SftSettings, folder: Path, config: Any, progress: Progress) -> Iterator[TrainerCallback]:
    from luthier.train.flat import FlatLoraCallback
    from luthier.train.sharpness_aware import BiLoraCallback
    from luthier.train.steps import METRICS, MetricsCallback

    if config.process_index == 0:
        yield MetricsCallback(folder / METRICS, progress)
    if settings.noise > 0:
        yield FlatLoraCallback(settings.noise, **_checked_flat(settings))
    elif settings.way == "bi-lora":
        yield BiLoraCallback(settings.amount, seed=settings.seed)
