"""The steps of a training run: how many fit a time limit, what each measured, where a stopped one continues, and whether what it made is whole."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from transformers import TrainerCallback

from luthier.errors import DiskError, SettingsError
from luthier.models.base_model import write_base
from luthier.models.chat_template import without_markers
from luthier.models.hardware import attention_kernel
from luthier.models.local import LocalModel
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import atomic_write
from luthier.train.answer_head import answer_loss
from luthier.train.flat import FlatNoise
from luthier.train.shared_prompts import collate

logger = logging.getLogger("luthier")
FULL = 4 << 20  # bytes: less free space than a checkpoint part needs
PLAN, METRICS, CHECKPOINTS = "plan.json", "metrics.jsonl", "checkpoints"
STARTED = "started.json"  # of what the checkpoints are
# Settings that make another training of the same rows; how long it may take does not.
SHAPING = frozenset(
    [
        "backend",
        "full",
        "epochs",
        "learning_rate",
        "rank",
        "lora",
        "seed",
        "sigma",
        "method",
        "strength",
        "branches",
        "by_length",
        "sft",
        "flat",
        "loss",
        "weighting",
        "beta",
        "delta",
        "training",
    ]
)
PROBES = 4
MARGIN = 1.15  # whole runs took 0.9 to 1.2 times a step of the probe: other work on the machine, batches of unlike rows
Rows = Sequence[dict[str, list[int]]]


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes one row a step to metrics.jsonl; on resume, rows after the checkpoint are dropped first."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path, self.progress, self.started = path, progress, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= state.global_step]
        with atomic_write(self.path) as stream:
            stream.writelines(f"{line}\n" for line in kept)
        self.progress.step("Training", state.max_steps)

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
        self.progress.update(state.global_step, state.max_steps, f"loss {logs['loss']:.3f}")


def latest_checkpoint(folder: Path, *, told: bool = True) -> str | None:
    """The newest complete checkpoint, None where there is none. told: whether newer ones that are passed over are said."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    for path in sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True):
        if (part := _lacking(path)) is None:
            return str(path)
        if told:
            logger.warning("%s: is no whole checkpoint (%s), so training goes on from an older one, or from the start", path, part)
    return None


def _lacking(checkpoint: Path) -> str | None:
    """What a training misses that would go on from a checkpoint, None for a whole one: without its state, an optimizer, say, would start afresh.

    The trainer's state is written last, so one that a kill cut short lacks it, or the end of it.
    """
    if not _is_json(checkpoint / "trainer_state.json"):
        return "trainer_state.json is missing or cut short"
    sharded = (checkpoint / "latest").is_file()  # by DeepSpeed, into folders of its own
    parts = ["rng_state*.pth"] if sharded else ["optimizer*", "scheduler.pt", "rng_state*.pth"]
    for part in parts:
        if not (held := list(checkpoint.glob(part))):
            return f"{part.replace('*', '')} is missing"
        if torn := [path.name for path in held if path.suffix in (".pt", ".pth") and not zipfile.is_zipfile(path)]:
            return f"{torn[0]} is cut short"
    return None if sharded else _lacking_weights(checkpoint)


def _lacking_weights(checkpoint: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    held = [*checkpoint.rglob("*.safetensors"), *checkpoint.glob("pytorch_model*"), *checkpoint.glob("adapter_model.*")]
    for path in held:
        try:
            if path.suffix == ".safetensors":
                safe_open(str(path), framework="pt")
        except (OSError, SafetensorError):
            return f"{path.name} is cut short"
    return None if held else "its weights are missing"


def resumed(folder: Path, rows: Iterable[Any], settings: Any, model: LocalModel, *, writes: bool) -> str | None:
    """The checkpoint that a training goes on from, None where it starts; what is trained is noted beside the checkpoints.

    rows: as they are encoded. settings: a dataclass, whose time limits may differ. writes: in the first of several processes. Raises SettingsError where the folder holds a
    training of other rows, settings or another base.
    """
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, default=repr).encode())
    told = {name: value for name, value in asdict(settings).items() if name in SHAPING}
    started = {
        "rows": digest.hexdigest(),
        "settings": json.loads(json.dumps(told, default=str)),
        "base": [str(Path(place).resolve()) for place in (model.folder, model.adapter) if place],
    }
    note, found = folder / CHECKPOINTS / STARTED, latest_checkpoint(folder / CHECKPOINTS, told=writes)
    if found is not None and note.is_file() and (kept := json.loads(note.read_bytes())) != started:
        others = [name for name in started if kept.get(name) != started[name]]
        raise SettingsError(
            f"{folder}: holds the checkpoints of a training with other {' and '.join(others)}; choose another folder, or remove them"
        )
    if writes:
        with atomic_write(note) as file:
            json.dump(started, file)
    return found


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def save(trainer: Any, folder: Path, model: LocalModel) -> None:
    """What was trained, the same bytes for the same weights: PEFT lists its target modules in the order of a set, and the trainer adds a
    pickle of its arguments with the paths of this machine, which nothing reads and run.json tells better."""
    trainer.save_model(str(folder))
    if not trainer.args.should_save:
        return
    (folder / "training_args.bin").unlink(missing_ok=True)
    template = folder / "chat_template.jinja"
    if template.is_file():  # training's marks are a syntax error to llama.cpp and others that read plain Jinja
        template.write_text(without_markers(template.read_text(encoding="utf-8")), encoding="utf-8")
    config = folder / "adapter_config.json"
    if config.is_file():
        found = json.loads(config.read_text(encoding="utf-8"))
        if isinstance(found["target_modules"], list):
            found["target_modules"].sort()
        config.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_base(folder, model.name, model.folder)


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raises DiskError where the disk of `folder` is full: torch and safetensors name that in words of their own."""
    try:
        yield
    except Exception as problem:
        if shutil.disk_usage(folder).free < FULL:
            raise DiskError(f"{folder}: no space left for checkpoints; free some and run the same command again") from problem
        raise


def refuse_broken(model: Any, config: Any, sigma: float = 0.0) -> None:
    """Raises SettingsError where a trained weight is not finite, so that it is never saved."""
    for name, weight in model.named_parameters():
        held = weight.to_local() if hasattr(weight, "to_local") else weight
        if weight.requires_grad and not bool(held.isfinite().all()):
            likely = f"the learning rate ({config.learning_rate:g}) is likely too high"
            likely += f", or the noise (sigma {sigma:g}) too strong" if sigma > 0.2 else ""
            raise SettingsError(f"training went astray: {name} is not finite after it, so nothing is saved; {likely}")


def planned_steps(
    model: Any,
    rows: Rows,
    plan: Path,
    *,
    most: int,
    seconds: float,
    config: Any,
    sigma: float,
    flat: JSON,
    passes: int = 1,
    least: int = 2,
    progress: Progress = quiet,
) -> int:
    """As many optimizer steps as `seconds` hold, from `least` to `most`. Decided once and kept in the file `plan`.

    passes: forward and backward passes of a micro-batch. progress: is told how long they will take.
    """
    if plan.is_file():
        return int(json.loads(plan.read_text())["planned_steps"])
    each = passes * step_seconds(model, rows, config=config, sigma=sigma, flat=flat)
    planned = min(most, max(least, int(seconds / (MARGIN * each))))
    over = ", longer than the time limit, as fewer steps teach too little" if planned * each > seconds else ""
    progress.say(f"{planned} steps of {each:.1f} s: about {max(1, round(planned * each / 60))} min{over}")
    with atomic_write(plan) as stream:
        json.dump({"planned_steps": planned, "whole_plan": most, "probe_step_seconds": each, "limit_seconds": seconds}, stream, indent=1)
    return planned


def step_seconds(model: Any, rows: Rows, *, config: Any, sigma: float, flat: JSON) -> float:
    """What an optimizer step of mean length will take: the median of three probe steps after one that pays for warming up.

    Gradients are dropped; nothing is updated.
    """
    import torch

    device = config.device
    micro_batch: int = config.per_device_train_batch_size
    batch = sorted(rows, key=lambda row: len(row["input_ids"]))[len(rows) // 2 :][:micro_batch]
    inputs = {name: value.to(device) for name, value in collate(batch, kernel=attention_kernel(model)).items()}
    if not getattr(model, "is_quantized", False):  # else it lies there already
        model.to(device)
    model.train()
    noise = FlatNoise(model, sigma, **flat) if sigma > 0 else None
    drawing: list[float] = []
    passing: list[float] = []
    for _ in range(PROBES):
        start = time.perf_counter()
        if noise is not None:
            noise.draw(1, 1)
            if device.type != "cpu":
                torch.accelerator.synchronize()  # a GPU goes on by itself
        drawn = time.perf_counter()
        with torch.autocast(device.type, torch.float16 if config.fp16 else torch.bfloat16, enabled=config.bf16 or config.fp16):
            loss, _outputs = answer_loss(model, inputs)
        loss.backward()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        model.zero_grad(set_to_none=True)
        drawing.append(drawn - start)
        passing.append(time.perf_counter() - drawn)
    if noise is not None:
        noise.remove()
    mean = sum(len(row["input_ids"]) for row in rows) / len(rows)
    tokens = sum(len(row["input_ids"]) for row in batch)
    whole = micro_batch * int(config.gradient_accumulation_steps) * mean / tokens
    return median(drawing[1:]) + median(passing[1:]) * whole
