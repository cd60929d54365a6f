"""Python programs in the text of a model: which part of an answer is the program, and what a problem's prompt adds to it.

Nothing is executed here; the text is only parsed.
"""

from __future__ import annotations

import ast
import re
import warnings

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+.-]*)(?:[^\w+.\n-][^\n]*)?\n(?P<body>.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_PYTHON = frozenset({"", "python", "python3", "py"})
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def program_of(answer: str, entry_point: str) -> str:
    """The program in an answer: the last fenced block that defines `entry_point`, else the last one that parses, else the whole text.

    Where a function is asked for, demonstrations are left out (`without_demonstrations`); entry_point "": a script, kept whole.
    """
    blocks = [match["body"] for match in _FENCE.finditer(answer) if match["language"].lower() in _PYTHON]
    defining = [block for block in blocks if defines(block, entry_point)]
    parsing = [block for block in blocks if parsed(block) is not None]
    chosen = (defining or parsing or blocks or [answer])[-1]
    return without_demonstrations(chosen, entry_point) if entry_point else chosen


def whole_program(prompt: str, text: str, entry_point: str) -> str:
    """A program that stands alone: `text` behind the prompt's imports and helper functions, or, if it only continues it, the prompt."""
    if not defines(text, entry_point) and defines(prompt + text, entry_point):
        return prompt + text
    return f"{prelude(prompt, entry_point)}{text}"


def prelude(prompt: str, entry_point: str) -> str:
    """What a prompt says before the function that is asked for: imports and helper functions."""
    found = re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}\b", prompt, re.MULTILINE)
    return prompt[: found.start()] if found else ""


def defines(text: str, name: str) -> bool:
    """Whether a text parses and defines or assigns `name` at its top level."""
    tree = parsed(text)
    return tree is not None and any(name in _names(statement) for statement in tree.body)


def without_demonstrations(text: str, entry_point: str) -> str:
    """A program without the assertions, prints, calls of `entry_point` and `__main__` parts at its top level.

    A demonstration that fails would end the program before it is asked anything. Text that does not parse stays as it is.
    """
    tree = parsed(text)
    if tree is None:
        return text
    lines = lines_of(text)
    for statement in reversed(tree.body):
        if _demonstrates(statement, entry_point) and not _shares_lines(statement, tree):
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "".join(lines)


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a text, None where it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends, as Python counts them: unlike `str.splitlines`, no form feed and no separator of Unicode ends one."""
    return _LINE.findall(text)


def _names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _demonstrates(statement: ast.stmt, entry_point: str) -> bool:
    if isinstance(statement, ast.If):
        return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
    call = statement.value if isinstance(statement, ast.Expr) else None
    called = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    return isinstance(statement, ast.Assert) or called in ("print", entry_point)


def _shares_lines(statement: ast.stmt, tree: ast.Module) -> bool:
    return any(
        other is not statement and other.lineno <= (statement.end_lineno or 0) and statement.lineno <= (other.end_lineno or 0)
        for other in tree.body
    )
