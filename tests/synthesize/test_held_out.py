"""Held-out dialogues share neither a request nor a call with those one trains on."""

from __future__ import annotations

from luthier.records import Conversation, Message, ToolCall
from luthier.synthesize.tools.dialogues import synthesize_dialogues
from luthier.synthesize.tools.held_out import marks, unseen


def row(text: str, **arguments: object) -> Conversation:
    return Conversation((Message("user", text), Message("assistant", None, (ToolCall("book", arguments),))))


def test_requests_are_compared_without_case_and_calls_by_tool_and_arguments() -> None:
    seen = marks(row("Book a  room.", city="Oslo"))
    again = [
        row("book a room.", city="Rome"),
        row("Another text.", city="Oslo"),
        row("A third.", city="Rome"),
        row("A fourth.", city="Rome"),
    ]
    assert [one.messages[0].content for one in unseen(again, seen)] == ["A third."]


def test_a_call_without_arguments_is_told_apart_by_its_words_alone() -> None:
    assert len(list(unseen([row("Are you there?"), row("Ping it."), row("ping it.")], marks(row("Hello?"))))) == 2


def test_two_seeds_give_disjoint_rows() -> None:
    seen: set[str] = set()
    for one in synthesize_dialogues(200, seed=1):
        seen |= marks(one)
    before = set(seen)
    held = list(unseen(synthesize_dialogues(200, seed=2), seen))
    assert len(held) > 150
    assert all(before.isdisjoint(marks(one)) for one in held)
