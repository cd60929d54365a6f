"""What a model's state says at the end of a context and along a reply: the inputs of the diversity head, and of the portable head.

One forward pass a context, its first reply included; the states come from the tap that decoding uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luthier.decode.labels import Label
from luthier.decode.tap import output_embedding
from luthier.models.hardware import input_device
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 1024  # positions in a pass, padding included: bounds the logits held
TOP = 20
STATISTICS = ("entropy", "top_probability", "margin", "varentropy", "top_mass")


@dataclass(frozen=True)
class Features:
    """One row a position. states: (n, width), float32; statistics: (n, 5), see `logit_statistics`; context: (n,), index of the label;
    first: (n,), whether the position is the end of the context, where a reply begins.
    """

    states: torch.Tensor
    statistics: torch.Tensor
    context: torch.Tensor
    first: torch.Tensor


def logit_statistics(logits: torch.Tensor) -> torch.Tensor:
    """What any engine can compute from logits alone: (rows, V) -> (rows, 5), all within about [0, 1].

    Entropy and varentropy (variance of the surprise) over log V and its square, the top probability, its lead over the second, and the
    mass of the 20 likeliest tokens. Tokens at minus infinity count nothing.
    """
    import math

    import torch

    logs = logits.float().log_softmax(-1)
    probabilities = logs.exp()
    surprise = torch.where(probabilities > 0, -logs, 0.0)
    entropy = (probabilities * surprise).sum(-1)
    variance = (probabilities * surprise.square()).sum(-1) - entropy.square()
    top = probabilities.topk(min(TOP, logits.shape[-1]), dim=-1).values
    lead = top[:, 0] - top[:, 1] if top.shape[-1] > 1 else top[:, 0]
    scale = math.log(logits.shape[-1])
    return torch.stack([entropy / scale, top[:, 0], lead, variance.clamp(min=0) / scale**2, top.sum(-1)], 1)


def read_features(model: LocalModel, labels: Sequence[Label], *, along: int = 6, progress: Callable[[int], None] | None = None) -> Features:
    """Features at the end of each context and at up to `along` evenly spaced positions of its first reply."""
    import torch

    rows = [_ids(model, label) for label in labels]
    parts: list[tuple[Any, Any, list[int], list[bool]]] = []
    for batch in _batches([len(before) + len(after) for before, after in rows]):
        width = max(len(rows[at][0]) + len(rows[at][1]) for at in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        places: list[tuple[int, int]] = []
        contexts: list[int] = []
        firsts: list[bool] = []
        for row, at in enumerate(batch):
            before, after = rows[at]
            whole = torch.tensor(before + after)
            ids[row, : len(whole)], mask[row, : len(whole)] = whole, 1
            for step in _steps(len(after), along):
                places.append((row, len(before) - 1 + step))
                contexts.append(at)
                firsts.append(step == 0)
        states, logits = _read(model.module, ids, mask, places)
        parts.append((states, logit_statistics(logits), contexts, firsts))
        if progress is not None:
            progress(len(batch))
    return Features(
        torch.cat([part[0] for part in parts]),
        torch.cat([part[1] for part in parts]),
        torch.tensor([at for part in parts for at in part[2]]),
        torch.tensor([one for part in parts for one in part[3]]),
    )


def _read(module: Any, ids: Any, mask: Any, places: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    """States and logits at the places (row, position), (n, width) and (n, V), float32 on the CPU."""
    import torch

    seen: list[Any] = []
    handle = output_embedding(module).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        with torch.inference_mode():
            device = input_device(module)
            logits = module(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    finally:
        handle.remove()
    rows, positions = (torch.tensor(one) for one in zip(*places, strict=True))
    return seen[-1][rows, positions].float().cpu().clone(), logits[rows, positions].float().cpu().clone()


def _ids(model: LocalModel, label: Label) -> tuple[list[int], list[int]]:
    reply = label.replies[0] if label.replies else ""
    return model.encode(model.render(Prompt(label.context.messages))), model.encode(reply) if reply else []


def _steps(length: int, along: int) -> list[int]:
    """0, the end of the context, and up to `along` places of a reply of so many tokens."""
    count = min(along, length)
    return [0, *sorted({1 + (length - 1) * at // max(1, count - 1) for at in range(count)})]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    while order:
        size = max(1, BATCH_TOKENS // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]
