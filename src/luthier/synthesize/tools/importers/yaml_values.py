"""YAML 1.2 with the values of JSON (the "JSON schema" of the specification, and `~`, `True`, `NULL` of its core schema).

PyYAML reads the structure; what a plain word means is told here, as it follows YAML 1.1 there: `no` would be false, `12:45` 765.
Keys are texts as they stand. Merge keys (`<<`) are followed. Whole documents of JSON values come out; other tags than JSON's are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

MOST_VALUES = 5_000_000
MOST_LEVELS = 200

_TAG = "tag:yaml.org,2002:"
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
)
_READ: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
    "timestamp": str,
    "binary": str,
}
_KINDS = {"scalar": frozenset(_READ), "sequence": frozenset({"seq"}), "mapping": frozenset({"map"})}


class YamlError(ValueError):
    """What is wrong, and the line, counted from 1."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


def parse_yaml(text: str) -> tuple[Any, list[tuple[str, int]]]:
    """The one document of a text, and the keys that are told twice in a mapping with their lines; the last stays. Raises YamlError."""
    import yaml

    try:
        node = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as problem:
        raise YamlError(str(problem.problem), problem.problem_mark.line + 1 if problem.problem_mark else 1) from None
    except (yaml.YAMLError, ValueError) as problem:
        raise YamlError(" ".join(str(problem).split()), 1) from None
    reader = _Reader()
    return (None if node is None else reader.value(node, ())), reader.repeated


class _Reader:
    """Plain values from nodes; aliases that loop or explode are refused."""

    def __init__(self) -> None:
        self.repeated: list[tuple[str, int]] = []
        self._left = MOST_VALUES

    def value(self, node: Any, inside: tuple[int, ...]) -> Any:
        line = node.start_mark.line + 1
        self._left -= 1
        if id(node) in inside or self._left < 0:
            raise YamlError("YAML aliases make the document endless; write the repeated part out", line)
        if len(inside) > MOST_LEVELS:
            raise YamlError(f"nests deeper than {MOST_LEVELS} levels", line)
        inner, kind = (*inside, id(node)), node.tag.removeprefix(_TAG)
        if kind not in _KINDS[node.id]:
            raise YamlError(f"the tag {node.tag!r} is none of JSON's values", line)
        if node.id == "sequence":
            return [self.value(part, inner) for part in node.value]
        if node.id == "mapping":
            return self._mapping(node, inner)
        try:
            return _READ[kind](node.value)
        except ValueError:
            raise YamlError(f"{node.value[:40]!r} is no {kind}", line) from None

    def _mapping(self, node: Any, inside: tuple[int, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, part in node.value:
            if key.id != "scalar":
                raise YamlError("a key that is no text", key.start_mark.line + 1)
            if key.value == "<<" and not key.style:
                others = part.value if part.id == "sequence" else [part]
                for other in others:
                    given = self.value(other, inside)
                    merged = {**given, **merged} if isinstance(given, dict) else merged
                continue
            if key.value in made:
                self.repeated.append((key.value, key.start_mark.line + 1))
            made[key.value] = self.value(part, inside)
        made = {**merged, **made} if merged else made
        for name in _texts_in(made):
            for key, part in node.value:
                if key.value == name:
                    made[name] = self._as_written(part, made[name])
        return made

    def _as_written(self, node: Any, value: Any) -> Any:
        """A value that is to be text, or a list of such, as the document spells it; what is null, a mapping or an alias of one stays."""
        if node.id == "sequence" and isinstance(value, list):
            return [self._as_written(part, one) for part, one in zip(node.value, value, strict=True)]
        return node.value if node.id == "scalar" and isinstance(value, bool | int | float) else value


def _texts_in(schema: dict[str, Any]) -> tuple[str, ...]:
    """The fields of a JSON schema that hold texts whatever they look like: `1.10` is no number where the type is string."""
    names = ("required",) if isinstance(schema.get("required"), list) and isinstance(schema.get("properties"), dict) else ()
    kinds = schema.get("type")
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds and set(kinds) <= {"string", "null"}):
        return (*names, "enum", "const", "default", "example", "examples")
    return names


@cache
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class JsonValues(base):  # type: ignore[misc]
        """The structure of YAML with the plain values of JSON."""

    resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, firsts in _PLAIN:
        for first in firsts.replace("\0", ""):
            resolvers.setdefault(first, []).append((_TAG + kind, re.compile(rf"(?:{pattern})\Z")))
    resolvers[""] = [(_TAG + "null", re.compile(r"\Z"))]
    JsonValues.yaml_implicit_resolvers = resolvers
    return JsonValues
