"""Parameters from several places side by side: path, query, headers, the fields of a body and of the branches of a union."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from luthier.records import JSON
from luthier.records.account import note

BODY = "body"  # where the fields of a request body stand
_KEEPS = (BODY, "path")  # whose parameters keep a name that others have too


@dataclass(frozen=True)
class _Field:
    name: str
    schema: JSON
    required: bool
    kind: str


@dataclass
class Fields:
    """The parameters of one operation. Of several with one name, those of the body keep it, then those of the path."""

    fields: list[_Field] = field(default_factory=list)
    more: JSON = field(default_factory=dict)

    def add(self, name: str, schema: JSON, required: bool, kind: str) -> None:
        """kind: where it stands: `path`, `query`, `header`, `formData`; `request` for a whole body."""
        self.fields.append(_Field(name, schema, required, kind))

    def add_body(self, schema: JSON) -> None:
        """The fields of an object, and what it says of them together."""
        for name, value in schema["properties"].items():
            self.add(name, value, name in schema.get("required", []), BODY)
        if "anyOf" in schema:
            self.more["anyOf"] = schema["anyOf"]

    def schema(self) -> JSON:
        """All as one object; a parameter whose name is taken is called `name__kind`, a whole body `request_body`."""
        counts = Counter(one.name for one in self.fields)
        names: dict[str, _Field] = {}
        for one in sorted(self.fields, key=_rank):
            names.setdefault(one.name, one)
        taken = set(counts)
        properties: JSON = {}
        required: list[str] = []
        for one in self.fields:
            name = (
                one.name if names[one.name] is one else _free("request_body" if one.kind == "request" else f"{one.name}__{one.kind}", taken)
            )
            if name != one.name:
                note("understood", "parameter with the name of another, told apart by its place")
            properties[name] = one.schema
            required += [name] if one.required else []
        return {"properties": properties, "required": required, **self.more}


def side_by_side(schema: JSON) -> JSON:
    """An object whose fields are those of its branches too; what a branch requires stays as `anyOf` of `required` alone.

    Empty where a branch is no object, so that the fields cannot stand together.
    """
    branches = schema.get("anyOf")
    if not branches:
        return schema
    if any(branch.get("type", "object") != "object" for branch in branches):
        return {}
    flat = [side_by_side(branch) for branch in branches]
    needed = list(schema.get("required", []))
    ways = [[*branch.get("required", ()), *way["required"]] for branch in flat for way in branch.get("anyOf", ({"required": ()},))]
    conditions = [[name for name in way if name not in needed] for way in ways]
    shared = [name for name in conditions[0] if all(name in names for names in conditions)]
    left = [[name for name in names if name not in shared] for names in conditions]
    result = {key: value for key, value in schema.items() if key != "anyOf"}
    result["properties"] = _together(schema.get("properties", {}), [branch.get("properties", {}) for branch in flat])
    result["required"] = [name for name in (*needed, *shared) if name in result["properties"]]
    told = {tuple(sorted(names)): {"required": names} for names in left}
    if all(left) and len(told) > 1 and all(name in result["properties"] for names in left for name in names):
        result["anyOf"] = list(told.values())
    return result


def _together(own: JSON, branches: Sequence[JSON]) -> JSON:
    """The properties of all branches; one that branches define differently may be what any of them says."""
    result = dict(own)
    for name in dict.fromkeys(name for branch in branches for name in branch):
        told = [branch[name] for branch in branches if name in branch]
        if name in own and (len(told) < len(branches) or not told):
            continue
        different = [one for index, one in enumerate(told) if one not in told[:index]]
        result[name] = different[0] if len(different) == 1 else _either(different, own.get(name, {}))
    return result


def _either(schemas: Sequence[JSON], own: JSON) -> JSON:
    """Values that differ are one list of values; other schemas are branches."""
    words = next((one["description"] for one in (*schemas, own) if "description" in one), "")
    rests = [{key: value for key, value in one.items() if key not in ("description", "enum", "const", "default")} for one in schemas]
    if all("enum" in one for one in schemas) and all(rest == rests[0] for rest in rests):
        values = [value for one in schemas for value in one["enum"]]
        made = {**rests[0], "enum": [value for index, value in enumerate(values) if value not in values[:index]]}
    else:
        made = {"anyOf": list(schemas)}
    return {**made, "description": words} if words else made


def _rank(one: _Field) -> int:
    return _KEEPS.index(one.kind) if one.kind in _KEEPS else len(_KEEPS) + (one.kind == "request")


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}{number}"
    taken.add(free)
    return free
