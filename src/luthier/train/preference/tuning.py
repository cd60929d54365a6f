"""Preference tuning of a model from a folder, with LoRA or whole, plainly or with flat noise: pairs in, adapter out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.models.loading import loading
from luthier.models.local import LocalModel
from luthier.progress import Progress, quiet
from luthier.records import JSON, PreferencePair, to_pair
from luthier.records.sources import Source
from luthier.train.preference.config import PreferenceConfig
from luthier.train.preference.pairs import EncodedPair, PairCounts
from luthier.train.preference.trainer import PreferenceTrainer, kept_pairs
from luthier.train.rows import pairs_in
from luthier.train.settings import PreferenceMethod, PreferenceSettings
from luthier.train.start import check_start, checked, defaults, lora_config, refused_by, starting_weights, trainer_config
from luthier.train.steps import METRICS, MetricsCallback, full_disk_named, refuse_broken, resumed, save
from luthier.train.warmup import warming_trainer

METHODS: dict[PreferenceMethod, tuple[bool, str]] = {  # whether the bridged answer is the chosen one, and the weights
    "dpo": (False, "none"),
    "mc": (False, "bmc"),
    "bc": (True, "none"),
    "bmc": (True, "bmc"),
}
ORIGINAL = "original_chosen"  # the column with the answer as it was before bridging
REFERENCE = "reference"
OWN = ("output_dir", "weighting")  # set here


@dataclass(frozen=True)
class PreferenceTuned:
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

    def to_row(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """What training can begin with: pairs as ids, what became of those given, how many are bridged, and the settings that were taken."""

    rows: list[EncodedPair]
    held: list[EncodedPair]
    counts: PairCounts
    held_counts: PairCounts | None
    bridged: int
    config: PreferenceConfig
    lora: Any


def tune_preferences(
    pairs: Source,
    model: LocalModel,
    folder: str | Path,
    settings: PreferenceSettings = PreferenceSettings(),
    *,
    evaluation: Source = (),
    progress: Progress = quiet,
) -> PreferenceTuned:
    """Train on the pairs (`PreferencePair`s, rows, a file, a `Dataset`, a `DataFrame`); save `folder/adapter`, or `folder/model` where all weights are trained, with the tokenizer.

    A model with an adapter goes on training it, and is its own reference. The same call continues from the last checkpoint; what the
    reference says is kept in `folder/reference`, or in the folder `reference_cache` of the settings. Raises SettingsError for settings that do
    not exist or do not fit together, and where what was trained is not finite.
    """
    place = Path(folder)
    return train(prepare(pairs_in(pairs), model, place, settings, evaluation=pairs_in(evaluation)), model, place, settings, progress)


def prepare(
    pairs: Sequence[PreferencePair],
    model: LocalModel,
    folder: Path,
    settings: PreferenceSettings,
    *,
    evaluation: Sequence[PreferencePair] = (),
) -> Prepared:
    """Everything that can be refused before weights are loaded; writes nothing."""
    check_start(model, full=settings.full, lora=settings.lora_settings())
    bridged, weighting = METHODS[settings.method]
    room = min(PreferenceConfig.max_length or model.room, model.room)
    own = defaults(settings.seed, learning_rate=5e-5, warmup_steps=0.1, max_length=room, reference_cache=str(folder / REFERENCE))
    given = own | checked("training", settings.training_settings(), PreferenceConfig, OWN) | {"weighting": settings.weighting or weighting}
    if (given["max_length"] or 0) > model.room:
        raise SettingsError(f"training.max_length is {given['max_length']}, and {model.name} has room for {model.room:,} tokens")
    config = trainer_config(PreferenceConfig, model, folder, given, evaluated=bool(evaluation))
    lora = None if settings.full or model.adapter is not None else lora_config(settings.lora_settings())
    shown, held = ([chosen_by_method(pair, bridged) for pair in some] for some in (pairs, evaluation))
    with loading(model.folder, "chat template", "mend the template, or give another model"):
        rows, counts = kept_pairs(shown, model.tokenizer, config)
        judged, judged_counts = kept_pairs(held, model.tokenizer, config) if held else ([], None)
    taught = sum(bridged and ORIGINAL in pair.extra and pair.extra.get("bridged") is True for pair in pairs)
    return Prepared(rows, judged, counts, judged_counts, taught, config, lora)


def train(prepared: Prepared, model: LocalModel, folder: Path, settings: PreferenceSettings, progress: Progress = quiet) -> PreferenceTuned:
    """Train on what was prepared."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(prepared, model, folder, settings, progress)
    with full_disk_named(folder):
        before = trainer.evaluate() if prepared.held else None
        started = resumed(folder, prepared.rows, settings, model, writes=trainer.is_world_process_zero())
        trained = trainer.train(resume_from_checkpoint=started)
        refuse_broken(trainer.model, trainer.args, settings.sigma)
        after = trainer.evaluate() if prepared.held else None
        save(trainer, folder / settings.made, model)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row] or [trained.training_loss]
    return PreferenceTuned(
        trainer.state.global_step,
        sum(losses) / len(losses),
        prepared.counts.to_row(),
        None if prepared.held_counts is None else prepared.held_counts.to_row(),
        prepared.bridged,
        _of_pairs(before),
        _of_pairs(after),
        sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        settings.made,
    )


def chosen_by_method(pair: PreferencePair, bridged: bool) -> PreferencePair:
    """The pair with the answer the method prefers: as it stands in the data, or as it was before bridging."""
    original = pair.extra.get(ORIGINAL)
    if (
        bridged or original is None or not isinstance(pair.extra.get("bridged"), bool)
    ):  # a column of that name in data of others means something else
        return pair
    return replace(pair, chosen=to_pair({**pair.to_row(), "chosen": original}).chosen)


def _trainer(prepared: Prepared, model: LocalModel, folder: Path, settings: PreferenceSettings, progress: Progress) -> Any:
    from transformers import PrinterCallback, set_seed

    from luthier.train.flat import FlatLoraCallback

    config = prepared.config
    set_seed(config.seed)
    callbacks: list[Any] = [MetricsCallback(folder / METRICS, progress)] if config.process_index == 0 else []
    if settings.sigma > 0:
        callbacks.append(FlatLoraCallback(settings.sigma, seed=settings.seed, backend=settings.backend or "auto"))
    base = starting_weights(model, full=settings.full, attention=settings.attention)
    with refused_by("transformers"):
        trainer = warming_trainer(PreferenceTrainer)(
            base,
            config,
            prepared.rows,
            prepared.held or None,
            processing_class=model.tokenizer,
            peft_config=prepared.lora,
            reference_progress=_Reading(progress),
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Reading:
    """Progress of the reference, a step of its own that begins with its first batch."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.total = progress, 0

    def __call__(self, done: int, total: int) -> None:
        if total != self.total:
            self.total = total
            self.progress.step("Reading with the reference", total)
        self.progress.update(done, total)


def _of_pairs(measured: JSON | None) -> JSON | None:
    if measured is None:
        return None
    kept = {name.removeprefix("eval_"): value for name, value in measured.items()}
    return {name: value for name, value in kept.items() if "/" in name or name == "loss"}
