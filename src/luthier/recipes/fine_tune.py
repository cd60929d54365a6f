"""Fine-tune a model on conversations from files, and measure how sharp the minimum is that training found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.sections import read_sections
from luthier.recipes.tools import open_model
from luthier.records import JSON, Conversation, read_conversations
from luthier.train.fine_tune import FineTuneSettings

ADAPTER = "adapter"


@dataclass(frozen=True)
class TrainingInputs:
    """Files of conversations to train on and, optionally, to evaluate on; the model: 'bundled' or a transformers folder."""

    data: tuple[str, ...]
    evaluation: tuple[str, ...] = ()
    model: str = "bundled"
    settings: FineTuneSettings = field(default_factory=FineTuneSettings)


def run_fine_tune(inputs: TrainingInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Train in `folder` and return what `run.json` holds; the same call continues a stopped run.

    Started by `torchrun` or `accelerate launch`, every process trains, and the first one keeps the record.
    """
    if not inputs.data:
        raise SettingsError("no data: give at least one file of conversations")
    if int(os.environ.get("RANK", "0")) > 0:
        return _train(inputs, folder, quiet)
    with RunFolder(folder, "train sft", command, asdict(inputs), inputs.settings.seed) as run:
        files = {path: file_sha256(Path(path)) for path in (*inputs.data, *inputs.evaluation) if Path(path).is_file()}
        run.record["inputs"] = files
        progress.step("train")
        keyed = {**asdict(inputs), "files": files}
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all processes must train, or none
            run.shared_step("train", keyed, lambda: _train(inputs, folder, progress))
        else:
            run.step("train", keyed, ["metrics.jsonl", "checkpoints", inputs.settings.made], lambda: _train(inputs, folder, progress))
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _train(inputs: TrainingInputs, folder: Path, progress: Progress) -> JSON:
    from luthier.train.fine_tune import fine_tune

    folder.mkdir(parents=True, exist_ok=True)
    result = fine_tune(
        _conversations(inputs.data),
        open_model(inputs.model),
        folder,
        inputs.settings,
        evaluation=_conversations(inputs.evaluation),
        progress=lambda done, planned, loss: progress.update(done, planned, f"loss {loss:.3f}"),
    )
    return {**asdict(result), "method": inputs.settings.method, "strength": inputs.settings.amount}


def _conversations(paths: Sequence[str]) -> list[Conversation]:
    return [conversation for path in paths for conversation in read_conversations(Path(path))]


def read_settings(config: Path | None, changes: Sequence[str], base: FineTuneSettings) -> FineTuneSettings:
    """Settings from a YAML file with sections sft, lora and flat, then from `section.name=value` changes; values are YAML.

    Raises SettingsError for what cannot be read.
    """
    sections = read_sections(config, changes, {name: getattr(base, name) for name in ("sft", "lora", "flat")})
    return replace(base, sft=sections["sft"], lora=sections["lora"], flat=sections["flat"])


def probe_sharpness(
    adapters: Sequence[str | None],
    data: Sequence[str],
    *,
    model: str = "bundled",
    sigmas: Sequence[float],
    draws: int,
    rows: int,
    seed: int = 0,
    progress: Progress = quiet,
) -> list[JSON]:
    """The rise of the loss under noise, of each adapter on the same rows and in the same directions; None is the base with a fresh adapter.

    rows: how many, evenly spaced; 0 for all. Raises SettingsError where the data have no assistant turn.
    """
    from luthier.train.fine_tune import adapted_model, check_adapter
    from luthier.train.sft import encode
    from luthier.train.sharpness import sharpness

    for adapter in adapters:
        if adapter is not None:  # before minutes of measuring, not after
            check_adapter(adapter)
    base = open_model(model)
    conversations = _conversations(data)
    step = max(1, len(conversations) // rows) if rows else 1
    chosen = conversations[::step][: rows or None]
    encoded = [row for row in (encode(one, base.tokenizer) for one in chosen) if any(label >= 0 for label in row["labels"])]
    progress.step("sharpness", len(adapters) * (1 + draws * len(sigmas)))
    return [
        {
            "adapter": adapter,
            "rows": len(encoded),
            **sharpness(adapted_model(base, adapter, seed), encoded, sigmas, draws=draws, seed=seed, progress=progress.advance).to_row(),
        }
        for adapter in adapters
    ]


def write_sharpness_page(measured: Sequence[JSON], path: Path, data: str) -> None:
    """Draw what `probe_sharpness` measured as one HTML page. Raises DiskError."""
    from luthier.report import sharpness_page

    lines = [
        sharpness_page.Line(
            one["adapter"] or "before training",
            one["loss"],
            [sharpness_page.Rise(rise["sigma"], rise["rise"], rise["error"]) for rise in one["rises"]],
        )
        for one in measured
    ]
    draws = len(measured[0]["rises"][0]["draws"])
    sharpness_page.write_sharpness_page(lines, path, data=Path(data).name, rows=measured[0]["rows"], draws=draws)
