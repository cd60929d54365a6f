"""Nulls that columns put into objects: Arrow gives every object of a column the fields of any, and null where a row has none.

They are taken out of messages and of the arguments of calls, and nowhere else: what a row merely carries along stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.errors import BadRowError
from luthier.records.call_rows import ARGUMENTS
from luthier.records.conversations import JSON, Message, Tool
from luthier.records.parquet import ColumnRow
from luthier.records.tool_rows import takes_null, tools_from

FILLED_NULLS = "null arguments that no one gave: columns fill them in"


def without_filled_nulls(row: JSON, names: Sequence[str]) -> tuple[JSON, bool]:
    """The row without nulls in the objects of these fields, and whether an argument of a call was among them.

    Rows that do not come out of columns are returned as they are; so are fields that hold JSON, whose nulls somebody wrote.
    """
    typed = row.json if isinstance(row, ColumnRow) else frozenset[str]()
    if not isinstance(row, ColumnRow) and not _null_schema(row.get("tools")):
        return row, False
    arguments = list[str]()
    cleaned = {name: _without(row[name], False, arguments) for name in names if name in row and name not in typed}
    return {**row, **cleaned}, bool(arguments)


def as_said(row: JSON, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The fields of a row out of columns as a line of JSON holds them: without the null arguments that columns filled in, but with null where a tool
    requires an argument and takes null.

    In a line nobody could tell the two apart any more. Rows of any other kind have theirs as they are.
    """
    if not isinstance(row, ColumnRow):
        yield from row.items()
        return
    try:
        tools = tools_from(row.get("tools"))
    except BadRowError:
        tools = ()
    meant = {tool.name: {n for n in _required(tool) if takes_null(_property(tool, n))} for tool in tools}
    for name, value in row.items():
        yield name, _with_arguments(value, meant) if name in names and name not in row.json else value


def _required(tool: Tool) -> list[str]:
    required = tool.parameters.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def _with_arguments(value: Any, meant: Mapping[str, Collection[str]]) -> Any:
    """The value with nulls taken out of the arguments of calls, and of nothing else."""
    if isinstance(value, list):
        return [_with_arguments(part, meant) for part in value]
    if not isinstance(value, dict):
        return value
    said = meant.get(str(value.get("name")), ())
    return {
        name: _without(part, True, [], said) if name in ARGUMENTS and isinstance(part, dict) else _with_arguments(part, meant)
        for name, part in value.items()
    }


def with_meant_nulls(messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Message, ...]:
    """The messages with null for arguments that a tool requires and takes null for: there it was said, not filled in."""
    meant = {tool.name: {n for n in _required(tool) if takes_null(_property(tool, n))} for tool in tools}
    if not any(meant.values()):
        return tuple(messages)
    return tuple(
        replace(
            message,
            tool_calls=tuple(
                replace(call, arguments=call.arguments | {name: None for name in meant.get(call.name, ()) if name not in call.arguments})
                for call in message.tool_calls
            ),
        )
        for message in messages
    )


def _property(tool: Tool, name: str) -> Any:
    properties = tool.parameters.get("properties")
    return properties.get(name) if isinstance(properties, dict) else None


def _without(value: Any, in_arguments: bool, found: list[str], keep: Collection[str] = ()) -> Any:
    """keep: names whose null was said."""
    if isinstance(value, list):
        return [_without(part, in_arguments, found) for part in value]
    if not isinstance(value, dict):
        return value
    if in_arguments:
        found += [name for name, part in value.items() if part is None and name not in keep]
    kept = {name: part for name, part in value.items() if part is not None or name in keep}
    return {name: _without(part, in_arguments or (name in ARGUMENTS and isinstance(part, dict)), found) for name, part in kept.items()}


def _null_schema(value: Any) -> bool:
    """Whether a parameter has null for a schema: the rows were written from columns."""
    if isinstance(value, dict):
        properties = value.get("properties")
        if isinstance(properties, dict) and any(part is None for part in properties.values()):
            return True
        return any(_null_schema(part) for part in value.values())
    return isinstance(value, list) and any(_null_schema(part) for part in value)
