"""Blueprints: a tool together with what is needed to talk about it (how to ask, and how to draw and mention each value).

They come from two places: the list of everyday ideas beside this file, varied by rule (names, styles, which parameters are optional),
and real API definitions, cut to a facet of a few scalar parameters whose kinds are recognised by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from luthier.records import JSON, Tool
from luthier.synthesize.tools.values import Kind, Source, guess_kind, kinds

MAX_REAL_PARAMETERS = 5
EVERYDAY_SOURCE = "luthier everyday ideas"
_SMALL_WORDS = {"a", "an", "the", "of", "for", "to", "in", "on", "at", "by", "is", "who", "it", "as", "and", "that"}


@dataclass(frozen=True)
class Slot:
    """One parameter: its schema, how a value is drawn, and how requests mention it (`{v}` value, `{p}` percent).

    said does not use the parameter's name, named does; ahead: the value can stand before the noun.
    """

    name: str
    schema: JSON
    required: bool
    draw: Callable[[Source], Any]
    said: tuple[str, ...]
    named: tuple[str, ...]
    ahead: bool = False

    @property
    def words(self) -> str:
        return spoken(self.name)


@dataclass(frozen=True)
class Blueprint:
    """A tool and how to ask for it. ask: imperatives ("book a hotel room"); noun: what one asks to be told, or empty."""

    tool: Tool
    slots: tuple[Slot, ...]
    ask: str
    noun: str
    domain: str


def spoken(name: str) -> str:
    """`max_price` and `maxPrice` as "max price"."""
    return (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.rsplit(".", maxsplit=1)[-1])
        .replace("_", " ")
        .replace("-", " ")
        .strip()
        .lower()
    )


# --- everyday ideas ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Idea:
    """A line of the list: what the tool does and which parameters it could have."""

    domain: str
    ask: str
    noun: str
    parameters: tuple[str, ...]


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
            ask, noun, parameters = (part.strip() for part in line.split("|"))
            found.append(Idea(domain, ask, noun, tuple(re.findall(r"\S+:\S+\([^)]*\)\??|\S+", parameters))))
    return tuple(found)


def everyday_blueprint(idea: Idea, source: Source) -> Blueprint:
    """One variation of an idea: its own name, descriptions, parameter names and choice of optional parameters."""
    random = source.random
    camel = random.random() < 0.2
    slots = [_idea_slot(token, random) for token in idea.parameters]
    slots = [slot for slot in slots if slot.required or random.random() < 0.7]
    slots = _without_equal_names([replace(slot, name=_styled(slot.name, camel)) for slot in slots])
    return Blueprint(_tool(idea, slots, random, camel), tuple(slots), idea.ask, idea.noun, idea.domain)


def _tool(idea: Idea, slots: list[Slot], random: Random, camel: bool) -> Tool:
    words = [word for word in re.findall(r"[A-Za-z0-9]+", idea.ask) if word.lower() not in _SMALL_WORDS]
    if idea.noun and random.random() < 0.5:
        words = [
            random.choice([words[0], "get", "calculate" if words[0] == "compute" else words[0]]),
            *re.findall(r"[A-Za-z0-9]+", idea.noun),
        ]
    name = _styled("_".join(word.lower() for word in words), camel)
    name = random.choice(
        [name, name, f"{idea.domain}.{name}", f"{idea.domain}_{random.choice(['api', 'service', 'tool'])}.{name}"]
    )
    required = [slot.name for slot in slots if slot.required]
    properties = {slot.name: slot.schema for slot in slots}
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name, _description(idea, slots, random), parameters, source=EVERYDAY_SOURCE, license="Apache-2.0")


def _description(idea: Idea, slots: list[Slot], random: Random) -> str:
    ask = idea.ask[0].upper() + idea.ask[1:]
    verb, _, rest = ask.partition(" ")
    third = verb + ("es" if verb.endswith(("h", "s", "x")) else "s") + f" {rest}"
    by = " and ".join(slot.words for slot in slots if slot.required)
    return random.choice(
        [f"{ask}.", f"{third}.", f"{ask} by {by}.", f"{third} for a given {by}.", f"{ask} based on the {by}."]
    )


def _styled(name: str, camel: bool) -> str:
    if not camel:
        return name
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _without_equal_names(slots: list[Slot]) -> list[Slot]:
    seen: set[str] = set()
    return [slot for slot in slots if not (slot.name in seen or seen.add(slot.name))]  # type: ignore[func-returns-value]


_ALTERNATIVES = {"percent": "percent_points", "date": "written_date", "end_date": "written_end"}
_NOT_AHEAD = frozenset(
    (
        "unit",
        "units",
        "to",
        "order",
        "function",
        "property",
        "nutrient",
        "reason",
        "symptom",
        "activity",
        "method",
        "mode",
    )
)


def _idea_slot(token: str, random: Random) -> Slot:
    required, token = not token.endswith("?"), token.removesuffix("?")
    prefix, colon, rest = token.partition(":")
    if not colon:
        kind, _, name = token.partition("=")
        other = _ALTERNATIVES.get(kind)
        kind = other if other and random.random() < 0.45 else kind
        return _kind_slot(kinds()[kind], name or random.choice(kinds()[kind].names), required, random)
    if prefix in ("enum", "many"):
        name, _, options = rest.partition("=")
        make = _enum_slot if prefix == "enum" else _enum_list_slot
        return make(name, options.split("/"), required, random)
    if prefix == "bool":
        return _flag_slot(
            rest,
            f"Whether to {spoken(rest)}." if random.random() < 0.5 else f"{spoken(rest).capitalize()} or not.",
            required,
        )
    name, _, unit = rest.rstrip(")").partition("(")
    return _number_slot(name, unit, whole=prefix == "int" or random.random() < 0.5, required=required, random=random)


def _optional_note(required: bool, random: Random, default: str = "") -> str:
    if required:
        return ""
    return random.choice(
        [
            "",
            " Optional.",
            f" Defaults to {default}." if default else " (optional)",
            f" Default is {default}." if default else "",
        ]
    )


def _kind_slot(kind: Kind, name: str, required: bool, random: Random) -> Slot:
    schema: JSON = {"type": kind.type, "description": random.choice(kind.about) + _optional_note(required, random)}
    if kind.type == "array":
        schema["items"] = {"type": _item_type(kind)}
    named = _named_lists(name) if kind.type == "array" else _named(name)
    return Slot(name, schema, required, kind.draw, kind.said, named, kind.ahead)


def _item_type(kind: Kind) -> str:
    value = kind.draw(Source(0))[0]
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"


def _named(name: str) -> tuple[str, ...]:
    words = spoken(name)
    return (
        f"with {words} {{v}}",
        f"{words}: {{v}}",
        f"where the {words} is {{v}}",
        f"with a {words} of {{v}}",
        f"({words} {{v}})",
        f"using {{v}} as the {words}",
    )


def _named_lists(name: str) -> tuple[str, ...]:
    words = spoken(name)
    return (f"with {words} {{v}}", f"{words}: {{v}}", f"for the {words} {{v}}", f"where the {words} are {{v}}")


def _enum_slot(name: str, options: list[str], required: bool, random: Random) -> Slot:
    listed = " or ".join([", ".join(f"'{option}'" for option in options[:-1]), f"'{options[-1]}'"])
    note = _optional_note(required, random, f"'{options[0]}'")
    words = spoken(name)
    about = random.choice(
        [f"The {words}: {listed}.", f"{words.capitalize()}, either {listed}.", f"The {words} to use, e.g. {listed}."]
    )
    schema: JSON = {"type": "string", "description": about + note}
    if random.random() < 0.5:
        schema = {"type": "string", "enum": options, "description": f"The {words}.{note}"}
    said = ("in {v}", "- {v} please", "({v})", "as {v}", "and make it {v}", "preferably {v}", "{v} " + words)
    return Slot(name, schema, required, lambda s: s.random.choice(options), said, _named(name), name not in _NOT_AHEAD)


def _enum_list_slot(name: str, options: list[str], required: bool, random: Random) -> Slot:
    listed = ", ".join(f"'{option}'" for option in options)
    words = spoken(name)
    note = _optional_note(required, random)
    items: JSON = {"type": "string"} if random.random() < 0.5 else {"type": "string", "enum": options}
    about = f"The {words}: any of {listed}.{note}" if "enum" not in items else f"The {words}.{note}"
    schema: JSON = {"type": "array", "items": items, "description": about}
    said = ("with {v}", "including {v}", "- {v} please", "and {v}", "for {v}", "that has {v}")
    return Slot(
        name, schema, required, lambda s: s.random.sample(options, s.random.randint(1, 2)), said, _named_lists(name)
    )


def _flag_slot(name: str, about: str, required: bool) -> Slot:
    words = spoken(name)
    if words in ("detailed", "full details"):
        ways = ("[in detail|just briefly]", "[with full details|without details]", "[in full detail|in short]")
        return Slot(
            name, {"type": "boolean", "description": about}, required, lambda s: s.random.random() < 0.75, ways, ways
        )
    said: tuple[str, ...] = (
        f"[and {words}|but don't {words}]",
        f"[{words}: yes|{words}: no]",
        f"[with {words}|without {words}]",
        f"[, {words} please|, no {words}]",
    )
    if words.startswith(("include ", "with ", "show ", "avoid ")):
        verb, rest = words.split(" ", 1)
        said = (
            (f"[and {verb} {rest}|and do not {verb} {rest}]", f"[including {rest}|without {rest}]")
            if verb != "avoid"
            else (f"[and avoid {rest}|{rest} are fine]", f"[avoiding {rest}|with {rest} allowed]")
        )
    return Slot(
        name, {"type": "boolean", "description": about}, required, lambda s: s.random.random() < 0.65, said, said
    )


def _number_slot(name: str, unit: str, *, whole: bool, required: bool, random: Random) -> Slot:
    words = spoken(name)
    measured = len(unit) <= 3 or unit in (
        "volts",
        "amperes",
        "grams",
        "kelvin",
        "liters",
        "degrees",
        "hertz",
        "hectares",
        "pixels",
        "light years",
    )
    about = random.choice(
        [
            f"The {words}.",
            f"The {words} in {unit}." if measured else f"Value of the {words}.",
            f"{words.capitalize()}" + (f" ({unit})." if measured else "."),
        ]
    )
    schema: JSON = {"type": "integer" if whole else "number", "description": about + _optional_note(required, random)}
    space = "" if len(unit) <= 3 and random.random() < 0.5 else " "  # people write 70kg as often as 70 kg
    amount = f"{{v}}{space}{unit}" if measured and random.random() < 0.7 else "{v}"
    said = (f"of {amount}", amount, f"with {amount}", f"for {amount}")
    named = (
        f"with a {words} of {amount}",
        f"{words} {amount}",
        f"{words} = {{v}}",
        f"and {amount} for the {words}",
        f"whose {words} is {amount}",
        f"with {words} {amount}",
    )
    if name == "year" or "year" in name:
        return Slot(name, schema | {"type": "integer"}, required, lambda s: s.random.randint(1900, 2025), named, named)
    top = random.choice([12, 60, 250, 5000])
    draw = (
        (lambda s: s.random.randint(1, top))
        if whole or random.random() < 0.3
        else (lambda s: round(s.random.uniform(0.1, top), s.random.choice([1, 1, 2])))
    )
    return Slot(name, schema, required, draw, said if len(words) > 14 else (*said, *named), named)


# --- real definitions -------------------------------------------------------------------------------------------------------


def real_blueprint(tool: Tool, source: Source) -> Blueprint | None:
    """A facet of a real tool: its required parameters and a few optional ones. None where they cannot be put into words."""
    properties: JSON = tool.parameters.get("properties") or {}
    required = [name for name in tool.parameters.get("required") or () if name in properties]
    optional = [name for name in properties if name not in required]
    extra = source.random.sample(optional, min(len(optional), source.random.choice([0, 1, 1, 2, 2])))
    chosen = [name for name in properties if name in required or name in extra]
    if not chosen or len(chosen) > MAX_REAL_PARAMETERS:
        return None
    slots = [_real_slot(name, properties[name], name in required) for name in chosen]
    ask = _imperative(tool)
    if any(slot is None for slot in slots):
        return None
    parameters = {**tool.parameters, "properties": {name: properties[name] for name in chosen}, "required": required}
    domain = tool.source.rsplit(": ", 1)[-1]
    return Blueprint(replace(tool, parameters=parameters), tuple(slot for slot in slots if slot), ask, "", domain)


def _real_slot(name: str, schema: JSON, required: bool) -> Slot | None:
    options = schema.get("enum")
    if isinstance(options, list) and options and all(isinstance(option, str) for option in options):
        few = options[:8]
        said = ("as {v}", "({v})", "in {v}", "using {v}")
        return Slot(name, {**schema, "enum": few}, required, lambda s: s.random.choice(few), said, _named(name))
    kind_of = schema.get("type")
    if kind_of == "boolean":
        return _flag_slot(name, str(schema.get("description", "")), required)
    if (
        any(key in schema for key in ("pattern", "format", "minLength"))
        and kind_of == "string"
        and schema.get("minLength", 0) > 12
    ):
        return None
    kind = guess_kind(name, schema)
    if kind is not None and "pattern" not in schema:
        return Slot(name, schema, required, _within(kind.draw, schema), kind.said, _named(name))
    if kind_of in ("integer", "number"):
        low, high = int(schema.get("minimum", 1)), int(schema.get("maximum", 500))
        return Slot(
            name,
            schema,
            required,
            lambda s: s.random.randint(low, max(low, min(high, low + 500))),
            _named(name),
            _named(name),
        )
    if kind_of == "string" and "pattern" not in schema and "format" not in schema:
        draw = kinds()["code"].draw
        return Slot(name, schema, required, draw, (*_named(name), "{v}", "for {v}"), _named(name))
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


_VERBS = frozenset(
    [
        "accept",
        "activate",
        "add",
        "allocate",
        "analyze",
        "apply",
        "approve",
        "archive",
        "assign",
        "associate",
        "attach",
        "authorize",
        "batch",
        "begin",
        "build",
        "calculate",
        "cancel",
        "change",
        "check",
        "clear",
        "clone",
        "close",
        "compare",
        "complete",
        "compute",
        "configure",
        "confirm",
        "connect",
        "convert",
        "copy",
        "count",
        "create",
        "deactivate",
        "delete",
        "deploy",
        "deregister",
        "describe",
        "detach",
        "detect",
        "determine",
        "disable",
        "disassociate",
        "disconnect",
        "discover",
        "download",
        "enable",
        "encrypt",
        "evaluate",
        "execute",
        "export",
        "extract",
        "fetch",
        "filter",
        "find",
        "generate",
        "get",
        "grant",
        "import",
        "initiate",
        "insert",
        "install",
        "invite",
        "invoke",
        "launch",
        "list",
        "lock",
        "look",
        "merge",
        "migrate",
        "modify",
        "monitor",
        "move",
        "open",
        "pause",
        "perform",
        "post",
        "predict",
        "preview",
        "provision",
        "publish",
        "purchase",
        "put",
        "query",
        "read",
        "reboot",
        "receive",
        "record",
        "recover",
        "refresh",
        "register",
        "reject",
        "release",
        "remove",
        "rename",
        "render",
        "renew",
        "replace",
        "report",
        "request",
        "reserve",
        "reset",
        "resize",
        "resolve",
        "restart",
        "restore",
        "resume",
        "retrieve",
        "return",
        "revoke",
        "rotate",
        "run",
        "save",
        "scan",
        "schedule",
        "search",
        "select",
        "send",
        "set",
        "share",
        "show",
        "sign",
        "split",
        "start",
        "stop",
        "store",
        "submit",
        "subscribe",
        "suspend",
        "switch",
        "sync",
        "tag",
        "terminate",
        "test",
        "track",
        "transfer",
        "translate",
        "undelete",
        "unlock",
        "unregister",
        "unsubscribe",
        "update",
        "upgrade",
        "upload",
        "validate",
        "verify",
        "view",
        "watch",
        "write",
    ]
)


def _imperative(tool: Tool) -> str:
    """The first sentence of the description as an imperative; else the words of the name."""
    first = re.split(r"(?<=[a-z)])[.;:](?:\s|$)|\n", tool.description.strip())[0]
    words = first.split()
    if 3 <= len(words) <= 14:
        verb = _base_form(words[0].lower(), spoken(tool.name).split())
        if verb is not None:
            return " ".join([verb, *words[1:]]).rstrip(".")
    *path, last = tool.name.split(".")
    name = spoken(last).split()
    if len(name) == 1 and path:  # `customers.subscriptions.delete`: the resource stands before the verb
        name += spoken(path[-1]).split()
    return " ".join(name) if len(name) >= 2 and name[0] in _VERBS else "use " + " ".join(name)


def _base_form(word: str, name: list[str]) -> str | None:
    """`creates` and `applies` as `create` and `apply`: verbs that API descriptions begin with, or that the tool's own name has."""
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return next((form for form in forms if form in _VERBS or form in name), None)


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
