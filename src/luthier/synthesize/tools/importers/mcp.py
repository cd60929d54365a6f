"""Tools from any JSON or YAML list of definitions: MCP's `tools/list` answers, OpenAI's and Anthropic's `tools`, Gemini's declarations.

Names stay as the server has them. A tool that cannot be read is refused with its place and leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.account import note
from luthier.records.schema import MAX_DEPTH, SchemaReader, parameters_schema
from luthier.records.tool_rows import LISTS, tool_from_row
from luthier.synthesize.tools.importers.documents import Documents, load_document
from luthier.synthesize.tools.importers.fields import side_by_side
from luthier.synthesize.tools.importers.wording import described, named_words, parameter_words

_ANSWERS = ("outputSchema", "output_schema", "responseJsonSchema", "response")
_ENVELOPE = ("jsonrpc", "id")
_BESIDE = (
    "jsonrpc",
    "id",
    "serverInfo",
    "protocolVersion",
    "capabilities",
    "_meta",
    "ttlMs",
    "cacheScope",
)  # about the answer, not of the tools


def import_mcp(path: Path, license: str = "") -> Iterator[Tool]:  # noqa: A002  (the field's name)
    """The tools of `{"tools": [...]}`, JSON-RPC answers (one, a batch, or one a line), or a list of definitions in any layout, in order.

    license: SPDX id of the texts, if known. Raises ToolSpecError where there is no such list, or no tool in it can be read.
    """
    return listed_tools(load_document(path), Path(path), license)


def listed_tools(document: Any, path: Path, license_id: str = "") -> Iterator[Tool]:
    """The same of a loaded document; path: of its file."""
    source = f"MCP: {_server(document, path)}"
    found, problems = 0, list[ToolSpecError]()
    for index, entry in enumerate(_entries(document, path)):
        try:
            yield replace(_tool(entry, f"{path}: tools[{index}]", path), source=source, license=license_id)
            note("understood", "tools", path)
            found += 1
        except ToolSpecError as problem:
            problems.append(problem)
            note("refused", str(problem).removeprefix(f"{path}: "), path)
    if not found:
        raise problems[0] if problems else ToolSpecError(f"{path}: no tools in the list; give the tools of a server")


def holds_tools(document: Any) -> bool:
    """Whether a document is a list of tools rather than a description of an API."""
    if isinstance(document, Mapping):
        return "paths" not in document and (
            isinstance(document.get("result"), Mapping)
            or any(isinstance(document.get(key), list | Mapping) for key in LISTS)
            or _is_tool(document)
        )
    return isinstance(document, list)


def _note_beside(document: Mapping[str, Any], known: Sequence[str], path: Path) -> None:
    for name in document:
        if name not in known:
            note("left out", f"field {name!r} beside a list of tools", path)


def _tool(entry: Any, place: str, path: Path) -> Tool:
    try:
        tool = tool_from_row(entry)
    except BadRowError as problem:
        raise ToolSpecError(f"{place}: no `name`; {problem}" if "without a name" in str(problem) else f"{place}: {problem}") from None
    if not tool.name.strip():
        raise ToolSpecError(f"{place}: no `name`; a tool without a name cannot be called")
    words, made = named_words(tool.description or str(tool.extra.get("title") or ""), tool.name)
    if made:
        note("understood", f"tool {made}", path)
    answer = next((tool.extra[key] for key in _ANSWERS if isinstance(tool.extra.get(key), Mapping)), tool.returns)
    for name in tool.extra:
        if name not in (*_ANSWERS, "title"):
            note("left out", f"field {name!r} of a tool", path)
    parameters = _read(tool.parameters, f"{place}.inputSchema", path)
    return Tool(
        tool.name,
        words,
        described(parameters_schema(side_by_side(parameters) or parameters)),
        None if answer is None else _read(answer, f"{place}.outputSchema", path),
    )


def _read(schema: Mapping[str, Any], place: str, path: Path) -> JSON:
    def leave(what: str) -> None:
        note("left out", what, path)

    try:
        return SchemaReader(Documents(schema, path).resolve, parameter_words, leave=leave, any_type=True, examples=True).read(
            schema, MAX_DEPTH
        )
    except ToolSpecError as problem:
        raise ToolSpecError(f"{place}: {problem}") from None
    except RecursionError:
        raise ToolSpecError(f"{place}: nests too deeply to be read; flatten it") from None


def _entries(document: Any, path: Path) -> list[Any]:
    """The definitions one by one, out of whatever holds them."""
    if isinstance(document, list):
        return [entry for part in document for entry in ([part] if not _holds(part) else _entries(part, path))]
    if not isinstance(document, Mapping):
        raise ToolSpecError(f'{path}: no list of tools; expected the result of MCP `tools/list`: {{"tools": [...]}}')
    if _is_tool(document):
        return [document]
    if isinstance(document.get("result"), Mapping):
        _note_beside(document, ("result", *_ENVELOPE), path)
        return _entries(document["result"], path)
    if "method" in document and "jsonrpc" in document:
        note("left out", "message of JSON-RPC that is no answer", path)
        return []
    if document.get("error"):
        raise ToolSpecError(f"{path}: the server answered with an error; save the answer to `tools/list`")
    key = next((key for key in LISTS if isinstance(document.get(key), list | Mapping)), None)
    if key is None:
        raise ToolSpecError(f'{path}: no list of tools; expected the result of MCP `tools/list`: {{"tools": [...]}}')
    if document.get("nextCursor"):
        note("left out", "pages of the list that are not in the file (`nextCursor`)", path)
    _note_beside(document, (key, "nextCursor", *_BESIDE), path)
    listed = document[key]
    if isinstance(listed, Mapping) and not _is_tool(listed):
        return [{"name": name, **tool} if isinstance(tool, Mapping) else tool for name, tool in listed.items()]
    return _entries(listed, path)


def _holds(part: Any) -> bool:
    """Whether a member of a list is a list of tools itself: Gemini's declarations, pages, messages."""
    return isinstance(part, list) or (
        isinstance(part, Mapping)
        and not _is_tool(part)
        and ("jsonrpc" in part or "result" in part or any(isinstance(part.get(key), list) for key in LISTS))
    )


def _is_tool(value: Mapping[str, Any]) -> bool:
    function = value.get("function", value)
    return isinstance(function, Mapping) and isinstance(function.get("name"), str) and not isinstance(value.get("tools"), list)


def _server(document: Any, path: Path) -> str:
    holder = document.get("result", document) if isinstance(document, Mapping) else {}
    for each in (document, holder):
        info = each.get("serverInfo") if isinstance(each, Mapping) else None
        if isinstance(info, Mapping) and info.get("name"):
            return str(info["name"])
    return path.name
