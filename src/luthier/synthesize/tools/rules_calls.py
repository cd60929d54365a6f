"""Rules about tools and calls: A1, A2 (definitions), F1-F3 (arguments against the schema), G1 (grounding), R1 (repetition)."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import Conversation, Tool, ToolCall
from luthier.records.patterns import validator_class
from luthier.records.schema import normalise_schema, parameters_schema
from luthier.synthesize.tools.grounding import ungrounded
from luthier.synthesize.tools.lint import Finding, lint

_DEEP = 16  # levels of arguments that are checked
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")


def calls(conversation: Conversation) -> Iterator[tuple[str, ToolCall]]:
    """Every call with its path."""
    for turn, message in enumerate(conversation.messages):
        for index, call in enumerate(message.tool_calls):
            yield f"messages[{turn}].tool_calls[{index}]", call


def valid_definitions(conversation: Conversation) -> list[Finding]:
    """Rule A1."""
    return [finding for finding in _definition_findings(conversation) if finding.rule == "A1"]


def complete_definitions(conversation: Conversation) -> list[Finding]:
    """Rule A2."""
    names = [tool.name for tool in conversation.tools]
    twice = [
        Finding("A2", "two tools have the same name", f"tools[{index}].name") for index, name in enumerate(names) if name in names[:index]
    ]
    return [finding for finding in _definition_findings(conversation) if finding.rule == "A2"] + twice


def known_tools(conversation: Conversation) -> list[Finding]:
    """Rule F1."""
    names = {tool.name for tool in conversation.tools}
    return [Finding("F1", "the called tool is not on offer", path) for path, call in calls(conversation) if call.name not in names]


def required_arguments(conversation: Conversation) -> list[Finding]:
    """Rule F2, at every level."""
    return [
        Finding("F2", "a required argument is missing", place)
        for place, error in _schema_errors(conversation)
        if error.validator == "required"
    ]


def valid_arguments(conversation: Conversation) -> list[Finding]:
    """Rule F3."""
    return [Finding("F3", _problem(error), place) for place, error in _schema_errors(conversation) if error.validator != "required"]


def grounded_arguments(conversation: Conversation) -> list[Finding]:
    """Rule G1: each value occurs in the system and user turns and tool results before the call."""
    tools = {tool.name: tool for tool in conversation.tools}
    findings: list[Finding] = []
    for turn, message in enumerate(conversation.messages):
        if not message.tool_calls:
            continue
        text = "\n".join(before.content or "" for before in conversation.messages[:turn] if before.role != "assistant")
        for index, call in enumerate(message.tool_calls):
            schema = tools[call.name].parameters if call.name in tools else {}
            place = f"messages[{turn}].tool_calls[{index}].arguments"
            findings += [
                Finding("G1", "an argument's value was never mentioned", place + path)
                for path, _ in ungrounded(call.arguments, schema, text)
            ]
    return findings


def distinct_calls(conversation: Conversation) -> list[Finding]:
    """Rule R1."""
    findings: list[Finding] = []
    for turn, message in enumerate(conversation.messages):
        seen: set[str] = set()
        for index, call in enumerate(message.tool_calls):
            key = json.dumps([call.name, call.arguments], sort_keys=True, default=str)
            if key in seen:
                findings.append(Finding("R1", "the same call is made twice in one turn", f"messages[{turn}].tool_calls[{index}]"))
            seen.add(key)
    return findings


def _definition_findings(conversation: Conversation) -> list[Finding]:
    return [
        Finding(finding.rule, finding.message, f"tools[{index}].{finding.path}")
        for index, tool in enumerate(conversation.tools)
        for finding in lint(tool)
    ]


def _schema_errors(conversation: Conversation) -> Iterator[tuple[str, Any]]:
    """Errors of `jsonschema` with their places. A tool whose definition cannot be read is the business of A1."""
    validators = {tool.name: _validator(_canonical(tool)) for tool in conversation.tools}
    for path, call in calls(conversation):
        validator = validators.get(call.name)
        if validator is not None:
            for error in validator.iter_errors(call.arguments):
                yield (
                    "".join([f"{path}.arguments", *(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)]),
                    error,
                )


def _canonical(tool: Tool) -> str:
    return json.dumps(tool.parameters, sort_keys=True, default=str)


@lru_cache(maxsize=4096)
def _validator(parameters: str) -> Any:
    """A validator compiled once for each definition: normalised, so that unknown arguments are errors."""
    try:
        schema = parameters_schema(normalise_schema(json.loads(parameters), depth=_DEEP))
    except ToolSpecError:
        return None
    return validator_class()(schema, format_checker=_formats())


@lru_cache(maxsize=1)
def _formats() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, accepts in (("date", _is_date), ("date-time", _is_date_time), ("email", _is_email), ("uri", _is_uri), ("ipv4", _is_ipv4)):
        checker.checks(name)(accepts)
    return checker


def _problem(error: Any) -> str:
    """What is wrong in words that repeat from case to case."""
    return {
        "type": "an argument has the wrong type",
        "enum": "an argument is not one of the options",
        "additionalProperties": "an argument is not in the definition",
        "format": "an argument does not have the stated format",
        "pattern": "an argument does not match the pattern",
    }.get(error.validator, f"an argument breaks `{error.validator}`")


def _is_date(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == len("2024-01-31")


def _is_date_time(value: Any) -> bool:
    return not isinstance(value, str) or (_DATE_TIME.fullmatch(value) is not None and _is_date(value[:10]))


def _is_email(value: Any) -> bool:
    return not isinstance(value, str) or _EMAIL.fullmatch(value) is not None


def _is_uri(value: Any) -> bool:
    return not isinstance(value, str) or _URI.fullmatch(value) is not None


def _is_ipv4(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return False
    return True
