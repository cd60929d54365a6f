"""What of a turn a chat template has a place for, besides what is said: thoughts, and text beside calls. Found by trial, counted over rows, said once.

What has no place is left out, as the template itself does; no form is made up that the model never saw.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from luthier.records import JSON
from luthier.records.account import current, note
from luthier.records.turns import REASONING

THOUGHTS, CALL_THOUGHTS, CALL_TEXTS = "thoughts before answers", "thoughts before calls", "text beside calls"


class Places(NamedTuple):
    """What a template writes of a turn. key: the field that it reads thoughts from, "" where it reads none; thoughts, call_thoughts: before an answer,
    and before a call; call_texts: what is said beside a call; both: whether it takes thoughts and text beside the same call."""

    key: str
    thoughts: bool
    call_thoughts: bool
    call_texts: bool
    both: bool

    def lost(self, row: JSON) -> Iterator[str]:
        """The kinds of what this turn has and the template has no place for."""
        if row["role"] != "assistant":
            return
        calls, thought = bool(row.get("tool_calls")), _thought(row)
        if thought and not self._keeps(row):
            yield CALL_THOUGHTS if calls else THOUGHTS
        if calls and row.get("content") and not self.call_texts:
            yield CALL_TEXTS

    def written(self, row: JSON) -> JSON:
        """The turn with its thoughts in the field that the template reads, or without them."""
        if row["role"] != "assistant" or not any(name in row for name in REASONING):
            return row
        rest = {name: value for name, value in row.items() if name not in REASONING}
        return {**rest, self.key: _thought(row)} if _thought(row) and self._keeps(row) else rest

    def _keeps(self, row: JSON) -> bool:
        """Whether the thoughts of this turn are written."""
        if not row.get("tool_calls"):
            return self.thoughts
        return self.call_thoughts and (self.both or not row.get("content"))


def find_places(tried: Callable[[list[JSON]], str | None], called: Sequence[JSON], word: str) -> Places:
    """What a template has places for. tried: a rendering, None for a refusal; called: a user's turn, one that calls and more; word: stands in no template."""
    user, call, *rest = called

    def shown(of: str, turn: JSON, *more: JSON) -> bool | None:
        rendered = tried([user, turn, *more])
        return None if rendered is None else f"{word}{of}" in rendered

    text, key, before, beside = f"{word}c", "", False, False
    for name in REASONING:
        thought = {name: f"{word}r"}
        before = bool(shown("r", {"role": "assistant", "content": text, **thought}))
        beside = bool(shown("r", {**call, **thought}, *rest))
        if before or beside:
            key = name
            break
    both = key != "" and bool(shown("r", {**call, "content": text, key: f"{word}r"}, *rest))
    # a template that refuses text beside calls does so by the row, in its own words
    return Places(key, before, beside, shown("c", {**call, "content": text}, *rest) is not False, both)


def no_place(name: str, kind: str) -> str:
    """What is said of it. name: of the model."""
    return f"{name}: the chat template has no place for {kind}"


class LeftOut:
    """Counts over rows what a template has no place for."""

    def __init__(self, name: str) -> None:
        self.name, self.turns, self.rows = name, Counter[str](), Counter[str]()

    def add(self, lost: Sequence[str]) -> None:
        """A row. lost: a kind for each turn that has it."""
        self.turns.update(lost)
        self.rows.update(set(lost))

    def say(self) -> None:
        """Into the account of the command, which says it under --quiet too and keeps it in run.json; else as a warning."""
        for kind, turns in self.turns.items():
            rows = self.rows[kind]
            if current() is not None:
                note("left out", f"{kind}, for which the chat template has no place", rows=rows)
            else:
                told = f"{turns} in {rows} row{'' if rows == 1 else 's'}"
                logging.getLogger("luthier").warning("%s: %s, left out", no_place(self.name, kind), told)


def _thought(row: JSON) -> str:
    """What was thought before the turn, by whichever name."""
    return next((value for name in REASONING if isinstance(value := row.get(name), str) and value), "")
