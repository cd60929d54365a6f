"""Agents: a scripted model plays user, assistant and tool; votes, repairs, types, budgets, and the same bytes after any stop."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import EngineError, SandboxUnavailable
from luthier.models.budget import Budget, Ledger
from luthier.models.protocol import Completion, Prompt, Sampling, Usage
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.records import Tool, ToolCall
from luthier.synthesize.tools.agents import Made, dialogue
from luthier.synthesize.tools.asks import OUT_OF_BUDGET
from luthier.synthesize.tools.briefs import Brief, Topic, briefs
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.decisions import BadDecisionError, Decision, Poll, decision_schema, read_decision, signature
from luthier.synthesize.tools.executors import mocked, sandboxed, told
from luthier.synthesize.tools.writing import Writer

CITY = {"type": "string", "description": "Name of the city."}


def tool(name: str, description: str, properties: dict[str, Any], *required: str, returns: dict[str, Any] | None = None) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return Tool(name, description, parameters, returns, source="hotel.yaml: Hotel 1.0")


BOOK = tool(
    "bookRoom",
    "Book a hotel room.",
    {"city": CITY, "nights": {"type": "integer", "description": "Number of nights."}, "note": {"type": "string", "description": "Wishes."}},
    "city",
    "nights",
    returns={"type": "object", "properties": {"bookingId": {"type": "string", "pattern": "^HB-[0-9]{4}$"}}, "required": ["bookingId"]},
)
CANCEL = tool("cancelBooking", "Cancel a booking.", {"bookingId": {"type": "string", "description": "Id of the booking."}}, "bookingId")
TOOLS = (BOOK, CANCEL)


def decided(action: str, *calls: tuple[str, dict[str, Any]], text: str = "", missing: Sequence[str] = ()) -> str:
    row = {"goal": "a room", "known": {}, "missing": list(missing), "fitting_tools": [], "depends_on_result": False, "action": action}
    return json.dumps({**row, "calls": [{"name": name, "arguments": arguments} for name, arguments in calls], "text": text})


class Scripted:
    """Says what a function says to the text of the last messages, the sampling and its number."""

    name, supports = "scripted", frozenset({"generate", "json_schema"})

    def __init__(self, say: Callable[[str, Sampling], str]) -> None:
        self.say, self.usage, self.asked = say, Usage(), list[tuple[str, Sampling]]()

    def generate(self, prompts: Sequence[Prompt], sampling: Any = None, progress: Any = None) -> list[Completion]:
        answers = []
        for prompt, drawn in zip(prompts, sampling, strict=True):
            text = "\n".join(message.content or "" for message in prompt.messages)
            self.asked.append((text, drawn))
            said = self.say(text, drawn)
            answers.append(Completion(said, "stop", len(text.split()), len(said.split())))
        return answers

    def score(self, prompts: Any, continuations: Any) -> Any:
        raise EngineError("no scores")


def hotel(text: str, sampling: Sampling) -> str:
    """A good model: the user says what it is told to want, the assistant does the right thing."""
    if "You play the function" in text:
        return '{"bookingId": "HB-1234"}'
    return _user(text) if "You play a person" in text else _assistant(text.rpartition("user: ")[2])


def _user(text: str) -> str:
    if "Answer the assistant's question" in text:
        return "3 nights, please."
    if "two steps" in text:
        return "Book a room in Lisbon for 3 nights, and then cancel that booking again."
    if "two things" in text:
        return "Book a room in Lisbon for 3 nights, and one in Porto for 2 nights."
    if "except the nights" in text:
        return "Book a room in Lisbon."
    if "You want nothing done" in text:
        return "Good morning! How are you?"
    return "Book a room in Lisbon for 3 nights." if "hotel room" in text else "user: Play some music by Fado players."


def _assistant(asked: str) -> str:
    lisbon, porto = ("bookRoom", {"city": "Lisbon", "nights": 3}), ("bookRoom", {"city": "Porto", "nights": 2})
    if "result of cancelBooking" in asked:
        return decided("summarise", text="The room was booked and cancelled again.")
    if found := re.search(r'result of bookRoom: .*"bookingId": "([^"]+)"', asked):
        if "cancel that" in asked:
            return decided("call", ("cancelBooking", {"bookingId": found[1]}))
        return decided("summarise", text="The room is booked.")
    if "Porto" in asked:
        return decided("call", lisbon, porto)
    if asked.startswith("Good morning"):
        return decided("chat", text="Good morning! All is well.")
    if asked.startswith("Play"):
        return decided("refuse", text="I have no function to play music.")
    if asked.startswith("Book a room in Lisbon.\n"):
        return decided("ask", text="For how many nights?", missing=["nights"])
    return decided("call", lisbon)


def made(topic: Topic, say: Callable[[str, Sampling], str] = hotel, seed: int = 0, **more: Any) -> tuple[Made, Scripted]:
    model = Scripted(say)
    brief = Brief((topic,), TOOLS, seed)
    (one,) = Writer(model).write([dialogue(brief, more.pop("execute", None) or mocked(TOOLS, seed), **more)])
    return one, model


TOPICS = {
    "single": Topic("single", (BOOK,)),
    "parallel": Topic("parallel", (BOOK, BOOK)),
    "dependent": Topic("dependent", (BOOK, CANCEL), given="bookingId"),
    "irrelevant": Topic("irrelevant", (tool("playMusic", "Play some music.", {}),)),
    "missing_argument": Topic("missing_argument", (BOOK,), withheld="nights"),
    "chat": Topic("chat", (BOOK,)),
}


@pytest.mark.parametrize("kind", TOPICS)
def test_each_type_is_made_and_passes_every_rule(kind: str) -> None:
    one, _ = made(TOPICS[kind])
    assert one.conversation is not None, one.dropped
    assert one.conversation.extra["type"] == kind
    assert check(one.conversation) == []


def test_what_was_thought_is_kept_and_stands_in_no_message() -> None:
    one, _ = made(TOPICS["single"])
    assert one.conversation is not None
    row = one.conversation.to_row()
    assert [thought["turn"] for thought in row["thought"]] == [1, 3]
    assert row["thought"][0] | {"goal": "a room", "action": "call", "votes": "2 of 2"} == row["thought"][0]
    assert "a room" not in json.dumps([{**message, "content": ""} for message in row["messages"]])
    assert all("reasoning_content" not in message for message in row["messages"])


def test_two_votes_that_agree_are_enough_of_three_and_four_of_five() -> None:
    for kind, least in (("single", 2), ("parallel", 4)):
        one, model = made(TOPICS[kind])
        assert one.conversation is not None
        decisions = [text for text, _ in model.asked if "You decide" in text]
        assert len(decisions) == 2 * least  # the calls, and the summary


def test_every_ask_has_a_seed_of_its_own() -> None:
    _, model = made(TOPICS["parallel"])
    seeds = [drawn.seed for _, drawn in model.asked]
    assert len(set(seeds)) == len(seeds)


def test_a_majority_is_adopted_and_a_split_is_voted_on_again_hotter() -> None:
    numbers = itertools.count()

    def torn(text: str, sampling: Sampling) -> str:
        if "You decide" in text and "result of" not in text and sampling.temperature < 1:
            return decided("call", ("bookRoom", {"city": "Lisbon", "nights": 3 + next(numbers)}))
        return hotel(text, sampling)

    one, model = made(TOPICS["single"], torn)
    assert one.conversation is not None
    assert one.counts["decisions without agreement"] == 1
    heats = [drawn.temperature for text, drawn in model.asked if "You decide" in text and "result of" not in text]
    assert heats == [0.7, 0.7, 0.7, 1.0, 1.0]


def test_what_never_agrees_is_dropped_with_its_reason() -> None:
    numbers = itertools.count()

    def torn(text: str, sampling: Sampling) -> str:
        return decided("call", ("bookRoom", {"city": "Lisbon", "nights": next(numbers)})) if "You decide" in text else hotel(text, sampling)

    one, _ = made(TOPICS["single"], torn)
    assert (one.conversation, one.dropped) == (None, "the assistant's votes do not agree")
    assert one.counts["votes"] == 6


def test_an_answer_that_is_no_decision_is_mended_once() -> None:
    def sloppy(text: str, sampling: Sampling) -> str:
        if "You decide" in text and "That cannot be used" not in text:
            return "I will book it."
        return f"```json\n{hotel(text.partition('That cannot')[0], sampling)}\n```" if "You decide" in text else hotel(text, sampling)

    one, model = made(
        Topic("chat", (BOOK,)), lambda text, drawn: sloppy(text.replace("\n\nThe decision, as JSON:\nI will book it.", ""), drawn)
    )
    assert one.conversation is not None, one.dropped
    assert one.counts["decisions that needed repair"] == 2
    assert any("that is no JSON object" in text for text, _ in model.asked)


def test_a_question_on_the_way_is_answered_by_the_user() -> None:
    def careful(text: str, sampling: Sampling) -> str:
        if "You decide" in text and "assistant:" not in text.rpartition("user: ")[0] and "result of" not in text:
            return decided("ask", text="For how many nights?", missing=["nights"])
        return hotel(text, sampling)

    one, _ = made(TOPICS["single"], careful)
    assert one.conversation is not None, one.dropped
    assert [message.role for message in one.conversation.messages][:4] == ["user", "assistant", "user", "assistant"]
    assert check(one.conversation) == []


@pytest.mark.parametrize(
    ("kind", "said", "why"),
    [
        ("single", decided("refuse", text="No."), "single: the assistant decides to refuse, not to call"),
        (
            "irrelevant",
            decided("call", ("bookRoom", {"city": "Lisbon", "nights": 3})),
            "irrelevant: the assistant decides to call, not to refuse",
        ),
        ("parallel", decided("call", ("bookRoom", {"city": "Lisbon", "nights": 3})), "parallel: the assistant makes one call, not several"),
        (
            "missing_argument",
            decided("ask", text="Where?", missing=["city"]),
            "missing_argument: other things are asked for than what is missing",
        ),
    ],
)
def test_what_does_not_become_its_type_is_dropped(kind: str, said: str, why: str) -> None:
    one, _ = made(TOPICS[kind], lambda text, drawn: said if "You decide" in text else hotel(text, drawn))
    assert (one.conversation, one.dropped) == (None, why)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Certainly! How can I help?", "the user speaks as an assistant"),
        ('Cancel it: {"type": "string"}', "the user speaks as an assistant"),
        ("  ", "the user says nothing"),
    ],
)
def test_a_user_who_is_none_is_asked_once_more_and_then_dropped(said: str, why: str) -> None:
    one, model = made(TOPICS["single"], lambda text, drawn: said)
    assert (one.conversation, one.dropped, len(model.asked)) == (None, why, 2)


def test_several_requests_make_one_dialogue() -> None:
    model = Scripted(hotel)
    brief = Brief((TOPICS["single"], TOPICS["chat"]), TOOLS, 1)
    (one,) = Writer(model).write([dialogue(brief, mocked(TOOLS))])
    assert one.conversation is not None
    assert one.conversation.extra["types"] == ["single", "chat"]
    assert [message.role for message in one.conversation.messages].count("user") == 2
    assert check(one.conversation) == []


def test_votes_count_by_action_and_calls_in_any_order() -> None:
    a, b = ToolCall("bookRoom", {"city": "Lisbon", "nights": 3}), ToolCall("bookRoom", {"nights": 2, "city": "Porto"})
    assert signature(Decision("call", (a, b))) == signature(Decision("call", (b, a)))
    assert signature(Decision("call", (a, a))) != signature(Decision("call", (a,)))
    assert signature(Decision("ask", text="Where?")) == signature(Decision("ask", text="Which city?"))
    prose = [
        Decision("call", (ToolCall("bookRoom", {"note": text}),))
        for text in ("A quiet room, please, up high", "a quiet room please up high!")
    ]
    assert signature(prose[0], TOOLS) == signature(prose[1], TOOLS)
    short = [Decision("call", (ToolCall("bookRoom", {"city": text}),)) for text in ("Lisbon", "lisbon")]
    assert signature(short[0], TOOLS) != signature(short[1], TOOLS)
    assert signature(Decision("call", (ToolCall("x", {"n": 3.0}),))) == signature(Decision("call", (ToolCall("x", {"n": 3}),)))
    assert signature(Decision("call", (ToolCall("x", {"n": True}),))) != signature(Decision("call", (ToolCall("x", {"n": 1}),)))


def test_a_poll_does_not_depend_on_the_order_of_its_votes() -> None:
    options = [Decision("chat", text="a"), Decision("ask", text="b"), None]
    for votes in itertools.product(options, repeat=3):
        adopted = {
            repr(found and found.action) for order in itertools.permutations(votes) if (found := Poll(3, (), list(order)).adopted) or True
        }
        assert len(adopted) == 1
        best = max(votes.count(one) for one in votes if one is not None) if any(votes) else 0
        assert (Poll(3, (), list(votes)).adopted is not None) is (best >= 2)
    assert Poll(1, (), [options[0]]).adopted == options[0]
    assert Poll(3, (), [options[0], options[0]]).wanted == 0
    assert Poll(3, (), [options[0], options[1]]).wanted == 1
    assert Poll(5, (), [options[0], options[1], None]).wanted == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing", "no JSON object"),
        ('{"action": "sing"}', "must be one of"),
        (decided("call"), '"calls" is empty'),
        (decided("call", ("bookFlight", {})), "not on offer"),
        (decided("call", ("bookRoom", {"city": "Lisbon"})), "required argument is missing"),
        (decided("call", ("bookRoom", {"city": "Lisbon", "nights": "3"})), "wrong type"),
        (decided("ask"), '"text" is empty'),
    ],
)
def test_what_is_no_decision_says_why(text: str, told: str) -> None:
    with pytest.raises(BadDecisionError, match=told):
        read_decision(text, TOOLS, ("call", "ask"))


def test_a_decision_fits_its_own_schema() -> None:
    from jsonschema import Draft202012Validator

    schema = decision_schema(TOOLS, ("call", "ask"))
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(json.loads(decided("call", ("bookRoom", {"city": "Lisbon", "nights": 3}))))
    assert not Draft202012Validator(schema).is_valid(json.loads(decided("call", ("bookRoom", {"city": "Lisbon"}))))


def test_briefs_cover_the_tools_in_the_shares_of_types_and_are_the_same_again() -> None:
    drawn = list(briefs(300, TOOLS, seed=3))
    assert drawn == list(briefs(300, TOOLS, seed=3))
    counts = {kind: sum(one.topics[0].kind == kind for one in drawn) for kind in TOPICS}
    assert 60 < counts["single"] < 160
    assert 50 < counts["parallel"] < 110
    assert all(counts.values())
    for one in drawn:
        offered = {tool.name for tool in one.tools}
        assert all((tool.name in offered) is (topic.kind != "irrelevant") for topic in one.topics for tool in topic.about)
    assert len({one.seed for one in drawn}) == 300
    assert {len(one.topics) for one in briefs(50, TOOLS, turns=3)} == {1, 2, 3}


def test_a_told_answer_is_held_to_the_stated_one() -> None:
    one, model = made(TOPICS["single"], execute=told(TOOLS))
    assert one.conversation is not None
    assert one.conversation.messages[2].content == '{"bookingId": "HB-1234"}'
    assert sum("You play the function" in text for text, _ in model.asked) == 1

    def careless(text: str, drawn: Sampling) -> str:
        if "You play the function" in text:
            return '{"bookingId": "HB-7777"}' if "That cannot be used" in text else '{"bookingId": 7}'
        return hotel(text, drawn)

    one, _ = made(TOPICS["single"], careless, execute=told(TOOLS))
    assert one.conversation is not None
    assert one.conversation.messages[2].content == '{"bookingId": "HB-7777"}'
    one, _ = made(
        TOPICS["single"], lambda text, drawn: "{}" if "You play the function" in text else hotel(text, drawn), execute=told(TOOLS)
    )
    assert one.conversation is None
    assert "bookingId" in one.dropped


def test_real_functions_answer_in_the_sandbox() -> None:
    from luthier.sandbox import Sandbox

    program = "def bookRoom(city, nights, note=''):\n    return {'bookingId': f'HB-{1000 + nights}'}\n"
    try:
        with Sandbox(workers=1) as box:
            one, _ = made(TOPICS["single"], execute=sandboxed(box, program, TOOLS))
            assert one.conversation is not None, one.dropped
            assert one.conversation.messages[2].content == '{"bookingId": "HB-1003"}'
            one, _ = made(TOPICS["single"], execute=sandboxed(box, "def bookRoom(city, nights):\n    return 1 / 0\n", TOOLS))
            assert one.dropped.startswith("X1: a function fails")
            one, _ = made(TOPICS["single"], execute=sandboxed(box, "def bookRoom(city, nights):\n    return {'id': 1}\n", TOOLS))
            assert one.dropped.startswith("X1: a function's value is not as stated")
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))


def rows(found: Sequence[Made]) -> list[str]:
    return [json.dumps(one.conversation.to_row()) if one.conversation else one.dropped for one in found]


def written(model: Any, budget: Budget | None = None, at_once: int = 8) -> tuple[list[str], Writer]:
    writer = Writer(model, Ledger(budget or Budget()))
    drawn = briefs(12, TOOLS, seed=5)
    return rows(writer.write([dialogue(one, mocked(one.tools, one.seed)) for one in drawn], at_once=at_once)), writer


def noisy(text: str, sampling: Sampling) -> str:
    """Depends on the seed, as a model does."""
    draw = random.Random(f"{text} {sampling.seed}")
    return "{" if draw.random() < 0.1 else hotel(text, sampling)


class KilledError(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_bytes_and_asks_nothing_twice(tmp_path: Path) -> None:
    expected, _ = written(Scripted(noisy))
    assert written(Scripted(noisy), at_once=3)[0] == expected
    calls = len(Scripted(noisy).asked)
    for stop in (1, 7, 20, 45):
        path = tmp_path / f"{stop}.jsonl"
        left = itertools.count()

        def dying(text: str, sampling: Sampling, left: Any = left, stop: int = stop) -> str:
            if next(left) == stop:
                raise KilledError
            return noisy(text, sampling)

        with pytest.raises(KilledError), RecordingModel(Scripted(dying), path) as model:
            written(model)
        again = Scripted(noisy)
        with RecordingModel(again, path) as model:
            assert written(model)[0] == expected
        lines = path.read_text().splitlines()
        calls = calls or len(lines)
        assert len(lines) == calls
        assert written(ReplayModel(path))[0] == expected


@pytest.mark.parametrize("budget", [Budget(calls=9), Budget(calls=40), Budget(tokens=60_000), Budget(tokens=200)])
def test_a_budget_is_never_exceeded(budget: Budget) -> None:
    model = Scripted(noisy)
    found, writer = written(model, budget)
    assert budget.calls is None or writer.ledger.spent.calls == len(model.asked) <= budget.calls
    assert budget.tokens is None or writer.ledger.spent.tokens <= budget.tokens
    assert writer.ledger.reserved.calls == writer.ledger.reserved.tokens == 0
    assert OUT_OF_BUDGET in found
    assert writer.ledger.stopped
