"""BFCL's items and checker: what it accepts as truth is accepted from us, and its holes are where we say they are."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gold import gold_calls
from jsonschema import Draft202012Validator

from luthier.errors import SettingsError
from luthier.evaluate.bfcl import official_verdict
from luthier.models.grammar import GrammarEngine, calls_grammar
from luthier.records import Message, ToolCall
from luthier.records.bfcl import CATEGORIES, Item, load_items
from luthier.records.calls import parse_calls, render_calls

Bfcl = dict[str, list[Item]]


def test_the_items_are_all_there(bfcl: Bfcl):
    assert {category: len(items) for category, items in bfcl.items()} == {"simple_python": 400, "multiple": 200, "irrelevance": 240}
    for category, items in bfcl.items():
        assert len({item.id for item in items}) == len(items)
        assert all(item.question and item.tools for item in items)
        assert all(bool(item.truth) == (category != "irrelevance") for item in items)
        for item in items:
            for tool in item.tools:
                Draft202012Validator.check_schema(tool.parameters)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("limit", [1, 7, 50, 199])
def test_a_limit_gives_the_same_evenly_spaced_items_every_time(bfcl: Bfcl, category: str, limit: int):
    everything = [item.id for item in bfcl[category]]
    some = [item.id for item in load_items(category, limit)]
    assert some == [item.id for item in load_items(category, limit)]
    places = [everything.index(name) for name in some]
    steps = {after - before for before, after in pairwise(places)}
    assert len(places) == limit
    assert places[0] == 0
    assert steps <= {len(everything) // limit, -(-len(everything) // limit)}


def test_a_limit_beyond_the_items_gives_them_all(bfcl: Bfcl):
    assert load_items("multiple", 200) == load_items("multiple", 10**6) == bfcl["multiple"]


def test_an_unknown_category_is_named():
    with pytest.raises(SettingsError, match="unknown category 'agentic'; known: simple_python, multiple, irrelevance"):
        load_items("agentic")


@pytest.mark.parametrize(("category", "count"), [("simple_python", 400), ("multiple", 200)])
@pytest.mark.parametrize("choice", [0, 9])
def test_every_accepted_answer_is_accepted_after_being_written_and_read(bfcl: Bfcl, category: str, count: int, choice: int):
    right = 0
    for item in bfcl[category]:
        text = render_calls(gold_calls(item, choice))
        verdict, complaint = official_verdict(item, parse_calls(text, [tool.name for tool in item.tools]))
        assert complaint == ""
        right += verdict
    assert right == count


def test_a_wrong_answer_gets_the_checkers_complaint_on_one_line(bfcl: Bfcl):
    for item in bfcl["simple_python"] + bfcl["multiple"]:
        (call,) = gold_calls(item)
        for wrong in ([], [call, call], [ToolCall("other")], [ToolCall(call.name, {**call.arguments, "no_such": 1})], None):
            verdict, complaint = official_verdict(item, wrong)
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
            verdict, complaint = official_verdict(item, [ToolCall(call.name, changed)])
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
    assert official_verdict(item_of({"type": kind}, [accepted]), parse_calls(f"[f(x={text})]"))[0] == right


def test_lists_and_objects_are_checked_inside(bfcl: Bfcl):
    numbers = item_of({"type": "array", "items": {"type": "integer"}}, [[1, 2]])
    assert official_verdict(numbers, parse_calls("[f(x=(1, 2))]"))[0]
    assert not official_verdict(numbers, parse_calls("[f(x=[2, 1])]"))[0]
    place = item_of({"type": "dict", "properties": {"city": {"type": "string"}}}, [{"city": ["Oslo", "Kristiania"], "zip": ["", 1]}])
    assert official_verdict(place, parse_calls("[f(x={'city': 'kristiania'})]"))[0]
    assert not official_verdict(place, parse_calls("[f(x={'city': 'Bergen'})]"))[0]


def test_an_irrelevance_item_is_right_without_calls(bfcl: Bfcl):
    item = bfcl["irrelevance"][0]
    assert official_verdict(item, None) == (True, "")
    assert official_verdict(item, ()) == (True, "")
    assert official_verdict(item, (ToolCall("f"),)) == (False, "called a tool although none fits")


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
        "import sys; from luthier.evaluate.bfcl import official_verdict; from luthier.records.bfcl import load_items; from luthier.records import ToolCall\n"
        "print(official_verdict(load_items('multiple', 1)[0], [ToolCall('x')])[0])\n"
        "print(sorted({'openai', 'torch', 'transformers', 'anthropic'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["False", "[]"]
    assert list(tmp_path.iterdir()) == []
