"""Dialogues: the truth is what was drawn, the text carries it, the checks agree, the same seed gives the same rows."""

import re
from collections import Counter
from itertools import groupby
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luthier.records import Tool, to_conversation
from luthier.synthesize.tools.blueprints import PLACE, spoken
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.dialogues import PER_LIST, TYPE_SHARES, synthesize_dialogues
from luthier.synthesize.tools.everyday import everyday_blueprint, ideas
from luthier.synthesize.tools.own_dialogues import own_dialogues
from luthier.synthesize.tools.real_tools import real_blueprint
from luthier.synthesize.tools.requests import draw_arguments, mention, request
from luthier.synthesize.tools.slots import idea_slot, token_name
from luthier.synthesize.tools.values import Source, guess_kind, kinds, topic_text

ROOMS = Tool(
    "rooms.book_room",
    "Books a room in a hotel for some nights.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City."},
            "nights": {"type": "integer", "description": "Nights.", "minimum": 1, "maximum": 30},
            "view": {"type": "string", "enum": ["sea", "garden"], "description": "View."},
            "breakfast": {"type": "boolean", "description": "With breakfast."},
        },
        "required": ["city", "nights"],
        "additionalProperties": False,
    },
    source="test: rooms",
)


def test_every_kind_draws_its_type_and_is_described() -> None:
    source = Source(3)
    types = {"string": str, "integer": int, "number": (int, float), "array": list}
    for name, kind in kinds().items():
        for _ in range(20):
            value = kind.draw(source)
            assert isinstance(value, types[kind.type]), name
            assert not isinstance(value, bool), name
            assert value not in ("", []), name
        assert all(re.search(r"{[vpq]}", said) for said in kind.said), name
        assert kind.names
        assert all(kind.about), name


def test_every_idea_makes_a_valid_tool() -> None:
    source = Source(1)
    for idea in ideas():
        blueprint = everyday_blueprint(idea, source)
        Draft202012Validator.check_schema(blueprint.tool.parameters)
        assert [slot.name for slot in blueprint.slots] == list(blueprint.tool.parameters["properties"])
        assert any(slot.required for slot in blueprint.slots), idea
    assert len({idea.domain for idea in ideas()}) >= 30


def test_questions_are_about_parameters_of_their_idea_and_carry_their_values() -> None:
    asked = [idea for idea in ideas() if idea.questions]
    assert len(asked) > 100
    for idea in asked:
        names = [token_name(token) for token in idea.parameters]
        assert all(set(PLACE.findall(one)) <= set(names) for one in idea.questions), idea
        assert all(one.endswith("?") and PLACE.search(one) for one in idea.questions), idea
    capital = next(idea for idea in asked if idea.ask == "find the capital")
    source = Source(5)
    blueprint = everyday_blueprint(capital, source)
    name = blueprint.slots[0].name
    assert f"Which city is the capital of {{{name}}}?" in blueprint.questions
    texts = {request(blueprint, {name: "Malta"}, source).text for _ in range(80)}
    assert {"Which city is the capital of Malta?", "From where is Malta governed?"} < texts
    assert all("Malta" in text for text in texts)
    withheld = {request(blueprint, {name: "Malta"}, source, without=name).text for _ in range(40)}
    assert not any("Malta" in text or "governed" in text for text in withheld)


def test_what_a_question_does_not_hold_follows_it() -> None:
    biography = next(idea for idea in ideas() if idea.ask == "get the biography of a scientist")
    for seed in range(60):
        source = Source(seed)
        blueprint = everyday_blueprint(biography, source)
        arguments = draw_arguments(blueprint, source, 1.0)
        text = request(blueprint, arguments, source).text
        assert all(str(value) in text for value in arguments.values() if isinstance(value, str)), text
        assert "?." not in text
        assert "  " not in text


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("city", "city"),
        ("date=first?", "first"),
        ("enum:room=single/double?", "room"),
        ("num:mass(kg)", "mass"),
        ("fields:filter(city year?)", "filter"),
    ],
)
def test_a_parameter_of_an_idea_is_called_by_its_name_or_its_kind(token: str, name: str) -> None:
    assert token_name(token) == name


def test_objects_and_lists_of_objects_are_said_field_by_field() -> None:
    random = Random(2)
    seat = idea_slot("rows:passengers(person=name enum:seat=window/aisle? num:weight(kg))?", random)
    assert not seat.required
    assert seat.schema["items"]["required"] == ["name", "weight"]
    assert seat.schema["items"]["properties"]["weight"]["type"] in ("integer", "number")
    filters = idea_slot("fields:filter(city year?)", random)
    source, told = Source(4), set()
    for _ in range(60):
        passengers, found = seat.draw(source), filters.draw(source)
        assert 1 <= len(found) <= 2  # the year may be left out
        text = mention(seat, passengers, source, named=True)
        assert all(row["name"] in text and str(row["weight"]) in text for row in passengers)
        assert all(str(value) in mention(filters, found, source, named=False) for value in found.values())
        told.add(len(passengers))
    assert told == {1, 2, 3}


def test_plain_dialogues_have_no_objects_and_the_others_do() -> None:
    def objects(plain: bool) -> int:
        rows = synthesize_dialogues(600, seed=2, plain=plain)
        values = (value for row in rows for call in row.messages[1].tool_calls for value in call.arguments.values())
        return sum(isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict)) for value in values)

    assert objects(plain=True) == 0
    assert objects(plain=False) > 5


def test_articles_are_no_part_of_a_value() -> None:
    source = Source(1)
    for name in ("event", "invention", "crime"):
        values = {str(kinds()[name].draw(source)) for _ in range(60)}
        assert len(values) > 5
        assert not any(value.startswith(("the ", "a ")) for value in values)
        assert any("the {v}" in way or "a {v}" in way for way in kinds()[name].said)
    assert topic_text("event", source).startswith("the ")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_arguments_fit_the_schema_and_required_ones_are_there(seed: int) -> None:
    source = Source(seed)
    blueprint = everyday_blueprint(source.random.choice(ideas()), source)
    arguments = draw_arguments(blueprint, source)
    assert list(Draft202012Validator(blueprint.tool.parameters).iter_errors(arguments)) == []
    asked = request(blueprint, arguments, source)
    assert asked.text
    assert "{" not in asked.text
    strings = [value for value in arguments.values() if isinstance(value, str)]
    assert all(value.strip(" .?") in asked.text for value in strings), (asked.text, arguments)


def test_a_withheld_value_is_not_in_the_text() -> None:
    blueprint = real_blueprint(ROOMS, Source(0))
    assert blueprint is not None
    for seed in range(30):
        source = Source(seed)
        arguments = {"city": "Zanzibarville", "nights": 17}
        text = request(blueprint, arguments, source, without="city").text
        assert "Zanzibarville" not in text
        assert "17" in text


def test_a_facet_keeps_the_required_parameters_and_their_schemas() -> None:
    for seed in range(20):
        blueprint = real_blueprint(ROOMS, Source(seed))
        assert blueprint is not None
        properties = blueprint.tool.parameters["properties"]
        assert list(properties)[:2] == ["city", "nights"]
        assert all(ROOMS.parameters["properties"][name] == schema for name, schema in properties.items())
        assert blueprint.ask == "book a room in a hotel for some nights" or blueprint.ask.startswith("book")


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    rows = [row.to_row() for row in synthesize_dialogues(60, [ROOMS], seed=5)]
    assert rows == [row.to_row() for row in synthesize_dialogues(60, [ROOMS], seed=5)]
    assert rows != [row.to_row() for row in synthesize_dialogues(60, [ROOMS], seed=6)]
    assert rows[:30] == [row.to_row() for row in synthesize_dialogues(30, [ROOMS], seed=5)]


def test_the_mix_of_types_and_the_checks() -> None:
    rows = list(synthesize_dialogues(1500, seed=11))
    mix = Counter(row.extra["type"] for row in rows)
    for kind, share in TYPE_SHARES.items():
        assert abs(mix[kind] / len(rows) - share) < 0.05, (kind, mix)
    found = Counter(finding.rule for row in rows for finding in check(row))
    assert sum(found.values()) / len(rows) < 0.05, found
    assert found["F2"] == found["S2"] == found["F1"] == 0


def test_lists_of_tools_carry_calls_and_refusals_in_a_row() -> None:
    rows = list(synthesize_dialogues(400, [ROOMS], seed=4))
    lists = [list(rows_on_it) for _, rows_on_it in groupby(rows, key=lambda row: row.tools)]
    assert max(map(len, lists)) == PER_LIST
    assert sum(map(len, lists)) / len(lists) > 0.85 * PER_LIST
    for group in lists:
        assert len({row.messages[0].content for row in group}) == len(group)
    whole = [{row.extra["type"] for row in group} for group in lists if len(group) == PER_LIST]
    assert all("irrelevant" in types and "single" in types for types in whole)  # shares of 0.30 and 0.57: one of six at least
    wanted = [[call.name for row in group for call in row.messages[-1].tool_calls] for group in lists]
    assert any(len(set(names)) > 1 for names in wanted)  # not always the same tool of a list
    assert {len(group[0].tools) for group in lists} >= {1, 2, 3}


def test_beside_a_request_that_lacks_a_value_stands_the_same_one_with_it() -> None:
    rows = list(synthesize_dialogues(900, [], seed=4, real_share=0.0))
    lacking = [(number, row) for number, row in enumerate(rows) if row.extra["type"] == "missing_argument"]
    whole = [
        later
        for number, row in lacking
        for later in rows[number : number + PER_LIST]
        if later.tools == row.tools
        and later.extra["type"] == "single"
        and row.extra["missing"][0] in later.messages[1].tool_calls[0].arguments
    ]
    assert len(lacking) > 20
    assert len(whole) > len(lacking) / 2
    texts = {row.messages[0].content for row in whole}
    assert texts.isdisjoint(row.messages[0].content for row in synthesize_dialogues(900, [], seed=4, real_share=0.0, plain=True))


def test_labels_agree_with_content_and_rows_survive_the_disk_layout() -> None:
    for row in synthesize_dialogues(300, [ROOMS] * 1, seed=2):
        answer = row.messages[-1]
        calls = {"single": 1, "missing_argument": 0, "irrelevant": 0}
        if row.extra["type"] == "parallel":
            assert len(answer.tool_calls) >= 2
        else:
            assert len(answer.tool_calls) == calls[row.extra["type"]]
        names = [tool.name for tool in row.tools]
        assert len(set(names)) == len(names)
        assert all(call.name in names for call in answer.tool_calls)
        if row.extra["type"] == "missing_argument":
            assert spoken(row.extra["missing"][0]) in (answer.content or "")
        assert to_conversation(row.to_row()).messages == row.messages


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("customer_email", {"type": "string"}, "email"),
        ("max_results", {"type": "integer"}, "count"),
        ("max_results", {"type": "string"}, None),
        ("start_date", {"type": "string"}, "date"),
        ("analyzer_arn", {"type": "string"}, "code"),
        ("frobnication", {"type": "string"}, None),
    ],
)
def test_kinds_are_guessed_by_name_and_type(name: str, schema: dict[str, str], kind: str | None) -> None:
    assert guess_kind(name, schema) is (kinds()[kind] if kind else None)


def test_values_are_drawn_from_the_given_seed_alone() -> None:
    Random(1).random()
    assert [kinds()["city"].draw(Source(4)) for _ in range(3)] == [kinds()["city"].draw(Source(4))] * 3


def test_what_is_said_in_place_of_a_call_begins_alike():
    """Greedy decoding takes the likeliest first token: a call would win against many beginnings, each of a small share."""
    parameters = {
        "type": "object",
        "properties": {"guest": {"type": "string"}, "nights": {"type": "integer"}, "city": {"type": "string"}},
        "required": ["guest", "nights"],
    }
    own = [Tool(f"book_{noun}", f"Book a {noun} for a guest.", parameters) for noun in ("room", "boat", "table")]
    said = {
        str(row.messages[1].content).split()[0].partition("'")[0]
        for row in (*synthesize_dialogues(400, seed=2), *own_dialogues(200, own, seed=2))
        if row.extra["type"] in {"irrelevant", "missing_argument"}
    }
    assert said == {"I"}
