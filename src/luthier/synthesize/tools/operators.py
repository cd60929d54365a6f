"""The diversity operators of tool evolution (ToolACE, arXiv 2409.00920, sec. 2.1), by rule: each makes of one definition another that asks for other
arguments or answers otherwise, or returns None where it has nothing to change.

A constraint is said in words too, since the words are what a model reads. Definitions that come in are not changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from luthier.records import JSON, Tool
from luthier.synthesize.tools.context_tree import domain_of
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.own_texts import options_in

Bank = Mapping[str, Sequence[tuple[str, Any]]]
Operator = Callable[[Tool, Random, Bank], Tool | None]

MOST_PARAMETERS = 14
_SYNONYMS = (
    ("get", "fetch", "retrieve", "read"),
    ("list", "enumerate", "browse"),
    ("create", "add", "register"),
    ("delete", "remove", "discard"),
    ("update", "modify", "change", "edit"),
    ("search", "find", "look_up"),
    ("send", "dispatch", "deliver"),
    ("start", "launch", "begin"),
    ("stop", "halt", "end"),
    ("describe", "show", "inspect"),
    ("cancel", "revoke", "withdraw"),
)
_LIMITED = ("enum", "const", "minimum", "maximum", "maxLength", "minLength", "pattern", "format", "maxItems", "anyOf")
_LENGTHS, _COUNTS, _LOWS, _HIGHS = (20, 40, 80, 200), (3, 5, 10, 20), (0, 1), (10, 50, 100, 500, 1000)


def add_parameter(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """One more parameter, as other definitions of the domain have it."""
    properties = _properties(tool)
    fresh = [(name, schema) for name, schema in bank.get(domain_of(tool), ()) if name not in properties]
    if not fresh or len(properties) >= MOST_PARAMETERS:
        return None
    name, schema = random.choice(fresh)
    required = list(tool.parameters.get("required") or ())
    return _with(tool, {**properties, name: copy.deepcopy(schema)}, [*required, name] if random.random() < 0.4 else required)


def add_constraint(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """A limit on a parameter that has none: options, a range, a length, a number of items."""
    properties = _properties(tool)
    free = [
        name
        for name, schema in properties.items()
        if _type(schema) in ("string", "integer", "number", "array") and not any(word in schema for word in _LIMITED)
    ]
    if not free:
        return None
    name = random.choice(free)
    schema = dict(properties[name])
    kind = _type(schema)
    options = options_in(str(schema.get("description") or ""))
    if kind == "string" and options:
        schema |= {"enum": list(options)}
    elif kind == "string":
        schema |= {"maxLength": (most := random.choice(_LENGTHS)), "description": _said(schema, f"At most {most} characters.")}
    elif kind == "array":
        schema |= {"maxItems": (most := random.choice(_COUNTS)), "description": _said(schema, f"At most {most} items.")}
    else:
        low, high = random.choice(_LOWS), random.choice(_HIGHS)
        default = schema.get("default")
        if isinstance(default, int | float) and not low <= default <= high:
            return None
        schema |= {"minimum": low, "maximum": high, "description": _said(schema, f"From {low} to {high}.")}
    return _with(tool, {**properties, name: schema})


def change_type(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """A parameter of another type: a list in place of one value, a list of objects in place of a list, an object in place of several values."""
    ways = [_as_object, _as_list, _as_list_of_objects]
    random.shuffle(ways)
    return next((made for way in ways if (made := way(tool, random, bank)) is not None), None)


def change_need(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """An optional parameter becomes required, or a required one optional; one stays required."""
    properties, required = _properties(tool), list(tool.parameters.get("required") or ())
    optional = [name for name, schema in properties.items() if name not in required and "default" not in schema]
    if optional and (len(required) < 2 or random.random() < 0.5):
        return _with(tool, properties, [*required, random.choice(optional)])
    if len(required) < 2:
        return None
    name = random.choice(required)
    schema = {**properties[name], "description": _said(properties[name], "Optional.")}
    return _with(tool, {**properties, name: schema}, [one for one in required if one != name])


def change_answer(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """One more field in what the tool answers."""
    answer: JSON = copy.deepcopy(tool.returns) if tool.returns else {"type": "object", "properties": {}}
    if answer.get("type") != "object" or not isinstance(answer.get("properties"), dict):
        return None
    fresh = [(name, schema) for name, schema in bank.get(domain_of(tool), ()) if name not in answer["properties"]]
    if not fresh:
        return None
    name, schema = random.choice(fresh)
    answer["properties"][name] = copy.deepcopy(schema)
    return replace(tool, returns=answer)


def rename(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """The same under another verb; where the verb has no other, the name says one of the parameters."""
    place, dot, last = tool.name.rpartition(".")
    words = words_of(last).split()
    group = next((group for group in _SYNONYMS if words[0] in group), None)
    if group is None:
        by = [name for name in _properties(tool) if not set(words_of(name).split()) <= set(words)]
        other = [*words, "by", *words_of(random.choice(by)).split()] if by else None
    else:
        other = [random.choice([word for word in group if word != words[0]]), *words[1:]]
    return None if other is None else replace(tool, name=f"{place}{dot}{joined(other, last)}")


def joined(words: Sequence[str], like: str) -> str:
    """Words as one name, in the style of another: `getLoan` or `get_loan`."""
    last = like.rpartition(".")[2]
    camel = "_" not in last and last != last.lower() and last[:1].islower()
    return words[0] + "".join(word.capitalize() for word in words[1:]) if camel else "_".join(words)


OPERATORS: dict[str, Operator] = {
    "add parameter": add_parameter,
    "add constraint": add_constraint,
    "change type": change_type,
    "change need": change_need,
    "change answer": change_answer,
    "rename": rename,
}
OF_ARGUMENTS = frozenset(("add parameter", "add constraint", "change type", "change need"))  # that make another schema of parameters


def _as_list(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    properties = _properties(tool)
    single = [name for name, schema in properties.items() if _type(schema) in ("string", "integer", "number") and "default" not in schema]
    if not single:
        return None
    name = random.choice(single)
    told = str(properties[name].get("description") or words_of(name)).rstrip(".")
    items = {key: value for key, value in properties[name].items() if key != "description"}
    return _with(tool, {**properties, name: {"type": "array", "items": items, "description": f"{told}; one or more."}})


def _as_list_of_objects(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    properties = _properties(tool)
    lists = [
        name
        for name, schema in properties.items()
        if _type(schema) == "array" and isinstance(schema.get("items"), dict) and _type(schema["items"]) in ("string", "integer", "number")
    ]
    other = [(name, schema) for name, schema in bank.get(domain_of(tool), ()) if name not in properties]
    if not lists or not other:
        return None
    name, (second, schema) = random.choice(lists), random.choice(other)
    inner: JSON = {"value": {**properties[name]["items"], "description": f"One of the {words_of(name)}."}, second: copy.deepcopy(schema)}
    items = {"type": "object", "properties": inner, "required": ["value"]}
    return _with(tool, {**properties, name: {**{key: value for key, value in properties[name].items() if key != "items"}, "items": items}})


def _as_object(tool: Tool, random: Random, bank: Bank) -> Tool | None:
    """Parameters whose names begin or end alike, as fields of one: `start_date` and `end_date` as `date`."""
    properties, required = _properties(tool), list(tool.parameters.get("required") or ())
    groups: dict[str, list[str]] = {}
    for name, schema in properties.items():
        words = words_of(name).split()
        if len(words) > 1 and _type(schema) in ("string", "integer", "number", "boolean"):
            for word in {words[0], words[-1]}:
                groups.setdefault(word, []).append(name)
    fitting = {word: names for word, names in groups.items() if 2 <= len(names) < len(properties) and word not in properties}
    if not fitting:
        return None
    word = random.choice(sorted(fitting))
    names = fitting[word]
    needed = [name for name in names if name in required]
    group: JSON = {
        "type": "object",
        "description": f"The {word}: {', '.join(words_of(name) for name in names)}.",
        "properties": {name: properties[name] for name in names},
        **({"required": needed} if needed else {}),
    }
    rest = {name: schema for name, schema in properties.items() if name not in names}
    return _with(tool, {**rest, word: group}, [*(name for name in required if name not in names), *([word] if needed else [])])


def _properties(tool: Tool) -> dict[str, Any]:
    found = tool.parameters.get("properties") or {}
    return {name: schema for name, schema in found.items() if isinstance(schema, dict)}


def _type(schema: JSON) -> str:
    kind = schema.get("type")
    return kind if isinstance(kind, str) else ""


def _said(schema: JSON, more: str) -> str:
    told = str(schema.get("description") or "").strip()
    return more if not told else f"{told} {more}" if told.endswith((".", "!", "?")) else f"{told}. {more}"


def _with(tool: Tool, properties: Mapping[str, Any], required: Sequence[str] | None = None) -> Tool:
    parameters = {**tool.parameters, "properties": dict(properties)}
    if required is not None:
        parameters["required"] = list(required)
    return replace(tool, parameters=parameters)
