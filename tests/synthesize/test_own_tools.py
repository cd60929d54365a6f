"""The user's own tools: values that any schema allows, requests that say every argument, a plan that leaves nothing out, dialogues that pass every check."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luthier.records import Tool, to_conversation
from luthier.records.patterns import matches
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.coverage import Coverage
from luthier.synthesize.tools.drafts import NOTHING, Draft, parameters_of
from luthier.synthesize.tools.drafts import given as given_paths
from luthier.synthesize.tools.grounding import grounded
from luthier.synthesize.tools.held_out import marks, unseen
from luthier.synthesize.tools.meaning_values import Scene, is_known, value_of
from luthier.synthesize.tools.meanings import meaning_of
from luthier.synthesize.tools.operations import imperative, operation
from luthier.synthesize.tools.own_dialogues import own_dialogues
from luthier.synthesize.tools.own_requests import request_text
from luthier.synthesize.tools.own_values import draw_arguments
from luthier.synthesize.tools.pattern_values import texts_of
from luthier.synthesize.tools.plan import Plan


def tool(name: str, description: str, properties: dict[str, Any], *required: str, returns: dict[str, Any] | None = None) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return Tool(name, description, parameters, returns, source="clinic.yaml: Clinic 1.0")


TEXT = {"type": "string", "description": "Text."}
UUID = {"type": "string", "format": "uuid", "description": "Id."}
PERSON = {
    "type": "object",
    "properties": {
        "firstName": TEXT,
        "lastName": TEXT,
        "email": {"type": "string", "format": "email"},
        "bornOn": {"type": "string", "format": "date"},
    },
    "required": ["firstName", "lastName"],
    "additionalProperties": False,
}
CLINIC = (
    tool(
        "registerPatient",
        "Register a patient.",
        {"person": {**PERSON, "description": "Person."}, "insurance": {**TEXT, "description": "Insurance number."}},
        "person",
    ),
    tool("getPatient", "Show one patient.", {"patientId": {**UUID, "description": "Patient id."}}, "patientId"),
    tool(
        "bookAppointment",
        "Book an appointment for a patient.",
        {
            "patientId": {**UUID, "description": "Patient id."},
            "startsAt": {"type": "string", "format": "date-time", "description": "Start."},
            "minutes": {"type": "integer", "minimum": 10, "maximum": 120, "multipleOf": 5, "description": "Minutes."},
            "speciality": {"type": "string", "enum": ["cardiology", "dermatology"], "description": "Speciality."},
            "symptoms": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3, "description": "Symptoms."},
            "reminder": {"type": "boolean", "default": True, "description": "Send a reminder."},
            "code": {"type": "string", "pattern": "^AP-[0-9]{4}$", "description": "Code of the appointment."},
        },
        "patientId",
        "startsAt",
        "minutes",
        "symptoms",
    ),
    tool(
        "cancelAppointment",
        "Cancel an appointment.",
        {"appointmentId": {**UUID, "description": "Appointment id."}, "reason": {**TEXT, "description": "Why."}},
        "appointmentId",
    ),
    tool("ping", "Health check.", {}),
)

SCHEMAS = st.recursive(
    st.one_of(
        st.sampled_from(["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname", "duration"]).map(
            lambda one: {"type": "string", "format": one}
        ),
        st.sampled_from(["^[A-Z]{3}$", r"^\d{4}-W\d{2}$", "^(a|bc)+$", r"^\+[1-9]\d{5,14}$", "[a-f0-9]{8}"]).map(
            lambda one: {"type": "string", "pattern": one}
        ),
        st.tuples(st.integers(0, 40), st.integers(0, 60)).map(
            lambda two: {"type": "string", "minLength": two[0], "maxLength": two[0] + two[1] + 1}
        ),
        st.tuples(st.integers(-50, 50), st.integers(0, 90)).map(
            lambda two: {"type": "integer", "minimum": two[0], "maximum": two[0] + two[1]}
        ),
        st.tuples(st.integers(-50, 50), st.integers(1, 90)).map(
            lambda two: {"type": "number", "exclusiveMinimum": two[0], "exclusiveMaximum": two[0] + two[1]}
        ),
        st.sampled_from([5, 0.25, 100]).map(lambda one: {"type": "number", "multipleOf": one, "minimum": 0}),
        st.lists(st.sampled_from(["red", "blue", 3, None]), min_size=1, max_size=3, unique=True).map(
            lambda one: {"enum": one if one != [None] else ["red"]}
        ),
        st.sampled_from([{"type": "boolean"}, {"type": ["string", "null"]}, {"const": "fixed"}, {"type": "object"}, {"type": "array"}]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 3), st.booleans()).map(
            lambda three: {
                "type": "array",
                "items": three[0],
                "minItems": min(three[1], 1),
                "maxItems": max(1, three[1]),
                "uniqueItems": three[2],
            }
        ),
        st.dictionaries(
            st.sampled_from(["firstName", "city", "checkIn", "amount", "tags", "note", "colour", "orderId"]), inner, max_size=4
        ).map(lambda parts: {"type": "object", "properties": parts, "required": sorted(parts)[:2], "additionalProperties": False}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"anyOf": parts}),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(schema=SCHEMAS, name=st.sampled_from(["firstName", "departure_date", "price", "flight", "productId", "x"]), seed=st.integers(0, 999))
def test_whatever_is_drawn_is_valid(schema: dict[str, Any], name: str, seed: int) -> None:
    parameters = {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
    paths = frozenset(parameters_of(parameters))
    for wanted in (frozenset[str](), paths):
        value = draw_arguments(parameters, Draft(Scene(Random(seed)), wanted))
        assert value is not NOTHING
        assert not list(Draft202012Validator(parameters).iter_errors(value)), value


@pytest.mark.parametrize(
    ("name", "description", "meaning"),
    [
        ("firstName", "Given name.", "first_name"),
        ("guest_last_name", "", "last_name"),
        ("airport", "IATA code.", "airport"),
        ("country", "ISO 3166 alpha-2.", "country"),
        ("country", "Country name, written out.", "country_name"),
        ("checkOut", "Departure day.", "end_date"),
        ("pickup_date", "", "start_date"),
        ("contactPhone", "", "phone"),
        ("bookingId", "", "code"),
        ("week", "ISO week.", "week"),
        ("frobnication", "", ""),
    ],
)
def test_meanings_are_read_off_the_split_words(name: str, description: str, meaning: str) -> None:
    assert meaning_of(name, description) == meaning


@pytest.mark.parametrize(
    ("name", "description", "owner", "meaning"),
    [
        ("title", "Title of the book.", "reserve book reserve a book for a reader", "book"),
        ("title", "", "create task create a task for a user", "title"),
        ("title", "Mr, Mrs or Dr.", "add guest add a guest", "title"),
        ("name", "Name of the room that the guest booked.", "", "group"),
        ("name", "Part of the guest's name.", "find guests", "person"),
        ("name", "User-friendly display name.", "create command", "group"),
        ("name", "The name of the operation's parent resource.", "list operations", "group"),
        ("name", "", "book room book a room for a guest", "person"),
        ("name", "", "register pet register a pet for its owner", "pet_name"),
        ("name", "", "file complaint file a complaint for a customer", "person"),
        ("name", "", "book book a room", "group"),
        ("name", "", "list pets list all pets", "pet_name"),
    ],
)
def test_a_name_is_of_what_is_spoken_of_first(name: str, description: str, owner: str, meaning: str) -> None:
    assert meaning_of(name, description, owner) == meaning


def test_every_meaning_that_clues_lead_to_can_be_drawn() -> None:
    from luthier.synthesize.tools import meanings

    found = {meaning for _, meaning in (*meanings._TOLD, *meanings._NAMES)} - {"code"}
    assert all(is_known(one) for one in found), found
    scene = Scene(Random(1))
    assert all(value_of(one, scene) not in ("", None) for one in found)


def test_an_address_is_its_owners_and_a_stay_ends_after_it_begins() -> None:
    scene = Scene(Random(5))
    first, last, email = (value_of(one, scene) for one in ("first_name", "last_name", "email"))
    assert str(email).startswith(f"{first}.{last}".lower())
    assert value_of("start_date", scene) < value_of("end_date", scene)


@pytest.mark.parametrize(
    "pattern", ["^[A-Z]{3}$", r"^\d{4}-W\d{2}$", "foo", "^(ORD|INV)-[0-9]{6}$", "^.*x$", r"^[^@]+@[^@]+$", "^a|b$", "^[一-龥]{2,3}$"]
)
def test_texts_of_a_pattern_match_it(pattern: str) -> None:
    found = texts_of(pattern)
    assert found
    assert all(matches(pattern, text) for text in found)
    assert found == texts_of.__wrapped__(pattern)  # always the same ones


def test_lengths_hold_beside_a_pattern_and_what_cannot_be_run_gives_nothing() -> None:
    assert all(len(text) == 7 for text in texts_of("^[a-z]+$", 7, 7))
    assert texts_of("(?!a)b") == ()
    assert texts_of("^[a-z]{2}$", 5, 9) == ()


@pytest.mark.parametrize(
    ("name", "description", "ask"),
    [
        ("cancelBooking", "Cancel a booking.", "cancel a booking"),
        ("getUser", "Returns the user with the given id, including roles and permissions.", "get the user with the given id"),
        ("getWeather", "Weather forecast at a property.", "get the weather forecast at a property"),
        ("get_ping", "Health check.", "run the health check"),
        ("create_quote", "Quote.", "create a quote"),
        ("list_events", "A list of events", "get a list of events"),
    ],
)
def test_what_one_asks_for_is_an_order(name: str, description: str, ask: str) -> None:
    assert imperative(tool(name, description, {})) == ask


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), number=st.integers(0, len(CLINIC) - 1))
def test_every_argument_is_said(seed: int, number: int) -> None:
    asked = operation(CLINIC[number])
    random = Random(seed)
    arguments = draw_arguments(asked.tool.parameters, Draft(Scene(random), frozenset(asked.paths)), asked.words)
    text = request_text(asked, arguments, random)
    assert grounded(arguments, asked.tool.parameters, text), (text, arguments)
    assert not any(mark in text for mark in ("{", "}", "  ", "[]", "None", "True")), text


def test_a_withheld_argument_is_not_said() -> None:
    asked = operation(CLINIC[3])
    for seed in range(20):
        text = request_text(asked, {"appointmentId": "77aa", "reason": "it was charged twice"}, Random(seed), without=["appointmentId"])
        assert "77aa" not in text
        assert "charged twice" in text


def test_the_plan_gives_every_tool_and_parameter_its_turns_before_anything_repeats() -> None:
    operations = [operation(one) for one in CLINIC]
    plan = Plan(operations, 2, Random(3))
    calls: Counter[str] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    owed = {(one.name, path) for one in operations for path in one.paths}
    for _ in range(60):
        one = plan.next()
        if calls[one.name] >= 2 and all(values[one.name, path] >= 2 for path in one.paths):
            break  # the first that repeats
        arguments = draw_arguments(one.tool.parameters, Draft(Scene(Random(1)), plan.wanted(one)), one.words)
        plan.gave(one, arguments)
        calls[one.name] += 1
        values.update((one.name, path) for path in set(given_paths(arguments)))
    assert all(calls[one.name] >= 2 for one in operations)
    assert all(values[one] >= 2 for one in owed)


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    return list(own_dialogues(400, CLINIC, seed=2))


def test_dialogues_pass_every_check_and_have_every_type(rows: list[Any]) -> None:
    found = Counter(str(finding) for row in rows for finding in check(row))
    assert not found
    types = Counter(row.extra["type"] for row in rows)
    assert set(types) == {"single", "parallel", "dependent", "missing_argument", "irrelevant", "chat", "recovery"}
    assert len({str(row.messages[0].content) for row in rows}) == len(rows)
    assert all(to_conversation(row.to_row()).messages == row.messages for row in rows)


def test_everything_is_covered_and_the_account_says_so(rows: list[Any]) -> None:
    coverage = Coverage(CLINIC)
    for row in rows:
        coverage.add(row)
    account = coverage.to_row()
    assert account["tools"] == [5, 5]
    assert account["parameters"][0] == account["parameters"][1] == 16
    assert account["missing"] == []
    short = Coverage(CLINIC, {"ping": "it is silent"})
    short.add(rows[0])
    told = {(one["tool"], one["why"]) for one in short.to_row()["missing"]}
    assert ("ping", "it is silent") in told
    assert any("--count" in why for _, why in told)


def test_lists_are_whole_or_short_and_calls_stay_on_them(rows: list[Any]) -> None:
    sizes = Counter(len(row.tools) for row in rows)
    assert sizes[5] > 40
    assert len(sizes) > 2
    near = [row for row in rows if row.extra.get("subtype") == "near"]
    assert near
    assert all(row.extra["source"] == "clinic.yaml: Clinic 1.0" for row in rows)
    whole = list(own_dialogues(60, CLINIC, seed=1, whole_share=1.0))
    assert all(row.tools == CLINIC for row in whole)


def test_a_later_call_uses_what_the_earlier_one_gave(rows: list[Any]) -> None:
    dependent = [row for row in rows if row.extra["type"] == "dependent"]
    for row in dependent:
        said, answer, later = row.messages[0].content, json.loads(row.messages[2].content), row.messages[3].tool_calls[0]
        shared = [value for value in later.arguments.values() if value in answer.values()]
        assert shared
        assert not any(str(value) in said for value in shared if isinstance(value, str) and len(value) > 30)


def test_the_assistant_asks_for_exactly_what_is_missing(rows: list[Any]) -> None:
    from luthier.synthesize.tools.meanings import words_of

    for row in rows:
        if row.extra["type"] == "missing_argument":
            for name in row.extra["missing"]:
                assert any(word in row.messages[-1].content for word in words_of(name).split())
            required = {name for one in row.tools for name in one.parameters["required"]}
            assert set(row.extra["missing"]) <= required


def test_beside_a_request_that_lacks_a_value_stands_the_same_one_with_it(rows: list[Any]) -> None:
    lacking = [(number, row) for number, row in enumerate(rows) if row.extra["type"] == "missing_argument"]
    paired = 0
    for number, row in lacking:
        later = [one for one in rows[number : number + 12] if one.extra.get("subtype") == "complete"]
        whole = next((one for one in later if one.tools == row.tools), None)
        if whole is not None:
            call = whole.messages[1].tool_calls[0]
            assert set(row.extra["missing"]) <= set(call.arguments)
            paired += 1
    assert paired > len(lacking) / 2
    assert not any(row.extra.get("subtype") == "complete" for row in own_dialogues(100, CLINIC, seed=2, paired=False))


def test_the_same_seed_gives_the_same_rows_and_another_seed_others_that_are_held_out() -> None:
    first = [row.to_row() for row in own_dialogues(80, CLINIC, seed=5)]
    assert first == [row.to_row() for row in own_dialogues(80, CLINIC, seed=5)]
    assert first[:30] == [row.to_row() for row in own_dialogues(30, CLINIC, seed=5)]
    seen = {mark for row in own_dialogues(80, CLINIC, seed=5) for mark in marks(row)}
    before = set(seen)
    held = list(unseen(own_dialogues(80, CLINIC, seed=6), seen))
    assert len(held) > 50
    assert all(before.isdisjoint(marks(row)) for row in held)


def test_a_tool_that_can_do_nothing_is_left_out_by_name() -> None:
    from luthier.synthesize.tools.callable_tools import callable_tools

    odd = tool("odd", "Do something odd.", {"x": {"type": "string", "pattern": "^[a-z]{2}$", "minLength": 5, "description": "X."}}, "x")
    fitting, left = callable_tools([*CLINIC, odd])
    assert [one.name for one in fitting] == [one.name for one in CLINIC]
    assert list(left) == ["odd"]
