"""Whether calls are those that were wanted: the same names and values, in any order; letter case, white space and stated defaults do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.records.conversations import JSON, Tool, ToolCall

ABSENT: Any = object()


def calls_differ(made: Sequence[ToolCall], wanted: Sequence[ToolCall], tools: Sequence[Tool]) -> str:
    """In what the calls differ from those that were wanted, "" where they do not. tools: on offer, for their defaults."""
    left = list(wanted)
    if len(made) != len(left):
        return f"made {len(made)} calls of {len(left)}"
    for call in made:
        reasons = [call_differs(call, other, tools) for other in left]
        if "" not in reasons:
            return min(reasons, key=len)
        del left[reasons.index("")]
    return ""


def call_differs(made: ToolCall, wanted: ToolCall, tools: Sequence[Tool]) -> str:
    """In what one call differs from another, or ""."""
    if made.name != wanted.name:
        return f"called {made.name}, not {wanted.name}"
    properties: JSON = next((tool.parameters.get("properties", {}) for tool in tools if tool.name == made.name), {})
    for name in dict.fromkeys([*wanted.arguments, *made.arguments]):
        default = properties.get(name, {}).get("default", ABSENT)
        one, other = (call.arguments.get(name, default) for call in (made, wanted))
        if one is ABSENT:
            return f"{name} is left out"
        if other is ABSENT:
            return f"{name} is not asked for"
        if not same_value(one, other):
            return f"{name} has another value"
    return ""


def same_value(one: Any, other: Any) -> bool:
    """Equality that forgives case and white space in strings, and int against float; true and 1 are not the same."""
    if isinstance(one, str) and isinstance(other, str):
        return "".join(one.split()).casefold() == "".join(other.split()).casefold()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same_value(a, b) for a, b in zip(one, other, strict=True))
    return (type(one) is type(other) or not (isinstance(one, bool) or isinstance(other, bool))) and bool(one == other)
