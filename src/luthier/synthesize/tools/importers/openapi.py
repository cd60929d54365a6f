"""Operations of an OpenAPI 3.0, 3.1 or Swagger 2.0 file as tools. Fields of a JSON body stand beside path and query parameters.

Operation ids and parameter names stay as the API has them. A broken file is named with the place in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.schema import MAX_DEPTH, SchemaReader, lookup, parameters_schema
from luthier.synthesize.tools.importers.documents import load_document
from luthier.synthesize.tools.importers.mcp import described
from luthier.synthesize.tools.importers.wording import parameter_words, snake_case, tool_words

METHODS = ("get", "put", "post", "delete", "patch", "options", "head", "trace")
_CLIENT_HEADERS = ("accept", "content-type", "authorization")


def import_openapi(path: Path) -> Iterator[Tool]:
    """The operations in the order of the file. Raises ToolSpecError naming the file, the place and what to do."""
    document = load_document(path)
    if not isinstance(document, Mapping) or not str(document.get("openapi", document.get("swagger", ""))).startswith(("3.", "2.")):
        raise ToolSpecError(f'{path}: not an OpenAPI file; expected `openapi: 3.x` or `swagger: "2.0"` at the top')
    yield from _Specification(document, Path(path)).tools()


class _Specification:
    def __init__(self, document: Mapping[str, Any], path: Path) -> None:
        self._document, self._path = document, path
        info = self._mapping(document.get("info") or {}, "info")
        self._source = f"{path.name}: {info.get('title', 'untitled')} {info.get('version', '')}".strip()
        terms = info.get("license")
        self._license = str(terms.get("identifier") or terms.get("name") or "") if isinstance(terms, Mapping) else ""
        resolve = lambda reference: lookup(document, reference)  # noqa: E731
        self._requests = SchemaReader(resolve, parameter_words, keep=lambda schema: schema.get("readOnly") is not True)
        self._answers = SchemaReader(resolve, parameter_words, keep=lambda schema: schema.get("writeOnly") is not True)

    def tools(self) -> Iterator[Tool]:
        for route, item in self._mapping(self._document.get("paths"), "paths").items():
            place = f"paths.{route}"
            entry = self._mapping(self._resolved(item, place), place)
            for method in METHODS:
                if method in entry:
                    operation = self._mapping(entry[method], f"{place}.{method}")
                    if not operation.get("deprecated"):
                        yield self._tool(route, method, entry, operation)

    def _tool(self, route: str, method: str, entry: Mapping[str, Any], operation: Mapping[str, Any]) -> Tool:
        place = f"paths.{route}.{method}"
        properties, required = self._parameters(entry, operation, f"paths.{route}", place)
        for name, schema, must in self._body(operation, place):
            if name not in properties:
                properties[name] = schema
                required += [name] if must else []
        summary, text = str(operation.get("summary") or ""), str(operation.get("description") or "")
        return Tool(
            name=str(operation.get("operationId") or f"{method}_{snake_case(route)}"),
            description=tool_words(summary if len(summary) >= 10 or not text else text),
            parameters=described(parameters_schema({"properties": properties, "required": required})),
            returns=self._returns(operation, place),
            source=self._source,
            license=self._license,
        )

    def _parameters(self, entry: Mapping[str, Any], operation: Mapping[str, Any], outer: str, place: str) -> tuple[JSON, list[str]]:
        found: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
        for holder, where in ((entry, outer), (operation, place)):
            for index, raw in enumerate(self._list(holder.get("parameters", []), f"{where}.parameters")):
                spot = f"{where}.parameters[{index}]"
                parameter = self._mapping(self._resolved(raw, spot), spot)
                if not isinstance(parameter.get("name"), str):
                    self._fail(spot, "no name", "give the parameter a `name`")
                found[parameter["name"], str(parameter.get("in"))] = (parameter, spot)
        properties: JSON = {}
        required: list[str] = []
        for (name, kind), (parameter, spot) in found.items():
            if kind in ("cookie", "body") or (kind == "header" and name.lower() in _CLIENT_HEADERS):
                continue
            properties.setdefault(name, self._read(self._parameter_schema(parameter, spot), spot, parameter.get("description")))
            if (parameter.get("required") is True or kind == "path") and name not in required:
                required.append(name)
        return properties, required

    def _parameter_schema(self, parameter: Mapping[str, Any], place: str) -> Any:
        if "schema" in parameter:
            return parameter["schema"]
        if isinstance(parameter.get("content"), Mapping) and parameter["content"]:
            return next(iter(parameter["content"].values())).get("schema", {})
        if "swagger" in self._document and "type" in parameter:
            return {key: value for key, value in parameter.items() if key not in ("required", "name", "in", "description")}
        return self._fail(place, "no schema", "add `schema: {type: string}` (OpenAPI 3) or `type: string` (Swagger 2.0)")

    def _body(self, operation: Mapping[str, Any], place: str) -> Iterator[tuple[str, JSON, bool]]:
        """Fields of the request body as (name, schema, required); a body that is no plain object is one field `body`."""
        raw, spot, must = self._body_schema(operation, place)
        if raw is None:
            return
        schema = self._read(raw, spot, None, depth=MAX_DEPTH)
        if schema.get("properties") and "anyOf" not in schema:
            for name, value in schema["properties"].items():
                yield name, value, name in schema.get("required", [])
        else:
            yield "body", schema, must

    def _body_schema(self, operation: Mapping[str, Any], place: str) -> tuple[Any, str, bool]:
        for index, raw in enumerate(operation.get("parameters", [])):
            parameter = self._resolved(raw, f"{place}.parameters[{index}]")
            if parameter.get("in") == "body":
                return (
                    self._parameter_schema(parameter, f"{place}.parameters[{index}]"),
                    f"{place}.parameters[{index}]",
                    bool(parameter.get("required")),
                )
        spot = f"{place}.requestBody"
        body = self._mapping(self._resolved(operation.get("requestBody", {}), spot), spot)
        return self._content_schema(body.get("content", {}), f"{spot}.content"), spot, body.get("required") is True

    def _content_schema(self, content: Any, place: str) -> Any:
        kinds = self._mapping(content, place)
        preferred = sorted(kinds, key=lambda kind: (kind != "application/json", "json" not in kind))
        return self._mapping(kinds[preferred[0]], f"{place}.{preferred[0]}").get("schema") if preferred else None

    def _returns(self, operation: Mapping[str, Any], place: str) -> JSON | None:
        responses = self._mapping(operation.get("responses") or {}, f"{place}.responses")
        for code in sorted(map(str, responses)):
            if code.startswith("2"):
                spot = f"{place}.responses.{code}"
                answer = self._mapping(self._resolved(responses[code], spot), spot)
                raw = answer.get("schema", self._content_schema(answer.get("content", {}), f"{spot}.content"))
                return None if raw is None else self._read(raw, spot, None, reader=self._answers)
        return None

    def _read(self, schema: Any, place: str, description: Any, depth: int = MAX_DEPTH - 1, reader: SchemaReader | None = None) -> JSON:
        try:
            read = (reader or self._requests).read(schema, depth)
        except ToolSpecError as problem:
            raise ToolSpecError(f"{self._path}: {place}: {problem}") from None
        except RecursionError:
            raise ToolSpecError(f"{self._path}: {place}: nests too deeply to be read; flatten the schema") from None
        words = parameter_words(description) if isinstance(description, str) else ""
        return {**read, "description": words} if words else read

    def _resolved(self, value: Any, place: str) -> Any:
        for _ in range(16):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value
            try:
                value = lookup(self._document, value["$ref"])
            except ToolSpecError as problem:
                raise ToolSpecError(f"{self._path}: {place}: {problem}") from None
        return self._fail(place, "references go round in a circle", "define one of them")

    def _mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self._fail(place, f"expected an object, found {type(value).__name__}", "see the OpenAPI specification for this part")
        mapping: Mapping[str, Any] = value
        return mapping

    def _list(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            self._fail(place, f"expected a list, found {type(value).__name__}", "write each entry with a leading dash")
        listed: list[Any] = value
        return listed

    def _fail(self, place: str, problem: str, advice: str) -> Any:
        raise ToolSpecError(f"{self._path}: {place}: {problem}; {advice}")
