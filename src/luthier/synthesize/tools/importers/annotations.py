"""Type annotations as JSON Schema, read as syntax and never evaluated: `list[str] | None`, `Literal["a", "b"]`, `dict[str, int]`."""

from __future__ import annotations

import ast
import re

from luthier.records import JSON
from luthier.records.dialects import type_keywords, type_of, with_null

_PROSE = re.compile(r",\s*+(optional|default[^\n]*+|keyword.only)$|\bof\b.*|(?<!\s)\s*+\(.*", re.IGNORECASE | re.DOTALL)
_ARRAYS = frozenset({"list", "sequence", "iterable", "tuple", "set", "frozenset", "collection"})
_OBJECTS = frozenset({"dict", "mapping", "mutablemapping", "defaultdict", "ordereddict"})


def annotation_schema(text: str) -> JSON:
    """The schema an annotation (or the type in a docstring) stands for; empty where it is not understood."""
    text = text.strip()
    if not text:
        return {}
    lists = re.fullmatch(r"(?:list|array|sequence|tuple)s? of (\w+?)s?", text, re.IGNORECASE)
    if lists:
        return _array(annotation_schema(lists[1]))
    try:
        return _schema(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shorter = _PROSE.sub("", text).strip()
        return annotation_schema(shorter) if shorter != text else {}


def _schema(node: ast.expr) -> JSON:
    if isinstance(node, ast.Constant):
        return {"type": "null"} if node.value is None else annotation_schema(node.value) if isinstance(node.value, str) else {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_schema(node.left), _schema(node.right)])
    if isinstance(node, ast.Subscript):
        return _generic(_name(node.value), node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])
    if isinstance(node, ast.Tuple) and node.elts:  # "int, optional" in a NumPy docstring
        return _schema(node.elts[0])
    return type_keywords(_name(node))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _generic(name: str, arguments: list[ast.expr]) -> JSON:
    lowered = name.lower()
    if lowered in ("literal", "annotated"):
        return _literal(arguments) if lowered == "literal" else _schema(arguments[0])
    schemas = [_schema(argument) for argument in arguments]
    if lowered in ("union", "optional"):
        return _union(schemas if lowered == "union" else [schemas[0], {"type": "null"}])
    if lowered in _ARRAYS:
        return _array(schemas[0] if lowered != "tuple" or all(schema == schemas[0] or not schema for schema in schemas) else {})
    if lowered in _OBJECTS:
        return {"type": "object", "additionalProperties": schemas[-1] or True}
    return {}


def _array(items: JSON) -> JSON:
    return {"type": "array", "items": items} if items else {"type": "array"}


def _literal(arguments: list[ast.expr]) -> JSON:
    values = [ast.literal_eval(argument) for argument in arguments]
    kinds = list(dict.fromkeys(type_of(value) for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _union(schemas: list[JSON]) -> JSON:
    branches = [schema for schema in schemas if schema != {"type": "null"}]
    if not branches or not all(branches):
        return {}
    nullable = len(branches) < len(schemas)
    if len(branches) == 1:
        return with_null(branches[0]) if nullable else branches[0]
    if all(set(branch) == {"type"} and isinstance(branch["type"], str) for branch in branches):
        merged: JSON = {"type": list(dict.fromkeys(branch["type"] for branch in branches))}
    else:
        merged = {"anyOf": branches}
    return with_null(merged) if nullable else merged
