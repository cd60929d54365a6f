"""JSON Schema 2020-12 from loose dialects: BFCL and ToolACE type names, Swagger 2.0, OpenAPI 3.0, draft 4, MCP.

The result holds only keywords that validators, grammars and prompts handle: references are resolved within the document, cycles
and deep nesting are cut, `allOf` is merged, `oneOf` becomes `anyOf`, and conditions (`not`, `if`) are left out, which only loosens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from luthier.errors import ToolSpecError
from luthier.records.conversations import JSON
from luthier.records.dialects import ANY, coerced, finite, fits_type, type_keywords, type_set, with_null
from luthier.records.keywords import add_limits, required_names, stated_types
from luthier.records.patterns import validator_class
from luthier.records.unions import merge_keyword, told_apart, trimmed, unions_of, with_unions, without_required, without_single_branch

MAX_DEPTH = 4
MOST_PARTS = 4000  # schemas within a schema, with those that are shared counted as often as they stand
Resolve = Callable[[str], Any]

_TYPED_BY = frozenset({"type", "enum", "const", "anyOf"})
_VALUES = frozenset({"enum", "const", "default"})
_ANNOTATIONS = frozenset(
    {"$ref", "description", "summary", "nullable", "title", "example", "examples", "deprecated", "readOnly", "writeOnly"}
)
_APPLICATORS = ("$defs", "definitions", "discriminator", "properties", "items", "prefixItems", "additionalItems", "additionalProperties")
_ASSERTIONS = ("type", "required", "enum", "const", "default", "format", "pattern", "multipleOf", "uniqueItems", "x-nullable", "$anchor")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems")
_KNOWN = frozenset({"$ref", "description", "nullable", "deprecated", "readOnly", "writeOnly", "minProperties", "maxProperties"}).union(
    _APPLICATORS, _ASSERTIONS, _BOUNDS, ("patternProperties", "anyOf", "oneOf", "allOf")
)
_KNOWN_BY_EXAMPLE = _KNOWN | {"example", "examples"}
_LONGEST_EXAMPLE = 40  # characters of one that a description says
_LONGEST_MAP = 100
_MOST_EXAMPLES = 4  # that a description says
_SELF_EVIDENT = frozenset(("date", "date-time", "time", "email", "uuid", "uri", "ipv4", "ipv6", "binary", "byte"))
_MOST_STEPS = 16  # references that lead to one property


class _TooLargeError(Exception):
    """More parts than MOST_PARTS."""


def normalise_schema(schema: object, root: Mapping[str, Any] | None = None, depth: int = MAX_DEPTH) -> JSON:
    """A JSON Schema 2020-12 object that means what a loosely written schema means.

    root: the document in which `$ref` pointers (`#/...`) are looked up, the schema itself if left out.
    depth: levels of objects and arrays that are kept; deeper ones stay as bare types.
    Raises ToolSpecError where a reference leads nowhere.
    """
    document = root if root is not None else schema
    try:
        return SchemaReader(lambda reference: lookup(document, reference)).read(schema, depth)
    except RecursionError:
        raise ToolSpecError("the schema nests too deeply to be read; flatten it") from None


def parameters_schema(schema: JSON) -> JSON:
    """A normalised schema in the form of a tool's `parameters`: an object with `properties` and `required`, closed."""
    result: JSON = {"type": "object", "properties": schema.get("properties", {}), "required": schema.get("required", [])}
    kept = {key: value for key, value in schema.items() if key not in (*result, "description")}
    result.update(kept)
    if not any("properties" in branch or not branch.get("required") for branch in schema.get("anyOf", ())):
        result.setdefault("additionalProperties", False)
    return result


def with_example(told: str, schema: Mapping[str, Any]) -> str:
    """A description that also says the examples of a text, a whole number or a map: "Property code, e.g. BER-001."."""
    listed = schema.get("examples")
    given = [schema["example"]] if "example" in schema else listed if isinstance(listed, list) else []
    if given and isinstance(given[0], dict) and "properties" not in schema:  # the keys of a map are told by its example alone
        entries = json.dumps(given[0], ensure_ascii=False, default=str)
        if len(entries) > _LONGEST_MAP or "{" in told:
            return told
        return f"{told.rstrip(' .')}, e.g. {entries}." if told else f"E.g. {entries}."
    short = [
        str(one) for one in given if isinstance(one, str | int) and not isinstance(one, bool) and 0 < len(str(one)) <= _LONGEST_EXAMPLE
    ]
    short = list(dict.fromkeys(one for one in short if '"' not in one))[:_MOST_EXAMPLES]
    if not short or "enum" in schema or "const" in schema or str(schema.get("format")) in _SELF_EVIDENT or short[0] in told:
        return told
    shown = ", ".join(f'"{one}"' if " " in one or len(short) > 1 else one for one in short)
    return f"{told.rstrip(' .')}, e.g. {shown}." if told else f"E.g. {shown}."


def lookup(document: object, reference: str) -> Any:
    """The part of a document that a local JSON pointer names. Raises ToolSpecError where there is none."""
    if not reference.startswith("#"):
        raise ToolSpecError(f"$ref {reference!r} points outside the document; bundle the files into one first")
    place = document
    for part in (unquote(part).replace("~1", "/").replace("~0", "~") for part in reference[1:].split("/")[1:]):
        if isinstance(place, Mapping) and part in place:
            place = place[part]
        elif isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        else:
            raise ToolSpecError(f"$ref {reference!r} leads nowhere: there is no {part!r}; define it or correct the reference")
    return place


class SchemaReader:
    """Reads the schemas of one document. Results of references are shared between tools: treat them as read-only."""

    def __init__(
        self,
        resolve: Resolve,
        describe: Callable[[str], str] = str.strip,
        max_enum: int | None = None,
        *,
        keep: Callable[[Mapping[str, Any]], bool] = lambda schema: True,
        heirs: Callable[[str], Sequence[str]] = lambda reference: (),
        leave: Callable[[str], None] = lambda what: None,
        any_type: bool = False,
        examples: bool = False,
    ) -> None:
        """resolve: finds what a `$ref` names. describe: shortens descriptions. keep: which properties of an object are read.
        heirs: references to the schemas that extend one. leave: is told what is left out. any_type: a property of
        which no type is said gets all of them. examples: descriptions say the example that a schema gives."""
        self._any_type, self._examples = any_type, examples
        self._resolve, self._describe, self._max_enum = resolve, describe, max_enum
        self._keep, self._heirs, self._leave = keep, heirs, leave
        self._known: dict[tuple[str, int, frozenset[str]], JSON] = {}
        self._left = 0
        self._has_unions = False

    def read(self, schema: object, depth: int = MAX_DEPTH, closed: bool = True) -> JSON:
        """The schema to `depth` levels, or to as many as keep it below MOST_PARTS parts. closed: objects get `additionalProperties: false`."""
        for level in range(depth, -1, -1):
            self._left = MOST_PARTS
            try:
                read = self._read(schema, level, frozenset(), closed)
            except _TooLargeError:
                continue
            if _parts(read, {}) <= MOST_PARTS:
                if self._has_unions:
                    read = trimmed(read, frozenset(), self._leave)
                if level < depth:
                    self._leave(f"levels below {level} of a schema of more than {MOST_PARTS} parts")
                return read
        self._leave(f"a schema of more than {MOST_PARTS} parts")
        return {}

    def _read(self, schema: object, depth: int, trail: frozenset[str], closed: bool = True) -> JSON:
        """trail: references being expanded, to cut cycles."""
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError
        if schema is True or schema is None:
            return {}
        if not isinstance(schema, Mapping):
            return type_keywords(schema)
        if isinstance(schema.get("$ref"), str):
            return self._read_reference(schema, depth, trail, closed)
        if schema.get("discriminator"):
            schema = told_apart(schema)
        unions = unions_of(schema)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            schema, trail = self._merged(schema, trail, unions)
        if len(unions) > 1 or "oneOf" in schema or (unions and "anyOf" not in schema):
            schema, loosened = with_unions(schema, unions, lambda part: self._part(part, trail, [])[0])
            if loosened:
                self._leave("conditions of several unions")
        return self._read_plain(schema, depth, trail, closed)

    def _read_reference(self, schema: Mapping[str, Any], depth: int, trail: frozenset[str], closed: bool) -> JSON:
        reference = schema["$ref"]
        if not _ANNOTATIONS.issuperset(schema):
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self._read({**beside, "allOf": [{"$ref": reference}, *(beside.get("allOf") or [])]}, depth, trail, closed)
        if reference in trail:
            result: JSON = {"type": "object"}
        elif closed:
            key = (reference, depth, trail)
            if key not in self._known:
                self._known[key] = self._read(self._target(reference), depth, trail | {reference})
            result = self._known[key]
        else:
            result = self._read(self._target(reference), depth, trail | {reference}, closed)
        description, _ = self._description(schema)
        if description:
            result = {**result, "description": description}
        if schema.get("nullable") is True and result.get("type"):
            result = with_null(result)
        return result

    def _target(self, reference: str) -> Any:
        """What a reference names; one with a discriminator stands for the schemas that extend it."""
        target = self._resolve(reference)
        return told_apart(target, self._heirs(reference)) if isinstance(target, Mapping) and target.get("discriminator") else target

    def _merged(self, schema: Mapping[str, Any], trail: frozenset[str], unions: list[list[Any]]) -> tuple[JSON, frozenset[str]]:
        """`allOf` folded into its parent; what the parent says itself wins. unions: takes those of the parts."""
        merged: JSON = {key: value for key, value in schema.items() if key != "allOf" and value is not None}
        for raw in schema["allOf"]:
            part, trail = self._part(raw, trail, unions)
            for key, value in part.items():
                if key not in ("anyOf", "oneOf", "discriminator", "$ref"):
                    merge_keyword(merged, key, value, self._leave)
        return merged, trail

    def _part(self, raw: object, trail: frozenset[str], unions: list[list[Any]]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """One part of an `allOf` with its references followed; empty where they go round in a circle."""
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError
        part, beside = raw, dict[str, Any]()
        while isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
            reference = part["$ref"]
            beside = {**part, **beside}
            if reference in trail:
                return {}, trail
            part, trail = self._resolve(reference), trail | {reference}
        if not isinstance(part, Mapping):
            return {}, trail
        if not _ANNOTATIONS.issuperset(beside):
            part = {**part, **{key: value for key, value in beside.items() if key != "$ref"}}
        unions += unions_of(part)
        return self._merged(part, trail, unions) if isinstance(part.get("allOf"), list) else (part, trail)

    def _read_plain(self, schema: Mapping[str, Any], depth: int, trail: frozenset[str], closed: bool) -> JSON:
        branches = schema["anyOf"] if isinstance(schema.get("anyOf"), list) else []
        description, known = self._description(schema)
        for keyword in schema.keys() - known:
            self._leave(f"keyword {keyword!r} of a schema")
        result = stated_types(schema)
        implied = result.pop("items", None)  # of `list[int]`: it stands where stated items would, so that reading twice changes nothing
        if description:
            result["description"] = description
        if not _VALUES.isdisjoint(schema):
            self._add_values(schema, result)
        add_limits(schema, result, self._leave)
        types = type_set(result)
        if implied is not None:
            result["items"] = implied
        elif "array" in types:
            self._add_items(schema, result, depth, trail)
        if "object" in types:
            self._add_properties(schema, result, depth, trail)
        elif not types and isinstance(schema.get("required"), list):
            result["required"] = required_names(schema["required"], {})
        if branches and depth >= 0:
            within = closed and not result.get("properties")
            read = [self._read(branch, depth - _is_union(branch), trail, within) for branch in branches]
            self._add_union(schema, read, result, closed)
        elif result.get("properties") and closed:
            self._close(result)
        nullable = schema.get("nullable") is True or schema.get("x-nullable") is True
        result = without_single_branch(with_null(result) if nullable else result)
        if "default" in result and not validator_class()(result).is_valid(result["default"]):
            self._leave("default that is no value of its schema")
            del result["default"]
        return result

    def _add_union(self, schema: Mapping[str, Any], read: list[JSON], result: JSON, closed: bool) -> None:
        """The union, beside the fields that all its branches share; branches that only require fields may require none that is left out."""
        self._has_unions = True
        stated = schema.get("properties")
        shared = set(result.get("properties", ()))
        hidden = {str(name) for name in stated} - shared if isinstance(stated, Mapping) else set[str]()
        read = [without_required(branch, hidden) for branch in read]
        if any(not branch for branch in read) and not any("properties" in branch or "type" in branch for branch in read):
            read = []
        if shared and closed and all(shared.issuperset(branch.get("properties", ())) and "anyOf" not in branch for branch in read):
            self._close(result)
        if read:
            result["anyOf"] = read

    def _description(self, schema: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
        """What is said of a schema, and the keywords that are read of it: an example is where the description says it."""
        text = schema.get("description")
        told = self._describe(text) if isinstance(text, str) else ""
        whole = with_example(told, schema) if self._examples else told
        return whole, _KNOWN if whole == told else _KNOWN_BY_EXAMPLE

    def _add_values(self, schema: Mapping[str, Any], result: JSON) -> None:
        types = type_set(result)
        if isinstance(schema.get("enum"), list):
            values = [coerced(value, types) for value in schema["enum"]]
            unique = [value for index, value in enumerate(values) if value not in values[:index] or isinstance(value, bool)]
            fitting = [value for value in unique if fits_type(value, types) and finite(value)][: self._max_enum]
            if fitting:
                result["enum"] = fitting
            elif values:
                self._leave("enum of which no value has the stated type")
        if "const" in schema and finite(schema["const"]):
            result["const"] = coerced(schema["const"], types)
        default = coerced(schema.get("default"), types)
        if "default" in schema and (default is not None or "null" in types):
            if finite(default) and fits_type(default, types) and default in result.get("enum", [default]):
                result["default"] = default
            else:
                self._leave("default that is no value of its schema")

    def _add_items(self, schema: Mapping[str, Any], result: JSON, depth: int, trail: frozenset[str]) -> None:
        items, prefix = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, list):
            prefix, items = items, schema.get("additionalItems")
        if isinstance(prefix, list) and prefix and depth > 0:
            result["prefixItems"] = [self._read(item, depth - 1, trail) for item in prefix]
        if items is False and isinstance(prefix, list):  # nothing may follow what stands in its place
            result["maxItems"] = min(len(prefix), result.get("maxItems", len(prefix)))
        if items is None or isinstance(items, bool):
            return
        read = self._read(items, max(depth - 1, 0), trail)
        if depth <= 0:
            read = {"type": read["type"]} if "type" in read else {}
        if read:
            result["items"] = read

    def _add_properties(self, schema: Mapping[str, Any], result: JSON, depth: int, trail: frozenset[str]) -> None:
        properties, extra = schema.get("properties"), schema.get("additionalProperties")
        if isinstance(schema.get("patternProperties"), Mapping) and (extra is None or (extra is False and not properties)):
            patterns = list(schema["patternProperties"].values())
            extra = patterns[0] if len(patterns) == 1 else bool(patterns)
            self._leave("patterns of the keys of a map")
        elif schema.get("patternProperties"):
            self._leave("fields by the pattern of their name")
        if depth <= 0:
            return
        if isinstance(properties, Mapping):
            forbidden = [name for name, value in properties.items() if value is False]
            if forbidden:
                self._leave("field that may not be there")
            kept = {name: value for name, value in properties.items() if value is not False and self._kept(value)}
            read = {str(name): self._property(value, depth - 1, trail) for name, value in kept.items()}
            if read:
                result["properties"] = read
            left_out = {str(name) for name in properties} - set(read)
            required = [name for name in required_names(schema.get("required"), properties) if name not in left_out]
            if required:
                result["required"] = required
        elif isinstance(schema.get("required"), list):
            result["required"] = required_names(schema["required"], {})
        if isinstance(extra, bool) or extra == {}:
            result["additionalProperties"] = extra is not False
        elif extra is not None:
            result["additionalProperties"] = self._read(extra, depth - 1, trail) or True

    def _property(self, schema: object, depth: int, trail: frozenset[str]) -> JSON:
        read = self._read(schema, depth, trail)
        return {"type": list(ANY), **read} if self._any_type and _TYPED_BY.isdisjoint(read) else read

    def _close(self, result: JSON) -> None:
        """No other fields than those that are defined; a closed object cannot require one that is not."""
        result.setdefault("additionalProperties", False)
        required = [name for name in result.get("required", []) if name in result["properties"]]
        if result["additionalProperties"] is False and len(required) < len(result.get("required", [])):
            self._leave("required field without a definition")
            result["required"] = required
            if not required:
                del result["required"]

    def _kept(self, schema: object) -> bool:
        """Whether a property is read, by what is said of it or behind its references."""
        for _ in range(_MOST_STEPS):
            if not isinstance(schema, Mapping):
                return True
            if not self._keep(schema):
                return False
            parts = schema.get("allOf")
            if isinstance(schema.get("$ref"), str):
                schema = self._resolve(schema["$ref"])
            elif isinstance(parts, list) and len(parts) == 1:
                schema = parts[0]
            else:
                return True
        return True


def _parts(schema: Any, known: dict[int, int]) -> int:
    """How many objects there are in a schema as it would be written; shared ones are counted as often as they stand."""
    if not isinstance(schema, dict | list):
        return 0
    if id(schema) not in known:
        inner = schema.values() if isinstance(schema, dict) else schema
        known[id(schema)] = isinstance(schema, dict) + sum(_parts(value, known) for value in inner)
    return known[id(schema)]


def _is_union(schema: object) -> bool:
    return isinstance(schema, Mapping) and ("anyOf" in schema or "oneOf" in schema)
