"""Tune a model on preference pairs from files, in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.run import Run
from luthier.run.folder import Read
from luthier.train.preference import page
from luthier.train.preference.losses import REFERENCE_FREE
from luthier.train.rows import placing, read_training_pairs
from luthier.train.settings import PreferenceRunSettings

if TYPE_CHECKING:
    from luthier.models.local import LocalModel


def run(settings: PreferenceRunSettings, out: Path, progress: Progress = quiet) -> Run:
    """Train, and keep `adapter` or `model`, `metrics.jsonl` and `report.html` in `out`; the same call continues a stopped run.

    Started by `torchrun` or `accelerate launch`, every process trains, and the first one keeps the record. Raises SettingsError for settings
    that do not exist or do not fit together, and what reading the pairs and opening the model raise.
    """
    from luthier.train.preference.tuning import REFERENCE, prepare, train

    columns, skipped = settings.columns(), settings.skipped([*settings.data, *settings.evaluation])
    pairs, held = read_training_pairs(settings.data, columns, skipped), read_training_pairs(settings.evaluation, columns, skipped)
    model: LocalModel = settings.open()
    with placing(pairs, held):
        prepared = prepare(pairs, model, out, settings, evaluation=held)
    reads: list[Read] = [*settings.data, *settings.evaluation, *settings.reads()]
    kept = prepared.config.reference_cache == str(out / REFERENCE) and prepared.config.loss not in REFERENCE_FREE
    files = [page.METRICS, "checkpoints", settings.made, *([REFERENCE] if kept else [])]
    with Run(out, "train preference", settings, reads=reads, progress=progress, draw=page.draw) as made:
        watched = quiet if made.rank else progress

        def work() -> JSON:
            return {**train(prepared, model, out, settings, watched).to_row(), "method": settings.method}

        made.step("train", work, files=files)
    return made
