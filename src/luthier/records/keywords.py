"""Single keywords of a loosely written schema, read into their JSON Schema 2020-12 form: types, limits, required names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from luthier.records.conversations import JSON
from luthier.records.dialects import TYPES, as_count, as_number, type_keywords, type_of, type_set, usable_format
from luthier.records.patterns import usable_pattern

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties")}
_LIMITS = frozenset({*_NUMBERS, *sum(_COUNTS.values(), ()), "multipleOf", "uniqueItems", "pattern", "format"})


def stated_types(schema: Mapping[str, Any]) -> JSON:
    """The `type` keyword (and what a type name implies), inferred from other keywords where it is missing."""
    stated = schema.get("type")
    if isinstance(stated, str) and stated in TYPES:
        return {"type": stated}
    keywords = [type_keywords(name) for name in (stated if isinstance(stated, list) else [stated])]
    names = list(dict.fromkeys(kind for each in keywords for kind in sorted(type_set(each))))
    if names:
        merged: JSON = {key: value for each in reversed(keywords) for key, value in each.items()}
        return {**merged, "type": names[0] if len(names) == 1 else names}
    if any(isinstance(schema.get(key), Mapping) for key in ("properties", "additionalProperties", "patternProperties")):
        return {"type": "object"}
    if isinstance(schema.get("items"), Mapping | list) or isinstance(schema.get("prefixItems"), list):
        return {"type": "array"}
    listed = schema.get("enum")
    values = listed if isinstance(listed, list) and listed else [schema["const"]] if "const" in schema else []
    kinds = list(dict.fromkeys(type_of(value) for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}


def add_limits(schema: Mapping[str, Any], result: JSON, leave: Callable[[str], None] = lambda what: None) -> None:
    """Copy lengths, bounds, pattern and format where they fit the types of `result` and make sense. leave: is told of what is left out."""
    if _LIMITS.isdisjoint(schema):
        return
    types = type_set(result) or TYPES  # where no type is said, a limit is one for the values of its own kind
    for kind, names in _COUNTS.items():
        for name in names if kind in types else ():
            count = as_count(schema.get(name))
            if count is not None:
                result[name] = count
    if "array" in types and schema.get("uniqueItems") is True:
        result["uniqueItems"] = True
    if "string" in types:
        pattern, form = schema.get("pattern"), usable_format(schema.get("format"))
        if isinstance(pattern, str) and usable_pattern(pattern):
            result["pattern"] = pattern
        elif pattern:
            leave("pattern that cannot be run in linear time")
        if form:
            result["format"] = form
        elif isinstance(schema.get("format"), str):
            leave(f"format {schema['format'][:40]!r}, which nothing checks")
    if types & {"integer", "number"}:
        _add_bounds(schema, result)


def _add_bounds(schema: Mapping[str, Any], result: JSON) -> None:
    for name in _NUMBERS:
        value = as_number(schema.get(name))
        if value is not None:
            result[name] = value
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(flag) is True and bound in result:  # draft 4 and OpenAPI 3.0
            result[flag] = result.pop(bound)
    step = as_number(schema.get("multipleOf"))
    if step is not None and step > 0:
        result["multipleOf"] = step


def required_names(stated: object, properties: Mapping[Any, Any]) -> list[str]:
    """Names of required properties, those that YAML takes for numbers too; draft 3 wrote `required: true` into the property itself."""
    plain = [name for name in stated if not isinstance(name, dict | list)] if isinstance(stated, list) else []
    listed = [name if isinstance(name, str) else json.dumps(name) for name in plain]
    flagged = [str(name) for name, value in properties.items() if isinstance(value, Mapping) and value.get("required") is True]
    return list(dict.fromkeys(listed + flagged))
