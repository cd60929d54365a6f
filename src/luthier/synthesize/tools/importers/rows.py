"""The tools that rows of a data set list: dialogues with `tools` or a system text that holds them, BFCL's items, the rows of a pool.

Each tool comes once, with all its fields where the row is one of a pool. A row whose tools cannot be read is refused and leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, ToolSpecError
from luthier.records import Tool
from luthier.records.account import note
from luthier.records.formats import to_conversation
from luthier.records.schema import normalise_schema, parameters_schema
from luthier.records.tool_rows import tools_from
from luthier.synthesize.tools.importers.wording import described, named_words
from luthier.synthesize.tools.similarity import fingerprint

_TALK = ("messages", "conversations", "conversation", "prompt")
_POOL = ("name", "description", "parameters", "source")


def holds_rows(document: Any) -> bool:
    """Whether a document is a list of such rows."""
    return isinstance(document, list) and bool(document) and all(isinstance(row, Mapping) and _is_row(row) for row in document[:20])


def row_tools(document: list[Any], path: Path) -> Iterator[Tool]:
    """The tools in order of first appearance. Raises ToolSpecError where no row has any."""
    seen: set[str] = set()
    for number, row in enumerate(document, 1):
        try:
            tools = [_pooled(row)] if _is_pooled(row) else [_read(tool, path) for tool in _listed(row)]
        except (BadRowError, ToolSpecError) as problem:
            note("refused", f"row: {problem}", path, number)
            continue
        for tool in tools:
            mark = fingerprint(tool)
            if mark not in seen:
                seen.add(mark)
                note("understood", "tools", path)
                yield tool
    if not seen:
        raise ToolSpecError(f"{path}: no row lists a tool; give rows with `tools`, BFCL's `function`, or those of a pool")


def _is_row(row: Mapping[str, Any]) -> bool:
    return any(key in row for key in _TALK) or ("function" in row and "question" in row) or _is_pooled(row)


def _is_pooled(row: Any) -> bool:
    return isinstance(row, Mapping) and all(key in row for key in _POOL) and isinstance(row["parameters"], Mapping)


def _pooled(row: Mapping[str, Any]) -> Tool:
    return Tool(**{key: row[key] for key in ("name", "description", "parameters", "returns", "source", "license") if key in row})


def _listed(row: Any) -> tuple[Tool, ...]:
    if not isinstance(row, Mapping):
        raise BadRowError(f"a row is an object, not {type(row).__name__}")
    return tools_from(row["function"]) if "question" in row and "function" in row else to_conversation(dict(row)).tools


def _read(tool: Tool, path: Path) -> Tool:
    words, _ = named_words(tool.description, tool.name)
    parameters = described(parameters_schema(normalise_schema(tool.parameters)))
    return replace(tool, description=words, parameters=parameters, source=f"rows: {path.name}", extra={})
