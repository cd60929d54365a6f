"""Losses over pairs of answers, as functions of their (weighted) log-probabilities: each returns one loss a pair, (pairs,).

With weights from `weights.bmc_weights` they are the BMC variants (arXiv 2408.07471, sec. 3 and app.); with weights of 1, the originals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """One side of a batch of pairs; every tensor has shape (pairs,).

    weighted: sum of weight times policy log-probability; plain: the same with weights of 1; reference, plain_reference: those of the
    reference model under the policy's weights, None for losses that have none; length: tokens, or the sum of their weights.
    """

    weighted: Tensor
    plain: Tensor
    length: Tensor
    tokens: Tensor
    reference: Tensor | None = None
    plain_reference: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """Weighted log-ratio of policy and reference, R(y)."""
        return self.weighted - self._given(self.reference)

    @property
    def plain_ratio(self) -> Tensor:
        return self.plain - self._given(self.plain_reference)

    @staticmethod
    def _given(reference: Tensor | None) -> Tensor:
        if reference is None:
            raise ValueError("this loss compares with a reference model, and none was given")
        return reference

    @staticmethod
    def of(logps: Tensor, mask: Tensor, weights: Tensor, reference: Tensor | None = None, *, by_weight: bool = False) -> Answers:
        """From log-probabilities by token, (pairs, length); mask: 1 for tokens, 0 for padding. by_weight: length is the sum of the weights."""
        kept = weights * mask
        tokens = mask.sum(-1)
        return Answers(
            (kept * logps).sum(-1),
            (mask * logps).sum(-1),
            kept.sum(-1) if by_weight else tokens,
            tokens,
            None if reference is None else (kept * reference).sum(-1),
            None if reference is None else (mask * reference).sum(-1),
        )


def dpo(chosen: Answers, rejected: Answers, *, beta: float = 0.1, dpop: float = 0.0) -> Tensor:
    """-log sigmoid of beta times the difference of the log-ratios (DPO, arXiv 2305.18290, eq. 7).

    dpop: how heavily a chosen answer counts against the margin that has become less likely than under the reference (DPOP, arXiv
    2402.13228, eq. 3), in plain log-probabilities.
    """
    margin = chosen.ratio - rejected.ratio
    if dpop:
        margin = margin - dpop * (-chosen.plain_ratio).clamp(min=0)
    return _log_sigmoid_loss(beta * margin)


def ipo(chosen: Answers, rejected: Answers, *, beta: float = 0.1) -> Tensor:
    """Squared distance of the difference of length-normalised log-ratios from 1 / (2 beta) (IPO, arXiv 2310.12036, eq. 17)."""
    difference = chosen.ratio / chosen.length - rejected.ratio / rejected.length
    return (difference - 1 / (2 * beta)) ** 2


def rdpo(chosen: Answers, rejected: Answers, *, beta: float = 0.1, alpha: float = 0.01) -> Tensor:
    """DPO with alpha times the difference of the lengths added to the margin (R-DPO, arXiv 2403.19159)."""
    longer = chosen.length - rejected.length
    return _log_sigmoid_loss(beta * (chosen.ratio - rejected.ratio) + alpha * longer)


def simpo(chosen: Answers, rejected: Answers, *, beta: float = 2.0, gamma: float = 0.5) -> Tensor:
    """-log sigmoid of beta times the difference of mean log-probabilities, less a margin gamma (SimPO, arXiv 2405.14734, eq. 6)."""
    difference = chosen.weighted / chosen.length - rejected.weighted / rejected.length
    return _log_sigmoid_loss(beta * difference - gamma)


def orpo(chosen: Answers, rejected: Answers, *, weight: float = 0.1) -> Tensor:
    """Cross-entropy of the chosen answer plus `weight` times -log sigmoid of the log odds ratio (ORPO, arXiv 2403.07691, eq. 6)."""
    odds = _log_odds(chosen.weighted / chosen.length) - _log_odds(rejected.weighted / rejected.length)
    return nll(chosen) + weight * _log_sigmoid_loss(odds)


LOSSES: dict[str, Callable[..., Tensor]] = {"dpo": dpo, "ipo": ipo, "rdpo": rdpo, "simpo": simpo, "orpo": orpo}
REFERENCE_FREE = ("simpo", "orpo")


def nll(chosen: Answers) -> Tensor:
    """Cross-entropy of the chosen answers, nats a token."""
    return -chosen.plain / chosen.tokens


def _log_sigmoid_loss(margin: Tensor) -> Tensor:
    import torch

    return -torch.nn.functional.logsigmoid(margin)


def _log_odds(mean_logps: Tensor) -> Tensor:
    """log(P / (1 - P)) of log P, kept finite where P is 1 in this precision."""
    import torch

    top = -torch.finfo(mean_logps.dtype).eps
    bounded = mean_logps.clamp(max=top)
    return bounded - torch.log(-torch.expm1(bounded))
