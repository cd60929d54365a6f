"""The spellings of JSON Schema found in the wild: loose type names, text for numbers, draft-4 and OpenAPI 3.0 habits.

Pure functions over single keywords and values; `schema.py` walks whole schemas with them.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from luthier.records.conversations import JSON

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
ANY = ["string", "number", "boolean", "object", "array", "null"]

_TYPE_NAMES: dict[str, str] = {
    **dict.fromkeys(["object", "dict", "map", "mapping", "hash", "hashmap", "record", "struct", "json"], "object"),
    **dict.fromkeys(["array", "list", "tuple", "set", "sequence", "iterable", "arraylist", "vector", "ndarray", "frozenset"], "array"),
    **dict.fromkeys(["string", "str", "text", "char", "varchar", "bytes", "binary", "file", "uuid"], "string"),
    **dict.fromkeys(["date", "datetime", "timestamp", "date-time", "time"], "string"),
    **dict.fromkeys(["integer", "int", "long", "short", "bigint", "int32", "int64", "uint", "byte"], "integer"),
    **dict.fromkeys(["number", "float", "double", "decimal", "real", "float32", "float64", "numeric"], "number"),
    **dict.fromkeys(["boolean", "bool"], "boolean"),
    **dict.fromkeys(["null", "none", "nonetype", "void"], "null"),
}
_IMPLIED_FORMATS = {
    "date": "date",
    "datetime": "date-time",
    "timestamp": "date-time",
    "date-time": "date-time",
    "time": "time",
    "uuid": "uuid",
}
_STRING_FORMATS = frozenset({"date", "date-time", "time", "duration", "email", "uri", "hostname", "ipv4", "ipv6", "uuid", "byte"})
_GENERIC = re.compile(r"^\s*([\w.]+)\s*[\[<](.+)[\]>]\s*$", re.DOTALL)
_MOST_WRITTEN = 500  # characters of a type name that are read as one


def type_keywords(name: object) -> JSON:
    """The keywords that one type name stands for: `int` -> integer, `list[str]` -> array of strings. Unknown names give nothing."""
    if not isinstance(name, str) or len(name) > _MOST_WRITTEN:
        return {}
    lowered = name.strip().lower()
    if lowered in ("any", "typing.any", "object | string", "mixed"):
        return {"type": list(ANY)}
    if len(options := _parted(name, "|")) > 1:
        return _union_keywords(options)
    generic = _GENERIC.match(name)
    if generic:
        return _generic_keywords(generic[1].rpartition(".")[2].lower(), generic[2])
    lowered = lowered.rpartition(".")[2]
    if lowered not in _TYPE_NAMES:
        return {}
    keywords: JSON = {"type": _TYPE_NAMES[lowered]}
    if lowered in _IMPLIED_FORMATS:
        keywords["format"] = _IMPLIED_FORMATS[lowered]
    return keywords


def _generic_keywords(outer: str, inner: str) -> JSON:
    parts = _parted(inner, ",")
    if outer == "optional":
        keywords = type_keywords(inner)
        return with_null(keywords) if keywords else {}
    if outer == "union":
        return _union_keywords(parts)
    if outer == "literal":
        return _literal_keywords(inner)
    kind = _TYPE_NAMES.get(outer)
    if kind == "array":
        if outer == "tuple" and len(parts) > 1 and parts[-1] != "...":
            return _tuple_keywords([type_keywords(part) for part in parts])
        items = type_keywords(parts[0])
        return {"type": "array", "items": items} if items else {"type": "array"}
    if kind == "object":
        values = type_keywords(parts[-1])
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    return {}


def _parted(text: str, sign: str) -> list[str]:
    """The text parted at a sign that stands in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[<(") - (letter in "]>)")
        if letter == sign and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _union_keywords(names: Sequence[str]) -> JSON:
    """Of whichever type; nothing where one is not known."""
    branches = [type_keywords(name) for name in names]
    others = [branch for branch in branches if branch != {"type": "null"}]
    if not others or not all(branches):
        return {}
    united = others[0]
    if len(others) > 1:
        plain = all(set(branch) == {"type"} for branch in others)
        united = {"type": list(dict.fromkeys(kind for one in others for kind in _types(one)))} if plain else {"anyOf": others}
    return with_null(united) if len(others) < len(branches) else united


def _types(schema: JSON) -> list[str]:
    return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


def _literal_keywords(inner: str) -> JSON:
    """`Literal['a', 'b']` as the values that it lists."""
    try:
        values = ast.literal_eval(f"[{inner}]")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    if not values or not all(isinstance(value, str | int | float | None) and finite(value) for value in values):
        return {}
    kinds = list(dict.fromkeys(type_of(value) for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _tuple_keywords(parts: list[JSON]) -> JSON:
    """So many values, each of its own kind."""
    count = {"minItems": len(parts), "maxItems": len(parts)}
    if not all(parts):
        return {"type": "array", **count}
    return {"type": "array", **({"items": parts[0]} if all(part == parts[0] for part in parts) else {"prefixItems": parts}), **count}


def with_null(schema: JSON) -> JSON:
    """The same schema, which also accepts null (OpenAPI 3.0 `nullable`)."""
    types = schema.get("type")
    result = dict(schema)
    if types is None:
        if "anyOf" in schema and {"type": "null"} not in schema["anyOf"]:
            result["anyOf"] = [*schema["anyOf"], {"type": "null"}]
        return result
    listed = [types] if isinstance(types, str) else list(types)
    result["type"] = listed if "null" in listed else [*listed, "null"]
    if "enum" in schema and None not in schema["enum"]:
        result["enum"] = [*schema["enum"], None]
    return result


def type_set(schema: JSON) -> frozenset[str]:
    """The type names of a schema as a set; empty where it has none."""
    types = schema.get("type", [])
    return frozenset([types] if isinstance(types, str) else types)


def type_of(value: object) -> str:
    """The JSON type of a plain value; a whole float is a number here."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def fits_type(value: object, types: frozenset[str]) -> bool:
    """Whether a value has one of the types; no types means anything fits."""
    kind = type_of(value)
    whole = isinstance(value, float) and value.is_integer()
    return not types or kind in types or (kind == "integer" and "number" in types) or (whole and "integer" in types)


def finite(value: object) -> bool:
    """Whether a value can be written as JSON: no infinity and no NaN anywhere in it."""
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(finite(part) for part in inner)


def coerced(value: Any, types: frozenset[str]) -> Any:
    """A value written as text (`"250"`, `"false"`) in the type it is meant to have; unchanged where that is not possible."""
    if fits_type(value, types):
        return value
    if isinstance(value, str):
        if "boolean" in types and value.lower() in ("true", "false"):
            return value.lower() == "true"
        number = as_number(value)
        if number is not None and ("number" in types or ("integer" in types and isinstance(number, int))):
            return number
    if "string" in types and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def as_number(value: object) -> int | float | None:
    """A finite number from a number or its text; None for everything else, bool included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        whole = isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,300}", value))
        number = int(value) if whole else float(value)
    except (ValueError, OverflowError):
        return None
    return number if isinstance(number, int) or math.isfinite(number) else None


def as_count(value: object) -> int | None:
    """A non-negative whole number, for lengths and item counts."""
    number = as_number(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def usable_format(name: object) -> str | None:
    """The format of a string if it is one that tools and validators know (`url` is `uri`); numeric formats say nothing new."""
    if not isinstance(name, str):
        return None
    lowered = {"url": "uri", "datetime": "date-time", "google-datetime": "date-time", "ip": "ipv4", "guid": "uuid"}.get(
        name.lower(), name.lower()
    )
    return lowered if lowered in _STRING_FORMATS else None
