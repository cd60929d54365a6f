"""Fine-tune a model on conversations from files in a run folder, and measure how sharp the minimum is that training found."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.models.branches import too_long
from luthier.models.opening import adapter_folder, hub_label
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import evenly
from luthier.run import Run
from luthier.run.folder import Read
from luthier.train import page, sharpness_page
from luthier.train.rows import placing, read_training
from luthier.train.settings import SftRunSettings, SharpnessSettings

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.train.shared_prompts import Encoded


def run(settings: SftRunSettings, out: Path, progress: Progress = quiet) -> Run:
    """Train, and keep `adapter` or `model`, `metrics.jsonl` and `report.html` in `out`; the same call continues a stopped run.

    Started by `torchrun` or `accelerate launch`, every process trains, and the first one keeps the record. Raises SettingsError for settings
    that do not exist or do not fit together, and what reading the rows and opening the model raise.
    """
    from luthier.train.sft import prepare, train

    columns, skipped = settings.columns(), settings.skipped([*settings.data, *settings.evaluation])
    rows, held = read_training(settings.data, columns, skipped), read_training(settings.evaluation, columns, skipped)
    model: LocalModel = settings.open()
    with placing(rows, held):
        prepared = prepare(rows, model, out, settings, evaluation=held)
    reads: list[Read] = [*settings.data, *settings.evaluation, *settings.reads()]
    files = [page.METRICS, "checkpoints", settings.made, *(["plan.json"] if settings.seconds is not None else [])]
    with Run(out, "train sft", settings, reads=reads, progress=progress, draw=page.draw) as made:
        watched = quiet if made.rank else progress

        def work() -> JSON:
            tuned = train(prepared, model, out, settings, watched)
            return {**tuned.to_row(), "method": settings.way, "strength": settings.amount}

        made.step("train", work, files=files)
    return made


def run_sharpness(settings: SharpnessSettings, out: Path, progress: Progress = quiet) -> Run:
    """Measure the rise of the loss under noise, of each adapter on the same rows and in the same directions; `report.html` is in `out`.

    Raises SettingsError where the data have no assistant turn or a folder holds no adapter.
    """
    from luthier.train.sft import encode_all
    from luthier.train.start import check_adapter

    for adapter in filter(None, settings.adapters):
        check_adapter(str(adapter_folder(adapter)))
    model: LocalModel = settings.open()
    read = read_training([settings.data])
    chosen = evenly(read, settings.rows or None)
    with placing(read):
        rows = [row for row in encode_all(chosen, model) if any(label >= 0 for label in row["labels"])]
    if not rows:
        raise SettingsError(f"{settings.data}: no row has a target token; give rows with an assistant turn")
    if (longest := max(len(row["input_ids"]) for row in rows)) > model.room:
        raise too_long(model.name, longest, model.room)
    reads: list[Read] = [settings.data, *settings.reads(), *((hub_label(place), adapter_folder(place)) for place in settings.places[:-1])]
    with Run(out, "probe sharpness", settings, reads=reads, progress=progress, draw=sharpness_page.draw) as made:
        made.step("sharpness", partial(_measure, settings, model, rows, progress))
    return made


def _measure(settings: SharpnessSettings, model: LocalModel, rows: list[Encoded], progress: Progress) -> JSON:
    from luthier.train.sharpness import sharpness
    from luthier.train.start import adapted_model

    sigmas, draws, seed = sorted(set(settings.sigmas)), settings.draws, settings.seed
    progress.step("Measuring sharpness", len(settings.adapters) * (1 + draws * len(sigmas)))
    places = [None if adapter is None else str(adapter_folder(adapter)) for adapter in settings.adapters]
    measured = [
        sharpness(adapted_model(model, place, seed), rows, sigmas, draws=draws, seed=seed, progress=progress.advance).to_row()
        for place in places
    ]
    told = [{"adapter": adapter, "rows": len(rows), **one} for adapter, one in zip(settings.adapters, measured, strict=True)]
    return {"measured": told}
