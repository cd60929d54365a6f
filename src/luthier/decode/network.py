"""The small network of both heads, sigmoid(w2 . tanh(W1 x + b1) + b2), and how it is fitted: full batch, early stop, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TENSORS = ("w1", "b1", "w2", "b2")
MOST_STEPS = 400
EVERY = 5  # steps between looks at the held-out loss
PATIENCE = 12  # looks without a better one


@dataclass(frozen=True)
class Network:
    """w1: (hidden, inputs); b1, w2: (hidden,); b2: scalar tensor; all float32."""

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(rows, inputs) -> (rows,), in (0, 1)."""
        import torch

        inside = torch.addmm(self.b1, inputs.to(self.w1.dtype), self.w1.T).tanh()
        return torch.mv(inside, self.w2).add(self.b2).sigmoid()

    def tensors(self) -> dict[str, torch.Tensor]:
        """As they are stored: by name, contiguous, on the CPU."""
        return {name: getattr(self, name).contiguous().cpu() for name in TENSORS}

    def to(self, device: torch.device | str) -> Network:
        return Network(*(getattr(self, name).to(device) for name in TENSORS))


def fit_network(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    hidden: int,
    seed: int,
    held: torch.Tensor | None = None,
    steps: int = MOST_STEPS,
    rate: float = 2e-3,
    decay: float = 0.3,
) -> tuple[Network, int]:
    """Least squares in full batches with AdamW. inputs: (n, d); targets in [0, 1], weights: (n,). Returns the network and its steps.

    held: (n,) bool, rows that are not trained on and whose loss decides when to stop; without them, all `steps` are made.
    The inputs' means and deviations are folded into the first layer, so the network takes them as they are.
    """
    import torch

    train = torch.ones(len(inputs), dtype=torch.bool) if held is None else ~held
    mean, deviation = inputs[train].mean(0), inputs[train].std(0).clamp(min=1e-6)
    x = (inputs - mean) / deviation
    random = torch.Generator().manual_seed(seed)
    width = inputs.shape[1]
    w1 = (torch.randn(hidden, width, generator=random) / width**0.5).requires_grad_()
    w2 = (torch.randn(hidden, generator=random) / hidden**0.5).requires_grad_()
    b1 = torch.zeros(hidden, requires_grad=True)
    middle = float((targets[train] * weights[train]).sum() / weights[train].sum())
    b2 = torch.tensor(middle).logit(eps=1e-3).requires_grad_()
    optimizer = torch.optim.AdamW([w1, b1, w2, b2], lr=rate, weight_decay=decay)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        made = Network(w1, b1, w2, b2)(x[rows])
        return (weights[rows] * (made - targets[rows]).square()).sum() / weights[rows].sum()

    best, best_at, kept = float("inf"), 0, [one.detach().clone() for one in (w1, b1, w2, b2)]
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss(train).backward()
        optimizer.step()
        if held is not None and step % EVERY == 0:
            with torch.no_grad():
                now = float(loss(held))
            if now < best:
                best, best_at, kept = now, step, [one.detach().clone() for one in (w1, b1, w2, b2)]
            elif step - best_at > EVERY * PATIENCE:
                break
    if held is None:
        best_at, kept = steps, [one.detach().clone() for one in (w1, b1, w2, b2)]
    w1, b1, w2, b2 = kept
    folded = w1 / deviation
    return Network(folded, b1 - folded @ mean, w2, b2), best_at
