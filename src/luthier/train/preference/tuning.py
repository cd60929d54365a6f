"""Preference tuning of a model from a folder, with LoRA or whole, plainly or with flat noise: pairs in, adapter out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.records import JSON, PreferencePair, to_pair
from luthier.train.preference.config import PreferenceConfig
from luthier.train.preference.trainer import PreferenceTrainer
from luthier.train.settings import check_names, first_line, lora_config, setting_names
from luthier.train.sft import METRICS, MetricsCallback, full_disk_named, latest_checkpoint

Method = Literal["dpo", "mc", "bc", "bmc"]
METHODS: dict[str, tuple[bool, str]] = {  # whether the bridged answer is the chosen one, and the weights
    "dpo": (False, "none"),
    "mc": (False, "bmc"),
    "bc": (True, "none"),
    "bmc": (True, "bmc"),
}
ORIGINAL = "original_chosen"  # the column with the answer as it was before bridging
REFERENCE = "reference"
OWN = ("output_dir", "weighting")  # set here
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class PreferenceSettings:
    """method: plain preference tuning (dpo), with weights (mc), with bridged answers (bc) or with both (bmc), whatever the loss is.

    weighting: other weights than the method's. sigma: of Flat-LoRA's noise, 0 for none. full: train all weights instead of an adapter.
    attention: kernel, None for the model's own.
    training: fields of `PreferenceConfig`; lora: of `peft.LoraConfig`. What is not given has the values of `defaults`.
    """

    method: Method = "bmc"
    weighting: str | None = None
    sigma: float = 0.0
    full: bool = False
    attention: str | None = None
    training: JSON = field(default_factory=dict)
    lora: JSON = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class PreferenceResult:
    """What a run did. pairs, evaluated: what became of the pairs given; bridged: how many of those given are.

    before, after: loss, rewards, margins and accuracies on the evaluation pairs, None where there were none.
    """

    steps: int
    loss: float
    pairs: JSON
    evaluated: JSON | None
    bridged: int
    before: JSON | None
    after: JSON | None
    trainable_parameters: int
    made: str


def tune_preferences(
    pairs: Sequence[PreferencePair],
    model: LocalModel,
    folder: Path,
    settings: PreferenceSettings = PreferenceSettings(),
    *,
    evaluation: Sequence[PreferencePair] = (),
    progress: Progress | None = None,
    reference_progress: Callable[[int, int], None] | None = None,
) -> PreferenceResult:
    """Train on the pairs; save `folder/adapter`, or `folder/model` where all weights are trained, with the tokenizer.

    A model with an adapter goes on training it, and is its own reference. The same call continues from the last checkpoint; what the
    reference says is kept in `folder/reference`, or in the folder `reference_cache` of the settings. Raises SettingsError for settings that do
    not exist or do not fit together.
    """
    import torch

    bridged, weighting = _check(settings)
    config = _config(settings, weighting, model, folder, evaluated=bool(evaluation))
    trainer = _trainer(
        [chosen_by_method(pair, bridged) for pair in pairs],
        [chosen_by_method(pair, bridged) for pair in evaluation],
        model,
        folder,
        settings,
        config,
        progress,
        reference_progress,
    )
    made = "model" if settings.full else "adapter"
    with full_disk_named(folder):
        before = trainer.evaluate() if evaluation else None
        trained = trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "checkpoints"))
        after = trainer.evaluate() if evaluation else None
        trainer.save_model(str(folder / made))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row] or [trained.training_loss]
    return PreferenceResult(
        trainer.state.global_step,
        sum(losses) / len(losses),
        trainer.train_counts.to_row(),
        trainer.eval_counts["eval"].to_row() if evaluation else None,
        sum(bridged and ORIGINAL in pair.extra and pair.extra.get("bridged") is True for pair in pairs),
        _of_pairs(before),
        _of_pairs(after),
        sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        made,
    )


def _check(settings: PreferenceSettings) -> tuple[bool, str]:
    if settings.method not in METHODS:
        raise SettingsError(f"method is {settings.method!r}; choose one of {', '.join(METHODS)}")
    if settings.sigma < 0:
        raise SettingsError(f"the sigma of flat noise is {settings.sigma}; it must be 0 or more")
    if settings.full and (settings.lora or settings.sigma):
        raise SettingsError("all weights are trained, so there is no adapter: leave lora settings and flat noise out")
    known = [name for name in setting_names(PreferenceConfig) if name not in OWN]
    check_names("training", settings.training, known, "luthier.train.preference.PreferenceConfig")
    from peft import LoraConfig

    check_names("lora", settings.lora, setting_names(LoraConfig), "peft.LoraConfig")
    bridged, weighting = METHODS[settings.method]
    return bridged, settings.weighting or weighting


def chosen_by_method(pair: PreferencePair, bridged: bool) -> PreferencePair:
    """The pair with the answer the method prefers: as it stands in the data, or as it was before bridging."""
    original = pair.extra.get(ORIGINAL)
    if bridged or original is None:
        return pair
    return replace(pair, chosen=to_pair({**pair.to_row(), "chosen": original}).chosen)


def defaults(seed: int) -> JSON:
    """Settings where none is given, for an adapter on any device; the paper's full fine-tuning used 128 pairs a step and 5e-7."""
    import torch

    return {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 5e-5,
        "num_train_epochs": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
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


def _config(settings: PreferenceSettings, weighting: str, model: LocalModel, folder: Path, *, evaluated: bool) -> Any:
    import torch

    own = {"bf16": model.training_dtype is torch.bfloat16, "reference_cache": str(folder / REFERENCE)}
    given = defaults(settings.seed) | own | settings.training
    if evaluated and "eval_strategy" not in given:
        given |= {"eval_strategy": "epoch"}
    try:
        return PreferenceConfig(output_dir=str(folder / "checkpoints"), weighting=weighting, **given)
    except (TypeError, ValueError) as problem:
        raise SettingsError(f"transformers refuses these settings: {first_line(problem)}") from problem


def _trainer(  # noqa: PLR0917
    pairs: list[PreferencePair],
    held: list[PreferencePair],
    model: LocalModel,
    folder: Path,
    settings: PreferenceSettings,
    config: Any,
    progress: Progress | None,
    reference_progress: Callable[[int, int], None] | None,
) -> Any:
    from transformers import PrinterCallback, set_seed

    from luthier.train.flat import FlatLoraCallback

    set_seed(config.seed)
    callbacks: list[Any] = [MetricsCallback(folder / METRICS, progress)] if config.process_index == 0 else []
    if settings.sigma > 0:
        callbacks.append(FlatLoraCallback(settings.sigma, seed=settings.seed))
    fresh = not settings.full and model.adapter is None
    try:
        trainer = PreferenceTrainer(
            _start(model, settings),
            config,
            pairs,
            held or None,
            processing_class=model.tokenizer,
            peft_config=lora_config(settings.lora) if fresh else None,
            reference_progress=reference_progress,
            callbacks=callbacks,
        )
    except ValueError as problem:
        raise SettingsError(f"transformers refuses these settings: {first_line(problem)}") from problem
    trainer.remove_callback(PrinterCallback)
    return trainer


def _start(model: LocalModel, settings: PreferenceSettings) -> Any:
    """The weights training starts from. Raises SettingsError where all are to be trained and some are an adapter's."""
    import torch
    from transformers import AutoModelForCausalLM

    from luthier.train.fine_tune import adapted_model

    if model.adapter is None:
        # Small steps vanish in bf16 weights, so all weights are trained in float32, computing in bf16 where that is fast.
        dtype = torch.float32 if settings.full else model.training_dtype
        return AutoModelForCausalLM.from_pretrained(
            model.folder, dtype=dtype, attn_implementation=settings.attention, local_files_only=True
        )
    if settings.full:
        raise SettingsError(f"{model.adapter} is an adapter, and all weights are to be trained; merge it into a folder first")
    if settings.lora:
        raise SettingsError(f"{model.adapter} has settings of its own; leave those of lora out")
    return adapted_model(model, str(model.adapter), attention=settings.attention)


def _of_pairs(measured: JSON | None) -> JSON | None:
    if measured is None:
        return None
    kept = {name.removeprefix("eval_"): value for name, value in measured.items()}
    return {name: value for name, value in kept.items() if "/" in name or name == "loss"}
