"""Where tools keep their parameters, and how they name the types of them."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from luthier.errors import BadRowError
from luthier.records import JSON, Account
from luthier.records.dialects import type_keywords
from luthier.records.tool_rows import tools_from

CITY: JSON = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def parameters(tool: JSON) -> JSON:
    (found,) = tools_from([{"name": "weather", **tool}])
    Draft202012Validator.check_schema(found.parameters)
    assert not found.extra
    return found.parameters


@pytest.mark.parametrize(
    "tool",
    [
        {"parameter_definitions": {"city": {"type": "str", "required": True}}},
        {"inputs": {"city": {"type": "string"}}},
        {"params": CITY},
        {"params": [{"name": "city", "type": "string", "required": True}]},
        {"input_parameters": CITY},
        {"properties": CITY["properties"], "required": CITY["required"]},
        {"parameters": {"type": "dict", "properties": CITY["properties"]}, "required": ["city"]},
        {"inputSchema": {"jsonSchema": CITY}},
        {"inputSchema": {"json": CITY}},
        {"parameters": {"schema": CITY}},
    ],
)
def test_parameters_are_found_wherever_they_stand(tool: JSON) -> None:
    assert parameters(tool) == CITY


@pytest.mark.parametrize("name", ["parameters", "inputs", "arguments"])
def test_an_optional_parameter_is_named_so_by_each(name: str) -> None:
    assert parameters({"parameter_definitions": {"a": {"type": "int"}, "b": {"type": "int", "required": True}}})["required"] == ["b"]
    assert parameters({"inputs": {"a": {"type": "integer", "nullable": True}, "b": {"type": "integer"}}})["required"] == ["b"]
    assert parameters({name: {"a": {"type": "int, optional"}, "b": {"type": "Tuple[int, str], optional"}}})["required"] == []


@pytest.mark.parametrize("field", ["call_parameters", "tool_inputs", "Arguments", "paramSchema"])
@pytest.mark.parametrize("held", [CITY, [{"name": "city"}]])
def test_parameters_in_a_field_that_nobody_knows_are_refused(field: str, held: Any) -> None:
    with pytest.raises(BadRowError, match=f"tool 'weather' has no parameters; it has 'name', '{field}'"):
        tools_from([{"name": "weather", field: held}])


@pytest.mark.parametrize("stated", [True, ["town"], [], "city"])
def test_what_names_no_parameter_stays_a_field_of_the_tool(stated: Any) -> None:
    (tool,) = tools_from([{"name": "f", "parameters": {"type": "object", "properties": CITY["properties"]}, "required": stated}])
    assert (tool.parameters.get("required"), tool.extra) == (None, {"required": stated})


def test_other_fields_of_a_tool_are_none_of_its_parameters() -> None:
    (tool,) = tools_from([{"name": "f", "parameters": CITY, "inputs": {"a": 1}, "strict": True}])
    assert (tool.parameters, set(tool.extra)) == (CITY, {"inputs", "strict"})
    (bare,) = tools_from([{"name": "f", "annotations": {"readOnlyHint": True}, "outputSchema": CITY}])
    assert bare.parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize("name", ["required", "type", "properties", "definitions", "description", "items", "title", "enum", "anyOf"])
@pytest.mark.parametrize("described", [{"type": "str"}, {"type": "str", "description": "So."}])
def test_a_parameter_may_be_called_like_a_word_of_schemas(name: str, described: JSON) -> None:
    found = parameters({"parameters": {name: described, "city": {"type": "str"}}})
    assert found["required"] == [name, "city"]
    assert found["properties"][name] == described | {"type": "string"}


@pytest.mark.parametrize("name", ["required", "type", "properties"])
def test_in_a_schema_too(name: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    assert parameters({"parameters": schema}) == schema
    assert parameters({"parameters": {"properties": {name: {"type": "string"}}}}) == {"properties": {name: {"type": "string"}}}


TYPES: dict[str, JSON] = {
    "Union[int, float]": {"type": ["integer", "number"]},
    "typing.Union[int, None]": {"type": ["integer", "null"]},
    "int | str | None": {"type": ["integer", "string", "null"]},
    "Union[List[int], str]": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]},
    "Optional[List[str]]": {"type": ["array", "null"], "items": {"type": "string"}},
    "Tuple[int, str, float]": {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}, {"type": "number"}],
        "minItems": 3,
        "maxItems": 3,
    },
    "Tuple[int, int]": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    "Tuple[int, ...]": {"type": "array", "items": {"type": "integer"}},
    "List[Tuple[int, int]]": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}},
    "List[Union[int, str]]": {"type": "array", "items": {"type": ["integer", "string"]}},
    "Dict[str, List[float]]": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "number"}}},
    "Dict[str, Union[int, str]]": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
    "Literal['a', 'b, c']": {"type": "string", "enum": ["a", "b, c"]},
    "Literal[1, 'x']": {"type": ["integer", "string"], "enum": [1, "x"]},
    "np.ndarray": {"type": "array"},
    "np.float64": {"type": "number"},
    "datetime.date": {"type": "string", "format": "date"},
    "Map<String, Integer>": {"type": "object", "additionalProperties": {"type": "integer"}},
    "list[object]": {"type": "array", "items": {"type": "object"}},
}


@pytest.mark.parametrize(("name", "schema"), TYPES.items())
def test_names_of_types_are_schemas(name: str, schema: JSON) -> None:
    assert type_keywords(name) == schema
    in_map = parameters({"parameters": {"x": {"type": name}}})
    in_schema = parameters({"parameters": {"type": "dict", "properties": {"x": {"type": name}}}})
    in_list = parameters({"parameters": [{"name": "x", "type": name}]})
    assert in_map["properties"]["x"] == in_schema["properties"]["x"] == in_list["properties"]["x"] == schema


@pytest.mark.parametrize(
    "name", ["Callable[[float], float]", "Union[int, Session]", "Literal[Colour.RED]", "Session", "[" * 400, "set[" * 100]
)
def test_a_type_that_is_none_of_json_is_left_out_and_said(name: str) -> None:
    with Account() as account:
        found = parameters({"parameters": {"x": {"type": name, "description": "X."}}})
    assert found["properties"]["x"] == {"description": "X."}
    assert [entry.reason for entry in account.of("left out")] == [f"type {name[:60]!r} of a parameter, which is none of JSON"]
