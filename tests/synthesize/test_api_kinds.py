"""Kinds of API files that come from elsewhere: what a file says is in the tools, is counted as left out, or is refused by its place."""

import json
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luthier.errors import ToolSpecError
from luthier.records.account import Account
from luthier.records.schema import MOST_PARTS, normalise_schema
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.importers import import_python
from luthier.synthesize.tools.importers.fields import side_by_side
from luthier.synthesize.tools.lint import lint


def api(paths, **more):
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths, **more}


def posting(schema, **more):
    """An API of one operation with this body."""
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    operation = {"operationId": "addThing", "summary": "Add a thing to the list", "requestBody": body, "responses": {}}
    return api({"/things": {"post": operation | more.pop("operation", {})}}, **more)


@pytest.fixture
def read(tmp_path):
    """Tools of a document by name, and the account of the reading as (fate, reason): rows."""

    def reading(document, name="api.json"):
        path = tmp_path / name
        if isinstance(document, bytes):
            path.write_bytes(document)
        else:
            path.write_text(document if isinstance(document, str) else json.dumps(document))
        with Account() as account:
            tools = {tool.name: tool for tool in import_apis([str(path)])}
        return tools, {(entry.fate, entry.reason): entry.rows for entry in account.entries}

    return reading


def only(read, document, name="api.json"):
    tools, _ = read(document, name)
    (tool,) = tools.values()
    assert lint(tool) == []
    return tool.parameters


# YAML 1.2


def test_yaml_words_are_texts_and_json_values_are_values(read):
    plain = "NO, no, on, off, y, Yes, 12:45, 01234, 1_000, 0x1F, 0o17, 2020-01-01, +12, .5, 1., .inf, .nan, =, 1e, -"
    enum = [word.strip() for word in plain.split(",")][:-1]
    text = f"""
openapi: 3.0.3
paths:
  /a:
    post:
      operationId: add
      summary: Add a thing to the list
      parameters:
        - {{name: word, in: query, description: W., schema: {{type: string, enum: [{", ".join(enum)}]}}}}
        - {{name: number, in: query, description: N., schema: {{type: number, enum: [1, -2, 1.5, 1e3, 0]}}}}
        - {{name: flag, in: query, description: F., schema: {{type: boolean, default: true}}}}
        - {{name: none, in: query, description: N., schema: {{type: string, nullable: true, default: null}}}}
      responses: {{}}
"""
    properties = only(read, text, "api.yaml")["properties"]
    assert properties["word"]["enum"] == enum
    assert properties["number"]["enum"] == [1, -2, 1.5, 1000, 0]
    assert properties["flag"]["default"] is True
    assert properties["none"]["type"] == ["string", "null"]


def test_yaml_numbers_are_texts_where_the_schema_says_so(read):
    """`1.10` names another version than `1.1`."""
    text = """
openapi: 3.1.0
paths:
  /a:
    post:
      operationId: add
      summary: Add a thing to the list
      parameters:
        - {name: version, in: query, description: V., schema: {type: string, enum: [1.10, 1.2, 1e3, 100, true], default: 1.10}}
        - {name: maybe, in: query, description: M., schema: {type: [string, "null"], enum: [2.0, null]}}
        - {name: number, in: query, description: N., schema: {type: number, enum: [1.10, 1e3]}}
        - {name: either, in: query, description: E., schema: {type: [string, number], enum: [1.50, "1.50"]}}
      requestBody:
        content:
          application/json:
            schema: {type: object, required: [1.10, true], properties: {1.10: {type: string}, true: {type: string}}}
      responses: {200: {description: ok}}
"""
    parameters = only(read, text, "api.yaml")
    properties = parameters["properties"]
    assert properties["version"]["enum"] == ["1.10", "1.2", "1e3", "100", "true"]
    assert properties["version"]["default"] == "1.10"
    assert properties["maybe"]["enum"] == ["2.0", None]
    assert properties["number"]["enum"] == [1.1, 1000]
    assert properties["either"]["enum"] == [1.5, "1.50"]
    assert {"1.10", "true"} <= set(parameters["required"])


def test_yaml_keys_stay_as_they_are_written(read):
    text = """
openapi: 3.0.3
paths:
  /a:
    post:
      operationId: add
      summary: Add a thing to the list
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [on, 1.0, null, 0x10]
              properties: {on: {type: boolean}, no: {type: string}, 1.0: {type: string}, null: {type: string}, 0x10: {type: string}, y: {type: string}}
      responses: {200: {description: ok}}
"""
    parameters = only(read, text, "api.yaml")
    assert list(parameters["properties"]) == ["on", "no", "1.0", "null", "0x10", "y"]
    assert parameters["required"] == ["on", "1.0", "null", "0x10"]


def test_yaml_anchors_merge_keys_and_repeated_keys(read):
    text = """
openapi: 3.0.3
x-common: &common {in: query, description: Common., schema: {type: string}}
paths:
  /a:
    get:
      operationId: first
      operationId: second
      summary: Read the things of the list
      parameters: [{<<: *common, name: q}, {<<: [*common], name: r, description: Own.}]
      responses: {}
"""
    tools, account = read(text, "api.yaml")
    properties = tools["second"].parameters["properties"]
    assert (properties["q"]["description"], properties["r"]["description"]) == ("Common.", "Own.")
    assert account["left out", "key 'operationId' told twice: all but the last"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openapi: 3.0.0\npaths: !!python/object/apply:os.getcwd []\n", r"yaml:2: not YAML: the tag"),
        ("openapi: 3.0.0\npaths: !secret x\n", r"yaml:2: not YAML: the tag"),
        ("openapi: 3.0.0\n? [a]\n: 1\n", r"yaml:2: not YAML: a key that is no text"),
        ("openapi: 3.0.0\n---\nopenapi: 3.0.0\n", r"yaml:2: not YAML"),
        ("a: " + "[" * 100_000, "yaml:1: not YAML"),
        ("a: " + "- " * 100_000, "yaml:1: not YAML"),
        ("a0: &a0 x\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)), "endless"),
    ],
)
def test_yaml_that_is_no_document_of_values_is_refused_by_line(read, text, message):
    with pytest.raises(ToolSpecError, match=message):
        read(text, "api.yaml")


def test_an_infinite_number_is_no_value_of_a_tool(read):
    schema = '{"type": "object", "properties": {"a": {"type": "number", "default": 1e999}, "b": {"type": "number", "enum": [1, 1e999]}, "c": {"type": "object", "default": {"x": [-1e999]}}}}'
    text = json.dumps(posting("SCHEMA")).replace('"SCHEMA"', schema)
    parameters = only(read, text)
    json.dumps(parameters, allow_nan=False)
    assert parameters["properties"]["b"]["enum"] == [1]
    assert read(text)[1]["left out", "default that is no value of its schema"] == 2


# Unions


OBJECTS = [
    {"type": "object", "required": [name], "properties": {name: {"type": "string", "description": name.upper()}}} for name in "abcdef"
]


@pytest.mark.parametrize(
    ("schema", "names", "conditions"),
    [
        ({"allOf": [OBJECTS[0], {"oneOf": OBJECTS[2:4]}, {"anyOf": OBJECTS[4:]}]}, "acedf", 4),
        ({**OBJECTS[0], "oneOf": OBJECTS[2:4], "anyOf": OBJECTS[4:]}, "aecfd", 4),
        ({"allOf": [{**OBJECTS[0], "oneOf": OBJECTS[2:4]}, {"allOf": [{"oneOf": OBJECTS[4:]}]}]}, "acedf", 4),
        ({**OBJECTS[0], "anyOf": [{"oneOf": OBJECTS[1:3]}, OBJECTS[3]]}, "abcd", 3),
        ({**OBJECTS[0], "oneOf": [OBJECTS[1], {"type": "object", "properties": {"z": {"type": "integer"}}}]}, "abz", 0),
        ({**OBJECTS[0], "allOf": [{"oneOf": [OBJECTS[n % 6] for n in range(k, k + 4)]} for k in range(4)]}, "abcdef", None),
    ],
)
def test_every_field_of_several_unions_can_be_given(read, schema, names, conditions):
    parameters = only(read, posting(schema))
    assert set(parameters["properties"]) == set(names)
    assert conditions is None or len(parameters.get("anyOf", ())) == conditions
    valid = Draft202012Validator(parameters).is_valid
    assert valid(dict.fromkeys(names.replace("z", ""), "x"))


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"required": ["mail"]}, {"required": ["phone"]}]},
        {"oneOf": [{"required": ["mail"]}, {"required": ["phone"]}]},
        {"allOf": [{"anyOf": [{"required": ["mail"]}, {"required": ["phone"]}]}]},
        {"anyOf": [{"required": ["mail"], "properties": {"note": {"type": "string"}}}, {"required": ["phone"]}]},
        {"anyOf": [{"required": ["mail"], "not": {"required": ["phone"]}}, {"required": ["phone"], "not": {"required": ["mail"]}}]},
        {"anyOf": [{"required": ["phone", "secret"]}, {"required": ["mail"]}]},
    ],
)
def test_one_of_several_fields_must_be_given(read, schema):
    fields = {name: {"type": "string", "description": name} for name in ("mail", "phone")}
    secret = {"type": "string", "readOnly": True}
    parameters = only(read, posting({"type": "object", "properties": {**fields, "secret": secret}, **schema}))
    assert {"mail", "phone"} <= set(parameters["properties"]) <= {"mail", "phone", "note"}
    valid = Draft202012Validator(parameters).is_valid
    assert valid({"mail": "x"})
    assert valid({"phone": "x"})
    assert not valid({})


def test_a_condition_that_always_holds_is_none(read):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {}]}
    assert "anyOf" not in only(read, posting(schema))


def test_a_branch_may_require_a_field_of_its_parent_within_an_object(read):
    category = {"type": "object", "properties": {"place": {"type": "string"}, "code": {"type": "string"}}}
    category["anyOf"] = [{"properties": {"code": {"enum": ["F"]}}, "required": ["place"]}, {"properties": {"code": {"enum": ["A"]}}}]
    parameters = only(read, posting({"type": "object", "properties": {"category": {"description": "C.", **category}}}))
    valid = Draft202012Validator(parameters).is_valid
    assert valid({"category": {"code": "A"}})
    assert valid({"category": {"code": "F", "place": "x"}})
    assert not valid({"category": {"code": "F"}})


def test_required_fields_that_nothing_defines_do_not_cost_the_tool(read):
    branches = [{"properties": {"y": {"type": "string"}}, "required": ["x", "y", "lost"]}, {"properties": {"z": {"type": "string"}}}]
    thing = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["z", "gone"], "anyOf": branches}
    schema = {"type": "object", "properties": {"things": {"type": "array", "items": thing}, "any": {}}}
    found = only(read, posting(schema))["properties"]
    assert found["things"]["items"]["required"] == ["z"]
    assert found["things"]["items"]["anyOf"][0]["required"] == ["x", "y"]
    assert "object" in found["any"]["type"]
    assert read(posting(schema))[1]["left out", "required field without a definition"] == 2


PETS = {
    "Cat": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, "lives": {"type": "integer"}}},
    "Dog": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, "barks": {"type": "boolean"}}},
}
REFERENCES = [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}]


@pytest.mark.parametrize(
    ("mapping", "cat"),
    [
        (None, "Cat"),
        ({"cat": "#/components/schemas/Cat", "dog": "#/components/schemas/Dog"}, "cat"),
        ({"cat": "Cat", "dog": "Dog"}, "cat"),
        ({"dog": "#/components/schemas/Dog"}, "Cat"),
    ],
)
def test_a_discriminator_fixes_the_value_that_names_a_branch(read, mapping, cat):
    union = {"oneOf": REFERENCES, "discriminator": {"propertyName": "kind"} | ({"mapping": mapping} if mapping else {})}
    document = posting({"type": "object", "properties": {"pet": {"description": "P.", **union}}}, components={"schemas": PETS})
    valid = Draft202012Validator(only(read, document)).is_valid
    assert valid({"pet": {"kind": cat, "lives": 9}})
    assert not valid({"pet": {"kind": cat, "barks": True}})
    assert not valid({"pet": {"kind": "bird", "lives": 9}})


@pytest.mark.parametrize("mapping", [None, {"c": "#/components/schemas/Cat", "d": "#/components/schemas/Dog"}])
def test_a_base_with_a_discriminator_stands_for_the_schemas_that_extend_it(read, mapping):
    base = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, "name": {"type": "string"}}}
    base["discriminator"] = {"propertyName": "kind"} | ({"mapping": mapping} if mapping else {})
    heirs = {
        name: {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object", "properties": {field: {"type": "integer"}}}]}
        for name, field in (("Cat", "lives"), ("Dog", "barks"))
    }
    parameters = only(read, posting({"$ref": "#/components/schemas/Pet"}, components={"schemas": {"Pet": base, **heirs}}))
    assert set(parameters["properties"]) == {"kind", "name", "lives", "barks"}
    assert parameters["properties"]["kind"]["enum"] == (["c", "d"] if mapping else ["Cat", "Dog"])
    assert parameters["required"] == ["kind"]


def _stating(kind, field, *, nested):
    stated = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"} | kind, field: {"type": "integer"}}}
    return {"allOf": [{"type": "object", "properties": {"kind": {"type": "string"}}}, stated]} if nested else stated


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [{"const": "cat"}, {"enum": ["cat"]}, {"const": "cat", "default": "cat"}])
@pytest.mark.parametrize("mapping", [None, {"cat": "#/components/schemas/Cat"}, {"feline": "Cat"}])
def test_a_value_that_a_branch_states_goes_before_its_name(read, nested, kind, mapping):
    schemas = {"Cat": _stating(kind, "lives", nested=nested), "Dog": _stating({"const": "dog"}, "barks", nested=nested)}
    union = {"oneOf": REFERENCES, "discriminator": {"propertyName": "kind"} | ({"mapping": mapping} if mapping else {})}
    document = posting({"type": "object", "properties": {"pet": {"description": "P.", **union}}}, components={"schemas": schemas})
    valid = Draft202012Validator(only(read, document)).is_valid
    assert valid({"pet": {"kind": "cat", "lives": 9}})
    assert valid({"pet": {"kind": "dog", "barks": 1}})
    assert not valid({"pet": {"kind": "Cat", "lives": 9}})


def test_an_heir_that_states_its_value_is_called_by_it(read):
    base = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}, "discriminator": {"propertyName": "kind"}}
    heirs = {
        name: {
            "allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object", "properties": {"kind": kind, field: {"type": "integer"}}}]
        }
        for name, kind, field in (("Cat", {"const": "cat"}, "lives"), ("Dog", {}, "barks"))
    }
    parameters = only(read, posting({"$ref": "#/components/schemas/Pet"}, components={"schemas": {"Pet": base, **heirs}}))
    valid = Draft202012Validator(parameters).is_valid
    assert [kind for kind in ("cat", "Cat", "dog", "Dog") if valid({"kind": kind})] == ["cat", "Dog"]


@pytest.mark.parametrize(
    ("parts", "valid"),
    [
        ([{"enum": ["a", "b"]}, {"const": "a"}], "a"),
        ([{"const": "a"}, {"enum": ["a", "b"]}], "a"),
        ([{"const": "a"}, {"enum": ["b"]}], "a"),
        ([{"enum": ["b"]}, {"const": "a"}], "b"),
    ],
)
def test_some_value_fits_an_allof_of_one_value_and_several(read, parts, valid):
    found = only(read, posting({"type": "object", "properties": {"x": {"type": "string", "allOf": parts}}}))["properties"]["x"]
    assert [value for value in "abc" if Draft202012Validator(found).is_valid(value)] == [valid]


values = st.sampled_from([{"type": "string"}, {"enum": ["x", "y"]}, {"const": "x"}])
objects = st.builds(
    lambda fields, needed: {"type": "object", "properties": fields, "required": sorted(needed)},
    st.dictionaries(st.sampled_from("abcd"), values, min_size=1, max_size=3),
    st.sets(st.sampled_from("abcd"), max_size=1),
)
unions = st.recursive(
    objects,
    lambda inner: st.builds(
        lambda own, keys: {**own, **keys},
        objects,
        st.dictionaries(st.sampled_from(["anyOf", "allOf"]), st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=2),
    ),
    max_leaves=6,
)
instances = st.dictionaries(st.sampled_from("abcd"), st.just("x"), max_size=4)


@settings(max_examples=300, deadline=None)
@given(unions, st.lists(instances, min_size=1, max_size=8))
def test_what_a_file_allows_of_the_fields_it_names_its_tool_allows(schema, some):
    named = set(st_names(schema))
    flat = side_by_side(normalise_schema(schema))
    assert set(flat.get("properties", ())) == named
    for value in some:
        if set(value) <= named and Draft202012Validator(schema).is_valid(value):
            assert Draft202012Validator(flat).is_valid(value)


def st_names(schema):
    yield from schema.get("properties", ())
    for keyword in ("anyOf", "allOf"):
        for branch in schema.get(keyword, ()):
            yield from st_names(branch)


# readOnly, writeOnly


@pytest.mark.parametrize(
    "owner",
    [
        {"required": ["id", "name"], "properties": {"id": {"type": "integer", "readOnly": True}, "name": {"type": "string"}}},
        {"required": ["id", "name"], "properties": {"id": {"$ref": "#/components/schemas/Id"}, "name": {"type": "string"}}},
        {"required": ["id", "name"], "properties": {"id": {"allOf": [{"$ref": "#/components/schemas/Id"}]}, "name": {"type": "string"}}},
        {
            "allOf": [
                {"properties": {"id": {"type": "integer", "readOnly": True}}, "required": ["id"]},
                {"properties": {"name": {"type": "string"}}, "required": ["name"]},
            ]
        },
        {
            "required": ["id", "name"],
            "properties": {"id": {"$ref": "#/components/schemas/Plain", "readOnly": True}, "name": {"type": "string"}},
        },
        {"required": ["name", "nowhere"], "properties": {"name": {"type": "string"}}},
    ],
)
def test_a_field_that_may_not_be_sent_is_not_required(read, owner):
    schemas = {"Id": {"type": "integer", "readOnly": True}, "Plain": {"type": "integer"}}
    schema = {"type": "object", "properties": {"owner": {"type": "object", "description": "O.", **owner}}}
    found = only(read, posting(schema, components={"schemas": schemas}))["properties"]["owner"]
    assert found["required"] == ["name"]
    assert list(found["properties"]) == ["name"]


def test_an_answer_has_no_field_that_is_only_sent(read):
    answer = {
        "type": "object",
        "properties": {"secret": {"type": "string", "writeOnly": True}, "id": {"type": "integer", "readOnly": True}},
    }
    responses = {"200": {"content": {"application/json": {"schema": answer}}}}
    tools, _ = read(posting({"type": "object", "properties": {}}, operation={"responses": responses}))
    assert list(tools["addThing"].returns["properties"]) == ["id"]


# Names that collide


@pytest.mark.parametrize(
    ("route", "parameters", "schema", "names"),
    [
        ("/v", [("body", "query")], {"type": "array", "items": {"type": "integer"}}, ["body", "request_body"]),
        ("/v/{id}", [("id", "path")], OBJECTS[0] | {"properties": {"id": {"type": "string"}}, "required": ["id"]}, ["id__path", "id"]),
        ("/v/{id}", [("id", "path"), ("id", "query")], None, ["id", "id__query"]),
        ("/v", [("id", "query"), ("id", "header")], OBJECTS[0], ["id", "id__header", "a"]),
        ("/v", [("body", "query"), ("request_body", "query")], {"type": "string"}, ["body", "request_body", "request_body2"]),
        ("/v/{a}", [("a", "path"), ("a", "query"), ("a__path", "query")], OBJECTS[0], ["a__path2", "a__query", "a__path", "a"]),
    ],
)
def test_two_parameters_of_one_name_are_both_there(read, route, parameters, schema, names):
    listed = [{"name": name, "in": kind, "required": True, "schema": {"type": "string"}} for name, kind in parameters]
    operation = {"operationId": "setThing", "summary": "Set a thing of the list", "parameters": listed, "responses": {}}
    if schema is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    found = only(read, api({route: {"post": operation}}))
    assert list(found["properties"]) == names
    assert sorted(found["required"]) == sorted(names)


# One bad operation, null, references


@pytest.mark.parametrize(
    "bad",
    [
        {"parameters": {"a": 1}},
        {"parameters": [{"name": "q", "in": "query"}]},
        {"parameters": [{"$ref": "#/components/parameters/Nope"}]},
        {"parameters": [{"in": "query", "schema": {}}]},
        {"requestBody": {"content": {"application/json": {"schema": {"$ref": "other.yaml#/X"}}}}},
        {"requestBody": {"content": {"application/json": {"schema": {"$ref": "https://example.org/x.json"}}}}},
        {"requestBody": []},
        "text",
    ],
)
def test_a_bad_operation_leaves_the_others(read, bad):
    good = {"operationId": "good", "summary": "Read the things of the list", "responses": {}}
    tools, account = read(api({"/bad": {"get": {"summary": "A bad one", **bad} if isinstance(bad, dict) else bad}, "/good": {"get": good}}))
    assert list(tools) == ["good"]
    (refusal,) = [reason for fate, reason in account if fate == "refused"]
    assert refusal.startswith("paths./bad.get")


@pytest.mark.parametrize("item", ["text", {"$ref": "#/nowhere"}, []])
def test_a_bad_path_leaves_the_others(read, item):
    good = {"get": {"operationId": "good", "summary": "Read the things of the list", "responses": {}}}
    tools, account = read(api({"/bad": item, "/good": good, "x-note": "free"}))
    assert list(tools) == ["good"]
    assert [reason for fate, reason in account if fate == "refused" and "/bad" in reason]


@pytest.mark.parametrize(
    "operation",
    [
        {"parameters": None, "responses": {"204": None}},
        {"parameters": [None], "responses": None},
        {"requestBody": None, "responses": {"200": {"content": None}}},
        {"requestBody": {"content": {"application/json": None}}, "responses": {"200": {"content": {"application/json": None}}}},
        {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": None, "required": None}}}}},
        {"responses": {"200": {"$ref": "responses/ok.yml"}}},
        {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/no"}}}}}},
    ],
)
def test_null_is_empty_and_an_answer_that_cannot_be_read_costs_no_more(read, operation):
    document = api(
        {"/a": {"parameters": None, "get": {"operationId": "one", "summary": "An operation of the list", **operation}, "put": None}}
    )
    tools, account = read(document | {"info": None, "components": None})
    assert [name for name in tools["one"].parameters["properties"] if name != "body"] == []
    assert tools["one"].returns is None
    assert not [reason for fate, reason in account if fate == "refused"]


def test_an_operation_may_stand_in_a_file_of_its_own(read, tmp_path):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "add.yml").write_text(
        "operationId: addPet\nsummary: Add a pet to the list\nparameters: [{$ref: '../shared.yml#/limit'}]\nresponses: {}\n"
    )
    (tmp_path / "ops" / "old.yml").write_text("summary: An old one\ndeprecated: true\nresponses: {}\n")
    (tmp_path / "shared.yml").write_text("limit: {name: limit, in: query, schema: {type: integer}}\n")
    text = "openapi: 3.0.3\npaths: {/pets: {post: {$ref: ops/add.yml}, get: {$ref: ops/old.yml}, put: {$ref: ops/none.yml}}}\n"
    tools, account = read(text, "api.yaml")
    assert {name: list(tool.parameters["properties"]) for name, tool in tools.items()} == {"addPet": ["limit"]}
    assert account["left out", "deprecated operation"] == 1
    assert next(reason for fate, reason in account if fate == "refused").startswith("paths./pets.put: ")
    assert not [reason for fate, reason in account if "$ref' of an operation" in reason]


def test_an_example_is_left_out_where_no_description_says_it(read):
    said = {"name": "q", "in": "query", "schema": {"type": "string"}, "description": "Code of a room", "example": "R-17"}
    named = {**said, "name": "r", "examples": {"one": {"value": "R-18"}, "two": {"summary": "x"}}}
    del named["example"]
    long = {**said, "name": "s", "example": "x" * 200}
    body = {"type": "object", "properties": {"a": {"type": "string", "example": "left"}, "b": {"type": "string", "example": "x" * 200}}}
    tools, account = read(posting(body, operation={"parameters": [said, named, long]}))
    properties = tools["addThing"].parameters["properties"]
    assert [properties[name]["description"] for name in "qrs"] == [
        "Code of a room, e.g. R-17.",
        "Code of a room, e.g. R-18.",
        "Code of a room.",
    ]
    assert properties["a"]["description"] == "E.g. left."
    assert account["left out", "field 'example' of a parameter"] == 1
    assert account["left out", "keyword 'example' of a schema"] == 1


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (api({"/a": {"get": {"deprecated": True}}}), "those there are, are deprecated"),
        ({"openapi": "3.1.0", "info": {}, "webhooks": {"paid": {"post": {}}}}, "it describes webhooks alone"),
        (api({}), "give an API with `paths`"),
        ({"openapi": "3.1.0", "info": {}}, "give an API with `paths`"),
    ],
)
def test_it_is_said_why_there_is_no_operation(read, document, why):
    with pytest.raises(ToolSpecError, match=why):
        read(document)


def test_a_file_without_an_operation_is_an_error(read):
    for paths in ({}, {"/a": None}, {"/a": {"get": {"deprecated": True}}}):
        with pytest.raises(ToolSpecError, match="no operation to make a tool of"):
            read(api(paths))
    with pytest.raises(ToolSpecError, match="no tools in the list"):
        read({"tools": []})


def test_a_field_that_nobody_knows_is_in_the_account(read):
    def documents():
        yield lambda d: d, "the file"
        yield lambda d: d["paths"]["/things"], "a path"
        yield lambda d: d["paths"]["/things"]["post"], "an operation"
        yield lambda d: d["paths"]["/things"]["post"]["parameters"][0], "a parameter"
        yield lambda d: d["paths"]["/things"]["post"]["requestBody"]["content"]["application/json"]["schema"], "a schema"
        yield lambda d: d["components"]["schemas"]["A"], "a schema"
        yield lambda d: d["components"]["schemas"]["A"]["properties"]["a"]["items"], "a schema"

    schemas = {"A": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}}
    query = {"name": "q", "in": "query", "schema": {"type": "string"}}
    for place, what in documents():
        schema = {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/A"}}}
        document = posting(schema, operation={"parameters": [dict(query)]}, components={"schemas": json.loads(json.dumps(schemas))})
        place(document)["harbour"] = {"depth": 3}
        _, account = read(document)
        word = "keyword" if what == "a schema" else "field"
        assert account["left out", f"{word} 'harbour' of {what}"] == 1


def test_references_lead_to_other_files_and_back(read, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "pet.yaml").write_text(
        "Pet: {type: object, required: [name], properties: {name: {$ref: '#/Name'}, home: {$ref: 'more/home.json'}, kind: {$ref: '../api.yaml#/components/schemas/Kind'}}}\n"
        "Name: {type: string, description: Its name.}\n"
    )
    (tmp_path / "parts" / "more").mkdir()
    (tmp_path / "parts" / "more" / "home.json").write_text('{"type": "object", "properties": {"pet": {"$ref": "../pet.yaml#/Name"}}}')
    (tmp_path / "parts" / "path.yaml").write_text(
        "post: {operationId: addPet, summary: Add a pet to the list, requestBody: {content: {application/json: {schema: {$ref: 'pet.yaml#/Pet'}}}}, responses: {}}\n"
    )
    text = "openapi: 3.0.3\npaths: {/pets: {$ref: parts/path.yaml}}\ncomponents: {schemas: {Kind: {type: string, enum: [cat, no]}}}\n"
    found = only(read, text, "api.yaml")
    assert found["properties"]["name"] == {"type": "string", "description": "Its name."}
    assert found["properties"]["home"]["properties"]["pet"]["type"] == "string"
    assert found["properties"]["kind"]["enum"] == ["cat", "no"]
    assert found["required"] == ["name"]


def test_references_out_of_the_folder_are_refused(read, tmp_path):
    (tmp_path.parent / "secret.json").write_text('{"type": "string", "description": "a secret"}')
    for reference in (
        "../secret.json",
        str(tmp_path.parent / "secret.json"),
        f"file://{tmp_path.parent}/secret.json",
        "%2e%2e/secret.json",
    ):
        with pytest.raises(ToolSpecError, match=r"points outside|leads nowhere|cannot be read"):
            read(posting({"type": "object", "properties": {"a": {"$ref": reference}}}))


def test_keywords_beside_a_reference_hold(read):
    schema = {"type": "object", "properties": {"c": {"$ref": "#/components/schemas/C", "default": "red", "description": "Which."}}}
    found = only(read, posting(schema, components={"schemas": {"C": {"type": "string", "enum": ["red", "blue"]}}}))
    assert found["properties"]["c"] == {"type": "string", "enum": ["red", "blue"], "default": "red", "description": "Which."}


@pytest.mark.parametrize("keyword", ["properties", "anyOf", "allOf", "items"])
def test_schemas_that_double_at_every_level_stay_small(read, keyword):
    def level(number):
        below = {"$ref": f"#/components/schemas/L{number + 1}"}
        if keyword == "properties":
            return {"type": "object", "properties": {f"p{n}": below for n in range(12)}}
        if keyword == "items":
            return {"type": "array", "prefixItems": [below] * 12}
        return {keyword: [below] * 12, "type": "object", "properties": {f"q{number}": {"type": "string"}}}

    schemas = {f"L{number}": level(number) for number in range(30)} | {"L30": {"type": "string"}}
    tools, account = read(posting({"$ref": "#/components/schemas/L0"}, components={"schemas": schemas}))
    (tool,) = tools.values()
    assert json.dumps(tool.parameters).count("{") <= 2 * MOST_PARTS
    if keyword != "allOf":
        assert any(str(MOST_PARTS) in reason for fate, reason in account if fate == "left out")


# Path level, Swagger 2.0


@pytest.mark.parametrize(
    ("shared", "own", "names"),
    [
        ([("doc", "body", {"sku": "string"})], [], ["sku"]),
        ([("doc", "body", {"sku": "string"})], [("order", "body", {"item": "string"})], ["item"]),
        ([("q", "query", None)], [("doc", "body", {"sku": "string"})], ["q", "sku"]),
        ([("q", "query", None)], [("q", "query", None)], ["q"]),
        ([("q", "query", None)], [("q", "formData", None)], ["q", "q__formData"]),
        ([("doc", "body", None)], [], ["body"]),
    ],
)
def test_what_is_given_for_a_path_holds_for_its_operations(read, shared, own, names):
    def parameter(name, kind, fields):
        if kind != "body":
            return {"name": name, "in": kind, "type": "string", "required": True}
        schema = (
            {"type": "object", "required": list(fields), "properties": {f: {"type": t} for f, t in fields.items()}}
            if fields
            else {"type": "string"}
        )
        return {"name": name, "in": kind, "required": True, "schema": schema}

    operation = {
        "operationId": "putShared",
        "summary": "Put the shared thing there",
        "parameters": [parameter(*one) for one in own],
        "responses": {},
    }
    found = only(read, {"swagger": "2.0", "paths": {"/s": {"parameters": [parameter(*one) for one in shared], "put": operation}}})
    assert list(found["properties"]) == names
    assert found["required"] == names


# Names for want of a description


ALONE = "operation without a description, told by its name"
BARE = "operation with a description of one word, told by its name"
BESIDE = "operation with a description of one word, told with its name"


@pytest.mark.parametrize(
    ("operation", "words", "told"),
    [
        ({"operationId": "list_guild_members"}, "List guild members.", ALONE),
        ({"operationId": "listGuildMembers", "summary": ""}, "List guild members.", ALONE),
        ({"operationId": "list", "summary": "List"}, "List: get guilds members.", BESIDE),
        ({"summary": "Members"}, "Get guilds members.", BARE),
        ({"operationId": "join", "summary": "参加"}, "参加: get guilds members.", BESIDE),
        ({}, "Get guilds members.", ALONE),
        ({"operationId": "x", "summary": "Lists all members"}, "Lists all members.", ""),
        ({"operationId": "x", "summary": "Log in"}, "Log in.", ""),
        ({"operationId": "x", "summary": "Ver todos"}, "Ver todos.", ""),
        ({"operationId": "x", "summary": "会員一覧"}, "会員一覧。", ""),
        ({"operationId": "x", "summary": "列出公会的所有成员。仅限管理员使用。"}, "列出公会的所有成员。仅限管理员使用。", ""),
        ({"operationId": "x", "summary": "列出这个公会的所有在线成员。仅限管理员使用。"}, "列出这个公会的所有在线成员。", ""),
        ({"operationId": "readMembers", "description": "<p> </p>"}, "Read members.", ALONE),
    ],
)
def test_an_operation_that_says_too_little_of_itself_is_told_by_its_name(read, operation, words, told):
    tools, account = read(api({"/guilds/members": {"get": {"responses": {}, **operation}}}))
    (tool,) = tools.values()
    assert (tool.description, lint(tool)) == (words, [])
    assert [reason for fate, reason in account if fate == "understood" and "description" in reason] == ([told] if told else [])


# Lists of tools

TIDE = {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]}
MCP = {"name": "lookup_tide", "description": "Tide height at a harbour.", "inputSchema": TIDE}
OPENAI = {"type": "function", "function": {"name": "lookup_tide", "description": "Tide height at a harbour.", "parameters": TIDE}}
PLAIN = OPENAI["function"]


@pytest.mark.parametrize(
    "document",
    [
        {"tools": [MCP]},
        [MCP],
        MCP,
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP], "nextCursor": "x"}},
        [{"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP]}}],
        {"tools": [{"name": "lookup_tide", "description": "Tide height at a harbour.", "input_schema": TIDE}]},
        [OPENAI],
        {"tools": [OPENAI], "model": "m", "messages": []},
        [{"type": "function", "strict": True, **PLAIN}],
        {"functions": [PLAIN]},
        [{"functionDeclarations": [{"name": "lookup_tide", "description": "Tide height at a harbour.", "parametersJsonSchema": TIDE}]}],
        {"tools": {"lookup_tide": {"description": "Tide height at a harbour.", "inputSchema": TIDE}}},
        {"tools": [{"toolSpec": {"name": "lookup_tide", "description": "Tide height at a harbour.", "inputSchema": {"json": TIDE}}}]},
        {"tools": [{"name": "lookup_tide", "description": "Tide height at a harbour.", "parameters": {"harbour": {"type": "str"}}}]},
    ],
)
def test_every_layout_of_a_list_of_tools_is_read(read, document):
    tools, _ = read(document)
    assert tools["lookup_tide"].parameters["required"] == ["harbour"]
    assert tools["lookup_tide"].parameters["properties"]["harbour"]["type"] == "string"
    assert lint(tools["lookup_tide"]) == []
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert list(read(json.dumps(document).encode(encoding))[0]) == ["lookup_tide"]


def test_messages_of_a_server_one_a_line(read):
    lines = [{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP]}}]
    tools, account = read("\n".join(map(json.dumps, lines)), "session.jsonl")
    assert list(tools) == ["lookup_tide"]
    assert account["left out", "message of JSON-RPC that is no answer"] == 1


def test_a_list_of_tools_in_yaml(read):
    text = "tools:\n- name: lookup_tide\n  inputSchema: {type: object, properties: {on: {type: string, enum: [no, off]}}}\n"
    tools, account = read(text, "tools.yaml")
    assert tools["lookup_tide"].parameters["properties"]["on"]["enum"] == ["no", "off"]
    assert tools["lookup_tide"].description == "Lookup tide."
    assert account["understood", "tool without a description, told by its name"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"description": "no name"},
        5,
        {**MCP, "inputSchema": 5},
        {**MCP, "inputSchema": {"$ref": "#/no"}},
        {"name": "x", "type": "web_search"},
    ],
)
def test_a_bad_tool_leaves_the_others_of_its_list(read, bad):
    tools, account = read({"tools": [bad, {**MCP, "annotations": {"readOnlyHint": True}}]})
    assert list(tools) == ["lookup_tide"]
    assert [reason for fate, reason in account if fate == "refused" and reason.startswith("tools[0]")]
    assert account["left out", "field 'annotations' of a tool"] == 1


def test_a_union_at_the_top_of_a_tool_has_its_fields_side_by_side(read):
    found = only(read, {"tools": [{**MCP, "inputSchema": {"anyOf": OBJECTS[:2]}}]})
    assert list(found["properties"]) == ["a", "b"]
    assert found["anyOf"] == [{"required": ["a"]}, {"required": ["b"]}]


# Patterns


def test_patterns_that_cannot_be_run_in_linear_time_are_left_out_and_counted(read):
    patterns = {"a": "^(a|aa)+$", "b": "(?=(a+))+(a|a)+$", "c": r"(a)\1"}
    schema = {"type": "object", "properties": {name: {"type": "string", "pattern": pattern} for name, pattern in patterns.items()}}
    properties = only(read, posting(schema))["properties"]
    assert [name for name in properties if "pattern" in properties[name]] == ["a"]
    assert read(posting(schema))[1]["left out", "pattern that cannot be run in linear time"] == 2


# Python modules

HARBOUR = '''
{future}
import dataclasses, enum, math
from typing import Annotated, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict
import pydantic

Name = NewType("Name", str)
Names = list[Name]

class Unit(enum.Enum):
    METRE = "m"
    FOOT = "ft"

class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2

class Odd(enum.Enum):
    A = (1, 2)
    B = object()

class Berth(TypedDict):
    number: int
    quay: NotRequired[str]

@dataclasses.dataclass
class Boat:
    name: str
    unit: Unit = Unit.METRE
    berth: Optional[Berth] = None

class Point(NamedTuple):
    x: float
    y: float = 0.0

class Crew(pydantic.BaseModel):
    captain: str
    size: int = pydantic.Field(default=1, ge=1)

def tide(unit: Unit, level: Level, odd: Odd, berth: Berth, boat: Boat, at: Point, crew: Crew, name: Name, names: Names,
         note: Annotated[str, "x"], way: Literal["in", "out"], many: "dict[str, Unit]", limit: float = math.inf, least: float = -math.inf,
         none: float = math.nan, start: Unit = Unit.FOOT, either: Optional[Unit] = None) -> Boat:
    """Tell the height of the tide in a harbour."""
'''


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_types_of_a_module_are_read_alike_with_and_without_the_future(tmp_path, monkeypatch, future):
    (tmp_path / "harbour_types.py").write_text(HARBOUR.format(future=future))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "harbour_types", raising=False)
    with Account() as account:
        tools = {tool.name: tool for tool in import_python("harbour_types")}
    tool = tools["harbour_types.tide"]
    assert lint(tool) == []
    json.dumps(tool.to_row(), allow_nan=False)
    given_ = {name: {k: v for k, v in schema.items() if k != "description"} for name, schema in tool.parameters["properties"].items()}
    unit = {"type": "string", "enum": ["m", "ft"]}
    berth = {
        "type": "object",
        "properties": {"number": {"type": "integer"}, "quay": {"type": "string"}},
        "required": ["number"],
        "additionalProperties": False,
    }
    assert given_["unit"] == unit
    assert given_["level"] == {"type": "integer", "enum": [1, 2]}
    assert given_["odd"] == {"type": "string", "enum": ["A", "B"]}
    assert given_["berth"] == berth
    assert given_["boat"]["required"] == ["name"]
    assert given_["boat"]["properties"]["unit"] == unit
    assert given_["boat"]["properties"]["berth"] == {**berth, "type": ["object", "null"]}
    assert given_["at"]["required"] == ["x"]
    assert given_["crew"]["required"] == ["captain"]
    assert given_["crew"]["properties"]["size"]["minimum"] == 1
    assert given_["name"] == given_["note"] == {"type": "string"}
    assert given_["names"] == {"type": "array", "items": {"type": "string"}}
    assert given_["way"] == {"type": "string", "enum": ["in", "out"]}
    assert given_["many"] == {"type": "object", "additionalProperties": unit}
    assert given_["limit"] == given_["least"] == given_["none"] == {"type": "number"}
    assert given_["start"] == {**unit, "default": "ft"}
    assert given_["either"] == {"type": ["string", "null"], "enum": ["m", "ft", None]}
    assert [entry.rows for entry in account.of("left out") if "infinite" in entry.reason] == [3]


@pytest.mark.parametrize("file", ["quay_of_mine.py", "quay_package/__init__.py", "quay_plain/deep/moors.py"])
def test_a_module_of_the_folder_one_stands_in(tmp_path, monkeypatch, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("def moor(boat: str) -> bool:\n    return True\n")
    (tmp_path / "json").mkdir()  # a folder that has the name of a module is none
    monkeypatch.chdir(tmp_path)
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])
    (tool,) = import_apis([f"module:{name}"])
    assert (tool.name, tool.description) == (f"{name}.moor", "Call moor.")
    assert str(tmp_path) not in sys.path
    assert list(import_python("json"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("quay_broken", "def moor(:\n", "cannot be imported"),
        ("quay_raises", "raise RuntimeError('no quay')\n", "no quay"),
        ("quay_exits", "import sys\nsys.exit(3)\n", "cannot be imported"),
        ("quay_empty", "x = 1\n", "no public function"),
        ("json", "def moor(boat: str) -> bool: ...\n", "name of a module that is in use already"),
    ],
)
def test_a_module_that_cannot_be_read_is_named(tmp_path, monkeypatch, name, text, message):
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolSpecError, match=message):
        list(import_python(name))


def test_defaults_and_parameters_of_a_function_are_kept_or_counted():
    def moor(boat: str, ropes: list[str] = ["bow", "stern"], at: tuple = (1, 2), how: dict = {}, by: object = object(), *args, **more):  # noqa: B006
        """Moor a boat at the quay."""

    with Account() as account:
        (tool,) = import_python([moor])
    defaults = {name: schema["default"] for name, schema in tool.parameters["properties"].items() if "default" in schema}
    assert defaults == {"ropes": ["bow", "stern"], "at": [1, 2], "how": {}}
    assert [entry.rows for entry in account.of("left out")] == [2, 1]


def test_a_body_in_several_content_types_is_read_once_and_the_others_are_counted(read):
    document = posting(OBJECTS[0])
    content = document["paths"]["/things"]["post"]["requestBody"]["content"]
    content["text/xml"] = {"schema": OBJECTS[0]}
    content["multipart/form-data"] = {"schema": OBJECTS[1]}
    tools, account = read(document)
    assert list(tools["addThing"].parameters["properties"]) == ["a"]
    assert [reason for fate, reason in account if fate == "left out"] == ["request body as multipart/form-data"]
