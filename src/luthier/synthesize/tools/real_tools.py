"""Real API definitions as blueprints: a facet of a few parameters whose kinds are recognised by name, type and limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from luthier.records import JSON, Tool
from luthier.synthesize.tools.blueprints import Blueprint, Slot, spoken
from luthier.synthesize.tools.slots import flag_slot, mentions_by_name
from luthier.synthesize.tools.values import Source, guess_kind, kinds

MAX_REAL_PARAMETERS = 5


def real_blueprints(tools: list[Tool], source: Source) -> Iterator[Blueprint]:
    """Facets of the tools in a random order, one service after another so that no large service fills the set."""
    by_domain: dict[str, list[Tool]] = {}
    for tool in tools:
        by_domain.setdefault(tool.source, []).append(tool)
    for group in by_domain.values():
        source.random.shuffle(group)
    while by_domain:
        for domain in source.random.sample(sorted(by_domain), len(by_domain)):
            group = by_domain[domain]
            blueprint = real_blueprint(group.pop(), source)
            if not group:
                del by_domain[domain]
            if blueprint is not None:
                yield blueprint


def real_blueprint(tool: Tool, source: Source) -> Blueprint | None:
    """A facet of a real tool: its required parameters and a few optional ones. None where they cannot be put into words."""
    properties: JSON = tool.parameters.get("properties") or {}
    required = [name for name in tool.parameters.get("required") or () if name in properties]
    ways = [way["required"] for way in tool.parameters.get("anyOf", ()) if set(way) == {"required"}]
    required += [name for name in (source.random.choice(ways) if ways else ()) if name not in required]
    optional = [name for name in properties if name not in required]
    extra = source.random.sample(optional, min(len(optional), source.random.choice([0, 1, 1, 2, 2])))
    chosen = [name for name in properties if name in required or name in extra]
    if not chosen or len(chosen) > MAX_REAL_PARAMETERS:
        return None
    slots = [_real_slot(name, properties[name], name in required) for name in chosen]
    ask = _imperative(tool)
    if any(slot is None for slot in slots):
        return None
    kept = {key: value for key, value in tool.parameters.items() if key != "anyOf"} if ways else tool.parameters
    parameters = {**kept, "properties": {name: properties[name] for name in chosen}, "required": required}
    domain = tool.source.rsplit(": ", 1)[-1]
    return Blueprint(replace(tool, parameters=parameters), tuple(slot for slot in slots if slot), ask, "", domain)


def _real_slot(name: str, schema: JSON, required: bool) -> Slot | None:
    options = schema.get("enum")
    if isinstance(options, list) and options and all(isinstance(option, str) for option in options):
        few = options[:8]
        said = ("as {v}", "({v})", "in {v}", "using {v}")
        return Slot(name, {**schema, "enum": few}, required, lambda s: s.random.choice(few), said, mentions_by_name(name))
    kind_of = schema.get("type")
    if kind_of == "boolean":
        return flag_slot(name, str(schema.get("description", "")), required)
    if any(key in schema for key in ("pattern", "format", "minLength")) and kind_of == "string" and schema.get("minLength", 0) > 12:
        return None
    kind = guess_kind(name, schema)
    if kind is not None and "pattern" not in schema:
        return Slot(name, schema, required, _within(kind.draw, schema), kind.said, mentions_by_name(name))
    if kind_of in ("integer", "number"):
        low, high = int(schema.get("minimum", 1)), int(schema.get("maximum", 500))
        return Slot(
            name,
            schema,
            required,
            lambda s: s.random.randint(low, max(low, min(high, low + 500))),
            mentions_by_name(name),
            mentions_by_name(name),
        )
    if kind_of == "string" and "pattern" not in schema and "format" not in schema:
        draw = kinds()["code"].draw
        return Slot(name, schema, required, draw, (*mentions_by_name(name), "{v}", "for {v}"), mentions_by_name(name))
    return None


def _within(draw: Callable[[Source], Any], schema: JSON) -> Callable[[Source], Any]:
    low, high = schema.get("minimum"), schema.get("maximum")

    def bounded(source: Source) -> Any:
        value = draw(source)
        if isinstance(value, int | float):
            value = value if high is None else min(value, high)
            value = value if low is None else max(value, low)
        return value

    return bounded


def _imperative(tool: Tool) -> str:
    """The first sentence of the description as an imperative; else the words of the name."""
    first = re.split(r"(?<=[a-z)])[.;:](?:\s|$)|\n", tool.description.strip())[0]
    words = first.split()
    if 3 <= len(words) <= 14:
        verb = base_form(words[0].lower(), spoken(tool.name).split())
        if verb is not None:
            return " ".join([verb, *words[1:]]).rstrip(".")
    *path, last = tool.name.split(".")
    name = spoken(last).split()
    if len(name) == 1 and path:  # `customers.subscriptions.delete`: the resource stands before the verb
        name += spoken(path[-1]).split()
    return " ".join(name) if len(name) >= 2 and name[0] in verbs() else "use " + " ".join(name)


def base_form(word: str, name: list[str]) -> str | None:
    """`creates` and `applies` as `create` and `apply`: verbs that API descriptions begin with, or that the tool's own name has."""
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return next((form for form in forms if form in verbs() or form in name), None)


@cache
def verbs() -> frozenset[str]:
    text = resources.files("luthier.synthesize.tools").joinpath("data/verbs.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))
