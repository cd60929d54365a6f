"""Tools made of tools: node sets, operators, lineages, the model's version, and the command; what is made is sound, new, and told apart."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chat_server import ChatServer, Reply, completion
from command import luthier
from luthier.errors import SettingsError
from luthier.records import Tool
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.context_tree import LEVELS, domain_of, mined, node_sets, speciate
from luthier.synthesize.tools.evolution import evolve
from luthier.synthesize.tools.lint import lint
from luthier.synthesize.tools.operators import OF_ARGUMENTS, OPERATORS, add_constraint, change_answer, change_need, change_type, rename
from luthier.synthesize.tools.pool import ToolPool
from luthier.synthesize.tools.pool_settings import EvolveSettings
from luthier.synthesize.tools.similarity import near_duplicates, tool_words
from luthier.texts.minhash import jaccard

SAMPLE = list(import_apis(("sample",)))
BANK = mined(SAMPLE)


def tool(**properties: dict[str, object]) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return Tool("desk.get_loan", "Get a loan of the desk.", parameters, source=SAMPLE[0].source)


def test_the_tree_says_service_subject_and_what_is_done() -> None:
    tree = speciate(
        [Tool("vault.matters.close", "Closes the matter. For good.", {"type": "object", "properties": {}}, source="google: vault.v1")]
    )
    (leaf,) = tree.leaves("vault.v1")
    assert (leaf.path, leaf.gloss) == ("vault.v1 / matters / close", "Closes the matter")
    assert domain_of(Tool("a.b", "", {})) == "a"
    assert len(speciate(SAMPLE)) == len(SAMPLE)


@given(some.integers(0, 2**31))
def test_no_two_apis_have_the_same_nodes(seed: int) -> None:
    random, used = Random(seed), set[frozenset[str]]()
    tree, found = speciate(SAMPLE), []
    while (nodes := node_sets(tree, random, used)) is not None and len(found) < 40:
        found.append(frozenset(node.path for node in nodes))
        assert 1 <= len(nodes) == len(found[-1]) <= max(most for _, _, most in LEVELS)
        assert len({node.domain for node in nodes}) == 1
    assert len(set(found)) == len(found) > 10


@given(some.sampled_from(SAMPLE), some.sampled_from(list(OPERATORS)), some.integers(0, 2**31))
def test_an_operator_makes_another_sound_definition_and_leaves_its_own_alone(one: Tool, name: str, seed: int) -> None:
    before = copy.deepcopy(one)
    made = OPERATORS[name](one, Random(seed), BANK)
    assert one == before
    if made is None:
        return
    assert lint(made) == []
    assert callable_tools([made])[0] == [made]
    assert (made.parameters != one.parameters) == (name in OF_ARGUMENTS)
    assert (made.name != one.name) == (name == "rename")
    assert (made.returns != one.returns) == (name == "change answer")


def test_a_constraint_is_said_in_words() -> None:
    kinds = {
        "title": ({"type": "string", "description": "Title of the book"}, "maxLength", "characters."),
        "days": ({"type": "integer", "description": "Number of days."}, "maximum", "From "),
        "tags": ({"type": "array", "items": {"type": "string"}, "description": "Words on it."}, "maxItems", "items."),
    }
    for name, (schema, word, said) in kinds.items():
        made = add_constraint(tool(**{name: schema}), Random(1), {})
        assert made is not None
        limited = made.parameters["properties"][name]
        assert word in limited
        assert said in limited["description"]
        assert str(limited[word]) in limited["description"]
    listed = add_constraint(tool(kind={"type": "string", "description": "Kind of trip: single, return or open."}), Random(0), {})
    assert listed is not None
    assert listed.parameters["properties"]["kind"]["enum"] == ["single", "return", "open"]
    assert add_constraint(listed, Random(0), {}) is None  # limited already


def test_parameters_that_begin_alike_become_one_object() -> None:
    told = {"type": "string", "description": "A day of the loan."}
    made = {
        json.dumps(found.parameters, sort_keys=True)
        for seed in range(40)
        if (
            found := change_type(
                tool(start_date=told, end_date=told, note={"type": "string", "description": "A note on it."}), Random(seed), {}
            )
        )
    }
    objects = [json.loads(text) for text in made if '"date"' in text]
    assert objects[0]["properties"]["date"]["properties"] == {"start_date": told, "end_date": told}
    assert objects[0]["properties"]["date"]["required"] == ["start_date"]
    assert objects[0]["required"] == ["date"]


def test_what_has_nothing_to_change_is_left() -> None:
    bare = Tool("ping", "Says that it is there.", {"type": "object", "properties": {}})
    assert all(operator(bare, Random(0), {}) is None for operator in OPERATORS.values())
    assert change_need(tool(a={"type": "string", "description": "The only one there is."}), Random(0), {}) is None
    assert change_answer(Tool("a", "Lists all of them.", {}, {"type": "array"}), Random(0), BANK) is None
    named = rename(Tool("desk.getLoan", "Gets it.", {}), Random(0), {})
    assert named is not None
    assert named.name in {"desk.fetchLoan", "desk.retrieveLoan", "desk.readLoan"}


def test_tools_are_new_sound_and_descend_from_one_another() -> None:
    made = evolve(SAMPLE, 24, seed=3)
    assert len(made.tools) == 24
    assert evolve(SAMPLE, 24, seed=3).tools == made.tools
    assert all(lint(one) == [] for one in made.tools)
    assert len(callable_tools(made.tools)[0]) == 24
    everything = [*SAMPLE, *made.tools]
    words = [tool_words(one) for one in everything]
    assert near_duplicates(words)[len(SAMPLE) :] == [None] * 24
    assert max(jaccard(words[-1], other) for other in words[:-1]) <= 0.8
    known = {one.name for one in SAMPLE}
    for one in made.tools:  # in the order they were made: a parent stands before its child, so no line turns back
        assert one.lineage is not None
        assert one.lineage["parent"] in known
        assert OF_ARGUMENTS & set(one.lineage["operators"])
        known.add(one.name)
    assert len({tuple(sorted(one.lineage["nodes"])) for one in made.tools if one.lineage}) == 24
    assert made.generations >= 2


def test_a_small_pool_ends_and_says_why() -> None:
    made = evolve(SAMPLE[:2], 500)
    assert len(made.tools) < 20
    assert sum(made.reasons.values()) > 0 or len(made.tools) < 500


def definitions(request: Reply) -> Reply:
    """Writes a definition of what is asked, and then one with a parameter more; every third time no JSON."""
    text, number = str(request["messages"][-1]["content"]), request.get("seed", 0)
    if number % 3 == 0:
        return completion("I would rather not.")
    schema = {"type": "string", "description": f"A word of {number % 977} that is looked for."}
    name = f"desk.look_up_{number % 977}"
    row = json.loads(text[text.rfind('{"name"') :]) if text.startswith(("Add", "Change", "Make", "Give")) else {"name": name}
    properties = {**row.get("parameters", {}).get("properties", {}), f"word_{number % 977}": schema}
    row |= {
        "description": f"Looks up shelf {number % 977} and row {number % 89} of hall {number % 31} by words.",
        "parameters": {"type": "object", "properties": properties, "required": []},
    }
    return completion(f"Here it is: {json.dumps(row)}")


def test_a_model_writes_and_its_answers_replay_to_the_same_pool(tmp_path: Path) -> None:
    with ChatServer(definitions) as server:
        words = ["tools", "evolve", "sample", "--count", 6, "--writer", "scripted", "--quiet"]
        said = luthier(*words, "--endpoint", server.url, "--out", tmp_path / "made").stdout
    assert "written by scripted" in said
    assert "the model wrote no definition" in said
    made = ToolPool.read(tmp_path / "made" / "pool.jsonl")
    assert len(made) == 6
    assert all(one.lineage for one in made)
    luthier(*words[:5], "--replay", tmp_path / "made" / "answers.jsonl", "--out", tmp_path / "again", "--quiet")
    assert (tmp_path / "again" / "pool.jsonl").read_bytes() == (tmp_path / "made" / "pool.jsonl").read_bytes()


def test_what_was_given_and_left_out_is_said(tmp_path: Path) -> None:
    tools = [
        *(one.to_row()["function"] for one in SAMPLE),
        {"name": "odd\nname", "description": "Does odd things.", "parameters": {"type": "object"}},
    ]
    (tmp_path / "tools.json").write_text(json.dumps([*tools, tools[0]]))
    said = luthier("tools", "evolve", tmp_path / "tools.json", "--count", 4, "--out", tmp_path / "made", "--quiet").stdout
    assert "given and left out, A2" in said
    assert "given and left out, duplicates of another tool: 1" in said
    page = (tmp_path / "made" / "report.html").read_text()
    assert "Given and left out" in page


def test_a_budget_ends_it_with_what_is_made(tmp_path: Path) -> None:
    with ChatServer(definitions) as server:
        words = ["tools", "evolve", "sample", "--count", 50, "--writer", "scripted", "--endpoint", server.url, "--budget", "20 calls"]
        said = luthier(*words, "--out", tmp_path / "made", "--quiet").stdout
    assert "no budget was left" in said
    assert json.loads((tmp_path / "made" / "run.json").read_text())["steps"]["evolve"]["results"]["writer"]["calls"] <= 20


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "no APIs: name some"),
        ({"specs": ("sample",), "budget": "3 calls"}, "--budget is of the writer"),
        ({"specs": ("sample",), "endpoint": "http://127.0.0.1:1"}, "--endpoint is of the writer"),
        ({"specs": ("sample",), "writer": "a", "replay": "b"}, "--writer and --replay"),
        ({"specs": ("sample",), "writer": "a", "budget": "3 min"}, "here it is of calls and tokens"),
        ({"specs": ("sample",), "count": 0}, "--count is 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given_: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EvolveSettings(**given_)  # type: ignore[arg-type]
