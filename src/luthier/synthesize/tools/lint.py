"""Rules A1 and A2 of ToolACE's rule layer (arXiv 2409.00920, appendix): a tool's definition is a valid schema, and complete.

A definition made only of well-known keywords is checked by a short walk; anything else goes to the validator of `jsonschema`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.dialects import TYPES, finite, fits_type, type_set
from luthier.records.patterns import usable_pattern, validator_class
from luthier.records.schema import lookup
from luthier.records.unions import fields_of_branches

_ENOUGH = 10  # letters of a description, or two words
_WIDE = 4  # letters of the Latin script that a Chinese, Japanese or Korean one stands for

_PROPER_WORD = re.compile(r"[^\W\d_]{2,}")
_NAME = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f\n]*[^\s\x00-\x1f])?")
_TYPED_BY = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


@dataclass(frozen=True)
class Finding:
    """One violated rule: its id, what is wrong in words that repeat from case to case, and where."""

    rule: str
    message: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}" + (f" ({self.path})" if self.path else "")


def says_enough(description: str) -> bool:
    """Whether a description says what a tool does: two words, or one long one; scripts without blanks say as much in fewer letters."""
    wide = sum(letter.isalpha() and unicodedata.east_asian_width(letter) in "WF" for letter in description)
    return len(description) + (_WIDE - 1) * wide >= _ENOUGH or len(_PROPER_WORD.findall(description)) > 1


def lint(tool: Tool) -> list[Finding]:
    """What is wrong with a tool's definition: A1 (not a JSON Schema 2020-12), A2 (incomplete). An empty list is a clean tool."""
    broken = schema_findings(tool.parameters)
    return broken or [*_header_findings(tool), *_property_findings(tool.parameters, "parameters", True)]


def schema_findings(schema: Any) -> list[Finding]:
    """Rule A1: the schema is valid JSON Schema 2020-12 and its patterns are ones Python can run."""
    pattern = next((path for path, node in walk(schema, "parameters") if "pattern" in node and not _runs(node["pattern"])), None)
    if pattern is not None:
        return [Finding("A1", "the pattern cannot be used", pattern)]
    return [] if plainly_valid(schema) else _validated(schema) or _dangling(schema)


def plainly_valid(schema: Any) -> bool:
    """Whether a schema is made of well-known keywords with fitting values only; False means "ask the validator"."""
    return isinstance(schema, dict) and all(key in _FORMS and _FORMS[key](value) for key, value in schema.items())


def untyped(schema: JSON) -> bool:
    """Whether a parameter, or a field inside it, has no type, which A2 refuses."""
    inside = (value for _, node in walk(schema, "") for value in node.get("properties", {}).values())
    return any(not _is_typed(value) for value in (schema, *inside))


def walk(schema: Any, path: str) -> Iterator[tuple[str, JSON]]:
    """Every schema inside a schema with its path, outermost first."""
    stack: list[tuple[str, Any]] = [(path, schema)]
    while stack:
        place, node = stack.pop()
        if not isinstance(node, dict):
            continue
        yield place, node
        for keyword in ("properties", "patternProperties", "$defs"):
            if isinstance(node.get(keyword), dict):
                stack.extend((f"{place}.{name}", value) for name, value in node[keyword].items())
        for keyword in ("items", "additionalProperties", "not"):
            stack.append((f"{place}[]", node.get(keyword)))
        for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if isinstance(node.get(keyword), list):
                stack.extend((place, value) for value in node[keyword])


def _validated(schema: Any) -> list[Finding]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(["parameters", *(str(part) for part in error.absolute_path)])
        return [Finding("A1", "the definition is not valid JSON Schema 2020-12", place)]
    except RecursionError:
        return [Finding("A1", "the definition nests too deeply", "parameters")]
    return []


def _dangling(schema: JSON) -> list[Finding]:
    for place, node in walk(schema, "parameters"):
        try:
            if "$ref" in node:
                lookup(schema, node["$ref"])
        except ToolSpecError:
            return [Finding("A1", "a reference leads nowhere", place)]
    return []


def _header_findings(tool: Tool) -> Iterator[Finding]:
    if not _NAME.fullmatch(tool.name):
        yield Finding("A2", "the tool has no usable name", "name")
    if not tool.description.strip():
        yield Finding("A2", "the tool has no description", "description")
    elif not says_enough(tool.description.strip()):
        yield Finding("A2", "the tool's description is too short", "description")
    if tool.parameters.get("type") != "object" or not isinstance(tool.parameters.get("properties"), dict):
        yield Finding("A2", "the parameters are not an object with properties", "parameters")


def _property_findings(schema: JSON, path: str, described: bool) -> Iterator[Finding]:
    for name, node in schema.get("properties", {}).items():
        if described and not (isinstance(node, dict) and str(node.get("description", "")).strip()):
            yield Finding("A2", "a parameter has no description", f"{path}.{name}")
    around = _fields_around(schema)
    for place, node in walk(schema, path):
        yield from _node_findings(node, place, around.get(id(node), frozenset()))


def _is_typed(schema: Any) -> bool:
    return isinstance(schema, dict) and any(keyword in schema for keyword in _TYPED_BY)


def _fields_around(schema: JSON) -> dict[int, frozenset[str]]:
    """By the id of each branch of a union: the properties of the schemas that it is a branch of, which it may require."""
    around: dict[int, frozenset[str]] = {}
    for _, node in walk(schema, ""):
        fields = around.get(id(node), frozenset()) | frozenset(node.get("properties", {}))
        for keyword in ("anyOf", "oneOf", "allOf") if fields else ():
            around |= {id(branch): fields for branch in node.get(keyword) or ()}
    return around


def _node_findings(node: JSON, path: str, around: frozenset[str]) -> Iterator[Finding]:
    properties = node.get("properties", {})
    for name, value in properties.items():
        if not _is_typed(value):
            yield Finding("A2", "a parameter has no type", f"{path}.{name}")
    if properties or node.get("additionalProperties") is False:
        for name in node.get("required", []):
            if name not in properties and name not in around and name not in fields_of_branches(node):
                yield Finding("A2", "a required parameter is not defined", f"{path}.{name}")
    types = type_set(node)
    if any(not fits_type(value, types) for value in node.get("enum", [])):
        yield Finding("A2", "an enum value does not have the parameter's type", path)
    if "default" in node and not _accepts(node, node["default"]):
        yield Finding("A2", "the default is not a valid value", path)


def _accepts(schema: JSON, value: Any) -> bool:
    if "$ref" in schema:
        return True
    if not fits_type(value, type_set(schema)):
        return False
    return finite(value) and bool(validator_class()(schema).is_valid(value))


def _runs(pattern: Any) -> bool:
    return isinstance(pattern, str) and usable_pattern(pattern)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_types(value: Any) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) and name in TYPES for name in value)
        and len(set(value)) == len(value)
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, bool) or plainly_valid(item) for item in value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, bool) or plainly_valid(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FORMS: dict[str, Callable[[Any], bool]] = {
    "type": _are_types,
    "properties": lambda value: isinstance(value, dict) and all(_is_schema(item) for item in value.values()),
    "required": _are_names,
    "items": _is_schema,
    "additionalProperties": _is_schema,
    "enum": lambda value: isinstance(value, list),
    "const": lambda value: True,
    "default": lambda value: True,
    "uniqueItems": lambda value: isinstance(value, bool),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("description", "format", "contentEncoding"), _is_text),
    "pattern": _runs,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _are_schemas),
}
