"""Everyday tools: the ideas in `data/everyday.txt`, varied by rule (names, styles, descriptions, which parameters are optional)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from random import Random

from luthier.records import Tool
from luthier.synthesize.tools.blueprints import PLACE, Blueprint, Slot
from luthier.synthesize.tools.slots import TOKEN, idea_slot, token_name
from luthier.synthesize.tools.values import Source

EVERYDAY_SOURCE = "luthier everyday ideas"
EXTRA_SHARE = 0.3
NESTED = frozenset(("records", "code"))  # domains whose arguments are objects, lists of objects, names of a program's variables
SHUFFLED_SHARE = 0.3
_LOOKUP_EXTRAS = (
    "bool:include_history?",
    "bool:detailed",
    "bool:detailed?",
    "bool:include_images?",
    "bool:show_sources?",
    "count?",
    "language?",
    "enum:sort_by=date/price/relevance/popularity/importance?",
    "enum:order=ascending/descending?",
    "aspect",
    "aspects",
    "aspects?",
    "enum:format=table/list/text?",
    "enum:detail_level=basic/summary/detailed?",
    "many:sections=overview/reviews/prices/contacts?",
    "enum:source=official/public/archive",
    "bool:include_statistics?",
    "year?",
    "bool:verified?",
)
_COMPUTE_EXTRAS = (
    "int:precision(digits)?",
    "int:decimals(digits)?",
    "bool:show_steps?",
    "bool:detailed?",
    "enum:rounding=up/down/nearest?",
    "bool:include_units?",
    "enum:output=short/full?",
    "enum:method=exact/approximate?",
)
_SMALL_WORDS = {"a", "an", "the", "of", "for", "to", "in", "on", "at", "by", "is", "who", "it", "as", "and", "that"}


@dataclass(frozen=True)
class Idea:
    """A line of the list: what the tool does, which parameters it could have, and what people ask without saying what to do."""

    domain: str
    ask: str
    noun: str
    parameters: tuple[str, ...]
    questions: tuple[str, ...] = ()


@cache
def ideas() -> tuple[Idea, ...]:
    """The everyday ideas shipped with the package."""
    text = resources.files("luthier.synthesize.tools").joinpath("data/everyday.txt").read_text(encoding="utf-8")
    found: list[Idea] = []
    domain = ""
    for line in text.splitlines():
        if line.startswith("["):
            domain = line.strip("[]")
        elif line and not line.startswith("#"):
            ask, noun, parameters, *questions = (part.strip() for part in line.split("|"))
            asked = tuple(one.strip() for part in questions for one in part.split(";"))
            found.append(Idea(domain, ask, noun, tuple(TOKEN.findall(parameters)), asked))
    return tuple(found)


@cache
def plain_ideas() -> tuple[Idea, ...]:
    """Those whose arguments are numbers, texts and lists of these."""
    return tuple(idea for idea in ideas() if idea.domain not in NESTED)


def everyday_blueprint(idea: Idea, source: Source) -> Blueprint:
    """One variation of an idea: its own name, descriptions, parameter names and choice of optional parameters."""
    random = source.random
    camel = random.random() < 0.2
    keyed = [(token_name(token), idea_slot(token, random)) for token in _tokens(idea, random)]
    keyed = [(key, slot) for key, slot in keyed if slot.required or random.random() < 0.7]
    if random.random() < SHUFFLED_SHARE:  # optional parameters may stand anywhere in a signature
        random.shuffle(keyed)
    keyed = _without_equal_names([(key, replace(slot, name=_styled(slot.name, camel))) for key, slot in keyed])
    slots = [slot for _, slot in keyed]
    questions = _questions(idea, {key: slot.name for key, slot in keyed})
    return Blueprint(_tool(idea, slots, random, camel), tuple(slots), idea.ask, idea.noun, idea.domain, questions)


def _questions(idea: Idea, names: Mapping[str, str]) -> tuple[str, ...]:
    """The idea's questions about parameters that this variation has, by the names that they have here."""
    return tuple(
        PLACE.sub(lambda place: f"{{{names[place[1]]}}}", question)
        for question in idea.questions
        if all(key in names for key in PLACE.findall(question))
    )


def _tokens(idea: Idea, random: Random) -> list[str]:
    """The idea's parameters and, now and then, one that many tools have: a flag, an order, a detail wanted, a precision."""
    computes = idea.ask.startswith(("compute", "estimate", "work out", "solve", "convert"))
    tokens = list(idea.parameters)
    if random.random() < EXTRA_SHARE:
        tokens.append(random.choice(_COMPUTE_EXTRAS if computes else _LOOKUP_EXTRAS))
    return tokens


def _tool(idea: Idea, slots: list[Slot], random: Random, camel: bool) -> Tool:
    words = [word for word in re.findall(r"[A-Za-z0-9]+", idea.ask) if word.lower() not in _SMALL_WORDS]
    if idea.noun and random.random() < 0.5:
        words = [
            random.choice([words[0], "get", "calculate" if words[0] == "compute" else words[0]]),
            *re.findall(r"[A-Za-z0-9]+", idea.noun),
        ]
    name = _styled("_".join(word.lower() for word in words), camel)
    name = random.choice([name, name, f"{idea.domain}.{name}", f"{idea.domain}_{random.choice(['api', 'service', 'tool'])}.{name}"])
    required = [slot.name for slot in slots if slot.required]
    properties = {slot.name: slot.schema for slot in slots}
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name, _description(idea, slots, random), parameters, source=EVERYDAY_SOURCE, license="Apache-2.0")


def _description(idea: Idea, slots: list[Slot], random: Random) -> str:
    ask = idea.ask[0].upper() + idea.ask[1:]
    verb, _, rest = ask.partition(" ")
    third = verb + ("es" if verb.endswith(("h", "s", "x")) else "s") + f" {rest}"
    by = " and ".join(slot.words for slot in slots if slot.required)
    return random.choice([f"{ask}.", f"{third}.", f"{ask} by {by}.", f"{third} for a given {by}.", f"{ask} based on the {by}."])


def _styled(name: str, camel: bool) -> str:
    if not camel:
        return name
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _without_equal_names(keyed: list[tuple[str, Slot]]) -> list[tuple[str, Slot]]:
    first: dict[str, tuple[str, Slot]] = {}
    for key, slot in keyed:
        first.setdefault(slot.name, (key, slot))
    return list(first.values())
