"""Loose schema dialects become valid JSON Schema 2020-12, whatever comes in; the quick validity walk never accepts what the validator refuses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from luthier.errors import ToolSpecError
from luthier.records.patterns import usable_pattern
from luthier.records.schema import SchemaReader, lookup, normalise_schema, parameters_schema
from luthier.synthesize.tools.lint import plainly_valid

KEYWORDS = [
    "type",
    "properties",
    "items",
    "enum",
    "const",
    "default",
    "required",
    "anyOf",
    "oneOf",
    "allOf",
    "nullable",
    "description",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minLength",
    "maxItems",
    "pattern",
    "format",
    "additionalProperties",
    "prefixItems",
    "multipleOf",
    "uniqueItems",
    "patternProperties",
    "additionalItems",
    "x-note",
    "not",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=True)
    | st.sampled_from(["string", "dict", "int", "any", "float", "list[int]", "object", "array", "5", "(a+)+", "[", "date", ""])
)
hostile = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=5), max_leaves=20
)


@pytest.mark.parametrize(
    ("loose", "strict"),
    [
        ({"type": "dict"}, {"type": "object"}),
        ({"type": "int"}, {"type": "integer"}),
        ({"type": "long"}, {"type": "integer"}),
        ({"type": "float"}, {"type": "number"}),
        ({"type": "double"}, {"type": "number"}),
        ({"type": "bool"}, {"type": "boolean"}),
        ({"type": "str"}, {"type": "string"}),
        ({"type": "tuple", "items": {"type": "float"}}, {"type": "array", "items": {"type": "number"}}),
        ({"type": "List[int]"}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "Dict[str, float]"}, {"type": "object", "additionalProperties": {"type": "number"}}),
        ({"type": "map"}, {"type": "object"}),
        ({"type": "String", "required": None}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "integer", "enum": ["1", "2"]}, {"type": "integer", "enum": [1, 2]}),
        ({"type": "integer", "minimum": "1", "default": "250"}, {"type": "integer", "default": 250, "minimum": 1}),
        ({"type": "boolean", "default": "false"}, {"type": "boolean", "default": False}),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 0}),
        ({"anyOf": [{"type": "int"}, {"type": "str"}]}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ({"oneOf": [{"type": "int"}]}, {"type": "integer"}),
        ({"type": "datetime"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "default": None}, {"type": "string"}),
        ({"type": "string", "pattern": "(?=a)a+$"}, {"type": "string"}),
        ({"type": "unheard-of"}, {}),
        ("string", {"type": "string"}),
    ],
)
def test_known_dialects(loose, strict):
    assert normalise_schema(loose) == strict


def test_objects_are_closed_and_flags_of_draft_3_collected():
    loose = {"type": "dict", "properties": {"a": {"type": "int", "required": True}, "b": {"type": "str"}}, "required": None}
    assert normalise_schema(loose) == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_all_of_is_merged_and_stays_satisfiable():
    base = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "additionalProperties": False}
    document = {"defs": {"Base": base}}
    loose = {"allOf": [{"$ref": "#/defs/Base"}, {"properties": {"name": {"type": "string"}}, "required": ["name"]}]}
    schema = normalise_schema(loose, document)
    assert schema["required"] == ["id", "name"]
    assert Draft202012Validator(schema).is_valid({"id": 1, "name": "x"})
    assert not Draft202012Validator(schema).is_valid({"id": 1, "name": "x", "other": 1})


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "number", "string", ["string", "null"], "array", ["integer", "array"]]),
        "minimum": st.integers(-3, 6),
        "maximum": st.integers(0, 9),
        "exclusiveMinimum": st.integers(-3, 6),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(1, 5),
        "enum": st.just([1, 2, "a", "ab"]),
        "items": st.sampled_from([{"type": "string"}, {"enum": ["a", "b"]}, {"minLength": 2}]),
        "maxItems": st.integers(0, 3),
        "uniqueItems": st.booleans(),
    },
)
VALUES = [-1, 0, 1, 2, 4, 5, 7, 2.5, "", "a", "ab", "abcd", None, [], ["a"], ["a", "a"], ["ab", "c"], ["abc", "b", "a"]]


@given(typed=st.sampled_from(["integer", "number", "string", "array"]), parts=st.lists(PARTS, min_size=1, max_size=3))
def test_what_fits_all_parts_merged_fits_each_of_them(typed, parts):
    """Unless a condition is told to be left out, nothing fits the merged schema that one of the parts refuses."""
    loose, left = {"allOf": [{"type": typed}, *parts]}, []
    merged = SchemaReader(lambda reference: {}, leave=left.append).read(loose)
    strict, original = Draft202012Validator(merged), Draft202012Validator(loose)
    fitting = [value for value in VALUES if strict.is_valid(value)]
    impossible = not any(original.is_valid(value) for value in VALUES)  # parts that contradict each other: the first stands
    if not left and not impossible:
        assert [value for value in fitting if not original.is_valid(value)] == []
        assert {repr(value) for value in VALUES if original.is_valid(value)} <= {repr(value) for value in fitting}


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ([{"type": "integer", "minimum": 1}, {"minimum": 5, "maximum": 9}], {"type": "integer", "minimum": 5, "maximum": 9}),
        ([{"type": "string", "maxLength": 50}, {"maxLength": 5}], {"type": "string", "maxLength": 5}),
        ([{"type": "number"}, {"type": "integer"}], {"type": "integer"}),
        ([{"type": ["string", "null"]}, {"type": "string"}], {"type": "string"}),
        (
            [{"type": "array", "items": {"type": "string"}}, {"items": {"enum": ["a", "b"]}}],
            {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        ),
    ],
)
def test_the_tighter_of_two_conditions_holds(parts, merged):
    assert normalise_schema({"allOf": parts}) == merged
    assert normalise_schema({"allOf": parts[::-1]}) == merged
    assert normalise_schema({**parts[0], "allOf": parts[1:]}) == merged
    both = [{"type": "object", "properties": {"v": part}} for part in parts]
    assert normalise_schema({"allOf": both})["properties"]["v"] == merged


@pytest.mark.parametrize(
    ("schema", "read", "told"),
    [
        ({"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}]}, {"type": "string", "pattern": "^a"}, "another 'pattern'"),
        ({"type": "string", "format": "binary"}, {"type": "string"}, "format 'binary', which nothing checks"),
        ({"type": "string", "format": "guid"}, {"type": "string", "format": "uuid"}, ""),
        ({"type": "integer", "minimum": 1, "default": 0}, {"type": "integer", "minimum": 1}, "default that is no value"),
        (
            {"type": "array", "items": {"type": "string"}, "default": ["a", None]},
            {"type": "array", "items": {"type": "string"}},
            "default that is no value",
        ),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}, ""),
        ({"anyOf": [{"maxLength": 3}, {"minimum": 2}]}, {"anyOf": [{"maxLength": 3}, {"minimum": 2}]}, ""),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "string"}, "another 'type'"),
        (
            {"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False},
            {"type": "object", "additionalProperties": {"type": "string"}},
            "patterns of the keys",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "null"}}, "patternProperties": {"^x": {}}, "additionalProperties": False},
            {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False},
            "by the pattern of their name",
        ),
        (
            {"type": "object", "properties": {"a": False, "b": {"type": "string"}}},
            {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": False},
            "may not be there",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
            {"type": "array", "prefixItems": [{"type": "integer"}], "maxItems": 1},
            "",
        ),
    ],
)
def test_conditions_that_go_are_told(schema, read, told):
    left = []
    assert SchemaReader(lambda reference: {}, leave=left.append).read(schema) == read
    assert told in " ".join(left)
    assert bool(told) == bool(left)


def test_any_of_beside_properties_accepts_what_the_original_accepts():
    loose = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "anyOf": [{"properties": {"b": {"type": "string"}}}, {"required": ["a"]}],
    }
    for value in ({"a": "x"}, {"b": "y"}, {"a": "x", "b": "y"}):
        assert Draft202012Validator(normalise_schema(loose)).is_valid(value)


def test_cycles_are_cut():
    document = {"$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "int"}}}}}
    schema = normalise_schema({"$ref": "#/$defs/Node"}, document)
    assert schema["properties"] == {"next": {"type": "object"}, "value": {"type": "integer"}}
    circle = {"a": {"allOf": [{"$ref": "#/b"}]}, "b": {"allOf": [{"$ref": "#/a"}]}}
    assert normalise_schema({"$ref": "#/a"}, circle) == {}


def test_nesting_is_cut_at_four_levels():
    deep: dict = {"type": "string"}
    for _ in range(9):
        deep = {"type": "object", "properties": {"x": deep}}
    text = json.dumps(normalise_schema(deep))
    assert text.count('"properties"') == 4


def test_pointers_are_followed_exactly():
    document = {"a/b": {"c~d": [{"type": "int"}]}}
    assert lookup(document, "#/a~1b/c~0d/0") == {"type": "int"}
    with pytest.raises(ToolSpecError, match="leads nowhere"):
        lookup(document, "#/nope")
    with pytest.raises(ToolSpecError, match="outside"):
        normalise_schema({"$ref": "http://example.org/x.json"})


def test_endless_nesting_is_an_error_that_can_be_read():
    deep: dict = {}
    for _ in range(3000):
        deep = {"allOf": [deep]}
    with pytest.raises(ToolSpecError, match="nests too deeply"):
        normalise_schema(deep)


@settings(max_examples=400, deadline=None)
@given(hostile)
def test_whatever_comes_in_a_valid_schema_comes_out(loose):
    before = repr(loose)
    schema = normalise_schema(loose)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator.check_schema(parameters_schema(schema))
    assert repr(loose) == before
    assert plainly_valid(schema)
    list(Draft202012Validator(schema).iter_errors({"type": 1}))


def test_an_empty_list_of_options_says_nothing_of_the_type():
    assert normalise_schema({"enum": [], "const": 3}) == {"type": "integer", "const": 3}


@settings(max_examples=200, deadline=None)
@given(hostile)
def test_normalising_twice_changes_nothing(loose):
    once = normalise_schema(loose, depth=8)
    assert repr(normalise_schema(once, depth=8)) == repr(once)


@settings(max_examples=600, deadline=None)
@given(hostile)
def test_the_quick_walk_accepts_only_valid_schemas(schema):
    if plainly_valid(schema):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            pytest.fail(f"{schema}: {error.message}")


@pytest.mark.parametrize(
    ("pattern", "usable"),
    [
        ("^[a-z]+$", True),
        ("(a+)+", True),
        (r"\p{L}", True),
        ("[", False),
        ("(?=a)a", False),
        (r"(a)\1", False),
        ("", False),
        ("a" * 2001, False),
    ],
)
def test_only_patterns_that_run_are_kept(pattern, usable):
    assert usable_pattern(pattern) is usable
