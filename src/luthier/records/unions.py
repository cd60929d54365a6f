"""`oneOf`, `anyOf`, `allOf` and discriminators as loosely written schemas have them, made into at most one union a schema.

The first half works on raw schemas before they are read, the second on what `schema.py` read of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.records.conversations import JSON

MOST_BRANCHES = 24  # of the product of several unions

_UNIONS = ("anyOf", "oneOf")
_LOWER = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
_UPPER = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
_CONDITIONS = frozenset(
    ("type", "pattern", "format", "multipleOf", "const", "items", "prefixItems", "additionalProperties", "patternProperties")
)


def unions_of(schema: Mapping[str, Any]) -> list[list[Any]]:
    """The unions a schema holds; all of them must be met."""
    return [schema[key] for key in _UNIONS if isinstance(schema.get(key), list) and schema[key]]


def with_unions(schema: Mapping[str, Any], unions: Sequence[list[Any]], follow: Callable[[Any], Mapping[str, Any]]) -> tuple[JSON, bool]:
    """The schema with one union that means all of them, as the product of their branches, and whether a condition was loosened.

    Where the product is too large, the fields of the branches become optional fields. follow: the schema behind a reference.
    """
    result: JSON = {key: value for key, value in schema.items() if key not in _UNIONS}
    crossed, loosened = list[Any](), False
    for union in unions:
        if not crossed or len(crossed) * len(union) <= MOST_BRANCHES:
            crossed = [{"allOf": [one, other]} for one in crossed for other in union] if crossed else union
        else:
            loosened = True
            optional: JSON = {}
            for branch in union:
                optional = _merged_properties(optional, follow(branch).get("properties"))
            result["properties"] = _merged_properties(result.get("properties"), optional)
    if crossed:
        result["anyOf"] = crossed
    return result, loosened


def merge_keyword(merged: JSON, key: str, value: Any, leave: Callable[[str], None]) -> None:
    """A keyword of one part of an `allOf`, folded into the parts before it: both hold. Of what is only said (descriptions, defaults), the
    first is kept. leave: is told of a condition that cannot be kept beside the one before it."""
    known, choices = merged.get(key), merged.get("enum")
    if key == "properties":
        merged[key] = _merged_properties(known, value)
    elif key == "required" and isinstance(value, list) and isinstance(known, list):
        merged[key] = known + [item for item in value if item not in known]
    elif key == "enum" and isinstance(value, list) and isinstance(known, list):
        merged[key] = [item for item in known if item in value] or known
    elif key == "enum" and "const" in merged:
        return  # one value is stated already; names that a discriminator makes up are none of it
    elif key == "const" and isinstance(choices, list):
        if value in choices:
            del merged["enum"]
            merged[key] = value
    elif key == "additionalProperties" and value is False:
        return  # a closed part of an allOf would forbid what its siblings add
    elif value is not None:
        both = value if known is None else known if known == value else _both(key, known, value)
        if both is not None:
            merged[key] = both
        elif key in _CONDITIONS:
            leave(f"another {key!r} of a schema in several parts")


def _both(key: str, first: Any, second: Any) -> Any:
    """The value of a keyword that holds where both of these do; None where no one value says it."""
    if key in _LOWER | _UPPER and _is_number(first) and _is_number(second):
        return (max if key in _LOWER else min)(first, second)
    if key in ("items", "additionalProperties"):
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            return {"allOf": [first, second]}
        return second if first is True else first if second is True else None
    if key == "type":
        common = _common_types(first, second)
        return common[0] if len(common) == 1 else common or None
    return first is True or second is True if key == "uniqueItems" else None


def _common_types(first: Any, second: Any) -> list[str]:
    """The types that both name; a whole number is a number."""
    one, other = ([types] if isinstance(types, str) else types if isinstance(types, list) else [] for types in (first, second))
    both = [each for each in one if each in other or (each == "integer" and "number" in other)]
    return both + [each for each in other if each == "integer" and "number" in one and each not in both]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _merged_properties(first: Any, more: Any) -> JSON:
    """Properties of both; one that both have must be both."""
    result: JSON = dict(first) if isinstance(first, Mapping) else {}
    for name, value in more.items() if isinstance(more, Mapping) else ():
        known = result.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping) and known != value
        result[name] = {"allOf": [known, value]} if both else value if known is None else known
    return result


def told_apart(schema: Mapping[str, Any], heirs: Sequence[str] = ()) -> JSON:
    """The schema with its `discriminator` spelt out: each branch of the union fixes the value that names it.

    A schema without a union stands for its heirs: those of the mapping, or `heirs`, the references to schemas that extend it.
    """
    stated = schema["discriminator"]
    name = stated if isinstance(stated, str) else stated.get("propertyName") if isinstance(stated, Mapping) else None
    mapping = stated.get("mapping") if isinstance(stated, Mapping) else None
    targets = {str(value): target for value, target in mapping.items() if isinstance(target, str)} if isinstance(mapping, Mapping) else {}
    rest: JSON = {key: value for key, value in schema.items() if key != "discriminator"}
    if not isinstance(name, str):
        return rest
    key = next((key for key in _UNIONS if isinstance(schema.get(key), list) and schema[key]), None)
    if key is None:
        known = dict.fromkeys(_reference(target) for target in targets.values()) or dict.fromkeys(heirs)
        if not known:
            return rest
        key, branches = "oneOf", [{"$ref": reference} for reference in known]
    else:
        branches = rest[key]
    return {**rest, key: [_named(branch, name, targets) for branch in branches]}


def trimmed(schema: JSON, around: frozenset[str], leave: Callable[[str], None]) -> JSON:
    """The schema without required fields that neither it nor its unions define. around: fields of the schema it is a branch of."""
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {name: trimmed(part, frozenset(), leave) for name, part in schema["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            result[keyword] = trimmed(schema[keyword], frozenset(), leave)
    fields = around | frozenset(schema.get("properties", ()))
    if "anyOf" in schema:
        result["anyOf"] = [trimmed(branch, fields, leave) for branch in schema["anyOf"]]
    required = [name for name in schema.get("required", ()) if name in fields or name in fields_of_branches(schema)]
    if fields and len(required) < len(schema.get("required", ())):
        leave("required field without a definition")
        result = without_required(result, set(schema["required"]) - set(required))
    return result


def fields_of_branches(schema: Mapping[str, Any]) -> frozenset[str]:
    """The fields that the branches of a schema's union define."""
    branches = [branch for branch in schema.get("anyOf") or () if isinstance(branch, Mapping)]
    return frozenset(name for branch in branches for name in (*branch.get("properties", ()), *fields_of_branches(branch)))


def without_required(branch: JSON, names: set[str]) -> JSON:
    """A branch that does not require any of the names."""
    required = [name for name in branch.get("required", []) if name not in names]
    rest = {key: value for key, value in branch.items() if key != "required"}
    return {**rest, "required": required} if required else rest


def without_single_branch(schema: JSON) -> JSON:
    """`anyOf` with one branch says no more than the branch."""
    branches = schema.get("anyOf")
    if not branches or len(branches) > 1 or set(schema) - {"anyOf", "description", "default"}:
        return schema
    outer = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**branches[0], **outer}


def _named(branch: Any, name: str, targets: Mapping[str, str]) -> Any:
    reference = branch.get("$ref") if isinstance(branch, Mapping) else None
    if not isinstance(reference, str):
        return branch
    own = _last(reference)
    values = [value for value, target in targets.items() if _reference(target) == reference or target == own] or [own]
    return {"allOf": [branch, {"type": "object", "properties": {name: {"enum": values}}, "required": [name]}]}


def _reference(target: str) -> str:
    """A mapping's target is a reference, or the bare name of a schema."""
    return target if "/" in target or "#" in target or "." in target else f"#/components/schemas/{target}"


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1].rsplit("#", 1)[-1].removesuffix(".yaml").removesuffix(".yml").removesuffix(".json")
