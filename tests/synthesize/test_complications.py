"""Dialogues made harder in their words and in their arguments: they stay true, and what was nested comes out as it was."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.complications import flattened, nested, without_names
from luthier.synthesize.tools.dialogues import synthesize_dialogues

ROOM = Tool(
    "book_room",
    "Books a room.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "nights": {"type": "integer", "description": "How many nights."},
            "view": {"type": "boolean", "description": "With a view."},
        },
        "required": ["city", "nights"],
        "additionalProperties": False,
    },
)
ROWS = [row for row in synthesize_dialogues(400, seed=8) if row.messages[-1].tool_calls]


def asking(text: str, tool: Tool = ROOM, **arguments: object) -> Conversation:
    return Conversation((Message("user", text), Message("assistant", None, (ToolCall(tool.name, arguments),))), (tool,), {"type": "single"})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Book a room with the city Lisbon.", "Book a room with Lisbon."),
        ("Book a room where the city is 'New Lisbon'.", None),
        ("Book a room (city: Lisbon).", "Book a room (Lisbon)."),
        ("Book a room with a city of Lisbon, please.", "Book a room with Lisbon, please."),
        ("Book a room using Lisbon as the city.", "Book a room using Lisbon."),
        ("Book a room in Lisbon.", None),
        ("Is Lisbon nice? Then book a room with city Lisbon.", None),
    ],
)
def test_a_value_is_said_without_the_name_of_its_parameter(text: str, left: str | None) -> None:
    made = without_names(asking(text, city="Lisbon"), Random(1))
    assert (made and made.messages[0].content) == left


def test_a_value_that_another_parameter_takes_keeps_its_name() -> None:
    properties = {**ROOM.parameters["properties"], "hotel": {"type": "string"}}
    both = Tool("book_room", "Books a room.", {**ROOM.parameters, "properties": properties})
    assert without_names(asking("Book a room with the city Lisbon.", both, city="Lisbon", hotel="Ritz"), Random(1)) is None


@pytest.mark.parametrize("operator", [without_names, nested])
@given(row=st.sampled_from(ROWS), seed=st.integers(0, 1000))
def test_what_comes_out_passes_the_rules_and_keeps_every_value(operator: object, row: Conversation, seed: int) -> None:
    assert callable(operator)
    made = operator(row, Random(seed))
    if made is None:
        return
    assert check(made) == []
    assert made != row
    tools = {tool.name: tool for tool in made.tools}
    for call, before in zip(made.messages[-1].tool_calls, row.messages[-1].tool_calls, strict=True):
        Draft202012Validator(tools[call.name].parameters).validate(call.arguments)
        assert sorted(map(str, leaves(call.arguments))) == sorted(map(str, leaves(before.arguments)))


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


@given(row=st.sampled_from(ROWS), seed=st.integers(0, 1000))
def test_an_object_that_was_made_comes_apart_into_the_same_arguments(row: Conversation, seed: int) -> None:
    made = nested(row, Random(seed))
    if made is None or any(schema.get("type") == "object" for tool in row.tools for schema in tool.parameters["properties"].values()):
        return
    back = flattened(made, Random(seed))
    assert back is not None
    assert [call.arguments for call in back.messages[-1].tool_calls] == [call.arguments for call in row.messages[-1].tool_calls]
    names = {tool.name: set(tool.parameters["properties"]) for tool in row.tools}
    assert {tool.name: set(tool.parameters["properties"]) for tool in back.tools} == names
    assert {tool.name: set(tool.parameters["required"]) for tool in back.tools} == {
        tool.name: set(tool.parameters["required"]) for tool in row.tools
    }


def test_a_tool_with_one_parameter_is_not_nested() -> None:
    one = Tool("get", "Gets.", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    assert nested(asking("Get Lisbon.", one, city="Lisbon"), Random(0)) is None
    assert flattened(asking("Get Lisbon.", one, city="Lisbon"), Random(0)) is None
