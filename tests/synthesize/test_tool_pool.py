"""The pool: what lint turns away, what counts as a duplicate, who is a neighbour, and that disk changes nothing."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.records import Tool
from luthier.synthesize.tools.pool import ToolPool, build_pool, fingerprint, lint
from luthier.synthesize.tools.similarity import jaccard, near_duplicates


def tool(name="hotel.book", description="Books a room in a hotel.", properties=None, required=(), **more):
    properties = {"city": {"type": "string", "description": "Name of the city."}} if properties is None else properties
    return Tool(
        name, description, {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False, **more}
    )


@pytest.mark.parametrize(
    ("bad", "rule", "words"),
    [
        (tool(properties={"a": {"type": "dict", "description": "x"}}), "A1", "not valid JSON Schema"),
        (tool(properties={"a": {"type": "string", "pattern": "[", "description": "x"}}), "A1", "pattern"),
        (tool(properties={"a": {"type": "string", "minLength": -1, "description": "x"}}), "A1", "not valid"),
        (tool(properties={"a": {"$ref": "#/nowhere", "description": "x"}}), "A1", "reference"),
        (tool(name=" "), "A2", "name"),
        (tool(description=""), "A2", "no description"),
        (tool(description="short"), "A2", "too short"),
        (Tool("a", "Does something good.", {"type": "string"}), "A2", "not an object"),
        (Tool("a", "Does something good.", {"type": "object"}), "A2", "not an object"),
        (tool(properties={"a": {"type": "string"}}), "A2", "a parameter has no description"),
        (tool(properties={"a": {"description": "Something."}}), "A2", "no type"),
        (tool(properties={"a": True}), "A2", "no"),
        (tool(required=["country"]), "A2", "not defined"),
        (tool(properties={"a": {"type": "integer", "enum": ["x"], "description": "x"}}), "A2", "enum"),
        (tool(properties={"a": {"type": "integer", "default": "x", "description": "x"}}), "A2", "default"),
        (tool(properties={"a": {"type": "integer", "maximum": 3, "default": 9, "description": "x"}}), "A2", "default"),
        (tool(properties={"a": {"type": "object", "description": "x", "properties": {"b": {}}}}), "A2", "no type"),
    ],
)
def test_lint_names_the_rule(bad, rule, words):
    findings = lint(bad)
    assert any(finding.rule == rule and words in finding.message for finding in findings), findings


def test_a_clean_tool_has_no_findings():
    assert lint(tool(required=["city"])) == []


def test_the_pool_counts_what_it_drops():
    near = tool("hotel.book", "Books a room in a hotel.", {"city": {"type": "string", "description": "Another text."}})
    tools = [tool(), tool(), tool(description="Twice the same."), near, tool("car.rent", "Rents out a small car."), tool("x", "")]
    pool = build_pool(tools)
    assert [each.name for each in pool] == ["hotel.book", "car.rent"]
    assert pool.duplicates == 2
    assert pool.near_duplicates == 1
    assert pool.rejected == {"A2 the tool has no description": 1}
    assert len(pool) + pool.duplicates + pool.near_duplicates + sum(pool.rejected.values()) == len(tools)


def test_fingerprints_ignore_order_and_see_types():
    one = tool(properties={"a": {"type": "string"}, "b": {"type": "string"}})
    two = tool(properties={"b": {"type": "string"}, "a": {"type": "string"}})
    three = tool(properties={"b": {"type": "integer"}, "a": {"type": "string"}})
    assert fingerprint(one) == fingerprint(two) != fingerprint(three)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_near_duplicates_agree_with_all_pairs(seed):
    draw = random.Random(seed)
    words = [f"w{index}" for index in range(14)]
    sets = [frozenset(draw.sample(words, draw.randint(5, 14))) for _ in range(30)]
    kept: list[int] = []
    expected = []
    for index, each in enumerate(sets):
        twin = next((other for other in kept if jaccard(each, sets[other]) > 0.8), None)
        expected.append(twin is not None)
        if twin is None:
            kept.append(index)
    found = [twin is not None for twin in near_duplicates(sets)]
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 2  # LSH may miss a pair just above the threshold


def test_neighbours_are_alike_deterministic_and_never_the_same_operation():
    names = ["s3.get_bucket", "s3.list_buckets", "b2.get_bucket", "mail.send_message", "mail.list_messages", "chess.move_piece"]
    tools = [tool(name, f"{name.replace('.', ' ').replace('_', ' ')} for the user") for name in names]
    pool = build_pool(tools)
    found = [each.name for each in pool.neighbours(tools[0], 3)]
    assert found[0] == "s3.list_buckets"
    assert not {"s3.get_bucket", "b2.get_bucket"} & set(found)
    assert found == [each.name for each in build_pool(tools).neighbours(tools[0], 3)]
    assert pool.neighbours(tools[0], 0) == []


def test_disk_changes_nothing(tmp_path):
    full = Tool("a.b", "Does something, ünïcode.", tool().parameters, {"type": "object"}, "spec: a", "MIT")
    pool = ToolPool((tool(), full))
    assert pool.write(tmp_path / "pool.jsonl") == 2
    assert ToolPool.read(tmp_path / "pool.jsonl").tools == pool.tools


def test_a_bad_row_is_named(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text('{"name": "a", "description": "b", "parameters": {}}\n{"name": "a"}\n')
    with pytest.raises(BadRowError, match=r"pool\.jsonl:2: 'description' is missing"):
        ToolPool.read(path)
