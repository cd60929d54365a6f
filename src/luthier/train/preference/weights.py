"""Weights of the tokens of an answer, (pairs, length): each is a function of tensors and has no gradient.

`weighted` sums are what the losses take in place of plain sums of log-probabilities.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from luthier.train.settings import Weighting

if TYPE_CHECKING:
    from torch import Tensor


WEIGHTINGS: tuple[str, ...] = get_args(Weighting)


def bmc_weights(logps: Tensor, diff: Tensor, delta: float) -> Tensor:
    """1 + min(1/p, delta) where `diff` is 1, else 1 (BMC, arXiv 2408.07471, sec. 3): what differs counts, most where the policy doubts it.

    logps: the policy's log-probabilities (nats) of the tokens; diff: 0 or 1, same shape; delta >= 0, 0 for weights of 1.
    """
    import torch

    ceiling = math.log(delta) if delta > 0 else -math.inf  # clamped before the exponential, which then cannot overflow
    inverse = torch.clamp(-logps.detach(), max=ceiling).exp()
    return 1 + diff.to(inverse.dtype) * inverse


def ld_weights(mask: Tensor, other_mask: Tensor, alpha: float) -> Tensor:
    """1 up to the length of the pair's shorter answer, `alpha` beyond it (LD-DPO, arXiv 2409.06411).

    mask, other_mask: 1 for tokens, 0 for padding, of this and of the other answer.
    """
    import torch

    shared = torch.minimum(mask.sum(-1), other_mask.sum(-1))
    places = torch.arange(mask.shape[-1], device=mask.device)
    return torch.where(places < shared[:, None], 1.0, alpha)


def d2po_weights(mask: Tensor, gamma: float) -> Tensor:
    """`gamma ** t` for token t = 0, 1, … of an answer (D2PO, arXiv 2502.14340): early tokens count most."""
    import torch

    places = torch.arange(mask.shape[-1], device=mask.device, dtype=torch.float32)
    return (gamma**places).expand(mask.shape)
