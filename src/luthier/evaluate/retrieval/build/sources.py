"""Python files and the functions in them: from a folder, an installed package, or the standard library. Nothing is imported or run."""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from luthier.errors import MissingFileError, SettingsError
from luthier.records.account import note

STANDARD_LIBRARY = "stdlib"
SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "node_modules", "idlelib", "lib2to3", "ensurepip", "build", "dist"}
)
TEST_FOLDERS = frozenset({"test", "tests", "testing", "idle_test"})
_GENERATED = re.compile(r"generated (?:by|from|file)|do not edit|@generated", re.IGNORECASE)
LARGEST = 2_000_000  # bytes; beyond are tables, not programs


@dataclass(frozen=True)
class Function:
    """A function as it stands in a file. code: its source without the docstring, dedented; docstring: cleaned, empty where there is none.

    name: as called; qualified: with its classes; calls: names that its body calls; test: whether it stands in a test.
    """

    file: str
    line: int
    name: str
    qualified: str
    code: str
    docstring: str
    calls: frozenset[str]
    test: bool


def read_functions(source: str, *, tests: bool = False) -> list[Function]:
    """The functions of a source; those of test files only where asked for, as most recipes drop them. Raises as `python_files` does."""
    root, files = python_files(source)
    chosen = [path for path in files if tests or not is_test(path.relative_to(root).as_posix())]
    return [function for path in chosen for function in functions_of(path, root)]


def is_test(name: str) -> bool:
    """Whether a file is a test, by its name and folders."""
    path = Path(name)
    return bool(TEST_FOLDERS & set(path.parts[:-1])) or path.name.startswith("test_") or path.name == "conftest.py"


def python_files(source: str) -> tuple[Path, list[Path]]:
    """The root that file names are told from, and the .py files below it in order.

    source: a folder, `stdlib`, or the name of an installed package. Raises MissingFileError, SettingsError where there are none.
    """
    root = _root(source)
    files = [root] if root.is_file() else [path for path in sorted(root.rglob("*.py")) if not _skipped(path.relative_to(root))]
    if not files:
        raise SettingsError(f"{source}: no Python files there")
    return (root.parent if root.is_file() else root), files


def functions_of(path: Path, root: Path) -> Iterator[Function]:
    """The functions and methods of a file, outermost first; none where it does not parse or is generated, which the account says."""
    text = _text(path)
    if text is None or _GENERATED.search(text[:400]):
        note("left out", "files that are generated" if text is not None else "files that are large or no text", path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old code: invalid escapes
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            note("left out", "files that are no Python", path)
            return
    name = path.relative_to(root).as_posix()
    lines = [line + "\n" for line in text.split("\n")]  # splitlines would count a form feed as a line, the parser does not
    yield from _functions(tree.body, name, lines, "", is_test(name))


def _functions(body: list[ast.stmt], file: str, lines: list[str], outer: str, test: bool) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _function(node, file, lines, outer, test)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, file, lines, f"{outer}{node.name}.", test)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            inner = [*node.body, *getattr(node, "orelse", [])]
            inner += [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
            yield from _functions(inner, file, lines, outer, test)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, file: str, lines: list[str], outer: str, test: bool) -> Function:
    start, end = node.lineno - 1, node.end_lineno or node.lineno
    kept = lines[start:end]
    docstring = ast.get_docstring(node) or ""
    first = node.body[0]
    if docstring and len(node.body) > 1 and isinstance(first, ast.Expr) and first.lineno > node.lineno:
        after = node.body[1].lineno
        if (first.end_lineno or first.lineno) < after:  # not `"doc"; return 1`
            kept = lines[start : first.lineno - 1] + lines[first.end_lineno or first.lineno : end]
    elif docstring and len(node.body) == 1:
        kept = [*lines[start : first.lineno - 1], " " * first.col_offset + "pass\n"]
    calls = frozenset(
        called.func.id if isinstance(called.func, ast.Name) else called.func.attr
        for part in (node.args, *node.body)  # a decorator stands above what is shown
        for called in ast.walk(part)
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Name | ast.Attribute)
    )
    return Function(file, node.lineno, node.name, outer + node.name, _dedent(kept, node.col_offset), docstring, calls, test)


def _dedent(lines: list[str], columns: int) -> str:
    """The lines without the indent of the first; a line of a string that stands further left keeps what it has."""
    cut = (line[columns:] if not line[:columns].strip() else line for line in lines)
    return "".join(cut).strip("\n")


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        with tokenize.open(path) as stream:
            return stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None


def _root(source: str) -> Path:
    if source == STANDARD_LIBRARY:
        return Path(ast.__file__).parent
    if Path(source).exists():
        return Path(source)
    if re.fullmatch(r"[A-Za-z_]\w*", source):
        found = PathFinder.find_spec(source)  # looks the package up, without importing it
        if found is not None and found.submodule_search_locations:
            return Path(next(iter(found.submodule_search_locations)))
        if found is not None and found.origin and found.origin.endswith(".py"):
            return Path(found.origin)
    raise MissingFileError(f"{source}: neither a folder nor an installed package; name one, or {STANDARD_LIBRARY!r}")


def _skipped(inner: Path) -> bool:
    return any(part in SKIPPED_FOLDERS or part.startswith(".") for part in inner.parts[:-1])
