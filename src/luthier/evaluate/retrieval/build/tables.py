"""Pairs out of files: two columns of a table, SQL statements under their comments, and tools under the requests that call them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.evaluate.retrieval.build.pairs import Drops, Pair
from luthier.records import Conversation, Tool, ToolCall, read_conversations, read_rows
from luthier.records.calls import CallSyntaxError, parse_calls
from luthier.records.lines import to_text

_COMMENT = re.compile(r"^\s*--+\s?(.*)$")


def column_pairs(path: Path, query: str, document: str, drops: Drops) -> Iterator[Pair]:
    """Two text columns of JSONL, JSON or Parquet rows. Raises BadRowError with the line where one is missing."""
    for line, row in read_rows(path):
        texts = [row.get(name) for name in (query, document)]
        for name, text in zip((query, document), texts, strict=True):
            if not isinstance(text, str):
                there = ", ".join(sorted(row))[:80]
                raise BadRowError(f"the column `{name}` is not a text there (columns: {there}); name it with --columns", path, line)
        if not all(str(text).strip() for text in texts):
            drops.add("an empty text")
            continue
        group = str(row.get("group") or row.get("file") or f"{path.name}:{line}")
        yield Pair(str(texts[0]), str(texts[1]), group, {"file": path.name, "line": line})


def sql_pairs(source: Path, drops: Drops) -> Iterator[Pair]:
    """SQL statements under the comment lines that say what they do, from a file or the .sql files of a folder."""
    if not source.exists():
        raise MissingFileError(f"{source}: does not exist; name a .sql file or a folder of them")
    files = [source] if source.is_file() else sorted(source.rglob("*.sql"))
    if not files:
        raise SettingsError(f"{source}: no .sql files there")
    for path in files:
        name = path.name if source.is_file() else path.relative_to(source).as_posix()
        for line, comment, statement in _statements(path.read_text(encoding="utf-8", errors="replace")):
            if len(comment.split()) < 3:
                drops.add("no comment of 3 words above it")
                continue
            yield Pair(comment, statement, name, {"file": name, "line": line})


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, the comment lines right above, the statement up to its semicolon). A semicolon within quotes does not end it."""
    comment: list[str] = []
    lines: list[str] = []
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        told = _COMMENT.match(line)
        if not lines and (told or not line.strip()):
            comment = [*comment, told[1]] if told else []
            continue
        begun = begun or number
        lines.append(line)
        code = re.sub(r"--[^\n]*+", "", re.sub(r"'(?:[^']|'')*+'", "''", "\n".join(lines)))
        if code.rstrip().endswith(";") and code.count("'") % 2 == 0:
            yield begun, " ".join(" ".join(comment).split()), "\n".join(lines).strip()
            comment, lines, begun = [], [], 0


def tool_pairs(paths: Sequence[Path], drops: Drops) -> tuple[list[Pair], list[Pair]]:
    """Tool retrieval from dialogues with tools: (what users asked, with the tools that were called; every other tool, as distractors).

    A tool called has the gain 2, one of the same family (what its name begins with) 1. A distractor's query is empty.
    """
    tools: dict[str, Tool] = {}
    asked: list[tuple[str, frozenset[str], str]] = []
    for path in paths:
        for number, row in enumerate(read_conversations(path), 1):
            tools |= {tool_document(tool): tool for tool in row.tools}
            asked += [(text, called, f"{path.name}:{number}") for text, called in _requests(row, drops)]
    names: dict[str, list[str]] = {}
    for document, tool in tools.items():
        names.setdefault(tool.name, []).append(document)
    pairs: list[Pair] = []
    for text, called, place in asked:
        families = {_family(name) for name in called}
        for name, documents in names.items():
            gain = 2 if name in called else 1 if _family(name) in families else 0
            pairs += [Pair(text, document, place, {"tool": name}, name, gain) for document in documents if gain]
    used = {pair.document for pair in pairs}
    others = [Pair("", document, document, {"tool": tool.name}, tool.name) for document, tool in tools.items() if document not in used]
    return pairs, others


def tool_document(tool: Tool) -> str:
    """A tool as a document: name, description and the schema of its parameters."""
    return f"{tool.name}: {tool.description}\n{to_text(tool.parameters)}"


def _requests(row: Conversation, drops: Drops) -> Iterator[tuple[str, frozenset[str]]]:
    """(what the user says, the names of the tools called in answer) for every turn that is answered by calls."""
    names = [tool.name for tool in row.tools]
    for turn, answer in zip(row.messages, row.messages[1:], strict=False):
        if turn.role != "user" or answer.role != "assistant" or not turn.content:
            continue
        called = frozenset(call.name for call in answer.tool_calls or _written_calls(answer.content or "", names)) & set(names)
        if called:
            yield turn.content, frozenset(called)
        else:
            drops.add("no tool is called")


def _written_calls(text: str, names: list[str]) -> Sequence[ToolCall]:
    try:
        return parse_calls(text, names)
    except CallSyntaxError:
        return ()


def _family(name: str) -> str:
    """`stripe.charges.list` and `get_weather` belong to `stripe` and to themselves: a dot parts an API from its functions."""
    return name.partition(".")[0]
