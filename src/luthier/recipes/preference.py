"""Tune a model on preference pairs from files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, PreferencePair, read_pairs, read_rows
from luthier.train.preference.losses import REFERENCE_FREE
from luthier.train.preference.tuning import PreferenceSettings

MADE = {False: "adapter", True: "model"}


@dataclass(frozen=True)
class PreferenceInputs:
    """Files of pairs to train on and, optionally, to evaluate on; the model: 'bundled' or a transformers folder, and its adapter."""

    data: tuple[str, ...]
    evaluation: tuple[str, ...] = ()
    model: str = "bundled"
    adapter: str | None = None
    settings: PreferenceSettings = field(default_factory=PreferenceSettings)


def run_preference(inputs: PreferenceInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Train in `folder`, write `report.html` there and return what `run.json` holds; the same call continues a stopped run.

    Started by `torchrun` or `accelerate launch`, every process trains, and the first one keeps the record.
    """
    if not inputs.data:
        raise SettingsError("no data: give at least one file of preference pairs")
    if int(os.environ.get("RANK", "0")) > 0:
        return _train(inputs, folder, quiet)
    with RunFolder(folder, "train preference", command, asdict(inputs), inputs.settings.seed) as run:
        weights = Path(inputs.adapter or "") / "adapter_model.safetensors"
        paths = [Path(path) for path in (*inputs.data, *inputs.evaluation)]
        files = {str(path): file_sha256(path) for path in [*paths, weights] if path.is_file()}
        run.record["inputs"] = files
        keyed = {**asdict(inputs), "files": files}
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all processes must train, or none
            run.shared_step("train", keyed, lambda: _train(inputs, folder, progress))
        else:
            made = ["metrics.jsonl", "checkpoints", MADE[inputs.settings.full]]
            training = inputs.settings.training
            kept = [] if "reference_cache" in training or training.get("loss") in REFERENCE_FREE else ["reference"]
            run.step("train", keyed, [*made, *kept], lambda: _train(inputs, folder, progress))
        _write_page(run.record, folder, inputs)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _write_page(record: JSON, folder: Path, inputs: PreferenceInputs) -> None:
    from luthier.report.preference_page import write_preference_page
    from luthier.train.preference.tuning import METHODS

    settings = inputs.settings
    told = {
        "method": settings.method,
        "loss": settings.training.get("loss", "dpo"),
        "delta": settings.training.get("delta", 2.0),
        "weighting": settings.weighting or METHODS[settings.method][1],
    }
    steps = [row for _, row in read_rows(folder / "metrics.jsonl")]
    names = [Path(path).name for path in inputs.data]
    write_preference_page(record["steps"]["train"]["results"], steps, folder / "report.html", data=names, settings=told)


def _train(inputs: PreferenceInputs, folder: Path, progress: Progress) -> JSON:
    from luthier.train.preference.tuning import tune_preferences

    folder.mkdir(parents=True, exist_ok=True)
    pairs, held = _pairs(inputs.data), _pairs(inputs.evaluation)
    model = open_model(inputs.model, None if inputs.adapter is None else Path(inputs.adapter))
    phase = ""

    def show(name: str, done: int, total: int, note: str) -> None:
        nonlocal phase
        if name != phase:
            phase = name
            progress.step(name, total)
        progress.update(done, total, note)

    result = tune_preferences(
        pairs,
        model,
        folder,
        inputs.settings,
        evaluation=held,
        progress=lambda done, planned, loss: show("train", done, planned, f"loss {loss:.3f}"),
        reference_progress=lambda done, total: show("reference", done, total, ""),
    )
    return {**asdict(result), "method": inputs.settings.method}


def _pairs(paths: Sequence[str]) -> list[PreferencePair]:
    return [pair for path in paths for pair in read_pairs(Path(path))]
