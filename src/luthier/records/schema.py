"""JSON Schema 2020-12 from loose dialects: BFCL and ToolACE type names, Swagger 2.0, OpenAPI 3.0, draft 4, MCP.

The result holds only keywords that validators, grammars and prompts handle: references are resolved within the document, cycles
and deep nesting are cut, `allOf` is merged, `oneOf` becomes `anyOf`, and conditions (`not`, `if`) are left out, which only loosens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from luthier.errors import ToolSpecError
from luthier.records.conversations import JSON
from luthier.records.dialects import coerced, fits_type, type_keywords, type_set, with_null
from luthier.records.keywords import add_limits, required_names, stated_types

MAX_DEPTH = 4
Resolve = Callable[[str], Any]

_VALUES = frozenset({"enum", "const", "default"})
_MERGED_LISTS = ("required", "anyOf", "oneOf")


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
    if "anyOf" not in schema:
        result.setdefault("additionalProperties", False)
    return result


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
        keep: Callable[[Mapping[str, Any]], bool] = lambda schema: True,
    ) -> None:
        """resolve: finds what a `$ref` names. describe: shortens descriptions. keep: which properties of an object are read."""
        self._resolve, self._describe, self._max_enum, self._keep = resolve, describe, max_enum, keep
        self._known: dict[tuple[str, int, frozenset[str]], JSON] = {}

    def read(self, schema: object, depth: int = MAX_DEPTH, trail: frozenset[str] = frozenset(), closed: bool = True) -> JSON:
        """trail: references being expanded, to cut cycles. closed: objects get `additionalProperties: false`."""
        if schema is True or schema is None:
            return {}
        if not isinstance(schema, Mapping):
            return type_keywords(schema)
        if isinstance(schema.get("$ref"), str):
            return self._read_reference(schema, depth, trail, closed)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            merged, trail = self._merged(schema, trail)
            return self.read(merged, depth, trail, closed)
        return self._read_plain(schema, depth, trail, closed)

    def _read_reference(self, schema: Mapping[str, Any], depth: int, trail: frozenset[str], closed: bool) -> JSON:
        reference = schema["$ref"]
        if reference in trail:
            result: JSON = {"type": "object"}
        elif closed:
            key = (reference, depth, trail)
            if key not in self._known:
                self._known[key] = self.read(self._resolve(reference), depth, trail | {reference})
            result = self._known[key]
        else:
            result = self.read(self._resolve(reference), depth, trail | {reference}, closed)
        description = self._description(schema)
        if description:
            result = {**result, "description": description}
        if schema.get("nullable") is True and result.get("type"):
            result = with_null(result)
        return result

    def _merged(self, schema: Mapping[str, Any], trail: frozenset[str]) -> tuple[JSON, frozenset[str]]:
        """`allOf` folded into its parent; what the parent says itself wins."""
        merged: JSON = {key: value for key, value in schema.items() if key != "allOf"}
        for raw in schema["allOf"]:
            part, trail = self._part(raw, trail)
            for key, value in part.items():
                _merge_keyword(merged, key, value)
        return merged, trail

    def _part(self, raw: object, trail: frozenset[str]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """One part of an `allOf` with its references followed; empty where they go round in a circle."""
        part = raw
        while isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
            reference = part["$ref"]
            if reference in trail:
                return {}, trail
            part, trail = self._resolve(reference), trail | {reference}
        if not isinstance(part, Mapping):
            return {}, trail
        return self._merged(part, trail) if isinstance(part.get("allOf"), list) else (part, trail)

    def _read_plain(self, schema: Mapping[str, Any], depth: int, trail: frozenset[str], closed: bool) -> JSON:
        branches = schema.get("anyOf") or schema.get("oneOf")
        branches = branches if isinstance(branches, list) else []
        properties = schema.get("properties")
        closed = closed and not (branches and isinstance(properties, Mapping) and properties)
        result = stated_types(schema)
        description = self._description(schema)
        if description:
            result["description"] = description
        if not _VALUES.isdisjoint(schema):
            self._add_values(schema, result)
        add_limits(schema, result)
        types = type_set(result)
        if "array" in types and "items" not in result:
            self._add_items(schema, result, depth, trail)
        if "object" in types:
            self._add_properties(schema, result, depth, trail, closed)
        if branches and depth >= 0:
            result["anyOf"] = [self.read(branch, depth - _is_union(branch), trail, closed) for branch in branches]
        nullable = schema.get("nullable") is True or schema.get("x-nullable") is True
        return _without_single_branch(with_null(result) if nullable else result)

    def _description(self, schema: Mapping[str, Any]) -> str:
        text = schema.get("description")
        return self._describe(text) if isinstance(text, str) else ""

    def _add_values(self, schema: Mapping[str, Any], result: JSON) -> None:
        types = type_set(result)
        if isinstance(schema.get("enum"), list):
            values = [coerced(value, types) for value in schema["enum"]]
            unique = [value for index, value in enumerate(values) if value not in values[:index] or isinstance(value, bool)]
            fitting = [value for value in unique if fits_type(value, types)][: self._max_enum]
            if fitting:
                result["enum"] = fitting
        if "const" in schema:
            result["const"] = coerced(schema["const"], types)
        default = coerced(schema.get("default"), types)
        if "default" in schema and (default is not None or "null" in types):
            result["default"] = default

    def _add_items(self, schema: Mapping[str, Any], result: JSON, depth: int, trail: frozenset[str]) -> None:
        items, prefix = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, list):
            prefix, items = items, schema.get("additionalItems")
        if isinstance(prefix, list) and prefix and depth > 0:
            result["prefixItems"] = [self.read(item, depth - 1, trail) for item in prefix]
        if items is None or isinstance(items, bool):
            return
        read = self.read(items, max(depth - 1, 0), trail)
        if depth <= 0:
            read = {"type": read["type"]} if "type" in read else {}
        if read:
            result["items"] = read

    def _add_properties(self, schema: Mapping[str, Any], result: JSON, depth: int, trail: frozenset[str], closed: bool) -> None:
        properties, extra = schema.get("properties"), schema.get("additionalProperties")
        if extra is None and isinstance(schema.get("patternProperties"), Mapping):
            patterns = list(schema["patternProperties"].values())
            extra = patterns[0] if len(patterns) == 1 else True
        if depth <= 0:
            return
        if isinstance(properties, Mapping):
            properties = {str(name): value for name, value in properties.items() if not isinstance(value, Mapping) or self._keep(value)}
            read = {name: self.read(value, depth - 1, trail) for name, value in properties.items()}
            if read:
                result["properties"] = read
            required = required_names(schema.get("required"), properties)
            if required:
                result["required"] = required
        elif isinstance(schema.get("required"), list):
            result["required"] = required_names(schema["required"], {})
        if isinstance(extra, bool) or extra == {}:
            result["additionalProperties"] = extra is not False
        elif extra is not None:
            result["additionalProperties"] = self.read(extra, depth - 1, trail) or True
        elif result.get("properties") and closed:
            result["additionalProperties"] = False


def _merge_keyword(merged: JSON, key: str, value: Any) -> None:
    if key == "properties" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
        merged[key] = {**value, **merged[key]}
    elif key in _MERGED_LISTS and isinstance(value, list) and isinstance(merged.get(key), list):
        merged[key] = merged[key] + [item for item in value if item not in merged[key]] if key == "required" else merged[key]
    elif key == "additionalProperties" and value is False:
        return  # a closed part of an allOf would forbid what its siblings add
    else:
        merged.setdefault(key, value)


def _is_union(schema: object) -> bool:
    return isinstance(schema, Mapping) and ("anyOf" in schema or "oneOf" in schema)


def _without_single_branch(schema: JSON) -> JSON:
    """`anyOf` with one branch says no more than the branch."""
    branches = schema.get("anyOf")
    if not branches or len(branches) > 1 or set(schema) - {"anyOf", "description", "default"}:
        return schema
    outer = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**branches[0], **outer}
