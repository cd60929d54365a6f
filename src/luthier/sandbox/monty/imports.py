"""Imports of the standard library as monty can take them: a wildcard becomes the names that are used, and what nobody uses is left out.

Programs of models begin with `from typing import *` or an `import heapq` that they never need; monty has no wildcards and no heapq. No
line of the program moves. What it does use and monty lacks still fails there, by name.
"""

from __future__ import annotations

import ast
import importlib
import sys

from luthier.sandbox.inside.usual import USUAL


def fitted(program: str) -> str:
    """The program with its top-level imports fitted; as it is where it does not parse."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    lines = program.encode().splitlines(keepends=True)
    for node in reversed(tree.body):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and (better := _better(node, used)) is not None:
            _replace(lines, node, better.encode())
    return b"".join(lines).decode()


def _better(node: ast.Import | ast.ImportFrom, used: set[str]) -> str | None:
    """What stands for the import; None where it may stay."""
    if isinstance(node, ast.Import):
        kept = [alias for alias in node.names if not _is_idle(alias, alias.name, used)]
        return None if len(kept) == len(node.names) else ast.unparse(ast.Import(kept)) if kept else "pass"
    module = node.module or ""
    if node.level or module.split(".")[0] not in sys.stdlib_module_names or module == "__future__":
        return None
    if node.names[0].name == "*":
        if module not in USUAL:
            return None  # not one that may be loaded here to learn its names
        loaded = importlib.import_module(module)
        public = getattr(loaded, "__all__", None) or [name for name in vars(loaded) if not name.startswith("_")]
        names = sorted(used & set(public))
        return f"from {module} import {', '.join(names)}" if names else "pass"
    kept = [alias for alias in node.names if not _is_idle(alias, module, used)]
    return None if len(kept) == len(node.names) else ast.unparse(ast.ImportFrom(module, kept, 0)) if kept else "pass"


def _is_idle(alias: ast.alias, module: str, used: set[str]) -> bool:
    """Whether an import of the standard library binds a name that nobody reads."""
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names and (alias.asname or alias.name).split(".")[0] not in used


def _replace(lines: list[bytes], node: ast.stmt, better: bytes) -> None:
    """Put other text into the place of a statement; its further lines become empty ones."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    tail = lines[last][node.end_col_offset or 0 :]
    if last > first and tail.strip():
        return  # more stands behind it on its last line
    end = b"\n" if last > first else tail
    lines[first] = lines[first][: node.col_offset] + better + end
    for at in range(first + 1, last + 1):
        lines[at] = b"\n"
