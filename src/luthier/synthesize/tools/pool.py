"""The pool of tools that dialogues are made from: linted, without duplicates, with neighbours as distractors, on disk as JSONL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import Tool
from luthier.records.files import read_rows, write_jsonl
from luthier.synthesize.tools.lint import Finding, lint
from luthier.synthesize.tools.similarity import NeighbourIndex, fingerprint, near_duplicates, tool_words

__all__ = ["Finding", "ToolPool", "build_pool", "fingerprint", "lint"]


@dataclass(frozen=True)
class ToolPool:
    """Tools that passed, and what became of the others.

    rejected: how many tools broke which rule, by "rule reason"; a tool counts once, by its first finding.
    duplicates, near_duplicates: tools dropped because an earlier one has the same fingerprint, or nearly all its words.
    """

    tools: tuple[Tool, ...]
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    near_duplicates: int = 0

    def __len__(self) -> int:
        return len(self.tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self.tools)

    def neighbours(self, tool: Tool, k: int) -> list[Tool]:
        """The k tools most like this one, best first: distractors. Deterministic."""
        return self._index.nearest(tool, k)

    def write(self, path: str | Path) -> int:
        """Write one tool a line, with source and licence. Returns their number."""
        return write_jsonl(path, (tool_row(tool) for tool in self.tools))

    @classmethod
    def read(cls, path: str | Path) -> ToolPool:
        """A pool that `write` has written; it is not linted again. Raises BadRowError with file and line."""
        return cls(tuple(tool_from_row(row, path, line) for line, row in read_rows(Path(path))))

    @cached_property
    def _index(self) -> NeighbourIndex:
        return NeighbourIndex(self.tools)


def build_pool(tools: Iterable[Tool]) -> ToolPool:
    """Lint every tool, drop exact and near duplicates (the first stays), and keep the rest in order."""
    rejected: Counter[str] = Counter()
    seen: set[str] = set()
    duplicates = 0
    sound: list[Tool] = []
    for tool in tools:
        findings = lint(tool)
        if findings:
            rejected[f"{findings[0].rule} {findings[0].message}"] += 1
            continue
        mark = fingerprint(tool)
        duplicates += mark in seen
        if mark not in seen:
            seen.add(mark)
            sound.append(tool)
    twins = near_duplicates([tool_words(tool) for tool in sound])
    kept = tuple(tool for tool, twin in zip(sound, twins, strict=True) if twin is None)
    return ToolPool(kept, rejected, duplicates, len(sound) - len(kept))


def own_pool(tools: Iterable[Tool]) -> tuple[ToolPool, dict[str, str]]:
    """The user's own tools: all that are sound, near duplicates too, and of each that is left out the name and why.

    A name stands for one tool, as on the list they are served on: the first stays.
    """
    kept: dict[str, Tool] = {}
    left: dict[str, str] = {}
    rejected: Counter[str] = Counter()
    duplicates = 0
    for tool in tools:
        findings = lint(tool)
        if findings:
            rejected[f"{findings[0].rule} {findings[0].message}"] += 1
            left[tool.name] = str(findings[0])
        elif tool.name in kept:
            duplicates += 1
            same = fingerprint(kept[tool.name]) == fingerprint(tool)
            left[f"{tool.name} ({tool.source})"] = (
                f"{'the same tool' if same else 'another tool of this name'} is in {kept[tool.name].source}"
            )
        else:
            kept[tool.name] = tool
    return ToolPool(tuple(kept.values()), rejected, duplicates), left


def tool_row(tool: Tool) -> dict[str, Any]:
    """A tool as a row with all its fields; empty ones are left out."""
    return {key: value for key, value in vars(tool).items() if value not in (None, "", {}) or key in ("name", "description")}


def tool_from_row(row: dict[str, Any], path: str | Path | None = None, line: int | None = None) -> Tool:
    """The tool in a row of a pool file. Raises BadRowError where name, description or parameters are missing."""
    for key, kind in (("name", str), ("description", str), ("parameters", dict)):
        if not isinstance(row.get(key), kind):
            raise BadRowError(f"{key!r} is missing or not a {kind.__name__}; expected a tool of a pool", path, line)
    return Tool(
        **{key: row[key] for key in ("name", "description", "parameters", "returns", "source", "license", "extra", "lineage") if key in row}
    )
