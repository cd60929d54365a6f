"""Slots of everyday tools: from a token of an idea ("enum:room=single/double?") to a parameter with its schema and its mentions.

The tokens are explained at the head of `data/everyday.txt`; `mentions_by_name` and `flag_slot` serve real definitions as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from luthier.records import JSON
from luthier.synthesize.tools.blueprints import Slot, spoken
from luthier.synthesize.tools.values import Kind, Source, kinds

TOKEN = re.compile(r"[^\s:]++:[^\s(]++\((?:[^()]|\([^)]*+\))*+\)\??|\S++")  # a parameter of an idea
_ALTERNATIVES = {"percent": "percent_points", "date": "written_date", "end_date": "written_end"}
_NOT_AHEAD = frozenset(
    ("unit", "units", "to", "order", "function", "property", "nutrient", "reason", "symptom", "activity", "method", "mode")
)


def token_name(token: str) -> str:
    """What questions call the parameter: its name, or its kind where it has none (`city`, `date=first` and `enum:room=single/double?`)."""
    prefix, colon, rest = token.removesuffix("?").partition(":")
    return re.split(r"[=(]", rest)[0] if colon else prefix.rpartition("=")[2]


def idea_slot(token: str, random: Random) -> Slot:
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
    if prefix in ("fields", "rows"):
        name, _, inner = rest.removesuffix(")").partition("(")
        slots = [idea_slot(one, random) for one in TOKEN.findall(inner)]
        return _object_slot(name, slots, required, random) if prefix == "fields" else _objects_slot(name, slots, required, random)
    if prefix == "bool":
        return flag_slot(rest, f"Whether to {spoken(rest)}." if random.random() < 0.5 else f"{spoken(rest).capitalize()} or not.", required)
    name, _, unit = rest.rstrip(")").partition("(")
    return _number_slot(name, unit, whole=prefix == "int" or random.random() < 0.5, required=required, random=random)


def _optional_note(required: bool, random: Random, default: str = "") -> str:
    if required:
        return ""
    return random.choice(
        ["", " Optional.", f" Defaults to {default}." if default else " (optional)", f" Default is {default}." if default else ""]
    )


def _kind_slot(kind: Kind, name: str, required: bool, random: Random) -> Slot:
    schema: JSON = {"type": kind.type, "description": random.choice(kind.about) + _optional_note(required, random)}
    if kind.type == "array":
        schema["items"] = {"type": _item_type(kind)}
    named = list_mentions_by_name(name) if kind.type == "array" else mentions_by_name(name)
    return Slot(name, schema, required, kind.draw, kind.said, named, kind.ahead)


def _object_slot(name: str, slots: list[Slot], required: bool, random: Random) -> Slot:
    """An object, with its properties in the schema or, now and then, only told by their names."""
    words, names = spoken(name), [slot.name for slot in slots]
    about = random.choice([f"The {words}.", f"{words.capitalize()} to apply.", f"The {words}, with {' and '.join(names)}."])
    schema = _object_schema(slots) if random.random() < 0.75 else {"type": "object"}
    if "properties" not in schema:
        about = f"The {words}: an object with {', '.join(names[:-1])} and {names[-1]}."
    said = ("where {v}", "with {v}", "({v})", "- {v}")
    named = (f"with the {words} {{v}}", f"{words}: {{v}}", f"with {{v}} as the {words}", f"({words}: {{v}})")
    return Slot(name, schema | {"description": about + _optional_note(required, random)}, required, _object_draw(slots), said, named)


def _objects_slot(name: str, slots: list[Slot], required: bool, random: Random) -> Slot:
    """A list of such objects."""
    words = spoken(name)
    schema: JSON = {"type": "array", "items": _object_schema(slots), "description": f"The {words}.{_optional_note(required, random)}"}
    draw = _object_draw(slots)
    ways = (f"{words}: {{v}}", f"with the {words} {{v}}", f"for these {words}: {{v}}")
    return Slot(name, schema, required, lambda s: [draw(s) for _ in range(s.random.choice((1, 2, 2, 3)))], ways, ways)


def _object_schema(slots: list[Slot]) -> JSON:
    required = [slot.name for slot in slots if slot.required]
    return {"type": "object", "properties": {slot.name: slot.schema for slot in slots}, "required": required}


def _object_draw(slots: list[Slot]) -> Callable[[Source], JSON]:
    return lambda s: {slot.name: slot.draw(s) for slot in slots if slot.required or s.random.random() < 0.6}


def _item_type(kind: Kind) -> str:
    value = kind.draw(Source(0))[0]
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"


def mentions_by_name(name: str) -> tuple[str, ...]:
    words = spoken(name)
    return (
        f"with {words} {{v}}",
        f"{words}: {{v}}",
        f"where the {words} is {{v}}",
        f"with {_article(words)} {words} of {{v}}",
        f"({words} {{v}})",
        f"using {{v}} as the {words}",
    )


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def list_mentions_by_name(name: str) -> tuple[str, ...]:
    words = spoken(name)
    return (f"with {words} {{v}}", f"{words}: {{v}}", f"for the {words} {{v}}", f"where the {words} are {{v}}")


def _enum_slot(name: str, options: list[str], required: bool, random: Random) -> Slot:
    listed = " or ".join([", ".join(f"'{option}'" for option in options[:-1]), f"'{options[-1]}'"])
    note = _optional_note(required, random, f"'{options[0]}'")
    words = spoken(name)
    about = random.choice([f"The {words}: {listed}.", f"{words.capitalize()}, either {listed}.", f"The {words} to use, e.g. {listed}."])
    schema: JSON = {"type": "string", "description": about + note}
    if random.random() < 0.5:
        schema = {"type": "string", "enum": options, "description": f"The {words}.{note}"}
    said: tuple[str, ...] = ("in {v}", "- {v} please", "({v})", "as {v}", "and make it {v}", "preferably {v}", "{v} " + words)
    if name == "order":
        said = ("in {v} order", "{v}", "sorted {v}")
    elif name.startswith(("sort", "order")):
        said = ("sorted by {v}", "by {v}", "ordered by {v}", "in order of {v}")
    return Slot(name, schema, required, lambda s: s.random.choice(options), said, mentions_by_name(name), name not in _NOT_AHEAD)


def _enum_list_slot(name: str, options: list[str], required: bool, random: Random) -> Slot:
    listed = ", ".join(f"'{option}'" for option in options)
    words = spoken(name)
    note = _optional_note(required, random)
    items: JSON = {"type": "string"} if random.random() < 0.5 else {"type": "string", "enum": options}
    about = f"The {words}: any of {listed}.{note}" if "enum" not in items else f"The {words}.{note}"
    schema: JSON = {"type": "array", "items": items, "description": about}
    said = ("with {v}", "including {v}", "- {v} please", "and {v}", "for {v}", "that has {v}")
    return Slot(name, schema, required, lambda s: s.random.sample(options, s.random.randint(1, 2)), said, list_mentions_by_name(name))


def flag_slot(name: str, about: str, required: bool) -> Slot:
    words = spoken(name)
    if words in ("detailed", "full details"):
        ways = ("[in detail|just briefly]", "[with full details|without details]", "[in full detail|in short]")
        return Slot(name, {"type": "boolean", "description": about}, required, lambda s: s.random.random() < 0.85, ways, ways)
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
    return Slot(name, {"type": "boolean", "description": about}, required, lambda s: s.random.random() < 0.85, said, said)


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
        f"with {_article(words)} {words} of {amount}",
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
