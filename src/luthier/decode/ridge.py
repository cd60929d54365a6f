"""A head fitted in closed form: ridge regression, its strength chosen on whole groups that were left out, written as one tanh unit.

With hundreds of contexts and as many dimensions, a trained network learns the groups by heart; this does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.decode.network import Network

if TYPE_CHECKING:
    import torch

STRENGTHS = (100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
INSIDE = 0.1  # deviation of what enters tanh: near 0 it is a straight line


def fit_ridge(
    inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, folds: torch.Tensor, judged: torch.Tensor
) -> tuple[Network, float]:
    """The network and the ridge's strength. inputs: (n, d); targets in [0, 1], weights, folds: (n,).

    judged: (n,) bool, rows whose left-out squared error decides on the strength.
    """
    mean, deviation = inputs.mean(0), inputs.std(0).clamp(min=1e-6)
    x = (inputs - mean) / deviation
    losses = [0.0] * len(STRENGTHS)
    for fold in folds.unique().tolist():
        train, test = folds != fold, (folds == fold) & judged
        for at, (slope, level) in enumerate(_solve(x[train], targets[train], weights[train], STRENGTHS)):
            losses[at] += float((x[test] @ slope + level - targets[test]).square().sum())
    strength = STRENGTHS[losses.index(min(losses))]
    ((slope, level),) = _solve(x, targets, weights, (strength,))
    return _as_network(slope, level, x[judged] @ slope, mean, deviation), strength


def _solve(
    x: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strengths: tuple[float, ...]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Slope (d,) and level of weighted ridge regression, for each strength."""
    import torch

    level = (targets * weights).sum() / weights.sum()
    root = weights.sqrt()
    scaled, aim = x * root[:, None], (targets - level) * root
    inner, outer = scaled.T @ scaled, scaled.T @ aim
    eye = torch.eye(len(inner))
    return [(torch.linalg.solve(inner + strength * eye, outer), level) for strength in strengths]


def _as_network(slope: torch.Tensor, level: torch.Tensor, seen: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> Network:
    """sigmoid(w2 tanh(w1 . h + b1) + b2) with the order of the straight line, and its value and slope at the mean."""
    shrink = INSIDE / seen.std().clamp(min=1e-6)
    middle = level.clamp(0.02, 0.98)
    w1 = (slope * shrink / deviation)[None]
    return Network(w1, -(w1 @ mean), (1 / (shrink * middle * (1 - middle)))[None], middle.logit())
