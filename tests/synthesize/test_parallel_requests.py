"""Requests for several calls: every value is said, the calls differ, and the forms in which people shorten them occur."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.records import Conversation, Message, ToolCall
from luthier.synthesize.tools.blueprints import Blueprint, Slot
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.dialogues import TYPE_SHARES, synthesize_dialogues
from luthier.synthesize.tools.everyday import everyday_blueprint, ideas
from luthier.synthesize.tools.parallel_requests import Parallel, parallel_request
from luthier.synthesize.tools.type_shares import with_shares
from luthier.synthesize.tools.values import Source


def blueprints(source: Source, count: int) -> list[Blueprint]:
    found = [everyday_blueprint(idea, source) for idea in source.random.sample(ideas(), count)]
    return list({one.tool.name: one for one in found}.values())


def conversation(made: Parallel, listed: list[Blueprint]) -> Conversation:
    calls = tuple(ToolCall(call.name, call.arguments) for call in made.calls)
    return Conversation(
        (Message("user", made.text), Message("assistant", None, calls)), tuple(one.tool for one in listed), {"type": "parallel"}
    )


@given(seed=st.integers(0, 100_000), tools=st.integers(1, 4))
def test_calls_differ_and_pass_every_rule(seed: int, tools: int) -> None:
    source = Source(seed)
    listed = blueprints(source, tools)
    made = parallel_request(listed[0], listed, source)
    if made is None:  # no two different calls: nothing to draw
        assert all(len({str(slot.draw(source)) for _ in range(40)}) <= 2 for slot in listed[0].slots)
        return
    assert 2 <= len(made.calls) <= 5
    assert all(call not in made.calls[:number] for number, call in enumerate(made.calls))
    assert {call.name for call in made.calls} <= {one.tool.name for one in listed}
    assert check(conversation(made, listed)) == []


def test_a_value_may_be_that_of_the_tool_before_and_one_tool_may_be_asked_for_several() -> None:
    source = Source(11)
    about_places = [idea for idea in ideas() if "city" in idea.parameters]
    carried = mixed = 0
    for _ in range(300):
        listed = [everyday_blueprint(idea, source) for idea in source.random.sample(about_places, 2)]
        made = parallel_request(listed[0], listed, source)
        if made is None:
            continue
        names = Counter(call.name for call in made.calls)
        mixed += len(names) == 2 and max(names.values()) > 1 and len(made.calls) < 5
        if " the same " in made.text and len(made.calls) == 2 and len(names) == 2:
            first, second = (call.arguments for call in made.calls)
            carried += any(
                value in second.values() and made.text.count(str(value)) == 1 for value in first.values() if isinstance(value, str)
            )
    assert carried > 5
    assert mixed > 20


def place(name: str, values: tuple[str, ...], *said: str) -> Slot:
    return Slot(name, {"type": "string"}, True, lambda source: source.random.choice(values), said, said)


def test_values_are_listed_given_respectively_and_said_again() -> None:
    source = Source(3)
    [weather] = [everyday_blueprint(idea, source) for idea in ideas() if idea.parameters][:1]
    slots = (place("city", ("Lisbon", "Porto", "Rome"), "in {v}"), place("day", ("Monday", "Friday"), "on {v}"))
    weather = Blueprint(weather.tool, slots, "get the weather", "", weather.domain)
    made = [parallel_request(weather, [weather], source) for _ in range(300)]
    texts = [one.text for one in made if one is not None]
    assert len(texts) > 270  # the others drew the same call twice
    assert any("in Lisbon, Porto and Rome" in text or "in Rome, Lisbon and Porto" in text for text in texts)
    assert any(text.rstrip(".?").endswith(", respectively") for text in texts)
    assert any("the same in Porto" in text for text in texts)
    every = next(
        one
        for one in made
        if one is not None
        and "and" in one.text
        and len(one.calls) == 4
        and "respectively" not in one.text
        and one.text.count(" and ") == 2
        and "," not in one.text
    )
    assert len({(call.arguments["city"], call.arguments["day"]) for call in every.calls}) == 4
    shared = next(
        one
        for one in made
        if one is not None and "in Lisbon and Porto" in one.text and len(one.calls) == 2 and "respectively" not in one.text
    )
    assert [call.arguments["city"] for call in shared.calls] == ["Lisbon", "Porto"]
    assert len({call.arguments["day"] for call in shared.calls}) == 1


def test_what_calls_have_in_common_is_said_once_at_the_end_or_in_the_first() -> None:
    source = Source(5)
    [tool] = blueprints(source, 1)
    slots = (place("gas", ("helium", "neon"), "with {v}"), place("place", ("Lisbon", "Porto", "Rome"), "in {v}"))
    tool = Blueprint(tool.tool, slots, "compute the pressure", "", tool.domain)
    made = [one for _ in range(800) if (one := parallel_request(tool, [tool], source)) is not None]
    once = [
        one
        for one in made
        if sum(one.text.count(gas) for gas in ("helium", "neon")) == 1 and len({c.arguments["gas"] for c in one.calls}) == 1
    ]
    at_the_end = [one for one in once if one.text.endswith(("in all of them.", "for all of them.", "each time.", "for all of these."))]
    in_the_first = [one for one in once if one.calls[0].arguments["gas"] in one.text[: len(one.text) // 2]]
    assert len(at_the_end) > 10
    assert len(in_the_first) > 10


def test_a_tool_without_parameters_that_stands_alone_is_not_called_twice() -> None:
    source = Source(1)
    [one] = blueprints(source, 1)
    bare = Blueprint(one.tool, (), one.ask, one.noun, one.domain)
    assert parallel_request(bare, [bare], source) is None


@pytest.mark.parametrize(("share", "of_several"), [(0.1, 0.13), (0.4, 0.3)])  # most lists with one such request hold one tool
def test_dialogues_of_several_tools_come_in_the_share_that_is_told(share: float, of_several: float) -> None:
    rows = list(synthesize_dialogues(1500, seed=6, shares=with_shares(TYPE_SHARES, {"parallel": share})))
    parallel = [row for row in rows if row.extra["type"] == "parallel"]
    assert len(parallel) / len(rows) == pytest.approx(share, abs=0.04)
    kinds = Counter(len({call.name for call in row.messages[1].tool_calls}) > 1 for row in parallel)
    assert kinds[True] > of_several * len(parallel)
    assert kinds[False] > len(parallel) / 5


def test_neither_a_list_nor_the_same_stands_inside_quotes() -> None:
    source = Source(17)
    asked = [idea for idea in ideas() if any("'{" in one or '"{' in one for one in idea.questions)]
    assert len(asked) > 5
    listed = 0
    for number in range(400):
        blueprint = everyday_blueprint(asked[number % len(asked)], source)
        made = parallel_request(blueprint, [blueprint], source)
        if made is None:
            continue
        values = {str(value) for call in made.calls for value in call.arguments.values()}
        assert not any(
            f" and {value}{mark}" in made.text and f"{mark}{value}" not in made.text for value in values for mark in ("'", '"')
        ), made
        listed += sum(f" and {value}" in made.text for value in values) > 0
    assert listed > 50
