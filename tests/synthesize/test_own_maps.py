"""Maps: what their keys are, and that requests say them as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from luthier.records import Conversation
from luthier.records.schema import with_example
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.own_dialogues import own_dialogues
from luthier.synthesize.tools.own_maps import Entry, shown_in
from luthier.synthesize.tools.spoken_values import said

TEXT, GRADE = {"type": "string"}, {"type": "number", "minimum": 1, "maximum": 6}


def a_map(of: Any, about: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of, "description": about, **more}


TOOLS = [
    (
        "start_job",
        "Start a job.",
        {"env": a_map(TEXT, "Environment variables."), "labels": a_map(TEXT, 'Labels, e.g. {"cost-centre": "lab"}.')},
    ),
    ("place_order", "Place an order.", {"quantities": a_map({"type": "integer", "minimum": 1, "maximum": 20}), "headers": a_map(TEXT)}),
    (
        "enter_grades",
        "Enter the grades of an exam.",
        {"grades": a_map(GRADE, minProperties=3), "title": a_map(TEXT, "Translations of it.")},
    ),
    (
        "limit",
        "Limit an account.",
        {"limits": a_map({"type": "object", "properties": {"soft": {"type": "integer"}}, "required": ["soft"]})},
    ),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    path: Path = tmp_path_factory.mktemp("maps") / "tools.json"
    listed = [
        {"name": name, "description": about, "inputSchema": {"type": "object", "properties": own, "required": list(own)[:1]}}
        for name, about, own in TOOLS
    ]
    path.write_text(json.dumps({"tools": listed}))
    return list(own_dialogues(160, list(import_apis((str(path),), False)), seed=3))


def drawn(rows: list[Conversation], name: str) -> list[dict[str, Any]]:
    return [call.arguments[name] for row in rows for one in row.messages for call in one.tool_calls if name in call.arguments]


def test_every_dialogue_passes_the_rules_and_says_the_keys(rows: list[Conversation]) -> None:
    assert [problem for row in rows for problem in check(row)] == []
    for row in rows:
        told = " ".join(str(one.content) for one in row.messages if one.role == "user")
        for call in (call for one in row.messages for call in one.tool_calls):
            assert all(key in told for value in call.arguments.values() for key in value)


def test_keys_are_of_what_the_map_is(rows: list[Conversation]) -> None:
    assert all(key.isupper() for one in drawn(rows, "env") for key in one)
    assert all(key[0].isupper() for one in drawn(rows, "headers") for key in one)
    assert all("cost-centre" in one for one in drawn(rows, "labels"))
    assert all(len(key) == 2 for one in drawn(rows, "title") for key in one)
    assert all(len(one) >= 3 and all(1 <= grade <= 6 for grade in one.values()) for one in drawn(rows, "grades"))
    assert len({key for one in drawn(rows, "quantities") for key in one}) > 4
    assert all("soft" in value for one in drawn(rows, "limits") for value in one.values())


def test_a_key_stands_as_it_is() -> None:
    value = {"LOG_LEVEL": "debug", "team": "billing", "If-Match": "a71c", "nl": "Rode tas"}
    assert said(value, a_map(TEXT), "labels", Random(0)) == 'LOG_LEVEL=debug, team billing, If-Match: a71c and nl "Rode tas"'


@pytest.mark.parametrize(
    ("told", "schema", "description"),
    [
        ("Labels.", {"example": {"team": "lab"}}, 'Labels, e.g. {"team": "lab"}.'),
        ("", {"examples": [{"team": "lab"}]}, 'E.g. {"team": "lab"}.'),
        ("Labels.", {"example": {"team": "x" * 200}}, "Labels."),
        ("The reader.", {"example": {"name": "Ada"}, "properties": {"name": TEXT}}, "The reader."),
        ('Such as {"a": 1}', {"example": {"team": "lab"}}, 'Such as {"a": 1}'),
    ],
)
def test_the_example_of_a_map_is_said(told: str, schema: dict[str, Any], description: str) -> None:
    assert with_example(told, schema) == description


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('Such as {"a": "x", "n": 2}, {"b": 2}', [Entry("a", ("x",)), Entry("n")]),
        ("{not json}", []),
        ("nothing", []),
        ("[1] {" * 40, []),
        ("{" * 300, []),
    ],
)
def test_an_example_in_a_description_is_read(told: str, found: list[Entry]) -> None:
    assert shown_in(told) == found
