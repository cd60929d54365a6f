"""Classes in the annotations of Python functions say the same whether annotations are objects or texts: how deep, what may be left out, anything."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from luthier.synthesize.tools.importers.annotations import MAX_LEVELS, annotation_schema

CODE = """
import enum
from dataclasses import dataclass
from typing import Annotated, NamedTuple, NotRequired, Required, TypedDict
import typing as t

class Colour(enum.Enum):
    RED = "red"

@dataclass
class Size:
    width: float
    unit: str
    sold: bool
    colour: Colour
    parts: list[int]

@dataclass
class Product:
    size: Size

class Item(NamedTuple):
    product: Product

@dataclass
class Order:
    items: list[Item]

@dataclass
class Folder:
    parent: "Folder"

class Place(TypedDict, total=False):
    name: Required[str]
    code: t.Required[str]
    said: Annotated[Required[str], "as people say it"]
    lat: float
    near: "Required[str]"

class Stop(Place):
    line: int
    track: NotRequired[int]
    side: Annotated[NotRequired[str], "of the street"]

class Anything(TypedDict):
    value: object
    values: list[object]
    named: dict[str, object]
"""


@pytest.fixture(params=["evaluated", "as_texts"])
def classes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    name = f"classes_{request.param}"
    (tmp_path / f"{name}.py").write_text(("from __future__ import annotations\n" if request.param == "as_texts" else "") + CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return vars(importlib.import_module(name))


def test_fields_of_the_innermost_class_keep_their_types(classes: Mapping[str, Any]) -> None:
    order = annotation_schema(classes["Order"])
    size = order["properties"]["items"]["items"]["properties"]["product"]["properties"]["size"]
    assert size["properties"] == {
        "width": {"type": "number"},
        "unit": {"type": "string"},
        "sold": {"type": "boolean"},
        "colour": {"type": "string", "enum": ["red"]},
        "parts": {"type": "array", "items": {"type": "integer"}},
    }


def test_a_class_within_itself_ends(classes: Mapping[str, Any]) -> None:
    schema, level = annotation_schema(classes["Folder"], classes), 0
    while "properties" in schema:
        schema, level = schema["properties"]["parent"], level + 1
    assert (schema, level) == ({"type": "object"}, MAX_LEVELS)


@pytest.mark.parametrize(
    ("name", "required"), [("Place", ["name", "code", "said", "near"]), ("Stop", ["name", "code", "said", "near", "line"])]
)
def test_keys_are_required_as_their_own_class_says(classes: Mapping[str, Any], name: str, required: list[str]) -> None:
    assert annotation_schema(classes[name])["required"] == required


def test_every_value_is_an_object_of_python(classes: Mapping[str, Any]) -> None:
    anything, fields = annotation_schema("Any"), annotation_schema(classes["Anything"])["properties"]
    assert fields["value"] == anything != {"type": "object"}
    assert fields["values"] == {"type": "array", "items": anything}
    assert fields["named"] == {"type": "object", "additionalProperties": anything}
