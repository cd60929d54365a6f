"""Type annotations as JSON Schema: `list[str] | None`, `Literal["a", "b"]`, enums, TypedDicts, dataclasses, pydantic models.

An annotation written as text is read as syntax; its names are looked up in the module and never evaluated.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from luthier.records import JSON
from luthier.records.account import note
from luthier.records.dialects import finite, type_keywords, type_of, with_null
from luthier.records.schema import normalise_schema
from luthier.synthesize.tools.importers.constraints import constraints

MAX_LEVELS = 4  # of classes within classes

_PROSE = re.compile(r"(?<!\s)\s*+(?:,\s*+(?:optional$|default.*|keyword.only$)|\().*|\bof\b.*", re.IGNORECASE | re.DOTALL)
_ARRAYS = frozenset({"list", "sequence", "mutablesequence", "iterable", "iterator", "tuple", "set", "frozenset", "collection", "deque"})
_OBJECTS = frozenset({"dict", "mapping", "mutablemapping", "defaultdict", "ordereddict", "counter"})
_BARE = frozenset({"annotated", "required", "notrequired", "readonly", "final", "classvar"})
_TEXT, _EMAIL, _URI = ({"type": "string", **more} for more in ({}, {"format": "email"}, {"format": "uri"}))
_NAMED: Mapping[str, JSON] = {
    **dict.fromkeys(("Path", "PurePath", "PosixPath", "FilePath", "DirectoryPath", "NewPath", "SecretStr", "IPvAnyAddress"), _TEXT),
    **dict.fromkeys(("EmailStr", "NameEmail"), _EMAIL),
    **dict.fromkeys(("HttpUrl", "AnyUrl", "AnyHttpUrl"), _URI),
    "timedelta": {"type": "string", "format": "duration"},
    "IPv4Address": {"type": "string", "format": "ipv4"},
    "IPv6Address": {"type": "string", "format": "ipv6"},
}
_CONSTRAINED = {"conint": "int", "confloat": "float", "constr": "str", "condecimal": "float"}
_POSITIONAL = {"Ge": "ge", "Gt": "gt", "Le": "le", "Lt": "lt", "MinLen": "min_length", "MaxLen": "max_length", "Doc": "documentation"}
_POSITIONAL |= {"MultipleOf": "multiple_of"}
Names = Mapping[str, Any]


def annotation_schema(annotation: object, names: Names = types.MappingProxyType({}), level: int = 0) -> JSON:
    """The schema an annotation (or the type in a docstring) stands for; empty where it is not understood.

    names: what names in it mean, the globals of a module.
    """
    if isinstance(annotation, str):
        return _from_text(annotation, names, level)
    if annotation is None or annotation is type(None):
        return {"type": "null"}
    if isinstance(annotation, typing.ForwardRef):
        return _from_text(annotation.__forward_arg__, names, level)
    if isinstance(annotation, typing.TypeVar):
        return annotation_schema(annotation.__bound__, names, level) if annotation.__bound__ is not None else {}
    if isinstance(annotation, typing.NewType):
        return annotation_schema(annotation.__supertype__, names, level)
    if hasattr(annotation, "__value__") and type(annotation).__name__ == "TypeAliasType":
        return annotation_schema(annotation.__value__, names, level)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        kind, *metadata = typing.get_args(annotation)
        return _with_constraints(annotation_schema(kind, names, level), metadata)
    if origin is not None:
        return _from_generic(origin, typing.get_args(annotation), names, level)
    return _from_class(annotation, names, level) if isinstance(annotation, type) else type_keywords(_bare_name(annotation))


def _from_text(text: str, names: Names, level: int) -> JSON:
    text = text.strip()
    if not text:
        return {}
    lists = re.fullmatch(r"(?:list|array|sequence|tuple)s? of (\w+?)s?", text, re.IGNORECASE)
    if lists:
        return _array(annotation_schema(lists[1], names, level))
    try:
        return _from_node(ast.parse(text, mode="eval").body, names, level)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shorter = _PROSE.sub("", text).strip()
        return annotation_schema(shorter, names, level) if shorter != text else {}


def _from_node(node: ast.expr, names: Names, level: int) -> JSON:
    if isinstance(node, ast.Constant):
        return {"type": "null"} if node.value is None else _from_text(node.value, names, level) if isinstance(node.value, str) else {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_from_node(node.left, names, level), _from_node(node.right, names, level)])
    if isinstance(node, ast.Subscript):
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        name = _name(node.value).lower()
        if name == "literal":
            return _literal([ast.literal_eval(argument) for argument in arguments])
        if name in _BARE:
            kind = _from_node(arguments[0], names, level)
            return _with_constraints(kind, [told for node in arguments[1:] if (told := _told(node)) is not None]) if arguments[1:] else kind
        if name == "tuple" and not any(
            isinstance(one, ast.Starred) or (isinstance(one, ast.Constant) and one.value is ...) for one in arguments
        ):
            return _tuple([_from_node(argument, names, level) for argument in arguments])
        return _generic(name, [_from_node(argument, names, level) for argument in arguments])
    if isinstance(node, ast.Tuple) and node.elts:  # "int, optional" in a NumPy docstring
        return _from_node(node.elts[0], names, level)
    if isinstance(node, ast.Call) and _name(node.func) in _CONSTRAINED:
        return _with_constraints(annotation_schema(_CONSTRAINED[_name(node.func)], names, level), [_told(node)])
    meant = _looked_up(node, names)
    return annotation_schema(meant, names, level) if meant is not None else _keywords(_name(node))


def _with_constraints(schema: JSON, metadata: Iterable[Any]) -> JSON:
    """A schema with what stands beside its type; one that is not understood stays so."""
    return {**schema, **dict(constraints(schema.get("type"), metadata))} if schema else schema


def _told(node: ast.expr) -> Any:
    """What a statement beside a type says, read as it is written: a text, or the values that a call names, `Field(ge=1)` or `Ge(1)`."""
    if isinstance(node, ast.Constant):
        return node.value
    if not isinstance(node, ast.Call):
        return None
    given = [(keyword.arg, keyword.value) for keyword in node.keywords]
    given += [(_POSITIONAL.get(_name(node.func)), value) for value in node.args[:1]]
    return types.SimpleNamespace(**{name: found for name, value in given if name and (found := _plain(value)) is not None})


def _plain(node: ast.expr) -> Any:
    """The value of a literal, None of anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _looked_up(node: ast.expr, names: Names) -> Any:
    """What a dotted name means in the module: entries of it and members of modules and classes, nothing that would run code."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    holder = _looked_up(node.value, names)
    found = vars(holder).get(node.attr) if isinstance(holder, types.ModuleType | type) else None
    return found if isinstance(found, type) or typing.get_origin(found) is not None else None


def _from_generic(origin: Any, arguments: tuple[Any, ...], names: Names, level: int) -> JSON:
    if origin is typing.Literal:
        return _literal([each.value if isinstance(each, enum.Enum) else each for each in arguments])
    if origin is typing.Union or origin is types.UnionType:
        return _union([annotation_schema(each, names, level) for each in arguments])
    name = _bare_name(origin).lower()
    if name in _BARE:
        return annotation_schema(arguments[0], names, level)
    if name == "tuple" and ... not in arguments and not any(map(_is_open, arguments)):
        return _tuple([annotation_schema(each, names, level) for each in arguments])
    return _generic(name, [annotation_schema(each, names, level) if each is not ... else {} for each in arguments])


def _is_open(argument: Any) -> bool:
    """Whether it stands for any number of values: `*tuple[str, ...]`."""
    return bool(getattr(argument, "__unpacked__", False)) or _bare_name(typing.get_origin(argument)) == "Unpack"


def _from_class(annotation: Any, names: Names, level: int) -> JSON:
    if issubclass(annotation, enum.Enum):
        return _enum(annotation)
    if callable(getattr(annotation, "model_json_schema", None)):
        return _pydantic(annotation)
    if dataclasses.is_dataclass(annotation):
        fields = {field.name: field for field in dataclasses.fields(annotation) if field.init}
        must = [
            name for name, field in fields.items() if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        return _object(annotation, {name: field.type for name, field in fields.items()}, must, level)
    if typing.is_typeddict(annotation):
        return _object(annotation, _stated(annotation), _required_keys(annotation), level)
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        must = [name for name in annotation._fields if name not in annotation._field_defaults]
        return _object(annotation, {name: _stated(annotation).get(name) for name in annotation._fields}, must, level)
    if (named := _NAMED.get(annotation.__name__)) is not None:
        return dict(named)
    own = _keywords(annotation.__name__)
    base = next((each for each in (bool, int, float, str, list, dict) if issubclass(annotation, each)), None)
    return own or (type_keywords(base.__name__) if base is not None else {})


def _object(annotation: Any, fields: Mapping[str, Any], required: list[str], level: int) -> JSON:
    if level >= MAX_LEVELS:
        return {"type": "object"}
    names = vars(sys.modules.get(annotation.__module__, types))
    properties = {name: annotation_schema(kind, names, level + 1) for name, kind in fields.items()}
    for name in [name for name, schema in properties.items() if not schema and name not in required]:
        note("left out", f"field {name!r} of {annotation.__name__!r}, of a type that is no value of JSON; it may be left out of calls")
        del properties[name]
    known: JSON = {"type": "object", "properties": properties}
    return {**known, "required": required, "additionalProperties": False} if required else {**known, "additionalProperties": False}


def _required_keys(annotation: Any) -> list[str]:
    """Keys a TypedDict must have; Python does not see `Required` and `NotRequired` in annotations that are texts."""
    said = {name: _need(kind.__forward_arg__) if isinstance(kind, typing.ForwardRef) else "" for name, kind in _stated(annotation).items()}
    return [name for name, need in said.items() if need == "required" or (not need and name in annotation.__required_keys__)]


def _need(text: str) -> str:
    """`required` or `notrequired` where an annotation begins so, around or within `Annotated` and `ReadOnly`; else nothing."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _need(node.value)
    while isinstance(node, ast.Subscript) and (name := _name(node.value).lower()) in _BARE:
        if name in ("required", "notrequired"):
            return name
        node = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
    return ""


def _stated(annotation: type) -> dict[str, Any]:
    """The annotations of a class and its bases as they are written."""
    return {name: kind for each in reversed(annotation.__mro__) for name, kind in getattr(each, "__annotations__", {}).items()}


def _pydantic(annotation: Any) -> JSON:
    try:
        return normalise_schema(annotation.model_json_schema())
    except Exception:  # a model of the user's may raise anything
        return {"type": "object"}


def _enum(annotation: type[enum.Enum]) -> JSON:
    """The members' values; their names where a value is no value of JSON."""
    members = list(annotation)
    plain = all(isinstance(member.value, str | int | float) and finite(member.value) for member in members)
    return _literal([member.value if plain else member.name for member in members]) if members else {}


def _bare_name(annotation: object) -> str:
    return str(getattr(annotation, "__name__", None) or getattr(annotation, "_name", None) or "")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _keywords(name: str) -> JSON:
    """What the name of a type stands for; every value of Python is an `object`."""
    return type_keywords("any" if name == "object" else name)


def _generic(name: str, schemas: list[JSON]) -> JSON:
    if not schemas:
        return type_keywords(name)
    if name in ("union", "optional"):
        return _union(schemas if name == "union" else [schemas[0], {"type": "null"}])
    if name in _ARRAYS:
        return _array(schemas[0] if name != "tuple" or all(schema == schemas[0] or not schema for schema in schemas) else {})
    if name in _OBJECTS:
        return {"type": "object", "additionalProperties": (schemas[-1] if name != "counter" else {"type": "integer"}) or True}
    return {}


def _tuple(schemas: list[JSON]) -> JSON:
    """So many values, each of its own kind."""
    if not schemas:
        return {"type": "array", "maxItems": 0}
    count = {"minItems": len(schemas), "maxItems": len(schemas)}
    if all(schema == schemas[0] for schema in schemas):
        return {**_array(schemas[0]), **count}
    return {"type": "array", "prefixItems": schemas, **count} if all(schemas) else {"type": "array", **count}


def _array(items: JSON) -> JSON:
    return {"type": "array", "items": items} if items else {"type": "array"}


def _literal(values: list[Any]) -> JSON:
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
