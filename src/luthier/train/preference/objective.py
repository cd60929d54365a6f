"""The loss of a batch of pairs under a configuration, and what is logged of it: pure functions of log-probabilities by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luthier.train.preference.config import PreferenceConfig
from luthier.train.preference.forward import SIDES
from luthier.train.preference.losses import LOSSES, REFERENCE_FREE, Answers, nll
from luthier.train.preference.weights import bmc_weights, d2po_weights, ld_weights

if TYPE_CHECKING:
    from torch import Tensor


def pair_losses(args: PreferenceConfig, batch: Any, chosen_logps: Tensor, rejected_logps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses, (pairs,), of log-probabilities by token, (pairs, tokens), and what is logged of them, each (pairs,).

    Weights that the data bring along multiply those of the method; the weight of a pair multiplies its loss.
    """
    logps = {"chosen": chosen_logps, "rejected": rejected_logps}
    weights = {side: _weights(args, batch, side, other, logps[side]) for side, other in zip(SIDES, reversed(SIDES), strict=True)}
    sides = {
        side: Answers.of(
            logps[side], batch[f"{side}_mask"], weights[side], batch.get(f"{side}_reference"), by_weight=args.length_norm == "weights"
        )
        for side in SIDES
    }
    chosen, rejected = sides["chosen"], sides["rejected"]
    loss = LOSSES[args.loss](chosen, rejected, **_parameters(args))
    if args.nll:
        loss = loss + args.nll * nll(chosen)
    if "weight" in batch:
        loss = loss * batch["weight"]
    return loss, _measured(args, chosen, rejected, batch, weights)


def _weights(args: PreferenceConfig, batch: Any, side: str, other: str, logps: Tensor) -> Tensor:
    found = _of_method(args, batch, side, other, logps)
    return found * batch[f"{side}_weights"] if f"{side}_weights" in batch and args.weighting != "column" else found


def _of_method(args: PreferenceConfig, batch: Any, side: str, other: str, logps: Tensor) -> Tensor:
    import torch

    mask = batch[f"{side}_mask"]
    if args.weighting == "bmc":
        return bmc_weights(logps, batch[f"{side}_diff"], args.delta)
    if args.weighting == "ld":
        return ld_weights(mask, batch[f"{other}_mask"], args.ld_alpha)
    if args.weighting == "d2po":
        return d2po_weights(mask, args.d2po_gamma)
    if args.weighting == "column":
        return batch[f"{side}_weights"]  # type: ignore[no-any-return]
    return torch.ones_like(mask)


def _parameters(args: PreferenceConfig) -> dict[str, float]:
    extra = {
        "dpo": {"dpop": args.dpop},
        "rdpo": {"alpha": args.alpha},
        "simpo": {"gamma": args.gamma},
        "orpo": {"weight": args.orpo_weight},
    }.get(args.loss, {})
    return extra if args.loss == "orpo" else {"beta": args.scale, **extra}


def _measured(args: PreferenceConfig, chosen: Answers, rejected: Answers, batch: Any, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rewards in plain log-probabilities, which compare with other runs; those the loss sees go under `weighted/`."""
    import torch

    with torch.no_grad():
        plain, seen = ([_reward(args, side, weighted=weighted) for side in (chosen, rejected)] for weighted in (False, True))
        found: dict[str, Tensor] = {}
        for name, (better, worse) in (("rewards", plain), ("weighted", seen)):
            found |= {
                f"{name}/chosen": better,
                f"{name}/rejected": worse,
                f"{name}/margins": better - worse,
                f"{name}/accuracies": (better > worse).float(),
            }
        found |= {"logps/chosen": chosen.plain, "logps/rejected": rejected.plain, "nll/chosen": nll(chosen)}
        for side in SIDES:
            diff = batch[f"{side}_diff"].float()
            found[f"weights/{side}"] = (weights[side] * diff).sum(-1) / diff.sum(-1).clamp(min=1)
        return {name: value.detach().float() for name, value in found.items()}


def _reward(args: PreferenceConfig, side: Answers, *, weighted: bool) -> Tensor:
    if args.loss in REFERENCE_FREE:
        return args.scale * (side.weighted / side.length if weighted else side.plain / side.tokens)
    return args.scale * (side.ratio if weighted else side.plain_ratio)
