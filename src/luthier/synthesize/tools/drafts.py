"""What a call is drawn with, and the paths of the parameters that a schema names and that arguments give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meaning_values import Scene


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


@dataclass
class Draft:
    """What a call is drawn with. wanted: paths of optional parameters that are given (`guests[].phone`). examples: codes by parameter
    name, of the API's own definitions. known: values that are set, by parameter name: what an earlier call gave."""

    scene: Scene
    wanted: frozenset[str] = frozenset()
    examples: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)

    def is_wanted(self, path: str) -> bool:
        return any(one == path or one.startswith((f"{path}.", f"{path}[]")) for one in self.wanted)

    def with_scene(self, scene: Scene) -> Draft:
        return Draft(scene, self.wanted, self.examples, self.known)


def parameters_of(schema: JSON, path: str = "") -> Iterator[str]:
    """The paths of all named parameters: `guests`, `guests[].firstName`. Those of the branches of a union count too."""
    seen: set[str] = set()
    for one in _paths(schema, path):
        if one not in seen:
            seen.add(one)
            yield one


def given(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the parameters that arguments give."""
    if isinstance(value, dict):
        for name, item in value.items():
            place = f"{path}.{name}" if path else name
            yield place
            yield from given(item, place)
    elif isinstance(value, list):
        for item in value:
            yield from given(item, f"{path}[]")


def _paths(schema: JSON, path: str) -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        place = f"{path}.{name}" if path else name
        yield place
        if isinstance(inner, dict):
            yield from _paths(inner, place)
    if isinstance(schema.get("items"), dict):
        yield from _paths(schema["items"], f"{path}[]")
    for branch in schema.get("anyOf") or ():
        if isinstance(branch, dict):
            yield from _paths(branch, path)
