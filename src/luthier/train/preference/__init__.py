"""Preference tuning with DPO-BMC (arXiv 2408.07471): losses, token weights, a trainer that reads what two answers share once."""

from luthier.train.preference.losses import LOSSES, Answers, dpo, ipo, orpo, rdpo, simpo
from luthier.train.preference.pairs import EncodedPair, PairCounts, encode_pairs, token_diff
from luthier.train.preference.weights import WEIGHTINGS, bmc_weights, d2po_weights, ld_weights

__all__ = [
    "LOSSES",
    "WEIGHTINGS",
    "Answers",
    "EncodedPair",
    "PairCounts",
    "PreferenceConfig",
    "PreferenceTrainer",
    "bmc_weights",
    "d2po_weights",
    "dpo",
    "encode_pairs",
    "ipo",
    "ld_weights",
    "orpo",
    "rdpo",
    "simpo",
    "token_diff",
]


def __getattr__(name: str) -> object:
    if name in ("PreferenceConfig", "PreferenceTrainer"):  # they bring in transformers
        from luthier.train.preference import config, trainer

        return getattr(config if name == "PreferenceConfig" else trainer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
