"""What makes a dialogue harder without another request: values without their parameters' names, arguments inside an object (ToolACE,
arXiv 2409.00920, sec. 3.4, "+paraphrase" and "+nested"); and an object's fields as parameters again, which is easier.

Each is a pure function of a dialogue of one question and its calls that keeps it true, or returns None where it has nothing to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from jsonschema import Draft202012Validator

from luthier.records import JSON, Conversation, Tool
from luthier.synthesize.tools.meanings import words_of

_GROUPS = ("details", "options", "request", "settings")
_SCALARS = ("string", "integer", "number", "boolean")
MOST_GROUPED = 3  # parameters that become the fields of one object

Change = tuple[Tool, Callable[[JSON], JSON]]  # another definition, and its arguments from those of the first


def without_names(dialogue: Conversation, random: Random) -> Conversation | None:
    """One value is said without its parameter's name: "with the city Lisbon" is "with Lisbon". The value fits no other parameter of its tool,
    so that it can still be told what it is."""
    asked = str(dialogue.messages[-2].content)
    tools = {tool.name: tool for tool in dialogue.tools}
    found = [
        text
        for call in dialogue.messages[-1].tool_calls
        for name, value in call.arguments.items()
        if call.name in tools and _fits_alone(tools[call.name], name, value) and (text := _unnamed(asked, name, value)) is not None
    ]
    if not found:
        return None
    user = replace(dialogue.messages[-2], content=random.choice(found))
    return replace(dialogue, messages=(*dialogue.messages[:-2], user, dialogue.messages[-1]))


def nested(dialogue: Conversation, random: Random) -> Conversation | None:
    """Two or three parameters of a tool that is called become fields of an object."""
    return _changed(dialogue, random, _as_fields_of_one)


def flattened(dialogue: Conversation, random: Random) -> Conversation | None:
    """The fields of an object become parameters of the tool that is called."""
    return _changed(dialogue, random, _as_parameters)


def _changed(dialogue: Conversation, random: Random, change: Callable[[Tool, Random], Change | None]) -> Conversation | None:
    called = {call.name for call in dialogue.messages[-1].tool_calls}
    able = [(tool, made) for tool in dialogue.tools if tool.name in called and (made := change(tool, random)) is not None]
    if not able:
        return None
    tool, (other, arguments) = random.choice(able)
    calls = tuple(
        replace(call, arguments=arguments(call.arguments)) if call.name == tool.name else call for call in dialogue.messages[-1].tool_calls
    )
    said = replace(dialogue.messages[-1], tool_calls=calls)
    tools = tuple(other if one is tool else one for one in dialogue.tools)
    return replace(dialogue, messages=(*dialogue.messages[:-1], said), tools=tools)


def _as_fields_of_one(tool: Tool, random: Random) -> Change | None:
    properties, required = _properties(tool), _required(tool)
    flat = [name for name, schema in properties.items() if schema.get("type") in _SCALARS]
    group = next((name for name in _GROUPS if name not in properties), None)
    if len(flat) < 2 or group is None:
        return None
    inside = sorted(random.sample(flat, min(len(flat), random.randint(2, MOST_GROUPED))), key=list(properties).index)
    needed = [name for name in inside if name in required]
    schema: JSON = {
        "type": "object",
        "description": f"The {group}: {', '.join(words_of(name) for name in inside)}.",
        "properties": {name: properties[name] for name in inside},
        "required": needed,
        "additionalProperties": False,
    }
    rest = {name: one for name, one in properties.items() if name not in inside}
    outer = [*(name for name in required if name not in inside), *([group] if needed else [])]

    def arguments(given: JSON) -> JSON:
        grouped = {name: value for name, value in given.items() if name in inside}
        left = {name: value for name, value in given.items() if name not in inside}
        return {**left, group: grouped} if grouped or needed else left

    return _with(tool, {**rest, group: schema}, outer), arguments


def _as_parameters(tool: Tool, random: Random) -> Change | None:
    properties, required = _properties(tool), _required(tool)
    able = [name for name, schema in properties.items() if _is_plain_object(schema) and not set(schema["properties"]) & set(properties)]
    if not able:
        return None
    group = random.choice(able)
    inner, needed = properties[group]["properties"], properties[group].get("required") or []
    rest = {name: one for name, one in properties.items() if name != group}
    outer = [*(name for name in required if name != group), *(needed if group in required else [])]

    def arguments(given: JSON) -> JSON:
        return {**{name: value for name, value in given.items() if name != group}, **(given.get(group) or {})}

    return _with(tool, {**rest, **inner}, outer), arguments


def _is_plain_object(schema: JSON) -> bool:
    """An object whose fields are all named, so that each can be a parameter."""
    return schema.get("type") == "object" and bool(schema.get("properties")) and schema.get("additionalProperties") in (None, False)


def _fits_alone(tool: Tool, name: str, value: Any) -> bool:
    """Whether a value is a number or a text that no other parameter of the tool takes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    taking = [one for one, schema in _properties(tool).items() if Draft202012Validator(schema).is_valid(value)]
    return taking == [name]


def _unnamed(asked: str, name: str, value: Any) -> str | None:
    """The request with the name of the value left out, None where the value does not stand once, beside its name."""
    words, text = re.escape(words_of(name)), re.escape(str(value))
    if not str(value) or len(re.findall(rf"(?<!\w){text}(?!\w)", asked)) != 1:
        return None
    before = re.compile(rf"(?<!\w)(?:(?:an?|the) )?{words}(?: is| of|:| =|) (['\"`]?{text}['\"`]?)(?!\w)", re.IGNORECASE)
    after = re.compile(rf"(?<!\w)(['\"`]?{text}['\"`]?) (?:as|for) the {words}(?!\w)", re.IGNORECASE)
    for pattern in (before, after):
        if match := pattern.search(asked):
            return asked[: match.start()] + match[1] + asked[match.end() :]
    return None


def _properties(tool: Tool) -> dict[str, JSON]:
    found = tool.parameters.get("properties") or {}
    return {name: schema for name, schema in found.items() if isinstance(schema, dict)}


def _required(tool: Tool) -> list[str]:
    return list(tool.parameters.get("required") or ())


def _with(tool: Tool, properties: Mapping[str, Any], required: list[str]) -> Tool:
    return replace(tool, parameters={**tool.parameters, "properties": dict(properties), "required": required})
