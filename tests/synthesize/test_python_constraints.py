"""Limits beside the types of Python functions: read from `Annotated`, from defaults that describe a field, and from annotations that are texts."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from luthier.records import Tool
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.importers.annotations import annotation_schema
from luthier.synthesize.tools.importers.constraints import constraints, field_default
from luthier.synthesize.tools.own_dialogues import own_dialogues

CODE = '''
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Optional

from pydantic import BaseModel, Field, PositiveInt, conint


def cancel_seats(
    ref: str = Field(..., description="Booking reference", pattern=r"^[A-Z]{2}[0-9]{6}$"),
    seats: int = Field(ge=1, le=9),
    note: str = Field("", max_length=20),
    tags: list[str] = Field(default_factory=list, max_length=3),
):
    """Cancel seats of a booking."""


def rebook(
    ref: Annotated[str, Field(description="Booking reference.", pattern=r"^[A-Z]{2}[0-9]{6}$")],
    days: tuple[date, date],
    people: Annotated[int, Field(ge=1, le=9)],
    rooms: PositiveInt,
    floor: conint(ge=-2, le=5),
    wait: timedelta = None,
    where: Path = None,
    to: Optional[Annotated[list[str], Field(min_length=1)]] = None,
    pair: tuple[int, str] = (1, "a"),
    sizes: tuple[int, ...] = (),
):
    """Rebook a stay."""
'''


@pytest.fixture(params=["evaluated", "as_texts"])
def tools(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Tool]:
    pytest.importorskip("pydantic")
    future = "from __future__ import annotations\n" if request.param == "as_texts" else ""
    (tmp_path / f"stays_{request.param}.py").write_text(future + CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, f"stays_{request.param}", raising=False)
    return list(import_apis((f"module:stays_{request.param}",), False))


def test_limits_patterns_and_what_is_required_are_kept(tools: list[Tool]) -> None:
    cancel, rebook = ({**tool.parameters, "of": tool.parameters["properties"]} for tool in tools)
    assert cancel["required"] == ["ref", "seats"]
    assert cancel["of"]["ref"] | {"pattern": "^[A-Z]{2}[0-9]{6}$", "description": "Booking reference."} == cancel["of"]["ref"]
    assert (cancel["of"]["seats"]["minimum"], cancel["of"]["seats"]["maximum"], cancel["of"]["note"]["maxLength"]) == (1, 9, 20)
    assert cancel["of"]["tags"]["maxItems"] == 3
    assert rebook["required"] == ["ref", "days", "people", "rooms", "floor"]
    assert (rebook["of"]["people"]["maximum"], rebook["of"]["rooms"]["exclusiveMinimum"], rebook["of"]["floor"]["minimum"]) == (9, 0, -2)
    assert rebook["of"]["days"] | {"items": {"type": "string", "format": "date"}, "minItems": 2, "maxItems": 2} == rebook["of"]["days"]
    assert rebook["of"]["pair"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert "minItems" not in rebook["of"]["sizes"]
    assert (rebook["of"]["wait"]["format"], rebook["of"]["where"]["type"], rebook["of"]["to"]["minItems"]) == ("duration", "string", 1)


def test_calls_keep_to_them(tools: list[Tool]) -> None:
    rows = list(own_dialogues(60, tools, seed=1))
    calls = [call.arguments for row in rows for message in row.messages for call in message.tool_calls]
    assert all(len(call["days"]) == 2 for call in calls if "days" in call)
    assert all(len(call["ref"]) == 8 for call in calls)
    assert sum(row.extra["type"] == "missing_argument" for row in rows) > 2


@pytest.mark.parametrize(
    ("kind", "stated", "expected"),
    [
        ("integer", [types.SimpleNamespace(gt=0, lt=9.5)], {"exclusiveMinimum": 0, "exclusiveMaximum": 9.5}),
        ("string", ["The city."], {"description": "The city."}),
        ("string", [types.SimpleNamespace(documentation="The city.")], {"description": "The city."}),
        ("string", [types.SimpleNamespace(metadata=[types.SimpleNamespace(min_length=2)])], {"minLength": 2}),
        ("array", [types.SimpleNamespace(min_length=2)], {"minItems": 2}),
        (["array", "null"], [types.SimpleNamespace(min_length=2)], {"minItems": 2}),
        ("object", [types.SimpleNamespace(max_length=2)], {"maxProperties": 2}),
        ("number", [types.SimpleNamespace(ge=float("nan"), le=True), None, 7], {}),
    ],
)
def test_statements_are_told_by_what_they_carry(kind: str, stated: list[Any], expected: dict[str, Any]) -> None:
    assert dict(constraints(kind, stated)) == expected


def test_a_value_is_no_description_of_a_field() -> None:
    assert [field_default(value) for value in (None, 3, "x", [], Path(), types.SimpleNamespace(default=3))] == [None] * 6


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("tuple[()]", {"type": "array", "maxItems": 0}),
        (tuple[()], {"type": "array", "maxItems": 0}),
        ("tuple[int, int]", {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        ("tuple[int, *tuple[int, ...]]", None),
        (tuple[int, *tuple[int, ...]], None),
    ],
)
def test_tuples_have_their_length_where_they_have_one(annotation: Any, schema: dict[str, Any] | None) -> None:
    found = annotation_schema(annotation)
    assert found == schema if schema else "maxItems" not in found
