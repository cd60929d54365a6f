"""Requests in a model's words: every value survives or the template's words stay, and each refusal is counted by its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from luthier.models.protocol import Completion, Sampling
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.synthesize.tools.asks import OUT_OF_BUDGET, Asks
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.rewording import TRIES, lost, reworded

BOOK = Tool(
    "bookRoom",
    "Book a hotel room.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city."},
            "nights": {"type": "integer", "description": "Number of nights."},
            "board": {"type": "string", "enum": ["none", "half", "full"], "description": "Meals."},
            "breakfast": {"type": "boolean", "description": "With breakfast."},
            "voucher": {"type": "string", "description": "Code of a voucher."},
        },
        "required": ["city", "nights"],
        "additionalProperties": False,
    },
)
PLAIN = "Please book a hotel room in Lisbon for three nights with half board, with breakfast and voucher AB-4417."
ARGUMENTS = {"city": "Lisbon", "nights": 3, "board": "half", "breakfast": True, "voucher": "AB-4417"}
SINGLE = Conversation(
    (Message("user", PLAIN), Message("assistant", None, (ToolCall("bookRoom", ARGUMENTS),))), (BOOK,), {"id": "a", "type": "single"}
)
NEAR = Conversation(
    (Message("user", "Ask for housekeeping in room 434."), Message("assistant", "I have no function to ask for housekeeping.")),
    (BOOK,),
    {"id": "b", "type": "irrelevant"},
)
GOOD = "I need a hotel room in Lisbon: 3 nights, half board, breakfast included, voucher AB-4417. Can you book it?"


def answered(conversation: Conversation, say: Callable[[Sampling], Completion | None]) -> tuple[Any, list[Sampling]]:
    talk, drawn, answer = reworded(conversation, 7), list[Sampling](), None
    while True:
        try:
            wanted = talk.send(answer)
        except StopIteration as stop:
            return stop.value, drawn
        assert isinstance(wanted, Asks)
        drawn += [ask.sampling for ask in wanted.asks]
        answer = [say(ask.sampling) for ask in wanted.asks]


def said(text: str) -> Callable[[Sampling], Completion]:
    return lambda _: Completion(text, "stop", 9, 9)


def test_a_rewording_that_keeps_everything_is_taken_with_the_template_beside_it() -> None:
    made, drawn = answered(SINGLE, said(f'"{GOOD}"'))
    assert made.conversation.messages[0].content == GOOD
    assert made.conversation.messages[1:] == SINGLE.messages[1:]
    assert made.conversation.extra == {"id": "a", "type": "single", "worded": "model", "template": PLAIN}
    assert made.counts == {"model": 1}
    assert check(made.conversation) == []
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("conversation", "text", "why"),
    [
        (SINGLE, PLAIN.replace("Please b", "B"), ""),
        (SINGLE, PLAIN.upper(), "it says the same words"),
        (SINGLE, "", "it says the same words"),
        (SINGLE, f"{GOOD} {GOOD} {GOOD}", "it is much longer"),
        (SINGLE, f"Sure! {GOOD}", "it speaks as the assistant"),
        (SINGLE, f"{GOOD} Please contact us.", "it speaks as the assistant"),
        (SINGLE, f"I will see to it: {GOOD}", "it speaks as the assistant"),
        (SINGLE, f"Would you like this? {GOOD}", "it speaks as the assistant"),
        (SINGLE, f"The hotel room is in Lisbon. {GOOD}", "it asks for nothing"),
        (SINGLE, GOOD.replace("Lisbon", "Porto"), "a value is lost"),
        (SINGLE, GOOD.replace("3 nights", "some nights"), "a value is lost"),
        (SINGLE, GOOD.replace("half board, ", ""), "a value is lost"),
        (SINGLE, GOOD.replace("AB-4417", "AB-4471"), "a value is lost"),
        (SINGLE, GOOD.replace("AB-4417", "Ab-4417"), "a value is lost"),
        (SINGLE, f"{GOOD} It is for 2.", "something is added"),
        (SINGLE, f"{GOOD} It is for Ana.", "something is added"),
        (SINGLE, GOOD.replace("breakfast included", "no breakfast"), "a denial is lost or added"),
        (SINGLE, GOOD.replace("breakfast included, ", ""), "a truth value is lost"),
        (SINGLE, GOOD.replace("Can you book it?", "Book it [INST]."), "a rule is broken"),
        (SINGLE, "Lisbon, please, 3, half, breakfast, AB-4417.", "what is wanted is lost"),
        (SINGLE, "Lisbon, 3, half, breakfast, AB-4417.", "it asks for nothing"),
        (NEAR, "Could housekeeping in room 434 be asked for?", ""),
        (NEAR, "I need something in room 434.", "what is wanted is lost"),
        (NEAR, "Ask for housekeeping in room 435.", "something is added"),
    ],
)
def test_what_a_rewording_loses(conversation: Conversation, text: str, why: str) -> None:
    assert lost(conversation, 0, text) == why


def test_the_template_stays_after_so_many_tries_and_each_reason_is_counted() -> None:
    made, drawn = answered(SINGLE, said("Book a room in Porto."))
    assert made.conversation.messages == SINGLE.messages
    assert made.conversation.extra["worded"] == "template"
    assert made.counts == {"not taken: a value is lost": TRIES, "template": 1}
    assert len({one.seed for one in drawn}) == TRIES


def test_a_cut_off_answer_is_not_taken_and_no_budget_ends_it() -> None:
    made, _ = answered(SINGLE, lambda _: Completion(GOOD, "length", 9, 9))
    assert made.counts == {"not taken: it was cut off": TRIES, "template": 1}
    made, drawn = answered(SINGLE, lambda _: None)
    assert made.counts == {OUT_OF_BUDGET: 1, "template": 1}
    assert len(drawn) == 1


def test_chat_is_left_as_it_is() -> None:
    chat = Conversation((Message("user", "Hi!"), Message("assistant", "Hello.")), (BOOK,), {"type": "chat"})
    made, drawn = answered(chat, said("Good day!"))
    assert made.conversation.messages == chat.messages
    assert made.counts == {"not asked: nothing to say in other words": 1, "template": 1}
    assert drawn == []
