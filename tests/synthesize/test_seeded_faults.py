"""Seeded faults at scale: each kind put into 150 clean dialogues is caught by its own rule; grounding on the benchmark's own answers."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from luthier.errors import FetchError
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.checks import RULES, check
from luthier.synthesize.tools.contamination import Contamination
from luthier.synthesize.tools.dialogues import synthesize_dialogues
from luthier.synthesize.tools.grounding import grounded
from luthier.synthesize.tools.own_dialogues import own_dialogues

Fault = Callable[[Conversation, Random], Conversation | None]
COUNT, LEAST = 150, 10  # dialogues, and those at least that a fault can be put into
LINES = {
    "type": "array",
    "description": "What is ordered.",
    "minItems": 1,
    "maxItems": 2,
    "items": {
        "type": "object",
        "properties": {"article": {"type": "string"}, "pieces": {"type": "integer", "minimum": 1, "maximum": 20}},
        "required": ["article", "pieces"],
        "additionalProperties": False,
    },
}
ORDER = Tool(
    "orderSupplies",
    "Order supplies.",
    {"type": "object", "properties": {"lines": LINES}, "required": ["lines"], "additionalProperties": False},
    source="desk.yaml: Desk 1.0",
)
ELSEWHERE = Contamination([("A question that nobody here asks, of many words and of no sense at all", [])])


@pytest.fixture(scope="module")
def clean() -> list[Conversation]:
    """The sample API and everyday tools; of calls, half go on with their answers."""
    tools = [*import_apis(("sample",)), ORDER]
    own = [row for row in own_dialogues(400, tools, seed=2) if any(one.role == "tool" for one in row.messages)][:50]
    plain = list(own_dialogues(80, tools, seed=1))
    return [*own, *plain, *synthesize_dialogues(COUNT - len(own) - len(plain), seed=4)]


def calls_at(row: Conversation) -> list[tuple[int, int]]:
    return [(turn, place) for turn, message in enumerate(row.messages) for place in range(len(message.tool_calls))]


def with_message(row: Conversation, turn: int, **changes: Any) -> Conversation:
    return replace(row, messages=tuple(replace(one, **changes) if at == turn else one for at, one in enumerate(row.messages)))


def with_call(row: Conversation, at: tuple[int, int], call: ToolCall) -> Conversation:
    calls = tuple(call if place == at[1] else one for place, one in enumerate(row.messages[at[0]].tool_calls))
    return with_message(row, at[0], tool_calls=calls)


def changed(row: Conversation, random: Random, change: Callable[[dict[str, Any], dict[str, Any], Random], bool]) -> Conversation | None:
    """The first call whose arguments `change` can spoil in place, told the properties of its schema."""
    schemas = {tool.name: tool.parameters for tool in row.tools}
    for at in calls_at(row):
        call = row.messages[at[0]].tool_calls[at[1]]
        arguments = copy.deepcopy(call.arguments)
        if change(arguments, schemas[call.name], random):
            return with_call(row, at, replace(call, arguments=arguments))
    return None


def arguments_fault(change: Callable[[dict[str, Any], dict[str, Any], Random], bool]) -> Fault:
    return lambda row, random: changed(row, random, change)


def dropped(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    required = [name for name in schema.get("required", ()) if name in arguments]
    return bool(required) and arguments.pop(random.choice(required), ...) is not ...


def added(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    arguments["an_argument_that_is_not_there"] = next(iter(arguments.values()), "x")
    return True


def wrong_type(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    numbers = [name for name, value in arguments.items() if isinstance(value, int) and not isinstance(value, bool)]
    arguments.update({name: [arguments[name]] for name in numbers[:1]})
    return bool(numbers)


def wrong_item(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    lists = [
        name
        for name, value in arguments.items()
        if isinstance(value, list) and value and schema["properties"][name].get("items", {}).get("type")
    ]
    for name in lists[:1]:
        arguments[name][0] = {"a": "thing of another type"}
    return bool(lists)


def wrong_option(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    fixed = [name for name in arguments if "enum" in schema["properties"].get(name, {})]
    arguments.update(dict.fromkeys(fixed[:1], "no such option"))
    return bool(fixed)


def wrong_date(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    dates = [name for name in arguments if schema["properties"].get(name, {}).get("format") == "date"]
    arguments.update(dict.fromkeys(dates[:1], "the day after tomorrow"))
    return bool(dates)


def invented(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    free = [name for name, value in arguments.items() if isinstance(value, str) and "enum" not in schema["properties"][name]]
    arguments.update(dict.fromkeys(free[:1], "Qyvrokk Wemplathar"))
    return bool(free)


def invented_number(arguments: dict[str, Any], schema: dict[str, Any], random: Random) -> bool:
    numbers = [name for name, value in arguments.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    arguments.update({name: 7919 * 31 for name in numbers[:1] if "enum" not in schema["properties"][name]})
    return bool(numbers) and "enum" not in schema["properties"][numbers[0]]


def renamed(row: Conversation, random: Random) -> Conversation | None:
    at = next(iter(calls_at(row)), None)
    return at and with_call(row, at, replace(row.messages[at[0]].tool_calls[at[1]], name="a_tool_that_nobody_offers"))


def repeated(row: Conversation, random: Random) -> Conversation | None:
    at = next(iter(calls_at(row)), None)
    return at and with_message(row, at[0], tool_calls=(*row.messages[at[0]].tool_calls, row.messages[at[0]].tool_calls[0]))


def relabelled(row: Conversation, random: Random) -> Conversation | None:
    other = "parallel" if row.extra["type"] in ("single", "irrelevant", "missing_argument", "chat") else "single"
    return replace(row, extra={**row.extra, "type": other}) if row.extra["type"] != "recovery" else None


def spoiled_tool(**changes: Any) -> Fault:
    return lambda row, random: replace(row, tools=(replace(row.tools[0], **changes), *row.tools[1:]))


def spoiled_schema(row: Conversation, random: Random) -> Conversation | None:
    parameters = copy.deepcopy(row.tools[0].parameters)
    for name in list(parameters.get("properties") or {})[:1]:
        parameters["properties"][name]["type"] = "text of some kind"
        return replace(row, tools=(replace(row.tools[0], parameters=parameters), *row.tools[1:]))
    return None


def tool_turns(row: Conversation) -> list[int]:
    return [turn for turn, message in enumerate(row.messages) if message.role == "tool"]


def response_renamed(row: Conversation, random: Random) -> Conversation | None:
    return with_message(row, tool_turns(row)[0], name="another_tool") if tool_turns(row) else None


def response_missing(row: Conversation, random: Random) -> Conversation | None:
    turn = next(iter(tool_turns(row)), None)
    return None if turn is None else replace(row, messages=(*row.messages[:turn], *row.messages[turn + 1 :]))


def orphan(row: Conversation, random: Random) -> Conversation | None:
    return replace(row, messages=(row.messages[0], Message("tool", "{}", name=row.tools[0].name), *row.messages[1:]))


def two_users(row: Conversation, random: Random) -> Conversation | None:
    return replace(row, messages=(Message("user", "Good day."), *row.messages))


def emptied(row: Conversation, random: Random) -> Conversation | None:
    return with_message(row, 0, content="")


def spoken_turns(row: Conversation) -> Iterator[tuple[int, str]]:
    for turn, message in enumerate(row.messages):
        if message.role == "assistant" and message.content:
            yield turn, message.content


def said_otherwise(change: Callable[[str], str | None]) -> Fault:
    """The last words of the assistant, spoiled."""

    def fault(row: Conversation, random: Random) -> Conversation | None:
        for turn, text in reversed(list(spoken_turns(row))):
            other = change(text)
            return None if other is None else with_message(row, turn, content=other)
        return None

    return fault


def cut(text: str) -> str | None:
    whole = re.match(r"(.*\w\w) \w", text, re.DOTALL)
    return whole[1] if whole else None


FAULTS: dict[str, tuple[str, Fault]] = {
    "unknown tool": ("F1", renamed),
    "required argument dropped": ("F2", arguments_fault(dropped)),
    "extra argument": ("F3", arguments_fault(added)),
    "scalar of another type": ("F3", arguments_fault(wrong_type)),
    "nested item of another type": ("F3", arguments_fault(wrong_item)),
    "option that does not exist": ("F3", arguments_fault(wrong_option)),
    "date in another form": ("F3", arguments_fault(wrong_date)),
    "invented text": ("G1", arguments_fault(invented)),
    "invented number": ("G1", arguments_fault(invented_number)),
    "call repeated": ("R1", repeated),
    "wrong type label": ("S2", relabelled),
    "call written as prose": ("S2", said_otherwise(lambda text: '{"name": "anything", "arguments": {"a": 1}}')),
    "invalid schema": ("A1", spoiled_schema),
    "empty description": ("A2", spoiled_tool(description="")),
    "response under another name": ("S1", response_renamed),
    "response missing": ("S4", response_missing),
    "orphan tool turn": ("S4", orphan),
    "two user turns": ("S3", two_users),
    "empty user turn": ("D1", emptied),
    "overlong reply": ("D2", said_otherwise(lambda text: f"{text} " * (4100 // len(text) + 1) + text)),
    "broken character": ("D3", said_otherwise(lambda text: f"\ufffd{text}")),
    "template token": ("D3", said_otherwise(lambda text: f"{text}<|im_end|>.")),
    "mixed language": ("D4", said_otherwise(lambda text: f"{text} Это совсем другой язык.")),
    "truncated reply": ("D5", said_otherwise(cut)),
}


def test_clean_dialogues_raise_no_alarm(clean: list[Conversation]) -> None:
    assert len(clean) == COUNT
    assert {row.extra["type"] for row in clean} >= {"single", "parallel", "dependent", "missing_argument", "irrelevant", "recovery"}
    assert [finding for row in clean for finding in check(row, ELSEWHERE)] == []


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_fault_is_caught_by_its_own_rule(clean: list[Conversation], kind: str) -> None:
    rule, fault = FAULTS[kind]
    random, missed, seeded = Random(kind), list[Any](), 0
    for row in clean:
        mutant = fault(row, random)
        if mutant is None:
            continue
        seeded += 1
        if rule not in {finding.rule for finding in check(mutant)}:
            missed.append((row.extra["type"], mutant.to_row()))
    assert seeded >= LEAST
    assert missed == [], f"{len(missed)} of {seeded}"


def test_there_are_enough_kinds_and_every_rule_has_one() -> None:
    assert len(FAULTS) >= 18
    assert {rule for rule, _ in FAULTS.values()} == set(RULES)


def test_a_leaked_question_is_caught_in_every_dialogue(clean: list[Conversation]) -> None:
    for row in clean:
        leak = Contamination([(str(row.messages[0].content), [])])
        assert "C1" in {finding.rule for finding in check(row, leak)}


SCORED = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple")


@pytest.fixture(scope="module")
def gold() -> list[tuple[str, Any, dict[str, Any]]]:
    """(question, accepted value, its schema) of every required argument of the benchmark."""
    from luthier.records.bfcl import load_items

    try:
        items = [item for category in SCORED for item in load_items(category)]
    except FetchError as problem:
        pytest.skip(str(problem))
    found = []
    for item in items:
        tools: dict[str, Tool] = {tool.name: tool for tool in item.tools}
        for truth in item.truth:
            for name, arguments in truth.items():
                parameters = tools[name].parameters
                for argument in set(parameters.get("required", ())) & set(arguments):
                    values = [value for value in arguments[argument] if value != ""]
                    if values:
                        found.append((item.question, values[0], parameters["properties"][argument]))
    return found


def test_grounding_accepts_the_benchmarks_own_answers(gold: list[tuple[str, Any, dict[str, Any]]]) -> None:
    kept = Counter(grounded(_single(value), schema, text) for text, value, schema in gold)
    assert kept.total() > 5000
    assert kept[True] >= 0.94 * kept.total(), kept


def test_grounding_rejects_values_of_other_items(gold: list[tuple[str, Any, dict[str, Any]]]) -> None:
    random = Random(5)
    able = [one for one in gold if isinstance(one[1], str | int | float) and not isinstance(one[1], bool) and "enum" not in one[2]]
    by_type: dict[Any, list[Any]] = {}
    for _, value, schema in able:
        by_type.setdefault(str(schema.get("type")), []).append(value)
    kept: Counter[bool] = Counter()
    for text, value, schema in random.sample(able, 1000):
        other = random.choice(by_type[str(schema.get("type"))])
        said = re.search(rf"(?<!\w){re.escape(str(other))}(?!\w)", text, re.IGNORECASE)  # what the question says is not invented
        if str(other).lower() != str(value).lower() and not said:
            kept[grounded(other, {}, text)] += 1
    assert kept[False] >= 0.95 * kept.total(), kept


def _single(value: Any) -> Any:
    """An accepted object names the accepted values of each of its fields."""
    if isinstance(value, dict):
        return {name: _single(inner[0]) if isinstance(inner, list) and inner else inner for name, inner in value.items() if inner != [""]}
    return [_single(one) for one in value] if isinstance(value, list) else value
