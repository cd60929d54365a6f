"""Calls that depend on each other: which operation gives what another asks for, where the value stands, and how the second request points at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.mocks import answers_of
from luthier.synthesize.tools.operations import Operation


def chains(operations: Sequence[Operation]) -> list[tuple[Operation, Operation, str]]:
    """Pairs of operations of which the first gives what the second asks for, with the parameter's name."""
    found = []
    gives = {one.name: answers_of(one, operations) for one in operations}
    for first in operations:
        for then in operations:
            properties = then.tool.parameters.get("properties") or {}
            for name in then.required_order if first is not then else ():
                fields = gives[first.name]
                if (
                    re.search(r" (id|ids|uuid|number|code)$", words_of(name))
                    and name in fields
                    and name not in (first.tool.parameters.get("properties") or {})
                ):
                    if fields[name].get("type") == properties[name].get("type") and "enum" not in properties[name]:
                        found.append((first, then, name))
                    break
    return found


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
