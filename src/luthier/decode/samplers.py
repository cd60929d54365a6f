"""The truncations that may stand behind a temperature, by name: what of them is said in words, and which values they take."""

from __future__ import annotations

from luthier.errors import SettingsError

SAMPLERS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
USUAL = {"top_k": 50.0, "top_p": 0.95, "min_p": 0.05, "typical_p": 0.95}


def read_sampler(text: str) -> dict[str, float]:
    """`top_p=0.9` or `top_p` as {"top_p": 0.9}; `temperature` truncates nothing. Raises SettingsError."""
    name, equals, given = text.partition("=")
    if name not in SAMPLERS or (name == "temperature" and equals):
        raise SettingsError(f"sampler {text!r} is unknown; samplers are {', '.join(SAMPLERS)}, with =VALUE for all but the first")
    if name == "temperature":
        return {}
    try:
        value = float(given) if equals else USUAL[name]
    except ValueError:
        raise SettingsError(f"sampler {text!r}: the value is no number") from None
    if name == "top_k" and not (1 <= value <= 2**31 and value.is_integer()):
        raise SettingsError(f"sampler {text!r}: give a whole number of tokens from 1")
    if name != "top_k" and not (0 < value < 1 or (value == 1 and name != "typical_p")):
        raise SettingsError(f"sampler {text!r}: give a share above 0 and {'below' if name == 'typical_p' else 'up to'} 1")
    return {name: value}
