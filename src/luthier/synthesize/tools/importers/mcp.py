"""Tools of an MCP server from a saved `tools/list` answer, or from any JSON list of tool definitions. Names stay as the server has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.schema import MAX_DEPTH, SchemaReader, lookup, parameters_schema
from luthier.synthesize.tools.importers.documents import load_document
from luthier.synthesize.tools.importers.wording import parameter_words, spoken, tool_words


def import_mcp(path: Path, license: str = "") -> Iterator[Tool]:  # noqa: A002  (the field's name)
    """The tools of `{"tools": [...]}`, `{"result": {"tools": [...]}}` or `[...]`, in order.

    license: SPDX id of the texts, if known. Raises ToolSpecError with the place in the file.
    """
    document = load_document(path)
    server = _server(document, Path(path))
    for index, entry in enumerate(_entries(document, path)):
        place = f"{path}: tools[{index}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise ToolSpecError(f"{place}: no `name`; expected an MCP tool with name, description and inputSchema")
        schema = entry.get("inputSchema", entry.get("parameters", {}))
        if not isinstance(schema, Mapping):
            raise ToolSpecError(f"{place}.inputSchema: expected a JSON Schema object, found {type(schema).__name__}")
        yield Tool(
            name=entry["name"],
            description=tool_words(str(entry.get("description") or entry.get("title") or "")),
            parameters=described(parameters_schema(_read(schema, f"{place}.inputSchema"))),
            returns=_read(entry["outputSchema"], f"{place}.outputSchema") if isinstance(entry.get("outputSchema"), Mapping) else None,
            source=f"MCP: {server}",
            license=license,
        )


def described(parameters: JSON) -> JSON:
    """The same parameters; one without a description gets its own name in plain words."""
    properties = {
        name: schema if schema.get("description") else {**schema, "description": spoken(name)}
        for name, schema in parameters["properties"].items()
    }
    return {**parameters, "properties": properties}


def _read(schema: Mapping[str, Any], place: str) -> JSON:
    try:
        return SchemaReader(lambda reference: lookup(schema, reference), parameter_words).read(schema, MAX_DEPTH)
    except ToolSpecError as problem:
        raise ToolSpecError(f"{place}: {problem}") from None
    except RecursionError:
        raise ToolSpecError(f"{place}: nests too deeply to be read; flatten it") from None


def _entries(document: Any, path: Path) -> list[Any]:
    holder = document.get("result", document) if isinstance(document, Mapping) else document
    entries = holder.get("tools") if isinstance(holder, Mapping) else holder
    if not isinstance(entries, list):
        raise ToolSpecError(f'{path}: no list of tools; expected the result of MCP `tools/list`: {{"tools": [...]}}')
    return entries


def _server(document: Any, path: Path) -> str:
    info = document.get("serverInfo") if isinstance(document, Mapping) else None
    name = info.get("name") if isinstance(info, Mapping) else None
    return str(name or path.name)
