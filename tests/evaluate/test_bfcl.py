"""BFCL's items and checker: what it accepts as truth is accepted from us, and its holes are where we say they are."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gold import gold_calls
from luthier.errors import SettingsError
from luthier.evaluate.bfcl import Decoded, official_verdict, source_text
from luthier.evaluate.bfcl_decoding import decode
from luthier.models.grammar import GrammarEngine, calls_grammar
from luthier.records import Message, ToolCall
from luthier.records.bfcl import CATEGORIES, Item, load_items, load_questions
from luthier.records.calls import parse_calls, render_calls
from luthier.synthesize.tools.contamination import signature

Bfcl = dict[str, list[Item]]
SIZES = {
    "simple_python": 400,
    "simple_java": 100,
    "simple_javascript": 50,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
}


def made(calls: Sequence[ToolCall]) -> Decoded:
    """Calls as the checker takes them."""
    return [{call.name: call.arguments} for call in calls]


def test_the_items_are_all_there(bfcl: Bfcl):
    assert {category: len(items) for category, items in bfcl.items()} == SIZES
    for category, items in bfcl.items():
        assert len({item.id for item in items}) == len(items)
        assert all(item.question for item in items)
        assert sum(not item.tools for item in items) == (4 if category == "live_irrelevance" else 0)
        assert all(bool(item.truth) == ("relevance" not in category) for item in items)
        assert {item.abstain for item in items} == {"irrelevance" in category}
        for item in items:
            for tool in item.tools:
                Draft202012Validator.check_schema(tool.parameters)


def test_questions_are_those_of_the_items_with_the_names_of_their_tools(bfcl: Bfcl):
    for category, items in bfcl.items():
        read = [(text, [signature(tool) for tool in tools]) for text, tools in load_questions(category)]
        assert read == [(item.question, [signature(tool) for tool in item.tools]) for item in items]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("limit", [1, 7, 50, 199])
def test_a_limit_gives_the_same_evenly_spaced_items_every_time(bfcl: Bfcl, category: str, limit: int):
    everything = [item.id for item in bfcl[category]]
    some = [item.id for item in load_items(category, limit)]
    assert some == [item.id for item in load_items(category, limit)]
    places = [everything.index(name) for name in some]
    steps = {after - before for before, after in pairwise(places)}
    assert len(places) == min(limit, len(everything))
    assert places[0] == 0
    assert steps <= {max(1, len(everything) // limit), -(-len(everything) // limit)}


def test_a_limit_beyond_the_items_gives_them_all(bfcl: Bfcl):
    assert load_items("multiple", 200) == load_items("multiple", 10**6) == bfcl["multiple"]


def test_an_unknown_category_is_named():
    with pytest.raises(SettingsError, match="unknown category 'agentic'; known: simple_python, simple_java"):
        load_items("agentic")


GOLD = {  # of the items above: what the checker accepts of its own answers (two items demand what their functions do not have, ...)
    "simple_python": 400,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 198,
    "live_simple": 256,
    "live_multiple": 1050,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
}


@pytest.mark.parametrize(("category", "count"), GOLD.items())
def test_every_accepted_answer_is_accepted_after_being_written_and_read(bfcl: Bfcl, category: str, count: int):
    assert sum(official_verdict(item, decode(render_calls(gold_calls(item))))[0] for item in bfcl[category]) == count


@pytest.mark.parametrize(("category", "count"), [("simple_python", 400), ("multiple", 200)])
def test_so_is_the_last_of_several_accepted_values(bfcl: Bfcl, category: str, count: int):
    assert sum(official_verdict(item, decode(render_calls(gold_calls(item, 9))))[0] for item in bfcl[category]) == count


def test_java_and_javascript_are_shown_as_source_text_and_judged_so(bfcl: Bfcl):
    item = next(item for item in bfcl["simple_java"] if "double" in str(item.functions))
    assert {schema["type"] for schema in item.tools[0].parameters["properties"].values()} == {"string"}
    assert "in Java, as source text" in str(item.tools[0].parameters)
    calls = [
        [{call.name: {key: source_text(value) for key, value in call.arguments.items()}} for call in gold_calls(item)]
        for item in bfcl["simple_javascript"]
    ]
    assert sum(official_verdict(item, each)[0] for item, each in zip(bfcl["simple_javascript"], calls, strict=True)) == 50
    assert source_text(True) == "true"
    assert source_text("x") == "x"


def test_a_relevance_item_is_right_with_any_call(bfcl: Bfcl):
    item = bfcl["live_relevance"][0]
    assert official_verdict(item, [{"whatever": {}}]) == (True, "")
    assert official_verdict(item, None) == (False, "called no tool although one fits")
    assert official_verdict(item, []) == (False, "called no tool although one fits")


def test_a_wrong_answer_gets_the_checkers_complaint_on_one_line(bfcl: Bfcl):
    for item in bfcl["simple_python"] + bfcl["multiple"]:
        (call,) = gold_calls(item)
        for wrong in ([], [call, call], [ToolCall("other")], [ToolCall(call.name, {**call.arguments, "no_such": 1})], None):
            verdict, complaint = official_verdict(item, None if wrong is None else made(wrong))
            assert not verdict
            assert complaint.strip()
            assert "\n" not in complaint


def test_values_of_any_kind_get_a_verdict(bfcl: Bfcl):
    """The checker was written for literals that it decoded itself; none of ours may break it."""
    chance = random.Random(0)
    values: list[Any] = [None, True, 1, -2.5, "x", "", [], ["a", 1], {}, {"a": [1, {"b": 2}]}, [{"a": 1}], [[1]], 10**30]
    for item in bfcl["simple_python"] + bfcl["multiple"]:
        (call,) = gold_calls(item)
        for _ in range(5):
            changed = {key: chance.choice([value, chance.choice(values)]) for key, value in call.arguments.items()}
            verdict, complaint = official_verdict(item, made([ToolCall(call.name, changed)]))
            assert verdict == (complaint == "")


def item_of(schema: dict[str, Any], accepted: list[Any]) -> Item:
    """An item of our own with one argument, in BFCL's words."""
    from luthier.records import Tool

    function = {"name": "f", "description": "", "parameters": {"type": "dict", "properties": {"x": schema}, "required": ["x"]}}
    tool = Tool("f", "", {"type": "object", "properties": {"x": schema}, "required": ["x"]})
    return Item("own_0", "simple_python", (Message("user", "?"),), (tool,), (function,), ({"f": {"x": accepted}},))


@pytest.mark.parametrize(
    ("kind", "accepted", "text", "right"),
    [
        ("string", "5", '"-5"', True),
        ("string", "15", '"1.5"', True),
        ("string", "34", '"3/4"', True),
        ("string", "5", '"6"', False),
        ("string", "New York", '"new-york"', True),
        ("integer", 5, "+5", True),
        ("integer", 5, "-5", False),
        ("integer", 1, "True", False),
        ("integer", 5, "5.0", False),
        ("float", 5.0, "5", True),
        ("float", 5.0, '"5"', False),
        ("boolean", True, "true", True),
        ("boolean", True, "1", False),
        ("integer", 5, "(5)", True),
    ],
)
def test_the_official_rules(bfcl: Bfcl, kind: str, accepted: Any, text: str, right: bool):
    assert official_verdict(item_of({"type": kind}, [accepted]), made(parse_calls(f"[f(x={text})]")))[0] == right


def test_lists_and_objects_are_checked_inside(bfcl: Bfcl):
    numbers = item_of({"type": "array", "items": {"type": "integer"}}, [[1, 2]])
    assert official_verdict(numbers, made(parse_calls("[f(x=(1, 2))]")))[0]
    assert not official_verdict(numbers, made(parse_calls("[f(x=[2, 1])]")))[0]
    place = item_of({"type": "dict", "properties": {"city": {"type": "string"}}}, [{"city": ["Oslo", "Kristiania"], "zip": ["", 1]}])
    assert official_verdict(place, made(parse_calls("[f(x={'city': 'kristiania'})]")))[0]
    assert not official_verdict(place, made(parse_calls("[f(x={'city': 'Bergen'})]")))[0]


def test_an_irrelevance_item_is_right_without_calls(bfcl: Bfcl):
    item = bfcl["irrelevance"][0]
    assert official_verdict(item, None) == (True, "")
    assert official_verdict(item, []) == (True, "")
    assert official_verdict(item, made([ToolCall("f")])) == (False, "called a tool although none fits")


def test_every_item_has_a_grammar_that_takes_nearly_every_accepted_answer(bfcl: Bfcl, tiny_model_folder: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    engine = GrammarEngine(tokenizer, [2, 0])
    missed = []
    for item in bfcl["simple_python"] + bfcl["multiple"]:
        (call,) = gold_calls(item)
        order = next(tool.parameters["properties"] for tool in item.tools if tool.name == call.name)
        arguments = {name: call.arguments[name] for name in order if name in call.arguments}
        ids = tokenizer.encode(render_calls([ToolCall(call.name, arguments)]), add_special_tokens=False)
        matcher = engine.matcher(calls_grammar(item.tools))
        if matcher.try_consume_tokens(ids) < len(ids) or not matcher.is_accepting():
            missed.append(item.id)
    assert missed == ["simple_python_307", "simple_python_337"]  # its own schema forbids the one; lists in a free object
    for item in bfcl["irrelevance"]:
        assert engine.matcher(calls_grammar(item.tools, sentence=True)).deep_copy().try_consume_tokens([]) == 0


def test_the_checker_leaves_nothing_on_disk_and_needs_no_vendor_sdk(bfcl: Bfcl, tmp_path: Path):
    code = (
        "import sys; from luthier.evaluate.bfcl import official_verdict; from luthier.records.bfcl import load_items\n"
        "print(official_verdict(load_items('multiple', 1)[0], [{'x': {}}])[0])\n"
        "print(sorted({'openai', 'torch', 'transformers', 'anthropic'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["False", "[]"]
    assert list(tmp_path.iterdir()) == []
