"""Requests that lack a value, the question for it, and the answer: arXiv 2409.00920, sec. 3.2, "missing information"."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from luthier.records import JSON, Message, ToolCall
from luthier.synthesize.tools.dialogues import QUESTIONS, SEVERAL
from luthier.synthesize.tools.meanings import meaning_of, words_of
from luthier.synthesize.tools.operations import Operation
from luthier.synthesize.tools.own_details import asked_for, is_plural
from luthier.synthesize.tools.own_requests import request_text
from luthier.synthesize.tools.spoken_values import said

_LONGEST_SAID = 60  # characters of a value that fits into a sentence


class Questions:
    """Takes values out of requests and has them asked for; draws from the random numbers it is given."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def withheld(self, asked: Operation, arguments: JSON) -> list[str]:
        """Required parameters whose absence can be seen, in a random order: no other value could be taken for theirs."""
        properties = asked.tool.parameters["properties"]
        meanings = {
            name: (meaning_of(name, str(properties[name].get("description") or "")), properties[name].get("format"))
            for name in arguments
            if name in properties
        }
        able = [
            name
            for name in asked.required_order
            if (name in arguments and list(meanings.values()).count(meanings[name]) == 1) or meanings.get(name) == ("", None)
        ]
        return self._random.sample(able, len(able))

    def asked_without(self, asked: Operation, call: ToolCall, missing: Sequence[str], wording: float | None = None) -> list[Message]:
        """A request without some values, and the question for them.

        wording: seed of the request's words, where another request is to share them.
        """
        text = request_text(asked, call.arguments, self._random if wording is None else Random(wording), without=missing)
        properties = asked.tool.parameters["properties"]
        names = [asked_for(name, properties[name]) for name in asked.required_order if name in missing]
        question = self._random.choice(QUESTIONS if len(names) == 1 else SEVERAL).format(missing=" and the ".join(names))
        return [Message("user", text), Message("assistant", question)]

    def told(self, asked: Operation, call: ToolCall, name: str) -> Message:
        """The value that was asked for."""
        schema = asked.tool.parameters["properties"][name]
        value = said(call.arguments[name], schema, name, self._random)
        if len(value) > _LONGEST_SAID or value.endswith((".", "!", "?")):
            return Message("user", f"The {words_of(name)}: {value}")
        label = asked_for(name, schema)
        several = is_plural(label) and isinstance(call.arguments[name], list)
        text = self._random.choice(("{v}", "It's {v}.", "{v}, please.", "The {label} is {v}.", "Sorry, {v}."))
        text = text.replace("It's", "These are").replace(" is ", " are ") if several else text
        return Message("user", text.format(v=value, label=label))
