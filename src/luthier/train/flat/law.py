"""The law of the noise: its ramp, the row norms of the merged weight, and the deviation of each row (arXiv 2409.14396, sec. 3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def ramp(progress: float) -> float:
    """Strength of the noise at `progress` in [0, 1] of the training: (1 - cos(pi t)) / 2, from 0 up to 1."""
    return 0.5 * (1.0 - math.cos(math.pi * min(1.0, max(0.0, progress))))


def merged_row_norms(weight: Tensor, a: Tensor, b: Tensor, scaling: float, squares: Tensor | None = None) -> Tensor:
    """Euclidean norm of each row of W + s B A, without forming B A.

    weight: W, (rows, columns); a: (rank, columns); b: (rows, rank); squares: cached ||W_i||^2, (rows,). Returns (rows,), float32.
    q_i^2 = ||W_i||^2 + 2 s <B_i, (A W^T)_i> + s^2 B_i (A A^T) B_i^T, clamped at 0. Adapters that act together are stacked: the
    rows of their A, the columns of their B, each B times its own scaling.
    """
    import torch

    a, b = a.detach().float(), b.detach().float()
    if squares is None:
        squares = row_squares(weight)
    crossed = (weight.detach() @ a.t().to(weight.dtype)).float()
    gram: Tensor = b @ (a @ a.t())
    total = squares + 2 * scaling * (b * crossed).sum(1) + scaling**2 * (gram * b).sum(1)
    return torch.sqrt(total.clamp(min=0))


def row_squares(weight: Tensor) -> Tensor:
    """||W_i||^2 of each row, float32, (rows,)."""
    return weight.detach().float().square().sum(1)


def noise_scale(row_norms: Tensor, columns: int, sigma: float) -> Tensor:
    """Standard deviation of the noise of each row: sigma ||W'_i|| / sqrt(columns). Returns (rows, 1); 0 for a row of zeros."""
    return (row_norms * (sigma / math.sqrt(columns)))[:, None]
