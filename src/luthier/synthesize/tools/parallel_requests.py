"""Requests that need several calls at once: each said in full, or said once with the values that differ, as people shorten them.

ToolACE (arXiv 2409.00920, sec. 3.2) has parallel calls as one of its four types of dialogue. A model that has only seen requests one
after another takes "in Lisbon, Porto and Rome" for one call with a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from luthier.records import JSON
from luthier.synthesize.tools.blueprints import Blueprint, Slot
from luthier.synthesize.tools.requests import draw_arguments, mention, request, value_text
from luthier.synthesize.tools.values import Source, kinds

OPTIONAL_SHARE = 0.4  # of the optional parameters: several calls are long enough
SEVERAL_TOOLS = 0.65  # of the parallel requests on a list of several tools
IN_PARTS, CARRIED_OVER = 0.3, 0.4  # of those: one tool for several values, one with a value of the one before
MOST = 5  # calls
EACH_WITH_EACH = 0.5  # of the requests that list values in two places: "in Lisbon and Porto on Monday and Friday" are four calls
_CARRIED = """city country state street person author user university company bank language dish fruit vegetable drink car maker artwork genre sport team
animal event substance invention""".split()  # noqa: SIM905  # kinds of values of which one says "the same"
_COUNTS = (2, 2, 2, 3, 3, 4)
_LISTED = (2, 2, 2, 3, 3, 4, 5)  # values in one place: short, so more of them
_LINKS = (" Also, ", " And then: ", " ", " Then ", "\n", " After that, ", " In addition, ", " And ")
_ORDINALS = ("First, ", " Second, ", " Third, ", " Fourth, ")
_LAST = (" Finally, ", " Lastly, ", " And finally, ", " Last, ")
_OPENINGS = ("", "", "I have a few requests. ", "Can you help me with a few things? ", "Please do the following. ", "A few tasks: ")
_AGAIN = (
    "Do the same {v}.",
    "And the same {v}.",
    "Then do it again {v}.",
    "Please repeat that {v}.",
    "I want the same {v}, too.",
    "How about {v}?",
    "And another one {v}.",
    "What changes {v}?",
)
_SHARED = (
    " The {p} is {v} in all of them.",
    " The {p} is {v} each time.",
    " {P} in each case: {v}.",
    " Use {v} as the {p} for all of them.",
    " I want {v} as the {p} for all of these.",
)
_SHARED_FLAGS = (" All of them {v}.", " Each time {v}.", " In all cases {v}.", " This goes for all of them: {v}.")
_TRIES = 8


class Call(NamedTuple):
    """A call of a tool with its arguments."""

    name: str
    arguments: JSON


class Parallel(NamedTuple):
    """What a person asks for and the calls that answer it, all of which are known before the first is made."""

    text: str
    calls: tuple[Call, ...]


def parallel_request(blueprint: Blueprint, listed: Sequence[Blueprint], source: Source) -> Parallel | None:
    """A request for two to five calls: of several tools of the list, or of the blueprint's tool with other values.

    None where no two different calls are found, as for a tool without parameters that stands alone.
    """
    if len(listed) > 1 and source.random.random() < SEVERAL_TOOLS:
        return _of_several(blueprint, listed, source)
    varied = [slot for slot in blueprint.slots if _can_stand_among_others(slot)]
    form = source.random.random()
    if varied and form < 0.35:
        made = _listed_values(blueprint, varied, source)
    elif varied and form < 0.55:
        made = _again(blueprint, varied, source)
    elif varied and form < 0.75:
        made = _shared_values(blueprint, varied, source)
    else:
        made = None
    return made or _of_one(blueprint, source)


def _of_several(blueprint: Blueprint, listed: Sequence[Blueprint], source: Source) -> Parallel | None:
    """Each said in full, and a tool may be asked twice; or one of them for several values, or one with a value of the one before."""
    others = [one for one in listed if one is not blueprint]
    form = source.random.random()
    if form < IN_PARTS and (made := _in_parts((blueprint, source.random.choice(others)), source)) is not None:
        return made
    if form > 1 - CARRIED_OVER and (made := _carried_over(blueprint, others, source)) is not None:
        return made
    count = source.random.choice(_COUNTS)
    chosen = [blueprint, source.random.choice(others)]
    chosen += source.random.choices(listed, k=count - 2)
    source.random.shuffle(chosen)
    return _in_turn(chosen, source)


def _in_parts(chosen: Sequence[Blueprint], source: Source) -> Parallel | None:
    """Each tool in a sentence of its own, some of them for several values: "the weather in Lisbon and Porto. Also, book a table"."""
    random = source.random
    parts: list[Parallel] = []
    for one in random.sample(chosen, len(chosen)):
        varied = [slot for slot in one.slots if _can_stand_among_others(slot)]
        form = random.choice((_listed_values, _again)) if varied and random.random() < 0.6 else None
        arguments = draw_arguments(one, source, OPTIONAL_SHARE)
        whole = Parallel(request(one, arguments, source).text, (Call(one.tool.name, arguments),))
        parts.append((form and form(one, varied, source)) or whole)
    calls = tuple(call for part in parts for call in part.calls)
    return Parallel(_joined([part.text for part in parts], source), calls) if len(calls) <= MOST else None


def _carried_over(blueprint: Blueprint, others: Sequence[Blueprint], source: Source) -> Parallel | None:
    """Two tools that take a value of one kind, which is said once: "the weather in Lisbon. Also, find hotels in the same city"."""
    draws = {kinds()[name].draw for name in _CARRIED}
    able = [
        (one, slot, like)
        for one in others
        for slot in one.slots
        for like in blueprint.slots
        if slot.draw in draws and slot.draw is like.draw and slot.said == like.said and _unquoted(slot).said
        if sum(slot.draw is another.draw for another in blueprint.slots) == 1
    ]
    if not able:
        return None
    then, slot, like = source.random.choice(able)
    shared = slot.draw(source)
    first = {**draw_arguments(blueprint, source, OPTIONAL_SHARE), like.name: shared}
    second = {**draw_arguments(then, source, OPTIONAL_SHARE), slot.name: shared}
    unnamed = replace(_unquoted(slot), named=_unquoted(slot).said, ahead=False)
    spoken = _bare(then, {slot.name: unnamed})
    texts = [request(blueprint, first, source).text, request(spoken, second | {slot.name: f"the same {like.words}"}, source).text]
    return Parallel(_joined(texts, source), (Call(blueprint.tool.name, first), Call(then.tool.name, second)))


def _of_one(blueprint: Blueprint, source: Source) -> Parallel | None:
    """One tool asked two to four times, each said in full and with the same parameters."""
    for _ in range(_TRIES):
        named = set(draw_arguments(blueprint, source, OPTIONAL_SHARE)) or {slot.name for slot in blueprint.slots}
        made = _in_turn([blueprint] * source.random.choice(_COUNTS), source, named)
        if made is not None:
            return made
    return None


def _in_turn(chosen: Sequence[Blueprint], source: Source, named: set[str] | None = None) -> Parallel | None:
    texts: list[str] = []
    calls: list[Call] = []
    for one in chosen:
        arguments = draw_arguments(one, source, OPTIONAL_SHARE) if named is None else _drawn(one, named, source)
        call = Call(one.tool.name, arguments)
        if call not in calls:
            calls.append(call)
            texts.append(request(one, arguments, source).text)
    return Parallel(_joined(texts, source), tuple(calls)) if len(calls) > 1 else None


def _drawn(blueprint: Blueprint, named: set[str], source: Source) -> JSON:
    return {slot.name: slot.draw(source) for slot in blueprint.slots if slot.name in named}


def _joined(texts: Sequence[str], source: Source) -> str:
    """The requests one after another, counted or linked."""
    random = source.random
    if random.random() < 0.3:
        marks = [*_ORDINALS[: len(texts) - 1], random.choice([*_LAST, _ORDINALS[len(texts) - 1]])]
        counted = "".join(mark + _small(_ended(text)) for mark, text in zip(marks, texts, strict=True))
        return random.choice(_OPENINGS) + counted
    said = texts[0]
    for text in texts[1:]:
        link = random.choice(_LINKS)
        said = (
            (said if link == "\n" else _ended(said)) + link + (_small(text) if link.strip() and not link.rstrip().endswith(":") else text)
        )
    return said


def _ended(text: str) -> str:
    """With a full stop where another sentence follows."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _small(text: str) -> str:
    """The sentence as it continues another; "I" stays."""
    return text if re.match(r"I\b", text) else text[:1].lower() + text[1:]


def _can_stand_among_others(slot: Slot) -> bool:
    """Whether several values of the parameter can be listed in its place: it is no list, no truth value and no share in other units."""
    if slot.schema.get("type") not in ("string", "integer", "number"):
        return False
    return all("{v}" in way and not way.startswith("[") for way in (*slot.said, *slot.named))


def _unquoted(slot: Slot) -> Slot:
    """The slot without the ways to say a value in quotes: they hold one value, no list and no "the same city"."""
    said, named = (tuple(way for way in ways if not re.search("['\"`]", way)) for ways in (slot.said, slot.named))
    return replace(slot, said=said, named=named)


def _bare(blueprint: Blueprint, slots: Mapping[str, Slot]) -> Blueprint:
    """The blueprint with these slots in place of its own, and without the questions that say a value of them in quotes."""
    quoted = {f"{mark}{{{name}}}{mark}" for name in slots for mark in ("'", '"')}
    questions = tuple(one for one in blueprint.questions if not any(place in one for place in quoted))
    return replace(blueprint, slots=tuple(slots.get(slot.name, slot) for slot in blueprint.slots), questions=questions)


def _listed_values(blueprint: Blueprint, varied: Sequence[Slot], source: Source) -> Parallel | None:
    """Said once, with two to five values in one place; or in two places, "respectively" or each with each."""
    random = source.random
    shared = draw_arguments(blueprint, source, OPTIONAL_SHARE)
    places = [slot for slot in varied if slot.name in shared]
    if not places:
        return None
    places = random.sample(places, 2 if len(places) > 1 and random.random() < 0.35 else 1)
    bare = {slot.name: _unquoted(slot) for slot in places}
    if not all(slot.said and slot.named for slot in bare.values()):
        return None
    found = {slot.name: _different(slot, random.choice(_LISTED), source) for slot in places}
    count = min(map(len, found.values()))
    if count < 2:
        return None
    each_with_each = len(places) > 1 and random.random() < EACH_WITH_EACH
    if each_with_each:
        count = 2
        chosen: list[tuple[Any, ...]] = list(product(*(values[:count] for values in found.values())))
    else:
        chosen = list(zip(*(values[:count] for values in found.values()), strict=True))
    calls = [Call(blueprint.tool.name, shared | dict(zip(found, values, strict=True))) for values in chosen]
    spoken = shared | {name: _listing(values[:count], source) for name, values in found.items()}
    text = request(_bare(blueprint, bare), spoken, source).text
    if len(places) > 1 and not each_with_each:
        text = re.sub(r"([.?]?)\Z", r", respectively\1", text, count=1)
    return Parallel(text, tuple(calls))


def _again(blueprint: Blueprint, varied: Sequence[Slot], source: Source) -> Parallel | None:
    """Said in full, then "the same with" what differs."""
    random = source.random
    first = draw_arguments(blueprint, source, OPTIONAL_SHARE)
    places = [slot for slot in varied if slot.name in first]
    if not places:
        return None
    calls = [Call(blueprint.tool.name, first)]
    text = _ended(request(blueprint, first, source).text)
    for _ in range(random.choice(_COUNTS) - 1):
        changed = {slot.name: slot.draw(source) for slot in random.sample(places, random.randint(1, min(2, len(places))))}
        call = Call(blueprint.tool.name, first | changed)
        if call in calls or any(first[name] == value for name, value in changed.items()):
            continue
        calls.append(call)
        ways = [mention(slot, changed[slot.name], source, named=True) for slot in places if slot.name in changed]
        text += " " + random.choice(_AGAIN).replace("{v}", " and ".join(way.strip() for way in ways))
    return Parallel(text, tuple(calls)) if len(calls) > 1 else None


def _shared_values(blueprint: Blueprint, varied: Sequence[Slot], source: Source) -> Parallel | None:
    """The calls one after another, and what they have in common once: at the end, or in the first of them where no call can do without it."""
    random = source.random
    arguments = draw_arguments(blueprint, source, 0.7)
    places = [slot for slot in varied if slot.name in arguments]
    shared = [slot for slot in blueprint.slots if slot.name in arguments]
    if len(shared) < 2 or not places:
        return None
    changing = random.choice(places)
    shared = [slot for slot in shared if slot is not changing]
    once = random.choice(shared)
    others = [slot for slot in places if slot is not once]
    first = once.required and random.random() < 0.5
    calls: list[Call] = []
    texts: list[str] = []
    for _ in range(random.choice(_COUNTS)):
        call = Call(blueprint.tool.name, arguments | {slot.name: slot.draw(source) for slot in others})
        if call not in calls:
            without = None if first and not calls else once.name
            texts.append(request(blueprint, call.arguments, source, without=without).text)
            calls.append(call)
    if len(calls) < 2:
        return None
    ending = "" if first else _in_common(once, arguments[once.name], source)
    return Parallel((_ended(_joined(texts, source)) if ending else _joined(texts, source)) + ending, tuple(calls))


def _in_common(slot: Slot, value: Any, source: Source) -> str:
    """A sentence that says a value for all that was asked before."""
    if isinstance(value, bool):
        return source.random.choice(_SHARED_FLAGS).replace("{v}", mention(slot, value, source, named=True).strip(" ,"))
    share = slot.said[0] if "{p}" in slot.said[0] else ""
    said = f"{round(value * 100, 4):g}%" if share else value_text(value, source)
    ending = source.random.choice(_SHARED).replace("{p}", slot.words).replace("{P}", slot.words.capitalize()).replace("{v}", said)
    return f"{ending[:-2]}." if ending.endswith((".", "!", "?"), 0, -1) else ending


def _different(slot: Slot, count: int, source: Source) -> list[Any]:
    """Up to so many values of a parameter, none of them twice or part of another, and none with a comma or an "and" of its own."""
    found: list[Any] = []
    for _ in range(_TRIES * count):
        value = slot.draw(source)
        text = str(value).lower()
        if isinstance(value, str) and re.search(r",| and ", text):
            continue
        if not any(text in str(one).lower() or str(one).lower() in text for one in found):
            found.append(value)
        if len(found) == count:
            break
    return found


def _listing(values: Sequence[Any], source: Source) -> str:
    """Values as people list them: "Lisbon, Porto and Rome"."""
    texts = [value_text(value, source) for value in values]
    if isinstance(values[0], int | float) and source.random.random() < 0.15 and not any("," in text or len(text) == 3 for text in texts):
        return f"{','.join(texts[:-1])} and {texts[-1]}"
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
