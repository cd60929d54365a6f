"""Operations of AWS services from the `service-2.json` models inside the botocore wheel (Apache-2.0).

Parameter names become snake_case. Left out: deprecated operations and members, event streams, and tokens that a client fills in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.patterns import usable_pattern
from luthier.records.schema import MAX_DEPTH
from luthier.synthesize.tools.importers.wheels import open_wheel
from luthier.synthesize.tools.importers.wording import is_retired, parameter_words, snake_case, tool_words

LICENSE = "Apache-2.0"
MAX_ENUM = 24  # a longer list costs more prompt than it teaches; the values kept are all valid
RETURNS_DEPTH = 2
RETURNS_WIDTH = 12

_MODELS = r"botocore/data/([^/]+)/(\d{4}-\d{2}-\d{2})/service-2\.json(\.gz)?"
_SCALARS: dict[str, JSON] = {
    "string": {"type": "string"},
    "character": {"type": "string"},
    "integer": {"type": "integer"},
    "long": {"type": "integer"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "blob": {"type": "string", "contentEncoding": "base64"},
}
_LIMITS = {
    "string": ("minLength", "maxLength"),
    "list": ("minItems", "maxItems"),
    "map": ("minProperties", "maxProperties"),
    **dict.fromkeys(("integer", "long", "float", "double"), ("minimum", "maximum")),
}


def import_botocore(wheel: Path) -> Iterator[Tool]:
    """The operations of every service in its latest version, by service and name. Raises ToolSpecError for a broken wheel."""
    with open_wheel(wheel, "botocore") as opened:
        latest = {match[1]: match[0] for match in opened.names(_MODELS)}  # names come sorted, so the last date stays
        if not latest:
            raise ToolSpecError(f"{wheel}: no service models inside; fetch it with: pip download --no-deps botocore")
        for service, name in latest.items():
            model = ServiceModel(opened.read_json(name), f"{wheel}: {name}")
            yield from model.tools(snake_case(service), f"botocore {opened.version}: {service}")


def is_service_model(document: Any) -> bool:
    """Whether a document is a service model of botocore."""
    return isinstance(document, dict) and all(isinstance(document.get(key), dict) for key in ("metadata", "operations", "shapes"))


class ServiceModel:
    """One service document; shapes are expanded once for each depth and shared between its tools."""

    def __init__(self, document: Any, place: str) -> None:
        if not isinstance(document, dict) or not isinstance(document.get("operations"), dict):
            raise ToolSpecError(f"{place}: no `operations`; expected a botocore service model")
        self._operations: JSON = document["operations"]
        self._shapes: JSON = document.get("shapes", {})
        self._place = place
        self._known: dict[tuple[str, int, frozenset[str], bool], JSON] = {}

    def tools(self, service: str, source: str) -> Iterator[Tool]:
        for name, operation in sorted(self._operations.items()):
            if operation.get("deprecated"):
                continue
            shape = self._shape(operation["input"]["shape"], f"operations.{name}.input") if "input" in operation else {}
            if any(self._streams(member) for member in shape.get("members", {}).values()):
                continue
            words = tool_words(operation.get("documentation", ""))
            if is_retired(words):
                continue
            yield Tool(
                name=f"{service}.{snake_case(name)}",
                description=words,
                parameters=self._parameters(shape),
                returns=self._returns(operation),
                source=source,
                license=LICENSE,
            )

    def _parameters(self, shape: JSON) -> JSON:
        schema = self._structure(shape, MAX_DEPTH, frozenset(), True) if shape else {}
        return {
            "type": "object",
            "properties": schema.get("properties", {}),
            "required": schema.get("required", []),
            "additionalProperties": False,
        }

    def _returns(self, operation: JSON) -> JSON | None:
        if "output" not in operation:
            return None
        shape = self._shape(operation["output"]["shape"], "output")
        return self._structure(shape, RETURNS_DEPTH, frozenset(), False) if shape.get("members") else None

    def _shape(self, name: str, place: str) -> JSON:
        if name not in self._shapes:
            raise ToolSpecError(f"{self._place}: {place}: no shape {name!r}; fetch the wheel again")
        shape: JSON = self._shapes[name]
        return shape

    def _streams(self, member: JSON) -> bool:
        return bool(self._shape(member["shape"], "members").get("eventstream"))

    def _schema(self, name: str, depth: int, trail: frozenset[str], described: bool) -> JSON:
        """A shape as JSON Schema. trail: structures being expanded, to cut cycles. described: with texts and limits."""
        key = (name, depth, trail, described)
        if key not in self._known:
            self._known[key] = self._expanded(name, self._shape(name, "shapes"), depth, trail, described)
        return self._known[key]

    def _expanded(self, name: str, shape: JSON, depth: int, trail: frozenset[str], described: bool) -> JSON:
        kind = shape["type"]
        if kind in _SCALARS:
            schema = dict(_SCALARS[kind])
            if "enum" in shape:
                schema["enum"] = shape["enum"][:MAX_ENUM]
            elif described and usable_pattern(shape.get("pattern", "")):
                schema["pattern"] = shape["pattern"]
        elif name in trail or depth <= 0:
            schema = {"type": "array"} if kind == "list" else {"type": "object"}
        elif kind == "list":
            schema = {"type": "array", "items": self._schema(shape["member"]["shape"], depth - 1, trail | {name}, described)}
        elif kind == "map":
            schema = {"type": "object", "additionalProperties": self._schema(shape["value"]["shape"], depth - 1, trail | {name}, described)}
        else:
            schema = self._structure(shape, depth, trail | {name}, described)
        return _with_limits(schema, shape) if described else schema

    def _structure(self, shape: JSON, depth: int, trail: frozenset[str], described: bool) -> JSON:
        required = shape.get("required", [])
        properties: JSON = {}
        needed: list[str] = []
        for member, target in shape.get("members", {}).items():
            must = member in required
            if target.get("idempotencyToken") or (target.get("deprecated") and not must):
                continue
            name = snake_case(member)
            schema = self._member(target, depth - 1, trail, described)
            if described and not must and ("description" not in schema or is_retired(schema["description"])):
                continue  # an optional member nobody describes cannot be taught
            if not described and len(properties) >= RETURNS_WIDTH:
                break
            properties.setdefault(name, schema)
            if must and name not in needed:
                needed.append(name)
        if shape.get("document") or not properties:
            return {"type": "object"}
        result: JSON = {"type": "object", "properties": properties}
        if needed and described:
            result["required"] = needed
        if described:
            result["additionalProperties"] = False
        if shape.get("union"):
            result.update(minProperties=1, maxProperties=1)
        return result

    def _member(self, target: JSON, depth: int, trail: frozenset[str], described: bool) -> JSON:
        schema = self._schema(target["shape"], depth, trail, described)
        if not described:
            return schema
        words = parameter_words(target.get("documentation", "")) or parameter_words(self._shapes[target["shape"]].get("documentation", ""))
        if not words:
            return schema
        kind = {"type": schema["type"], "description": words}
        return {**kind, **{key: value for key, value in schema.items() if key not in kind}}


def _with_limits(schema: JSON, shape: JSON) -> JSON:
    lower, upper = _LIMITS.get(shape["type"], ("", ""))
    if lower and "enum" not in schema:
        for keyword, bound in ((lower, shape.get("min")), (upper, shape.get("max"))):
            if isinstance(bound, int | float) and bound != (0 if keyword.startswith("minL") else None):
                schema[keyword] = int(bound) if float(bound).is_integer() else bound
    return schema
