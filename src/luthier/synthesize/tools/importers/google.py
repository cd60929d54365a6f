"""Methods of Google APIs from the discovery documents inside the google-api-python-client wheel (Apache-2.0).

The fields of a request body stand beside the path and query parameters. Names become snake_case. Left out: deprecated methods and
parameters, output-only fields, `kind` and `etag`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.schema import MAX_DEPTH, SchemaReader, parameters_schema
from luthier.synthesize.tools.importers.wheels import open_wheel
from luthier.synthesize.tools.importers.wording import is_retired, parameter_words, snake_case, tool_words

LICENSE = "Apache-2.0"
MAX_ENUM = 24
RETURNS_DEPTH = 2
RETURNS_WIDTH = 12

_DOCUMENTS = r"googleapiclient/discovery_cache/documents/(.+)\.json"
_VERSION = re.compile(r"(?P<part>.*?)_?v(?P<major>\d++)(?:\.(?P<minor>\d++))?(?:p(?P<point>\d++))?(?P<stage>alpha|beta)?(?P<count>\d*+)$")
_MARKS = re.compile(r"(?:\[?(?:Required|Optional|Immutable|Identifier|Input [Oo]nly|REQUIRED|OPTIONAL)[\].:]++\s++)++")
_LAST_MARK = re.compile(r"(?<!\s)\s++\(?(?:Required|Optional)\)?\.?$")
_UNSPECIFIED = re.compile(r"UNSPECIFIED$|_UNKNOWN$|^UNKNOWN")
_BOILERPLATE = ("kind", "etag", "selfLink")


def import_google(wheel: Path) -> Iterator[Tool]:
    """The methods of the newest stable version of every API, by document and name. Raises ToolSpecError for a broken wheel."""
    with open_wheel(wheel, "google-api-python-client") as opened:
        documents = newest([match[1] for match in opened.names(_DOCUMENTS)])
        if not documents:
            raise ToolSpecError(f"{wheel}: no discovery documents inside; fetch it with: pip download --no-deps google-api-python-client")
        for stem in documents:
            name = f"googleapiclient/discovery_cache/documents/{stem}.json"
            document = opened.read_json(name)
            if not isinstance(document, dict):
                raise ToolSpecError(f"{wheel}: {name}: expected a discovery document")
            yield from DiscoveryDocument(document).tools(f"google-api-python-client {opened.version}: {stem}")


def newest(stems: list[str]) -> list[str]:
    """Of `calendar.v2`, `calendar.v3`, `calendar.v4beta1` keeps `calendar.v3`: stable before beta before alpha, then the highest."""
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for stem in stems:
        api, _, version = stem.partition(".")
        match = _VERSION.match(version)
        rank: tuple[int, ...] = (1 if version == "beta" else 0,)
        key = f"{api}."
        if match is not None:
            key = f"{api}.{match['part']}"
            stage = {"alpha": 0, "beta": 1, None: 2}[match["stage"]]
            rank = (stage, *(int(match[part] or 0) for part in ("major", "minor", "point", "count")))
        best[key] = max(best.get(key, ((-1,), "")), (rank, stem))
    return sorted(stem for _, stem in best.values())


def is_discovery(document: Any) -> bool:
    """Whether a document is a discovery document, as Google's services publish them."""
    return isinstance(document, dict) and (document.get("kind") == "discovery#restDescription" or "discoveryVersion" in document)


class DiscoveryDocument:
    """One discovery document; its schemas are read once for each depth and shared between its tools."""

    def __init__(self, document: JSON) -> None:
        self._document = document
        self._schemas: JSON = document.get("schemas", {})
        self._prepared: dict[str, Any] = {}
        self._reader = SchemaReader(self._resolve, _without_marks, MAX_ENUM)
        self._answers = SchemaReader(self._resolve, lambda text: "", MAX_ENUM)

    def tools(self, source: str) -> Iterator[Tool]:
        for method in _methods(self._document):
            if method.get("deprecated") or "id" not in method:
                continue
            words = tool_words(method.get("description", ""))
            if is_retired(words):
                continue
            yield Tool(
                name=".".join(snake_case(part) for part in method["id"].split(".")),
                description=words,
                parameters=self._parameters(method),
                returns=self._returns(method),
                source=source,
                license=LICENSE,
            )

    def _parameters(self, method: JSON) -> JSON:
        properties = {name: _prepared(value) for name, value in method.get("parameters", {}).items() if not value.get("deprecated")}
        order = method.get("parameterOrder", [])
        first = {name: properties[name] for name in order if name in properties}
        body = self._resolve(method["request"]["$ref"]) if "$ref" in method.get("request", {}) else {}
        merged = {**body.get("properties", {}), **first, **properties}
        ordered = {**first, **{name: merged[name] for name in (*body.get("properties", {}), *properties)}}
        read = self._reader.read({"type": "object", "properties": _snake_names(ordered)}, MAX_DEPTH)
        known = read.get("properties", {})
        required = read.get("required", [])
        described = {
            name: value
            for name, value in known.items()
            if name in required or (value.get("description") and not is_retired(value["description"]))
        }
        return parameters_schema({"properties": described, "required": required})

    def _returns(self, method: JSON) -> JSON | None:
        if "$ref" not in method.get("response", {}):
            return None
        read = self._answers.read({"$ref": method["response"]["$ref"]}, RETURNS_DEPTH, closed=False)
        return _narrowed(read) if read.get("properties") else None

    def _resolve(self, reference: str) -> Any:
        if reference not in self._prepared:
            self._prepared[reference] = _prepared(self._schemas.get(reference, {}))
        return self._prepared[reference]


def _methods(node: JSON) -> Iterator[JSON]:
    for _, method in sorted(node.get("methods", {}).items()):
        yield method
    for _, resource in sorted(node.get("resources", {}).items()):
        yield from _methods(resource)


def _prepared(schema: JSON) -> JSON:
    """A discovery schema in the words of JSON Schema: `repeated` is an array, "Required." in a text is `required`."""
    result = dict(schema)
    text = result.get("description", "")
    if "properties" in result:
        result["properties"] = _snake_names(
            {
                name: _prepared(value)
                for name, value in result["properties"].items()
                if name not in _BOILERPLATE and not value.get("readOnly") and not value.get("deprecated") and not _output_only(value)
            }
        )
    for nested in ("items", "additionalProperties"):
        if isinstance(result.get(nested), dict):
            result[nested] = _prepared(result[nested])
    if "enum" in result:
        meant = [value for value in result["enum"] if not _UNSPECIFIED.search(str(value))]
        result["enum"] = meant or result["enum"]
    if result.pop("required", None) is True or text.startswith(("Required.", "REQUIRED:")):
        result["required"] = True
    if result.pop("repeated", False):
        flag, words = result.pop("required", None), result.pop("description", "")
        result = {"type": "array", "description": words, "items": result}
        if flag:
            result["required"] = True
    return result


def _snake_names(properties: JSON) -> JSON:
    """The same properties under snake_case names; the first of two that collide stays."""
    renamed: JSON = {}
    for name, value in properties.items():
        renamed.setdefault(snake_case(name), value)
    return renamed


def _narrowed(schema: JSON) -> JSON:
    """An answer's schema with at most RETURNS_WIDTH properties at each level."""
    result = dict(schema)
    if "properties" in result:
        result["properties"] = {name: _narrowed(value) for name, value in list(result["properties"].items())[:RETURNS_WIDTH]}
    if isinstance(result.get("items"), dict):
        result["items"] = _narrowed(result["items"])
    for keyword in ("required", "pattern", "default"):
        result.pop(keyword, None)
    return result


def _output_only(schema: JSON) -> bool:
    return str(schema.get("description", "")).lower().startswith(("output only", "[output only", "deprecated", "[output-only"))


def _without_marks(text: str) -> str:
    mark = _MARKS.match(text)
    return _LAST_MARK.sub("", parameter_words(text[mark.end() :] if mark else text))
