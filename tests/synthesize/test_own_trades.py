"""Two more trades, made up for these tests: whatever their files hold is called, said, and passes every check."""

from __future__ import annotations

import json
import re
import sys
import types
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from luthier.records import Conversation, ToolCall
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.coverage import Coverage
from luthier.synthesize.tools.meanings import singular
from luthier.synthesize.tools.mocks import Mock
from luthier.synthesize.tools.operations import examples_of, operation
from luthier.synthesize.tools.own_dialogues import own_dialogues

RENTAL = """
openapi: 3.1.0
info: {title: Car rental, version: "1.3"}
paths:
  /vehicles:
    get:
      operationId: searchVehicles
      summary: Search for available vehicles at a branch.
      parameters:
        - {name: branchCode, in: query, required: true, schema: {type: string, pattern: "^[A-Z]{3}-[0-9]{2}$"}, description: Branch code.}
        - {name: pickupAt, in: query, required: true, schema: {type: string, format: date-time}, description: Pick-up time.}
        - {name: returnAt, in: query, required: true, schema: {type: string, format: date-time}, description: Return time.}
        - {name: vehicleClass, in: query, schema: {type: string, enum: [economy, compact, suv, van]}, description: Class of vehicle.}
        - {name: automatic, in: query, schema: {type: boolean}, description: Whether to show only automatic cars.}
        - {name: maxDailyRate, in: query, schema: {type: number, minimum: 0}, description: Highest price a day.}
        - {name: fuel, in: query, schema: {type: array, items: {type: string, enum: [petrol, diesel, electric]}}, description: Kinds of fuel.}
      responses:
        '200':
          description: ok
          content:
            application/json:
              schema:
                type: object
                properties:
                  vehicles:
                    type: array
                    items:
                      type: object
                      properties:
                        vehicleId: {type: string, format: uuid}
                        model: {type: string}
                        dailyRate: {type: number, minimum: 10, maximum: 300}
  /rentals:
    post:
      operationId: createRental
      summary: Creates a new rental agreement for a vehicle and a driver, optionally with extras.
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [vehicleId, driver, pickupAt, returnAt, insurance]
              properties:
                vehicleId: {type: string, format: uuid}
                pickupAt: {type: string, format: date-time}
                returnAt: {type: string, format: date-time}
                driver:
                  type: object
                  required: [fullName, licenceNumber, birthDate]
                  properties:
                    fullName: {type: string}
                    licenceNumber: {type: string, minLength: 8, maxLength: 16, example: "B1234567X"}
                    birthDate: {type: string, format: date}
                    address:
                      type: object
                      properties: {street: {type: string}, city: {type: string}, postalCode: {type: string}, country: {type: string, minLength: 2, maxLength: 2, description: ISO 3166-1 alpha-2 country code}}
                insurance: {type: string, enum: [basic, full, none]}
                extras:
                  type: array
                  items:
                    type: object
                    required: [code, quantity]
                    properties: {code: {type: string, enum: [child_seat, gps, ski_rack]}, quantity: {type: integer, minimum: 1, maximum: 3}}
                promoCode: {type: string}
                metadata: {type: object, additionalProperties: {type: string}}
      responses:
        '201':
          description: ok
          content: {application/json: {schema: {type: object, properties: {rentalId: {type: string, format: uuid}, total: {type: object, properties: {amount: {type: number}, currency: {type: string}}}, status: {type: string, enum: [reserved, active]}}}}}
  /rentals/{rentalId}:
    parameters: [{name: rentalId, in: path, required: true, schema: {type: string, format: uuid}, description: Rental id.}]
    get: {operationId: getRental, summary: Get a rental by its id., responses: {'200': {description: ok}}}
    delete: {operationId: cancelRental, summary: Cancel a rental., responses: {'204': {description: ok}}}
    patch:
      operationId: extendRental
      summary: Extend a rental until a later time.
      requestBody: {content: {application/json: {schema: {type: object, required: [newReturnAt], properties: {newReturnAt: {type: string, format: date-time}, notifyDriver: {type: boolean, default: true, description: Whether to notify the driver by SMS.}}}}}}
      responses: {'200': {description: ok}}
  /rentals/{rentalId}/damages:
    post:
      operationId: reportDamage
      summary: Report damage to the car of a rental.
      parameters: [{name: rentalId, in: path, required: true, schema: {type: string, format: uuid}}]
      requestBody: {content: {application/json: {schema: {type: object, required: [description, location], properties: {description: {type: string}, location: {type: string, enum: [front, rear, left, right, roof]}, photos: {type: array, items: {type: string, format: uri}, maxItems: 3}, odometerKm: {type: integer, minimum: 0}}}}}}
      responses: {'201': {description: ok}}
  /branches/{branchCode}/hours:
    get:
      operationId: branchHours
      summary: Opening hours of a branch.
      parameters:
        - {name: branchCode, in: path, required: true, schema: {type: string, pattern: "^[A-Z]{3}-[0-9]{2}$"}}
        - {name: weekday, in: query, schema: {type: string}}
      responses: {'200': {description: ok}}
  /invoices:
    get:
      operationId: listInvoices
      description: Returns a paginated list of invoices that were issued to a company between two dates.
      parameters:
        - {name: companyName, in: query, required: true, schema: {type: string}}
        - {name: from, in: query, schema: {type: string, format: date}}
        - {name: to, in: query, schema: {type: string, format: date}}
        - {name: page, in: query, schema: {type: integer, minimum: 1, default: 1}}
        - {name: pageSize, in: query, schema: {type: integer, enum: [10, 25, 50]}}
        - {name: sort, in: query, schema: {type: string, enum: [date_asc, date_desc]}}
      responses: {'200': {description: ok}}
  /vehicles/{vin}/location:
    get:
      operationId: vehicleLocation
      summary: Where is the vehicle now?
      parameters: [{name: vin, in: path, required: true, schema: {type: string, minLength: 17, maxLength: 17}, description: Vehicle identification number.}]
      responses: {'200': {description: ok}}
"""
BANK = r"""
{"tools":[
{"type":"function","function":{"name":"transfer_funds","description":"Move money between two accounts of the customer.","parameters":{"type":"object","properties":{"from_account":{"type":"string","description":"IBAN of the paying account."},"to_account":{"type":"string","description":"IBAN of the receiving account."},"amount":{"type":"number","exclusiveMinimum":0},"currency":{"type":"string","enum":["EUR","USD"]},"execute_on":{"type":"string","format":"date"},"purpose":{"type":"string","maxLength":35}},"required":["from_account","to_account","amount","currency"]}}},
{"type":"function","function":{"name":"get_exchange_rate","description":"Latest exchange rate of a currency pair.","parameters":{"type":"object","properties":{"base":{"type":"string","description":"ISO 4217 code."},"quote":{"type":"string","description":"ISO 4217 code."}},"required":["base","quote"]}}},
{"type":"function","function":{"name":"set_alert","description":"Sets a price alert on a stock.","parameters":{"type":"object","properties":{"ticker":{"type":"string","description":"Stock symbol, e.g. AAPL."},"threshold":{"type":"number"},"direction":{"type":"string","enum":["above","below"]},"channels":{"type":"array","items":{"type":"string","enum":["email","sms","push"]},"minItems":1,"uniqueItems":true},"expires":{"type":["string","null"],"format":"date"}},"required":["ticker","threshold","direction"]}}},
{"type":"function","function":{"name":"list_transactions","description":"List the transactions of an account.","parameters":{"type":"object","properties":{"account_id":{"type":"integer"},"min_amount":{"type":"number"},"max_amount":{"type":"number"},"category":{"type":"string"},"since":{"type":"string","format":"date"},"until":{"type":"string","format":"date"}},"required":["account_id"]}}},
{"type":"function","function":{"name":"block_card","description":"Block a lost or stolen card","parameters":{"type":"object","properties":{"card_number":{"type":"string","pattern":"^\\d{4}-\\d{4}-\\d{4}-\\d{4}$"},"reason":{"type":"string","description":"One of: lost, stolen, damaged."},"order_replacement":{"type":"boolean"}},"required":["card_number","reason"]}}},
{"type":"function","function":{"name":"loan_quote","description":"Calculate the monthly rate of a loan.","parameters":{"type":"object","properties":{"principal":{"type":"number","minimum":1000,"maximum":500000},"annual_rate":{"type":"number","minimum":0,"maximum":25,"description":"Annual interest rate in percent."},"months":{"type":"integer","minimum":6,"maximum":360},"fees":{"type":"array","items":{"type":"number"}},"applicants":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"object","properties":{"name":{"type":"string"},"monthly_income":{"type":"number"},"employed_since":{"type":"string","format":"date"}},"required":["name","monthly_income"]}}},"required":["principal","annual_rate","months"]}}},
{"type":"function","function":{"name":"get_balance","description":"Get balance","parameters":{"type":"object","properties":{}}}}
]}
"""


@pytest.fixture(scope="module", params=["rental.yaml", "bank.json"])
def dialogues(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Conversation], Coverage]:
    path: Path = tmp_path_factory.mktemp("apis") / request.param
    path.write_text(RENTAL if path.suffix == ".yaml" else BANK)
    tools = list(import_apis([str(path)]))
    rows = list(own_dialogues(250, tools, seed=8))
    coverage = Coverage(tools)
    for row in rows:
        coverage.add(row)
    return rows, coverage


def test_every_tool_and_parameter_is_called(dialogues: tuple[list[Conversation], Coverage]) -> None:
    account = dialogues[1].to_row()
    assert account["tools"][0] == account["tools"][1] > 6
    assert account["parameters"][0] == account["parameters"][1] > 20
    assert min(account["least"].values()) >= 2
    assert account["missing"] == []


def test_every_dialogue_passes_every_check(dialogues: tuple[list[Conversation], Coverage]) -> None:
    assert Counter(str(finding) for row in dialogues[0] for finding in check(row)) == {}


def test_requests_read_as_people_write(dialogues: tuple[list[Conversation], Coverage]) -> None:
    for row in dialogues[0]:
        for message in row.messages:
            if message.role == "user":
                text = str(message.content)
                assert not any(mark in text for mark in ("{", "  ", " ,", "..", "?.", "True", "None", "_id")), text
                assert text[:1].isupper() or not text[:1].isalpha() or row.messages[0] is not message, text


def test_answers_follow_what_the_api_states(tmp_path: Path) -> None:
    path = tmp_path / "rental.yaml"
    path.write_text(RENTAL)
    tools = list(import_apis([str(path)]))
    operations = {tool.name: operation(tool) for tool in tools}
    mock = Mock(operations, examples_of(tools), seed=1)
    made = mock(ToolCall("createRental", {"vehicleId": "v1", "insurance": "full"}))
    assert set(made) == {"rentalId", "total", "status"}
    assert mock(ToolCall("getRental", {"rentalId": made["rentalId"]}))["total"] == made["total"]  # what was created is found again
    assert made == Mock(operations, examples_of(tools), seed=1)(ToolCall("createRental", {"vehicleId": "v1", "insurance": "full"}))
    assert made != Mock(operations, examples_of(tools), seed=2)(ToolCall("createRental", {"vehicleId": "v1", "insurance": "full"}))
    broken = mock(ToolCall("getRental", {"rentalId": "r9"}), "not_found")
    assert broken == {"error": {"type": "not_found", "message": "There is no rental r9."}}
    assert json.loads(json.dumps(made)) == made


FARM = """
openapi: 3.1.0
info: {title: Dairy farm, version: "1"}
paths:
  /animals:
    post:
      operationId: addAnimal
      summary: Register a new animal
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [earTag, bornOn]
              properties:
                earTag: {type: string, pattern: "^[A-Z]{2}[0-9]{8}$", description: "Ear tag, e.g. NL12345678"}
                bornOn: {type: string, format: date}
                weightKg: {type: number, minimum: 1, maximum: 1200}
                mother: {type: string, description: Ear tag of the mother}
    get:
      operationId: listAnimals
      summary: List animals
      parameters:
        - {name: olderThanMonths, in: query, schema: {type: integer, minimum: 1}}
        - {name: inBarn, in: query, schema: {type: string}, description: Name of the barn}
  /treatments:
    post:
      operationId: recordTreatment
      summary: Record a treatment of an animal.
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [doseMl, vet]
              properties:
                doseMl: {type: number}
                vet: {type: string, description: Full name of the veterinarian}
                witnesses: {type: array, items: {type: object, required: [full_name], properties: {full_name: {type: string}}}}
                reminderHoursBefore: {type: integer}
                startsAt: {type: string, format: date-time}
  /sales:
    post:
      operationId: sellAnimal
      summary: Sell an animal to a buyer
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [product, buyer, seller, priceEur]
              properties:
                product: {type: string, description: Kind of animal, examples: [dairy cow, young bull]}
                buyer: {type: string}
                seller: {type: string}
                priceEur: {type: number}
                collectedOn: {type: string, format: date-time}
"""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    path = tmp_path_factory.mktemp("farm") / "farm.yaml"
    path.write_text(FARM)
    return list(own_dialogues(400, list(import_apis((str(path),), False)), seed=7, whole_share=1.0))


def calls_of(rows: list[Conversation], name: str) -> list[dict[str, Any]]:
    return [call.arguments for row in rows for message in row.messages for call in message.tool_calls if call.name == name]


def said_of(rows: list[Conversation], name: str) -> str:
    """What is asked where the first call is of this tool."""
    return "\n".join(
        str(row.messages[0].content) for row in rows if len(row.messages) > 1 and [one.name for one in row.messages[1].tool_calls] == [name]
    )


def test_a_farm_passes_every_check(farm: list[Conversation]) -> None:
    assert not [finding for row in farm for finding in check(row)]


def test_values_are_of_what_the_description_says(farm: list[Conversation]) -> None:
    sales, treatments, animals = (calls_of(farm, name) for name in ("sellAnimal", "recordTreatment", "addAnimal"))
    assert {call["product"] for call in sales} == {"dairy cow", "young bull"}  # the API's own examples, not wares of ours
    assert all(call["buyer"] != call["seller"] for call in sales)
    people = [call["vet"] for call in treatments] + [one["full_name"] for call in treatments for one in call.get("witnesses", ())]
    assert all(re.fullmatch(r"[A-Z][a-z]+ [A-Z][A-Za-z']+", one) for one in people)
    assert all(re.fullmatch(r"[A-Z]{2}[0-9]{8}", call["mother"]) for call in animals if "mother" in call)
    assert all(call["bornOn"] > "2010" for call in animals)  # no cow is as old as a person


def test_units_and_prepositions_of_names_stand_where_people_put_them(farm: list[Conversation]) -> None:
    lists, treatments, sales, animals = (said_of(farm, name) for name in ("listAnimals", "recordTreatment", "sellAnimal", "addAnimal"))
    assert re.search(r"older than \d+ months", lists)
    assert re.search(r"(?<!with) in barn \w", lists)
    assert re.search(r"dose:? (is )?[\d.]+ ml", treatments)
    assert re.search(r"reminder \d+ hours before", treatments)
    assert re.search(r"starting on ", treatments)
    assert re.search(r"price:? (is )?[\d.]+ EUR", sales)
    assert re.search(r"(?<!the )collected on \w", sales)
    assert re.search(r"weight:? (is )?[\d.]+ kg", animals)
    everything = "\n".join((lists, treatments, sales, animals))
    assert not re.search(r"witnesse\b|The \w+ (on|at) is|the starts on|with in|older than months", everything)


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ("witnesses", "witness"),
        ("categories", "category"),
        ("boxes", "box"),
        ("postal addresses", "postal address"),
        ("people", "person"),
        ("species", "species"),
        ("status", "status"),
        ("houses", "house"),
        ("dishes", "dish"),
        ("movies", "movie"),
        ("guestNames", "guestName"),
        ("analysis", "analysis"),
    ],
)
def test_one_of_several(words: str, one: str) -> None:
    assert singular(words) == one


STAYS = """
openapi: 3.1.0
info: {title: Stays, version: "1"}
paths:
  /stays:
    post:
      operationId: bookStay
      summary: Book a stay.
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [checkIn, checkOut]
              properties: {checkIn: {type: string, format: date}, checkOut: {type: string, format: date}}
      responses:
        '200': {description: ok, content: {application/json: {schema: {type: object, properties: {stayId: {type: string, format: uuid}}}}}}
  /stays/{stayId}:
    patch:
      operationId: changeStay
      summary: Change the days of a stay.
      parameters: [{name: stayId, in: path, required: true, schema: {type: string, format: uuid}}]
      requestBody:
        content: {application/json: {schema: {type: object, required: [checkOut], properties: {checkOut: {type: string, format: date}}}}}
"""


def test_nothing_is_moved_to_before_it_was_booked_for(tmp_path: Path) -> None:
    (tmp_path / "stays.yaml").write_text(STAYS)
    rows = list(own_dialogues(200, list(import_apis((str(tmp_path / "stays.yaml"),), False)), seed=1))
    chains = [
        [call.arguments for message in row.messages for call in message.tool_calls] for row in rows if row.extra["type"] == "dependent"
    ]
    assert len(chains) > 5
    assert all(later["checkOut"] > first["checkIn"] for first, later in chains)


def hire(
    first_name: str,
    gross_salary_per_month: float,
    days_per_week: int,
    starts: str,
    ends: str,
    manager: str,
    department: str,
    points: int,
    min_years: int,
    effective_from: date,
) -> None:
    """Add a new employee.

    Args:
        first_name: Given name.
        gross_salary_per_month: In euros.
        days_per_week: Days at work.
        starts: Begin, HH:MM.
        ends: End, HH:MM.
        manager: Who signs.
        department: Name of the department.
        points: From 1 to 5.
        min_years: Experience.
        effective_from: Day.
    """


def test_values_have_the_size_that_names_and_descriptions_speak_of(monkeypatch: pytest.MonkeyPatch) -> None:
    made = types.ModuleType("hr")
    hire.__module__ = "hr"
    made.hire = hire
    monkeypatch.setitem(sys.modules, "hr", made)
    rows = list(own_dialogues(80, list(import_apis(("module:hr",), False)), seed=2))
    calls = calls_of(rows, rows[0].tools[0].name)
    assert len(calls) > 30
    assert all(1800 <= call["gross_salary_per_month"] <= 6500 for call in calls)
    assert all(1 <= call["days_per_week"] <= 5 and 1 <= call["points"] <= 5 and 1 <= call["min_years"] <= 20 for call in calls)
    assert all(call["starts"] <= call["ends"] for call in calls)
    assert all(" " in call["manager"] for call in calls)
    assert not {call["department"] for call in calls} & {"Team North", "Project Maple", "West Wing"}  # groups, no departments
    asked = [str(row.messages[-1].content) for row in rows if row.extra["type"] == "missing_argument"]
    assert not any("the effective from" in text for text in asked)
    said = "\n".join(str(row.messages[0].content) for row in rows)
    assert re.search(r"with at least \d+ years", said)
    assert re.search(r"starting at \d\d:\d\d", said)


LIBRARY = """
openapi: 3.1.0
info: {title: Library, version: "1"}
paths:
  /books:
    get:
      operationId: searchBooks
      summary: Search books of the library
      parameters:
        - {name: subject, in: query, required: true, description: What the book is about., schema: {type: string}}
        - {name: publishedAfter, in: query, required: true, schema: {type: integer, minimum: 1800, maximum: 2025}, description: A year.}
        - {name: pagesOver, in: query, schema: {type: integer, minimum: 50, maximum: 900}}
  /letters:
    post:
      operationId: sendLetter
      summary: Send a letter
      requestBody:
        content: {application/json: {schema: {type: object, required: [subject], properties: {subject: {type: string}}}}}
"""


def test_a_limit_in_a_name_stands_before_its_number_and_a_subject_is_what_its_owner_has(tmp_path: Path) -> None:
    (tmp_path / "library.yaml").write_text(LIBRARY)
    rows = list(own_dialogues(120, list(import_apis((str(tmp_path / "library.yaml"),), False)), seed=3))
    assert all(check(row) == [] for row in rows)
    said = "\n".join(str(message.content) for row in rows for message in row.messages if message.role in ("user", "assistant"))
    assert re.search(r"published after (1[89]|20)\d\d\b", said)
    assert re.search(r"pages over \d+", said)
    assert "the published after" not in said
    assert "the year after which it was published" in said
    books, letters = ({call["subject"] for call in calls_of(rows, name)} for name in ("searchBooks", "sendLetter"))
    assert len(books) > 4
    assert not books & letters
    assert any("about " + book in said for book in books)
