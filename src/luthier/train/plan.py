"""How many optimizer steps fit a time limit: a few probe steps measure the machine, and the answer is kept for a resumed run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from luthier.models.precision import default_device
from luthier.records.files import atomic_write
from luthier.train.answer_head import answer_loss
from luthier.train.flat import BackendName, FlatNoise
from luthier.train.shared_prompts import collate

PROBES = 4
MARGIN = 1.15  # whole runs took 0.9 to 1.2 times a step of the probe: other work on the machine, batches of unlike rows
Rows = Sequence[dict[str, list[int]]]


def planned_steps(
    peft_model: Any,
    rows: Rows,
    plan: Path,
    *,
    seconds: float | None,
    batch_size: int,
    micro_batch: int,
    sigma: float,
    backend: BackendName = "auto",
) -> int:
    """Steps of one pass over `rows`, or as many as `seconds` hold (at least two). Decided once and kept in the file `plan`."""
    everything = max(1, len(rows) // batch_size)
    if seconds is None:
        return everything
    if plan.is_file():
        return int(json.loads(plan.read_text())["planned_steps"])
    each = step_seconds(peft_model, rows, batch_size=batch_size, micro_batch=micro_batch, sigma=sigma, backend=backend)
    planned = max(2, min(everything, int(seconds / (MARGIN * each))))
    with atomic_write(plan) as stream:
        json.dump(
            {"planned_steps": planned, "whole_plan": everything, "probe_step_seconds": each, "limit_seconds": seconds}, stream, indent=1
        )
    return planned


def step_seconds(peft_model: Any, rows: Rows, *, batch_size: int, micro_batch: int, sigma: float, backend: BackendName = "auto") -> float:
    """What an optimizer step of mean length will take: the median of three probe steps after one that pays for warming up.

    Gradients are dropped; nothing is updated.
    """
    import torch

    device = default_device()
    batch = sorted(rows, key=lambda row: len(row["input_ids"]))[len(rows) // 2 :][:micro_batch]
    inputs = {name: value.to(device) for name, value in collate(batch).items()}
    peft_model.to(device).train()
    base_dtype = next(p.dtype for p in peft_model.parameters() if not p.requires_grad)
    noise = FlatNoise(peft_model, sigma, backend=backend) if sigma > 0 else None
    drawing: list[float] = []
    passing: list[float] = []
    for _ in range(PROBES):
        start = time.perf_counter()
        if noise is not None:
            noise.draw(1, 1)
        drawn = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=base_dtype is torch.bfloat16):
            loss, _outputs = answer_loss(peft_model, inputs)
        loss.backward()
        peft_model.zero_grad(set_to_none=True)
        drawing.append(drawn - start)
        passing.append(time.perf_counter() - drawn)
    if noise is not None:
        noise.remove()
    mean = sum(len(row["input_ids"]) for row in rows) / len(rows)
    tokens = sum(len(row["input_ids"]) for row in batch)
    return median(drawing[1:]) + median(passing[1:]) * batch_size * mean / tokens
