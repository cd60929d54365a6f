"""How sharp the minimum is where a model stands: the rise of its loss when noise is put on the merged weights.

dL(sigma) = E[ L(W' + noise of strength sigma) ] - L(W'), by several draws; the same seed gives two models the same directions, so that
their difference is a paired one. The direct check that flat training did what it claims (Flat-LoRA, arXiv 2409.14396, sec. 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from luthier.errors import SettingsError
from luthier.records import JSON
from luthier.train.shared_prompts import collate, share_prompts

SIGMAS = (0.02, 0.05, 0.1)
DRAWS = 4
Rows = Sequence[dict[str, list[int]]]


@dataclass(frozen=True)
class Rise:
    """The rise of the loss at one strength: nats a target token, mean and standard error over the draws (None of one draw), and each draw's own."""

    sigma: float
    rise: float
    error: float | None
    draws: list[float]


@dataclass(frozen=True)
class Sharpness:
    """Loss without noise, in nats a target token, and its rise at each strength."""

    loss: float
    tokens: int
    rises: list[Rise]

    def to_row(self) -> JSON:
        return asdict(self)


def sharpness(
    model: Any,
    rows: Rows,
    sigmas: Sequence[float] = SIGMAS,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 4,
    progress: Callable[[int], None] | None = None,
) -> Sharpness:
    """Measure a PEFT model, with its adapters on, on encoded rows (`input_ids` and `labels`, labels -100 outside the answers).

    The noise is that of training at full strength, on the same layers; the weights are not written. progress gets 1 a pass over the rows.
    Raises SettingsError where there is nothing to measure.
    """
    import torch

    from luthier.train.flat import FlatNoise

    if draws < 1 or not sigmas or any(not 0 < sigma < math.inf for sigma in sigmas):
        raise SettingsError(f"{draws} draws of strengths {list(sigmas)}; give at least one of each, strengths above 0")
    tokens = sum(label >= 0 for row in rows for label in row["labels"][1:])
    if not tokens:
        raise SettingsError("no row has a target token; give rows with an assistant turn")
    was_training = model.training
    dropped = [(module, module.p) for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    try:
        model.train()  # noise acts in training mode only; dropout must not
        for module, _ in dropped:
            module.p = 0.0

        def measured() -> float:
            loss = mean_loss(model, rows, batch_size)
            if progress is not None:
                progress(1)
            return loss

        clean = measured()
        rises = []
        for sigma in sigmas:
            flat = FlatNoise(model, sigma, schedule=lambda _: 1.0, seed=seed)
            found = []
            for draw in range(draws):
                with flat.step(draw, draws):
                    found.append(measured() - clean)
            flat.remove()
            error = stdev(found) / math.sqrt(draws) if draws > 1 else None
            rises.append(Rise(sigma, mean(found), error, found))
        return Sharpness(clean, tokens, rises)
    finally:
        for module, chance in dropped:
            module.p = chance
        model.train(was_training)


def mean_loss(model: Any, rows: Rows, batch_size: int = 4) -> float:
    """Cross-entropy a target token, in nats, of the model as it is."""
    import torch

    from luthier.models.hardware import attention_kernel, input_device
    from luthier.train.answer_head import answer_loss

    device = input_device(model)
    frozen = (weight.dtype for weight in model.parameters() if not weight.requires_grad and weight.is_floating_point())
    held = next(frozen, model.dtype)
    half = held in (torch.bfloat16, torch.float16)
    alone = share_prompts(rows, range(len(rows)), branches=1, tokens=0)  # with the positions and masks that `collate` expects
    ordered = sorted(alone, key=lambda row: len(row["input_ids"]))
    total, tokens = 0.0, 0
    with torch.no_grad(), torch.autocast(device.type, held if half else torch.bfloat16, enabled=half):
        for start in range(0, len(ordered), batch_size):
            batch = {
                name: value.to(device)
                for name, value in collate(ordered[start : start + batch_size], kernel=attention_kernel(model)).items()
            }
            loss, _ = answer_loss(model, batch, items=1)
            total += float(loss)
            tokens += int((batch["labels"][:, 1:] >= 0).sum())
    return total / tokens
