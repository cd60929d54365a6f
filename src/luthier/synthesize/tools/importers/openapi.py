"""Operations of an OpenAPI 3 or Swagger 2.0 file as tools. Fields of a JSON body stand beside path and query parameters.

Operation ids and parameter names stay as the API has them. An operation that cannot be read is refused with its place and leaves the
others; what is left out of an operation is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.account import note
from luthier.records.dialects import ANY
from luthier.records.schema import MAX_DEPTH, SchemaReader, parameters_schema, with_example
from luthier.synthesize.tools.importers.documents import Documents, load_document
from luthier.synthesize.tools.importers.fields import Fields, side_by_side
from luthier.synthesize.tools.importers.wording import described, named_words, parameter_words, snake_case
from luthier.synthesize.tools.lint import says_enough

METHODS = ("get", "put", "post", "delete", "patch", "options", "head", "trace", "query")
_FILE_FIELDS = ("openapi", "swagger", "info", "paths", "components", "definitions", "parameters", "responses")
_OPERATION_FIELDS = ("operationId", "summary", "description", "parameters", "requestBody", "responses", "deprecated")
_PARAMETER_FIELDS = ("name", "in", "required", "description", "schema", "content")
_CLIENT_HEADERS = ("accept", "content-type", "authorization")
_INFO_FIELDS = ("title", "version", "license")
_BODY_FIELDS = ("content", "required")
_ANSWER_FIELDS = ("description", "content", "schema")
_PATH_FIELDS = (*METHODS, "$ref", "summary", "description", "servers", "parameters")
_SWAGGER_PARAMETER = ("required", "name", "in", "description")


def import_openapi(path: Path) -> Iterator[Tool]:
    """The operations in the order of the file. Raises ToolSpecError where it is none, or has no operation that can be read."""
    return openapi_tools(load_document(path), Path(path))


def openapi_tools(document: Any, path: Path) -> Iterator[Tool]:
    """The same of a loaded document; path: of its file, beside which others may lie."""
    stated = document.get("openapi", document.get("swagger", "")) if isinstance(document, Mapping) else ""
    if not str(stated).startswith(("3.", "2.")) and stated not in (2, 3, "2", "3"):
        raise ToolSpecError(f'{path}: not an OpenAPI file; expected `openapi: 3.x` or `swagger: "2.0"` at the top')
    yield from _Specification(document, path).tools()


class _Specification:
    def __init__(self, document: Mapping[str, Any], path: Path) -> None:
        self._document, self._path, self._files = document, path, Documents(document, path)
        info = self._mapping(document.get("info"), "info")
        self._source = f"{path.name}: {info.get('title', 'untitled')} {info.get('version', '')}".strip()
        self._strange(info, _INFO_FIELDS, "the info")
        terms = info.get("license")
        self._license = str(terms.get("identifier") or terms.get("name") or "") if isinstance(terms, Mapping) else ""
        self._deprecated = 0
        self._requests, self._answers = self._reader("readOnly"), self._reader("writeOnly")

    def tools(self) -> Iterator[Tool]:
        """Raises ToolSpecError where no operation can be read."""
        self._strange(self._document, _FILE_FIELDS, "the file")
        found, problems = 0, list[ToolSpecError]()
        for route, method, read in self._operations():
            try:
                yield read() if callable(read) else self._tool(route, method, *read)
                note("understood", "operations", self._path)
                found += 1
            except ToolSpecError as problem:
                problems.append(problem)
                note("refused", str(problem).removeprefix(f"{self._path}: "), self._path)
        if not found:
            raise problems[0] if problems else ToolSpecError(f"{self._path}: no operation to make a tool of{self._why_none()}")

    def _why_none(self) -> str:
        if self._deprecated:
            return ": those there are, are deprecated"
        webhooks = "webhooks" in self._document and not self._document.get("paths")
        return ": it describes webhooks alone, which a service calls" if webhooks else "; give an API with `paths`"

    def _operations(self) -> Iterator[tuple[str, str, Any]]:
        """Route, method, and the path's and operation's objects; in place of these a function that raises what is wrong with them."""
        if "paths" not in self._document and "webhooks" not in self._document:
            self._fail("paths", "there are none", "give an API with `paths`")
        for route, item in self._mapping(self._document.get("paths"), "paths").items():
            if str(route).startswith("x-"):
                continue
            place = f"paths.{route}"
            try:
                entry = self._whole(item, place)
            except ToolSpecError as problem:
                yield route, "", _raising(problem)
                continue
            self._strange({name.lower(): None for name in entry}, _PATH_FIELDS, "a path")
            if not any(name.lower() in METHODS for name in entry):
                note("left out", f"path {str(route)!r}, which has no operation", self._path)
            for method in METHODS:
                operation = entry.get(method, entry.get(method.upper()))
                if operation is None:
                    continue
                try:
                    operation = self._whole(operation, f"{place}.{method}")
                except ToolSpecError as problem:
                    yield route, method, _raising(problem)
                    continue
                if operation.get("deprecated"):
                    self._deprecated += 1
                    note("left out", "deprecated operation", self._path)
                    continue
                yield route, method, (entry, operation)

    def _whole(self, item: Any, place: str) -> Mapping[str, Any]:
        """A path or an operation with what it refers to; what stands beside the reference wins."""
        entry = self._mapping(item, place)
        return {**self._mapping(self._resolved(item, place), place), **{key: value for key, value in entry.items() if key != "$ref"}}

    def _tool(self, route: str, method: str, entry: Mapping[str, Any], operation: Mapping[str, Any]) -> Tool:
        place = f"paths.{route}.{method}"
        self._strange(operation, _OPERATION_FIELDS, "an operation")
        parameters = self._parameters(entry, operation, f"paths.{route}", place)
        fields = Fields()
        for (name, kind), (parameter, spot) in parameters.items():
            if kind == "body":
                continue
            if kind == "cookie" or (kind == "header" and name.lower() in _CLIENT_HEADERS):
                note("left out", f"{kind} parameter that a client sets", self._path)
                continue
            schema = self._read(self._parameter_schema(parameter, spot), spot, _told(parameter))
            fields.add(name, schema, parameter.get("required") is True or kind == "path", kind)
        for body, spot, must in self._bodies(parameters, operation, place):
            schema = self._read(body, spot, None, depth=MAX_DEPTH)
            flat = side_by_side(schema) if schema.get("properties") else {}
            if flat:
                fields.add_body(flat)
            else:
                fields.add("body", schema, must, "request")
        name = str(operation.get("operationId") or f"{method}_{snake_case(route)}")
        return Tool(
            name=name,
            description=self._words(operation, name, method, route),
            parameters=described(parameters_schema(fields.schema())),
            returns=self._returns(operation, place),
            source=self._source,
            license=self._license,
        )

    def _words(self, operation: Mapping[str, Any], name: str, method: str, route: str) -> str:
        summary, text = str(operation.get("summary") or ""), str(operation.get("description") or "")
        told = summary if says_enough(summary) or not text else text
        words, made = named_words(told, name if operation.get("operationId") else "", f"{method} {route}")
        if made:
            note("understood", f"operation {made}", self._path)
        return words

    def _parameters(
        self, entry: Mapping[str, Any], operation: Mapping[str, Any], outer: str, place: str
    ) -> dict[tuple[str, str], tuple[Mapping[str, Any], str]]:
        """Parameters by name and place, those of the operation instead of those of its path; a body is one whatever its name."""
        found: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
        for holder, where in ((entry, outer), (operation, place)):
            for index, raw in enumerate(self._list(holder.get("parameters"), f"{where}.parameters")):
                spot = f"{where}.parameters[{index}]"
                parameter = self._mapping(self._resolved(raw, spot), spot)
                if not parameter:
                    continue
                kind = str(parameter.get("in"))
                if kind == "body":
                    found["body", kind] = (parameter, spot)
                elif isinstance(parameter.get("name"), str):
                    found[parameter["name"], kind] = (parameter, spot)
                else:
                    self._fail(spot, "no name", "give the parameter a `name`")
        return found

    def _parameter_schema(self, parameter: Mapping[str, Any], place: str) -> Any:
        if "schema" in parameter or "content" in parameter:
            said = () if _told(parameter) == parameter.get("description") else ("example", "examples")
            self._strange(parameter, (*_PARAMETER_FIELDS, *said), "a parameter")
        if parameter.get("schema") is not None:
            return parameter["schema"]
        if isinstance(parameter.get("content"), Mapping) and parameter["content"]:
            return self._content_schema(parameter["content"], f"{place}.content") or {}
        if "swagger" in self._document and "type" in parameter:
            return {key: value for key, value in parameter.items() if key not in _SWAGGER_PARAMETER}
        return self._fail(place, "no schema", "add `schema: {type: string}` (OpenAPI 3) or `type: string` (Swagger 2.0)")

    def _bodies(
        self, parameters: Mapping[tuple[str, str], tuple[Mapping[str, Any], str]], operation: Mapping[str, Any], place: str
    ) -> Iterator[tuple[Any, str, bool]]:
        """The schema of the request body, its place and whether it must be given; none where there is no body."""
        if ("body", "body") in parameters:
            parameter, spot = parameters["body", "body"]
            yield self._parameter_schema(parameter, spot), spot, parameter.get("required") is True
            return
        spot = f"{place}.requestBody"
        body = self._mapping(self._resolved(operation.get("requestBody"), spot), spot)
        self._strange(body, _BODY_FIELDS, "a request body")
        schema = self._content_schema(body.get("content"), f"{spot}.content")
        if schema is not None:
            self._other_kinds(body["content"], schema, "request body")
            yield schema, spot, body.get("required") is True
        elif body:
            note("left out", "request body without a schema", self._path)

    def _other_kinds(self, content: Mapping[str, Any], schema: Any, what: str) -> None:
        """The same body in other forms, and what stands beside the schema of one."""
        for kind, media in content.items():
            told = self._resolved(media, kind) if isinstance(media, Mapping) else {}
            if not isinstance(told, Mapping) or told.get("schema") != schema:
                note("left out", f"{what} as {kind}", self._path)
            else:
                self._strange(told, ("schema",), f"{'an' if what[0] in 'aeiou' else 'a'} {what}")

    def _content_schema(self, content: Any, place: str) -> Any:
        kinds = self._mapping(content, place)
        preferred = sorted(kinds, key=lambda kind: (kind != "application/json", "json" not in kind))
        for kind in preferred:
            schema = self._mapping(self._resolved(kinds[kind], f"{place}.{kind}"), f"{place}.{kind}").get("schema")
            if schema is not None:
                return schema
        return None

    def _returns(self, operation: Mapping[str, Any], place: str) -> JSON | None:
        """What the operation answers; an answer that cannot be read costs no more than itself."""
        try:
            responses = self._mapping(operation.get("responses"), f"{place}.responses")
            named = {str(code): answer for code, answer in responses.items()}  # YAML reads 200 as a number
            code = min((code for code in named if code.startswith("2")), default="")
            for other in named.keys() - {code}:
                note("left out", f"answer {other}", self._path)
            if code:
                spot = f"{place}.responses.{code}"
                answer = self._mapping(self._resolved(named[code], spot), spot)
                self._strange(answer, _ANSWER_FIELDS, "an answer")
                raw = answer.get("schema") or self._content_schema(answer.get("content"), f"{spot}.content")
                if isinstance(answer.get("content"), Mapping):
                    self._other_kinds(answer["content"], raw, "answer")
                return None if raw is None else self._read(raw, spot, None, reader=self._answers)
        except ToolSpecError as problem:
            note("left out", f"answer: {str(problem).removeprefix(f'{self._path}: ')}", self._path)
        return None

    def _reader(self, hidden: str) -> SchemaReader:
        """A reader of schemas without the properties that are marked as `hidden`."""

        def leave(what: str) -> None:
            note("left out", what, self._path)

        return SchemaReader(
            self._files.resolve,
            parameter_words,
            keep=lambda schema: schema.get(hidden) is not True,
            heirs=self._heirs_of,
            leave=leave,
            any_type=True,
            examples=True,
        )

    def _heirs_of(self, reference: str) -> list[str]:
        return self._heirs.get(reference, [])

    @cached_property
    def _heirs(self) -> dict[str, list[str]]:
        """References to the schemas that extend a schema, by its reference."""
        found: dict[str, list[str]] = {}
        parts = self._document.get("components")
        named = {"#/components/schemas/": parts.get("schemas") if isinstance(parts, Mapping) else None}
        named["#/definitions/"] = self._document.get("definitions")
        for prefix, schemas in named.items():
            for name, schema in schemas.items() if isinstance(schemas, Mapping) else ():
                extended = schema.get("allOf") if isinstance(schema, Mapping) else None
                for part in extended if isinstance(extended, list) else ():
                    if isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
                        found.setdefault(part["$ref"], []).append(prefix + str(name).replace("~", "~0").replace("/", "~1"))
        return found

    def _read(self, schema: Any, place: str, description: Any, depth: int = MAX_DEPTH - 1, reader: SchemaReader | None = None) -> JSON:
        try:
            read = (reader or self._requests).read(schema, depth)
        except ToolSpecError as problem:
            raise ToolSpecError(f"{self._path}: {place}: {problem}") from None
        except RecursionError:
            raise ToolSpecError(f"{self._path}: {place}: nests too deeply to be read; flatten the schema") from None
        if not read:
            read = {"type": list(ANY)}
        words = parameter_words(description) if isinstance(description, str) else ""
        return {**read, "description": words} if words else read

    def _resolved(self, value: Any, place: str) -> Any:
        for _ in range(16):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value
            try:
                value = self._files.resolve(value["$ref"])
            except ToolSpecError as problem:
                raise ToolSpecError(f"{self._path}: {place}: {problem}") from None
        return self._fail(place, "references go round in a circle", "define one of them")

    def _strange(self, holder: Mapping[str, Any], known: Sequence[str], what: str) -> None:
        for name in holder:
            if name not in known:
                note("left out", f"field {str(name)!r} of {what}", self._path)

    def _mapping(self, value: Any, place: str, must: bool = False) -> Mapping[str, Any]:
        """An object; nothing at all (null) is an empty one, unless it must be there."""
        if value is None and not must:
            return {}
        if not isinstance(value, Mapping):
            self._fail(place, f"expected an object, found {type(value).__name__}", "see the OpenAPI specification for this part")
        mapping: Mapping[str, Any] = value
        return mapping

    def _list(self, value: Any, place: str) -> list[Any]:
        if value is not None and not isinstance(value, list):
            self._fail(place, f"expected a list, found {type(value).__name__}", "write each entry with a leading dash")
        return value or []

    def _fail(self, place: str, problem: str, advice: str) -> Any:
        raise ToolSpecError(f"{self._path}: {place}: {problem}; {advice}")


def _told(parameter: Mapping[str, Any]) -> Any:
    """What is said of a parameter, with the example that stands beside its schema or in it."""
    inner, named = parameter.get("schema"), parameter.get("examples")
    listed = [one["value"] for one in named.values() if isinstance(one, Mapping) and "value" in one] if isinstance(named, Mapping) else []
    beside = {"example": parameter["example"]} if "example" in parameter else {"examples": listed} if listed else {}
    around = {**(inner if isinstance(inner, Mapping) else {}), **beside}
    told = parameter.get("description")
    return with_example(told if isinstance(told, str) else "", around) or told


def _raising(problem: ToolSpecError) -> Any:
    def read() -> Tool:
        raise problem

    return read
