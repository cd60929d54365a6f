"""Fine-tuning with every setting of TRL and PEFT at hand: LoRA, plainly or towards flat minima, or all weights.

`fine_tune` is TRL's SFTTrainer on a person's conversations, `fine_tune_rows` the same on tokens of any text; `sft.train_sft` is the narrower
one that fits a run to a time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from transformers import TrainerCallback

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.records import JSON, Conversation
from luthier.train.settings import check_names, first_line, lora_config, setting_names
from luthier.train.sft import METRICS, MetricsCallback, encode, full_disk_named, latest_checkpoint

Method = Literal["flat", "none", "neftune", "lora-sam", "bi-lora"]
STRENGTHS: dict[Method, float] = {"flat": 0.05, "none": 0.0, "neftune": 5.0, "lora-sam": 0.003, "bi-lora": 0.05}
OWN = ("output_dir", "neftune_noise_alpha")  # set here
OTHER_LOSS = (
    "loss_type",
    "packing",
    "padding_free",
    "label_smoothing_factor",
    "use_liger_kernel",
    "dataset_kwargs",
    "activation_offloading",
)
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class FineTuneSettings:
    """method: how minima are sought; strength: its sigma, alpha or rho, None for the usual one. full: train all weights instead of an adapter.

    sft: fields of `trl.SFTConfig`; lora: of `peft.LoraConfig`; flat: of `FlatNoise`. What is not given has the defaults of `defaults`.
    """

    method: Method = "flat"
    strength: float | None = None
    sft: JSON = field(default_factory=dict)
    lora: JSON = field(default_factory=dict)
    flat: JSON = field(default_factory=dict)
    seed: int = 0
    full: bool = False

    @property
    def made(self) -> str:
        """The folder of what training makes."""
        return "model" if self.full else "adapter"

    @property
    def amount(self) -> float:
        return STRENGTHS[self.method] if self.strength is None else self.strength


@dataclass(frozen=True)
class FineTuneResult:
    """What a run did. loss: mean training loss, nats a token; eval_loss: at the end, where evaluation rows were given."""

    steps: int
    loss: float
    eval_loss: float | None
    rows: int
    left_out: int
    tokens: int
    trainable_parameters: int
    adapter: str


def fine_tune(
    conversations: Sequence[Conversation],
    model: LocalModel,
    folder: Path,
    settings: FineTuneSettings = FineTuneSettings(),
    *,
    evaluation: Sequence[Conversation] = (),
    progress: Progress | None = None,
) -> FineTuneResult:
    """Train an adapter on what the assistant says, and save it with the tokenizer as `folder/adapter` (all weights: as `folder/model`).

    An adapter that the model has is trained further. The same call continues from the last checkpoint. Raises SettingsError for settings that
    do not exist or do not fit together.
    """
    return fine_tune_rows(
        [encode(one, model.tokenizer) for one in conversations],
        model,
        folder,
        settings,
        evaluation=[encode(one, model.tokenizer) for one in evaluation],
        progress=progress,
    )


def fine_tune_rows(
    encoded: Sequence[dict[str, list[int]]],
    model: LocalModel,
    folder: Path,
    settings: FineTuneSettings = FineTuneSettings(),
    *,
    evaluation: Sequence[dict[str, list[int]]] = (),
    progress: Progress | None = None,
) -> FineTuneResult:
    """The same on rows of `input_ids` and `labels`, -100 where nothing is learned."""
    import torch

    _check(settings, model)
    config = _config(settings, model, folder, evaluated=bool(evaluation))
    rows, left_out = _fitting(encoded, config.max_length)
    if not rows:
        raise SettingsError(f"none of {len(encoded)} rows has an assistant turn within {config.max_length} tokens; nothing to train on")
    held, _ = _fitting(evaluation, config.max_length)
    trainer = _trainer(rows, held, model, folder, settings, config, progress)
    with full_disk_named(folder):
        trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "checkpoints"))
        measured = trainer.evaluate() if held else {}
        if settings.full:
            trainer.model.to(model.training_dtype)  # as the base is held
        trainer.save_model(str(folder / settings.made))
    trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    return FineTuneResult(
        trainer.state.global_step,
        _mean_loss(trainer),
        measured.get("eval_loss"),
        len(rows),
        left_out,
        sum(len(row["input_ids"]) for row in rows),
        trainable,
        settings.made,
    )


def _mean_loss(trainer: Any) -> float:
    """Of all logged steps. The trainer's own mean forgets the steps before a resumed run's checkpoint."""
    return fmean(row["loss"] for row in trainer.state.log_history if "loss" in row)


def _check(settings: FineTuneSettings, model: LocalModel) -> None:
    from peft import LoraConfig
    from trl import SFTConfig

    if settings.method not in STRENGTHS:
        raise SettingsError(f"method is {settings.method!r}; choose one of {', '.join(STRENGTHS)}")
    if settings.flat and settings.method != "flat":
        raise SettingsError(f"settings of flat are given, but the method is {settings.method}; leave one of them out")
    if settings.full and (settings.lora or settings.method != "none" or model.adapter is not None):
        raise SettingsError("all weights are trained, so there is no adapter: leave lora settings, the method and the adapter out")
    if settings.lora and model.adapter is not None:
        raise SettingsError(f"{model.adapter} has settings of its own; leave those of lora out")
    known = {
        "sft": [name for name in setting_names(SFTConfig) if name not in OWN],
        "lora": setting_names(LoraConfig),
        "flat": ["backend", "exclude", "ranks", "every", "seed"],
    }
    for section, names in known.items():
        check_names(section, getattr(settings, section), names, _HOME[section])


_HOME = {"sft": "trl.SFTConfig", "lora": "peft.LoraConfig", "flat": "luthier.train.flat.FlatNoise"}


def defaults(seed: int) -> JSON:
    """Settings of TRL that differ from its own where none is given: the recipe of Flat-LoRA (arXiv 2409.14396) on any device."""
    import torch

    return {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 5e-4,
        "num_train_epochs": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "max_length": 1024,
        "logging_steps": 1,
        "save_steps": 50,
        "save_total_limit": 1,
        "report_to": "none",
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": True,
        "seed": seed,
    }


def _config(settings: FineTuneSettings, model: LocalModel, folder: Path, *, evaluated: bool) -> Any:
    import torch
    from trl import SFTConfig

    given = defaults(settings.seed) | {"bf16": model.training_dtype is torch.bfloat16} | settings.sft
    if settings.method == "neftune":
        given["neftune_noise_alpha"] = settings.amount
    if evaluated and "eval_strategy" not in given:
        given |= {"eval_strategy": "epoch"}
    try:
        return SFTConfig(output_dir=str(folder / "checkpoints"), **given)
    except (TypeError, ValueError) as problem:
        raise SettingsError(f"TRL refuses these settings: {first_line(problem)}") from problem


def _fitting(rows: Sequence[dict[str, list[int]]], longest: int | None) -> tuple[list[dict[str, list[int]]], int]:
    kept = [row for row in rows if (longest is None or len(row["input_ids"]) <= longest) and any(label >= 0 for label in row["labels"])]
    return kept, len(rows) - len(kept)


def _trainer(  # noqa: PLR0917
    rows: list[dict[str, list[int]]],
    held: list[dict[str, list[int]]],
    model: LocalModel,
    folder: Path,
    settings: FineTuneSettings,
    config: Any,
    progress: Progress | None,
) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    from luthier.train.answer_head import answer_head_trainer
    from luthier.train.sharpness_aware import sam_trainer

    set_seed(config.seed)
    base = _start(model, settings)
    fresh = not settings.full and model.adapter is None
    stock = config.world_size > 1 or any(name in settings.sft for name in OTHER_LOSS)  # the cheaper head knows one process
    kind = SFTTrainer if stock else answer_head_trainer()
    if settings.method == "lora-sam":
        kind = sam_trainer(kind, settings.amount)
    try:
        trainer = kind(
            model=base,
            args=config,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(held) if held else None,
            processing_class=model.tokenizer,
            peft_config=lora_config(settings.lora) if fresh else None,
            callbacks=list(_callbacks(settings, folder, config, progress)),
        )
    except ValueError as problem:
        raise SettingsError(f"TRL refuses these settings: {first_line(problem)}") from problem
    trainer.remove_callback(PrinterCallback)
    return trainer


def _start(model: LocalModel, settings: FineTuneSettings) -> Any:
    """The weights training starts from. Small steps vanish in bf16, so all weights are trained in float32, computing in bf16 where that is fast."""
    import torch
    from transformers import AutoModelForCausalLM

    if model.adapter is not None:
        return adapted_model(model, str(model.adapter), settings.seed)
    dtype = torch.float32 if settings.full else model.training_dtype
    return AutoModelForCausalLM.from_pretrained(model.folder, dtype=dtype, local_files_only=True)


def _callbacks(settings: FineTuneSettings, folder: Path, config: Any, progress: Progress | None) -> Iterable[TrainerCallback]:
    from luthier.train.flat import FlatLoraCallback
    from luthier.train.sharpness_aware import BiLoraCallback

    if config.process_index == 0:
        yield MetricsCallback(folder / METRICS, progress)
    if settings.method == "flat" and settings.amount > 0:
        yield FlatLoraCallback(settings.amount, **{"seed": settings.seed, **settings.flat})
    elif settings.method == "bi-lora":
        yield BiLoraCallback(settings.amount, seed=settings.seed)


def adapted_model(model: LocalModel, adapter: str | None, seed: int = 0, *, attention: str | None = None) -> Any:
    """The model with a saved adapter, or with a fresh one that changes nothing yet, as training holds it.

    attention: kernel, None for the model's own. Raises SettingsError where the folder holds no adapter of this model.
    """
    from peft import PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(
        model.folder, dtype=model.training_dtype, attn_implementation=attention, local_files_only=True
    )
    if adapter is None:
        return get_peft_model(base, lora_config({}))
    check_adapter(adapter)
    try:
        return PeftModel.from_pretrained(base, adapter, is_trainable=True)
    except (RuntimeError, ValueError) as problem:
        raise SettingsError(f"{adapter}: does not fit {model.name} ({first_line(problem)})") from problem


def check_adapter(adapter: str) -> None:
    """Raises SettingsError where the folder holds no adapter."""
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise SettingsError(f"{adapter}: no adapter_config.json there; give a PEFT adapter folder")
