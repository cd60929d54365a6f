"""Limits that Python code states beside a type: `Annotated[int, Field(ge=1)]`, `conint(le=5)`, `= Query(..., max_length=20)`.

Whoever states them is told by what they carry, not by their class: pydantic, FastAPI, annotated-types and msgspec agree on the names.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from luthier.records.dialects import finite

_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"}
_LENGTHS = {"min_length": ("minLength", "minItems", "minProperties"), "max_length": ("maxLength", "maxItems", "maxProperties")}
_PATTERNS = ("pattern", "regex")


class FieldDefault(NamedTuple):
    """What a default made with `Field(...)` says. required: it is no default at all."""

    required: bool
    value: Any
    description: str


def field_default(default: Any) -> FieldDefault | None:
    """Of a default that is a description of a field; None where it is a value. One made by a function counts as a default that is not told."""
    asked = getattr(default, "is_required", None)
    if isinstance(default, type) or not callable(asked) or not hasattr(default, "default"):
        return None
    value = default.default if getattr(default, "default_factory", None) is None else None
    return FieldDefault(bool(asked()), None if asked() else value, str(getattr(default, "description", None) or ""))


def constraints(kind: Any, metadata: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Keywords of JSON Schema with their values: the limits, the pattern and the description that stand beside a type. kind: of the schema."""
    place = next((at for at, name in enumerate(("array", "object"), 1) if name == kind or (isinstance(kind, list) and name in kind)), 0)
    for one in _flat(metadata):
        if isinstance(one, str):
            yield "description", one
        for name, keyword in _LIMITS.items():
            if isinstance(value := getattr(one, name, None), int | float) and not isinstance(value, bool) and finite(value):
                yield keyword, value
        for name, keywords in _LENGTHS.items():
            if isinstance(value := getattr(one, name, None), int):
                yield keywords[place], value
        pattern = next((told for name in _PATTERNS if isinstance(told := getattr(one, name, None), str)), None)
        if pattern is not None:
            yield "pattern", pattern
        told = getattr(one, "description", None) or getattr(one, "documentation", None)
        if isinstance(told, str) and told:
            yield "description", inspect.cleandoc(told)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """Each statement, those within a field's own list too."""
    for one in metadata:
        yield one
        inner = getattr(one, "metadata", None)
        if isinstance(inner, list | tuple):
            yield from _flat(inner)
