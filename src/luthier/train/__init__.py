"""Changes weights: fine-tuning, towards flat minima or plainly, on conversations, preference pairs or facts; and the noise that any trainer can take.

What it names loads on first use, so that a command's help stays fast.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "FlatLoraCallback": "flat",
    "PreferenceSettings": "settings",
    "SftSettings": "settings",
    "fine_tune": "sft",
    "fine_tune_rows": "sft",
    "infuse": "infusion",
    "tune_preferences": "preference.tuning",
}

__all__ = ["FlatLoraCallback", "PreferenceSettings", "SftSettings", "fine_tune", "fine_tune_rows", "infuse", "tune_preferences"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"luthier.train.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
