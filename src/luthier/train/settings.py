"""Settings that people give by name: checked against the classes that take them, with a hint where a name is nearly right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from luthier.errors import SettingsError
from luthier.records import JSON


def setting_names(config: Any) -> list[str]:
    """What the constructor of a dataclass takes."""
    return [one.name for one in fields(config) if one.init]


def check_names(section: str, given: Iterable[str], known: Sequence[str], home: str) -> None:
    """Raises SettingsError for a name that is not known; home: where the known ones are described."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"see the fields of {home}"
            raise SettingsError(f"{section}.{name} is not a setting; {hint}")


def lora_config(given: JSON) -> Any:
    """A `peft.LoraConfig`: rank 8 on every linear layer where nothing else is given. Raises SettingsError."""
    from peft import LoraConfig

    chosen = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | given
    try:
        return LoraConfig(**chosen)
    except (TypeError, ValueError) as problem:
        raise SettingsError(f"PEFT refuses these settings: {first_line(problem)}") from problem


def first_line(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
