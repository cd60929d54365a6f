"""Calls that depend on each other: which operation gives what another asks for, where the value stands, and how the second request points at it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from luthier.records import JSON, ToolCall
from luthier.synthesize.tools.meanings import meaning_of, words_of
from luthier.synthesize.tools.mocks import answers_of
from luthier.synthesize.tools.operations import Operation
from luthier.synthesize.tools.spoken_values import PROSE

_ID = re.compile(r" (id|ids|uuid|number|code)$")
_VARIES = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d|.{40}")  # days, times, texts


def chains(operations: Sequence[Operation]) -> list[tuple[Operation, Operation, str]]:
    """Pairs of operations of which the first gives what the second asks for, with the parameter's name."""
    found = []
    gives = {one.name: answers_of(one, operations) for one in operations}
    for first in operations:
        asked = set(map(words_of, first.tool.parameters.get("properties") or {}))
        for then in operations:
            properties = then.tool.parameters.get("properties") or {}
            for name in then.required_order if first is not then else ():
                fields = gives[first.name]
                if _ID.search(words_of(name)) and name in fields and words_of(name) not in asked:
                    if fields[name].get("type") == properties[name].get("type") and "enum" not in properties[name]:
                        found.append((first, then, name))
                    break
    return found


def carried(call: ToolCall, then: Operation) -> Iterator[tuple[str, str]]:
    """What a later call about the same thing has in common with an earlier one, by its own names: owner and repository, not the day or a note.

    An operation that changes something shares only ids: what else it is given is what changes.
    """
    said = {words_of(name): value for name, value in call.arguments.items() if isinstance(value, str) and not _VARIES.search(value)}
    for name in then.required_order:
        words = words_of(name)
        if words in said and (not then.changes or _ID.search(words)) and meaning_of(name) not in PROSE:
            yield name, said[words]


def value_in(answer: Any, name: str, then: Operation) -> str | int | None:
    """The first value of a name in an answer."""
    if isinstance(answer, dict):
        if isinstance(own := answer.get(name), str | int):
            return own
        return next((value for inner in answer.values() if (value := value_in(inner, name, then)) is not None), None)
    if isinstance(answer, list):
        return next((value for inner in answer if (value := value_in(inner, name, then)) is not None), None)
    return None


def holds_several(answer: JSON) -> bool:
    """Whether an answer lists more than one thing."""
    return any(isinstance(value, list) and len(value) > 1 for value in answer.values())


def that_one(text: str, noun: str, *, first: bool) -> str:
    """`confirm a booking` as "confirm that booking"; where the noun does not occur, it is said before the order.

    first: there are several, and the first is meant.
    """
    which = "the first" if first else "that"
    made, count = re.subn(rf"\b(?:an?|the|one|this) ((?:[a-z]+ )?){re.escape(noun)}\b(?! of\b)", rf"{which} \g<1>{noun}", text, count=1)
    if count:
        return made
    return f"for {which} {noun}, {text}"
