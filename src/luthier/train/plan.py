"""How many optimizer steps fit a time limit: two probe steps measure the machine, and the answer is kept for a resumed run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.models.precision import default_device
from luthier.records.files import atomic_write
from luthier.train.answer_head import answer_loss
from luthier.train.flat import FlatNoise

Rows = Sequence[dict[str, list[int]]]


def planned_steps(
    peft_model: Any, rows: Rows, plan: Path, *, seconds: float | None, batch_size: int, micro_batch: int, sigma: float
) -> int:
    """Steps of one pass over `rows`, or as many as `seconds` hold (at least two). Decided once and kept in the file `plan`."""
    everything = max(1, len(rows) // batch_size)
    if seconds is None:
        return everything
    if plan.is_file():
        return int(json.loads(plan.read_text())["planned_steps"])
    each = step_seconds(peft_model, rows, batch_size=batch_size, micro_batch=micro_batch, sigma=sigma)
    planned = max(2, min(everything, int(seconds / each)))
    with atomic_write(plan) as stream:
        json.dump(
            {"planned_steps": planned, "whole_plan": everything, "probe_step_seconds": each, "limit_seconds": seconds},
            stream,
            indent=1,
        )
    return planned


def step_seconds(peft_model: Any, rows: Rows, *, batch_size: int, micro_batch: int, sigma: float) -> float:
    """What an optimizer step of mean length will take: the second of two probe steps (the first pays for warming up).

    Gradients are dropped; nothing is updated.
    """
    import torch

    device = default_device()
    batch = sorted(rows, key=lambda row: len(row["input_ids"]))[len(rows) // 2 :][:micro_batch]
    width = max(len(row["input_ids"]) for row in batch)
    inputs = {
        name: torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in batch], device=device)
        for name, filler in (("input_ids", 0), ("labels", -100))
    }
    peft_model.to(device).train()
    base_dtype = next(p.dtype for p in peft_model.parameters() if not p.requires_grad)
    noise = FlatNoise(peft_model, sigma) if sigma > 0 else None
    drawing = passing = 0.0
    for _ in range(2):
        start = time.perf_counter()
        if noise is not None:
            noise.draw(1, 1)
        drawn = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=base_dtype is torch.bfloat16):
            loss, _outputs = answer_loss(peft_model, inputs)
        loss.backward()
        peft_model.zero_grad(set_to_none=True)
        drawing, passing = drawn - start, time.perf_counter() - drawn
    if noise is not None:
        noise.remove()
    mean = sum(len(row["input_ids"]) for row in rows) / len(rows)
    return drawing + passing * batch_size * mean / sum(len(row["input_ids"]) for row in batch)
