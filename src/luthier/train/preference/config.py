"""The settings of a preference run: those of `transformers.TrainingArguments`, and what pairs need, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments

from luthier.errors import SettingsError
from luthier.train.preference.losses import LOSSES
from luthier.train.preference.weights import WEIGHTINGS

BETAS = {"dpo": 0.1, "ipo": 0.1, "rdpo": 0.1, "simpo": 2.0}
CHOICES = {
    "loss": tuple(LOSSES),
    "weighting": WEIGHTINGS,
    "length_norm": ("tokens", "weights"),
    "reference": ("start", "base"),
    "too_long": ("leave-out", "truncate"),
}


@dataclass
class PreferenceConfig(TrainingArguments):  # type: ignore[misc]
    """All of `transformers.TrainingArguments`, and what pairs need. Raises SettingsError for a value that has no meaning.

    beta: None for the usual one of the loss. delta: cap of the BMC weights, which are 1 to 1 + delta. alpha: of `rdpo`; gamma: margin of
    `simpo`; orpo_weight: of the odds ratio. ld_alpha, d2po_gamma: of those weights. length_norm: whether a length counts tokens or their
    weights. dpop, nll: weight of the DPOP penalty (dpo only) and of the chosen answers' cross-entropy, against falling chosen likelihood.
    reference: `start`, the model as training finds it, or `base`, without its adapter; reference_cache: a folder that keeps what it says.
    share_prefix: read what two answers have in common once. max_length: tokens of a prompt with an answer; too_long: leave-out or truncate.
    disable_dropout: as in TRL, or the policy differs from its reference before it has learned anything.
    """

    loss: str = "dpo"
    weighting: str = "bmc"
    beta: float | None = None
    delta: float = 2.0
    alpha: float = 0.01
    gamma: float = 0.5
    orpo_weight: float = 0.1
    ld_alpha: float = 0.5
    d2po_gamma: float = 0.98
    length_norm: str = "tokens"
    dpop: float = 0.0
    nll: float = 0.0
    reference: str = "start"
    reference_cache: str | None = None
    share_prefix: bool = True
    max_length: int | None = 1024
    too_long: str = "leave-out"
    disable_dropout: bool = True
    remove_unused_columns: bool = field(default=False, metadata={"help": "Pairs need columns no model knows of."})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(known)}")
        for name in ("delta", "dpop", "nll", "d2po_gamma"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if self.beta is not None and not self.beta > 0:
            raise SettingsError(f"beta is {self.beta}; it must be above 0")
        if self.dpop and self.loss != "dpo":
            raise SettingsError(f"dpop goes with the loss dpo, not {self.loss}; use nll")
        if self.remove_unused_columns:
            raise SettingsError("remove_unused_columns would remove the answers; leave it false")

    @property
    def scale(self) -> float:
        """What rewards are multiplied with."""
        return self.orpo_weight if self.loss == "orpo" else BETAS[self.loss] if self.beta is None else self.beta
