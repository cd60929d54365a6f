"""APIs of a code host, a ward and a till: what their definitions say of a value is what is drawn and said."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import pytest

from luthier.evaluate.tool_verdicts import misfit
from luthier.records import Conversation, Tool, ToolCall
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.drafts import Draft
from luthier.synthesize.tools.meaning_values import Scene
from luthier.synthesize.tools.meanings import meaning_of
from luthier.synthesize.tools.operations import imperative, operation
from luthier.synthesize.tools.own_details import asked_for, detail
from luthier.synthesize.tools.own_dialogues import own_dialogues
from luthier.synthesize.tools.own_texts import another_like, digits_in, options_in
from luthier.synthesize.tools.own_values import draw_arguments


def text(about: str = "", **schema: Any) -> dict[str, Any]:
    return {"type": "string", **({"description": about} if about else {}), **schema}


def tool(name: str, about: str, required: list[str], properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "description": about, "inputSchema": {"type": "object", "properties": properties, "required": required, **more}}


REPOSITORY = {"owner": text("Repository owner"), "repo": text("Repository name")}
TOOLS = [
    tool(
        "get_diff",
        "Get the diff of a pull request.",
        ["owner", "repo", "pullNumber"],
        {**REPOSITORY, "pullNumber": {"type": "integer", "minimum": 1000, "maximum": 9999}},
    ),
    tool(
        "comment_on_line",
        "Add a comment on a line of a pull request.",
        ["owner", "repo", "pull_number", "line"],
        {**REPOSITORY, "pull_number": {"type": "integer", "minimum": 1000, "maximum": 9999}, "line": {"type": "number"}},
    ),
    tool("move_file", "Move or rename files and directories.", ["source", "destination"], {"source": text(), "destination": text()}),
    tool(
        "search_issues",
        "Search issues with a query.",
        ["jql"],
        {
            "jql": text("Query, e.g. 'project = PROJ AND status = \"In Progress\"'"),
            "fields": text("Comma-separated fields to return", default="summary,status,assignee"),
            "spent": text("Time spent, e.g. '1h 30m'"),
            "since": text("From when, e.g. '2023-08-01T12:00:00.000+0000'"),
        },
    ),
    tool(
        "find_parcel",
        "Find a parcel.",
        [],
        {"tracking_number": text(), "order_id": text()},
        oneOf=[{"required": ["tracking_number"]}, {"required": ["order_id"]}],
    ),
    tool(
        "admit_patient",
        "Admit a patient to a ward.",
        ["mrn", "given", "family"],
        {"mrn": text("Medical record number, 8 digits"), "given": {"type": "array", "items": text()}, "family": text()},
    ),
    tool("discharge_patient", "Discharge a patient.", ["mrn"], {"mrn": text()}),
    tool(
        "record_vitals",
        "Record vital signs of a patient.",
        ["mrn", "systolic", "diastolic", "taken_at"],
        {"mrn": text(), "systolic": {"type": "integer"}, "diastolic": {"type": "integer"}, "taken_at": text(format="date-time")},
    ),
    tool(
        "convert_money",
        "Convert an amount.",
        ["amount", "from_currency", "to_currency"],
        {
            "amount": {"type": "number", "minimum": 0.01, "multipleOf": 0.01},
            "from_currency": text("Three-letter ISO currency code, in lowercase."),
            "to_currency": text("Three-letter ISO currency code, in lowercase."),
        },
    ),
    tool(
        "ship_stock",
        "Book in a delivery.",
        ["from_location", "to_location"],
        {
            "from_location": text(),
            "to_location": text(),
            "created": {"type": "object", "properties": {n: {"type": "integer"} for n in ("gt", "lt")}},
        },
    ),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    path = tmp_path_factory.mktemp("kinds") / "tools.json"
    path.write_text(json.dumps({"tools": TOOLS}))
    return list(own_dialogues(500, list(import_apis((str(path),), False)), seed=4))


def calls(rows: list[Conversation], name: str) -> list[dict[str, Any]]:
    return [call.arguments for row in rows for message in row.messages for call in message.tool_calls if call.name == name]


def said(rows: list[Conversation]) -> str:
    return "\n".join(str(message.content) for row in rows for message in row.messages if message.role == "user")


def test_every_dialogue_passes_the_rules(rows: list[Conversation]) -> None:
    assert [problem for row in rows for problem in check(row)] == []


def test_examples_stand_as_they_are_shown_and_their_kind_is_kept(rows: list[Conversation]) -> None:
    found = calls(rows, "search_issues")
    assert {call["jql"] for call in found} == {'project = PROJ AND status = "In Progress"'}
    assert all(set(call["fields"].split(",")) <= {"summary", "status", "assignee"} for call in found if "fields" in call)
    assert any("fields" in call for call in found)
    assert all(re.fullmatch(r"[1-8]h \d{1,2}m", call["spent"]) for call in found if "spent" in call)
    assert all(re.fullmatch(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:00\.000\+0000", call["since"]) for call in found if "since" in call)


def test_one_of_several_ways_is_taken_and_each_of_them_is(rows: list[Conversation]) -> None:
    assert {tuple(call) for call in calls(rows, "find_parcel")} == {("tracking_number",), ("order_id",)}


def test_values_are_of_the_kind_that_their_trade_has(rows: list[Conversation]) -> None:
    assert all(re.fullmatch(r"\d{8}", call["mrn"]) for name in ("admit_patient", "discharge_patient") for call in calls(rows, name))
    assert all(
        name.isalpha() and name[0].isupper() for call in calls(rows, "admit_patient") for name in (*call["given"], call["family"][:1])
    )
    assert all(call["diastolic"] < call["systolic"] <= 150 for call in calls(rows, "record_vitals"))
    assert all(isinstance(call["line"], int) for call in calls(rows, "comment_on_line"))
    assert all("." in call["source"] or "/" in call["source"] for call in calls(rows, "move_file"))
    assert not any(" " in call["owner"] for call in calls(rows, "get_diff"))
    money = calls(rows, "convert_money")
    assert all(call["from_currency"] != call["to_currency"] and call["from_currency"].islower() for call in money)
    assert all(call["created"]["gt"] <= call["created"]["lt"] for call in calls(rows, "ship_stock") if len(call.get("created", ())) == 2)


def test_requests_say_what_a_person_would(rows: list[Conversation]) -> None:
    told = said(rows)
    assert not re.search(
        r"(?i)\b(get|fetch|see|show|find) (the )?(admit|discharge)|reserve in|\bpull \d+ request|in [A-Z]\w+ in [A-Z]", told
    )
    assert re.search(r"(?i)\bdischarge patient \d{8}|discharge a patient", told)
    assert re.search(r"from [A-ZÅÄÖØ]\w+ to [A-ZÅÄÖØ]\w+|from [A-ZÅÄÖØ]\w+, to", told)
    vitals = said([row for row in rows if any(call.name == "record_vitals" for one in row.messages for call in one.tool_calls)])
    assert re.search(r"at \d\d:\d\d UTC", vitals)
    assert not re.search(r"taken at [^\n]{4,30} at \d\d:\d\d(?! UTC)", vitals)  # the call says Z
    assert "pull request for pull" not in told


def test_a_later_call_is_about_what_the_earlier_one_was(rows: list[Conversation]) -> None:
    chains = [[call for message in row.messages for call in message.tool_calls] for row in rows if row.extra["type"] == "dependent"]
    for first, *later in chains:
        for then in later:
            same = {"owner", "repo"} & set(first.arguments) & set(then.arguments)
            assert all(first.arguments[name] == then.arguments[name] for name in same)
    pulls = {"comment_on_line", "get_diff"}
    assert not any({call.name for call in chain} == pulls for chain in chains)  # the number was told, nothing gives it


@pytest.mark.parametrize(
    ("name", "about", "asked"),
    [
        ("admit_patient", "Admit a patient to a ward.", "admit a patient to a ward"),
        ("page_doctor", "Pages the doctor on call.", "page the doctor on call"),
        ("frobnicate_widget", "Frobnicates the widget.", "frobnicate the widget"),
        ("throttle_requests", "Throttle requests of a tenant.", "throttle requests of a tenant"),
        ("order_status", "Order status", "get the order status"),
        ("report_card", "Report card of a student", "get the report card of a student"),
        ("value_at_risk", "Value at risk of a portfolio", "get the value at risk of a portfolio"),
        ("customer_balance", "Customer balance history.", "get the customer balance history"),
        ("balance", "Balance of an account", "get the balance of an account"),
        ("freeze_card", "Freezes card immediately.", "freeze card immediately"),
        ("charge_card", "Charge card for an amount.", "charge card for an amount"),
        ("analyze_data", "Analyze data and return a summary.", "analyze data and return a summary"),
        ("merge_records", "Merges records.", "merge records"),
        ("filter_records", "Filter records by date", "filter records by date"),
        ("print_report", "Print report", "print the report"),
    ],
)
def test_a_description_begins_with_a_verb_or_with_a_noun(name: str, about: str, asked: str) -> None:
    assert imperative(Tool(name, about, {"type": "object", "properties": {}})) == asked


@pytest.mark.parametrize(
    ("value", "fits"), [(19.99, True), (0.29, True), (1234.56, True), (9.95, True), (9.955, False), (100, True), (10**400, True)]
)
def test_multiples_are_told_by_decimals(value: float, fits: bool) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "number", "multipleOf": 0.01}}}
    assert (misfit(ToolCall("pay", {"amount": value}), [Tool("pay", "Pays.", schema)]) == "") is fits


@pytest.mark.parametrize(
    ("name", "about", "owner", "meaning"),
    [
        ("owner", "", "get the diff of a pull request", "username"),
        ("destination", "", "move or rename files", "path"),
        ("family", "", "patient name", "last_name"),
        ("subject", "What the book is about.", "search books", "field"),
        ("subject", "", "send email to a student", "subject"),
        ("subject", "About what the mail is", "send email", "subject"),
        ("branch", "", "find branch of a bank", "group"),
        ("base", "Base currency", "commit exchange", "currency"),
        ("author", "Author of the book", "repository of books", "person"),
        ("directors", "Names of directors", "list films", "person"),
        ("lead_actor", "", "list films", "person"),
        ("artist_name", "", "find songs", "person"),
        ("players", "", "start a game", "person"),
        ("from", "", "convert an amount of money", "currency"),
        ("to", "", "translate a text", "language"),
        ("to", "", "find a route between two places", "city"),
        ("from", "From this day", "list bookings of a route", "start_date"),
        ("to_unit", "", "convert a measurement", "unit"),
        ("unit", "Unit of the building", "list leases", "room"),
        ("contact", "Phone number or e-mail address", "notify", "email"),
        ("callback", "", "register hook", "url"),
        ("callback_number", "", "page the doctor", "phone"),
        ("family", "Font family", "set font", "group"),
    ],
)
def test_what_a_word_means_depends_on_its_company(name: str, about: str, owner: str, meaning: str) -> None:
    assert meaning_of(name, about, owner) == meaning


@pytest.mark.parametrize(
    ("about", "name", "value", "phrase"),
    [
        ("Search the books of the library.", "author", "Ada Moss", "by Ada Moss"),
        ("Find songs.", "artist_name", "Ada Moss", "by Ada Moss"),
        ("List films.", "directors", ["Ada Moss", "Bo Lind"], "by Ada Moss and Bo Lind"),
        ("List films.", "lead_actor", "Ada Moss", "with lead actor Ada Moss"),
        ("Book an appointment.", "dentist", "Ada Moss", "with dentist Ada Moss"),
        ("Assign an author.", "author", "Ada Moss", ""),
        ("Cancel a booking.", "guest", "Ada Moss", "for Ada Moss"),
        ("Find songs.", "year", 1999, "from 1999"),
        ("Create a budget.", "year", 1999, ""),
    ],
)
def test_what_a_person_made_is_by_them_and_what_they_take_part_in_is_with_them(about: str, name: str, value: Any, phrase: str) -> None:
    kind = (
        {"type": "array", "items": {"type": "string"}} if isinstance(value, list) else {"type": "integer" if name == "year" else "string"}
    )
    own = Tool(imperative(Tool("x", about, {})).split()[0] + "_it", about, {"type": "object", "properties": {name: kind}})
    assert detail(name, value, kind, operation(own), Random(1)).phrase == phrase


@pytest.mark.parametrize(
    ("example", "pattern"),
    [
        ("2023-08-01", r"20\d\d-\d\d-\d\d"),
        ("12/31/2024", r"(0[1-9]|1[0-2])/\d\d/20\d\d"),
        ("31/12/2024", r"\d\d/(0[1-9]|1[0-2])/20\d\d"),
        ("2023-08-01T12:00:00Z", r"20\d\d-\d\d-\d\dT\d\d:\d\d:00Z"),
        ("08:30", r"[0-2]\d:[0-5]\d"),
        ("1h 30m", r"[1-8]h \d{1,2}m"),
        ("SW1A 1AA", r"[A-Z]{2}\d[A-Z] \d[A-Z]{2}"),
        ("+49 30 123456", r"\+\d\d \d\d \d{6}"),
        ("https://example.com/a1", r"https://example\.com/a1"),
        ("section 12 of the report", r"section 12 of the report"),
    ],
)
def test_another_one_is_of_the_kind_of_the_example(example: str, pattern: str) -> None:
    found = [another_like(example, Scene(Random(seed))) for seed in range(12)]
    assert all(re.fullmatch(pattern, one) for one in found), found
    assert len(set(found)) > 1 or found[0] == example


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ("Medical record number, 8 digits", 8),
        ("A 6-digit code.", 6),
        ("At least one upper case letter and 3 digits", 0),
        ("Hex color of 6 digits, e.g. #ff8800.", 0),
        ("Up to 10 digits before the point", 0),
        ("Numbers over 5 digits are masked.", 0),
    ],
)
def test_digits_are_those_of_a_statement_of_its_own(told: str, count: int) -> None:
    assert len(digits_in(told)) == count


@pytest.mark.parametrize(
    ("name", "value", "kind", "phrase"),
    [
        ("dose_mg_per_kg", 50, "number", ("dose", "50 mg per kg", "")),
        ("price_per_kwh", 1.2, "number", ("price", "1.2 per kWh", "")),
        ("duration_minutes", 15, "integer", ("duration", "15 minutes", "for 15 minutes")),
        ("grace_period_seconds", 58, "integer", ("grace period", "58 seconds", "with a grace period of 58 seconds")),
        ("term_months", 24, "integer", ("term", "24 months", "with a term of 24 months")),
        ("number_of_days", 12, "integer", ("days", "12 days", "for 12 days")),
        ("waiting_minutes", 12, "integer", ("waiting time", "12 minutes", "with a waiting time of 12 minutes")),
        ("notify_owner", False, "boolean", ("notify owner", "no", ", notify owner: no")),
        ("valve_ids", [90213, 81664], "array", ("valve ids", "90213 and 81664", "")),
    ],
)
def test_a_rate_a_span_and_a_flag_are_said_with_what_belongs_to_them(name: str, value: Any, kind: str, phrase: tuple[str, ...]) -> None:
    schema: dict[str, Any] = {"type": kind, **({"items": {"type": "integer"}} if kind == "array" else {})}
    own = operation(Tool("do_it", "Do it.", {"type": "object", "properties": {name: schema}}))
    found = [detail(name, value, schema, own, Random(seed)) for seed in range(4)]
    assert phrase in [(one.label, one.said, one.phrase) for one in found], found
    assert not any("," in one.said for one in found)


@pytest.mark.parametrize(
    ("name", "schema", "asked"),
    [
        ("before", {"type": "string", "format": "date"}, "last day"),
        ("from", {"type": "string", "description": "Currency to convert from"}, "currency to convert from"),
        ("to", {"type": "string"}, "destination"),
        ("above", {"type": "number"}, "least value"),
        ("older_than_minutes", {"type": "integer"}, "number of minutes"),
    ],
)
def test_a_question_names_what_is_called_by_a_preposition(name: str, schema: dict[str, Any], asked: str) -> None:
    assert asked_for(name, schema) == asked


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("morning, afternoon or night", ("morning", "afternoon", "night")),
        ("Username or email.", ()),
        ("Name, email or phone", ()),
        ("title or author", ()),
        ("Either red or blue", ("red", "blue")),
    ],
)
def test_options_are_told_from_what_a_value_is(told: str, options: tuple[str, ...]) -> None:
    assert options_in(told) == options


def drawn_values(schema: dict[str, Any], name: str = "x") -> set[Any]:
    whole = {"type": "object", "properties": {name: schema}, "required": [name]}
    made = [draw_arguments(whole, Draft(Scene(Random(seed))))[name] for seed in range(30)]
    return {one for value in made for one in (value if isinstance(value, list) else [value])}


def test_values_are_drawn_from_what_the_definition_allows() -> None:
    assert len(drawn_values({"type": "integer", "minimum": 5000, "maximum": 20000}, "principal")) > 5
    assert drawn_values({"type": "string", "description": "morning, afternoon or night"}) == {"morning", "afternoon", "night"}
    assert drawn_values({"type": "array", "items": {"type": "string"}, "description": "Lines, e.g. U6 or S1"}, "lines") <= {"U6", "S1"}
    pair = {
        "type": "array",
        "prefixItems": [{"type": "integer"}] * 2,
        "minItems": 2,
        "maxItems": 2,
        "description": "Earliest and latest hour",
    }
    whole = {"type": "object", "properties": {"hours": pair}, "required": ["hours"]}
    made = [draw_arguments(whole, Draft(Scene(Random(seed))))["hours"] for seed in range(20)]
    assert all(first <= last for first, last in made)


@pytest.mark.parametrize(
    ("owner", "some"),
    [("suggest purchase", "many people ask for it"), ("return an order", "it was charged twice"), ("cordon a node", "it is out of date")],
)
def test_reasons_are_of_what_is_done(owner: str, some: str) -> None:
    schema = {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}
    found = {draw_arguments(schema, Draft(Scene(Random(seed))), owner)["reason"] for seed in range(60)}
    assert some in found
    assert len({one for one in found if one in ("many people ask for it", "it was charged twice", "it is out of date")}) == 1


def test_sums_in_a_currency_without_cents_are_whole() -> None:
    amount = {"type": "number", "minimum": 0.5, "maximum": 900}
    schema = {"type": "object", "properties": {"price": amount, "weight": amount, "currency": {"type": "string", "enum": ["JPY"]}}}
    schema["required"] = ["price", "weight", "currency"]
    found = [draw_arguments(schema, Draft(Scene(Random(seed)))) for seed in range(20)]
    assert all(isinstance(one["price"], int) for one in found)
    assert any(isinstance(one["weight"], float) for one in found)


def test_where_one_way_has_no_value_another_is_taken() -> None:
    odd = {"type": "string", "pattern": "^[a-z]{2}$", "minLength": 9}
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": odd}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    made = [draw_arguments(schema, Draft(Scene(Random(seed)))) for seed in range(20)]
    assert {tuple(one) for one in made} == {("a",)}
