"""Functions of a repository as they are shown to a model, and the edits that its answers make of them.

Docstrings stay as they are: a long one is shown by its first lines, and put back whole. Of what an answer holds beside functions, imports that they need
are taken over, and the rest is left out.
"""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from luthier.search.worktree import Worktree
from luthier.texts.programs import lines_of, parsed

LONGEST_DOC = 8  # lines of a docstring that are shown
Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Editable:
    """A function that may be edited: where it stands with its decorators, and its text. Lines count from 1, both included."""

    file: str
    name: str
    first: int
    last: int
    text: str

    @property
    def shown(self) -> str:
        """Its text as a model reads it, with the first lines of a long docstring."""
        text = _outdented(self.text)
        found = _definitions(parsed(text))
        span = _docstring(found[0]) if found else None
        if span is None or span[1] - span[0] < LONGEST_DOC:
            return text
        told = (ast.get_docstring(found[0]) or "").split("\n\n")[0].splitlines()[:LONGEST_DOC]
        whole = "\n".join(told).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return _spliced(text, span, textwrap.indent(f'"""{whole}"""\n', " " * found[0].body[0].col_offset))


@dataclass(frozen=True)
class Edit:
    """New texts of files, how many lines differ, and how many characters of these lines."""

    files: Mapping[str, str]
    size: int
    characters: int


@dataclass(frozen=True)
class Refused:
    """An answer that is no edit, and why, in words for the model."""

    why: str


def function_at(tree: Worktree, file: str, line: int) -> Editable | None:
    """The innermost function around a line; None where there is none, or the file is no Python that can be read."""
    try:
        text = tree.read(file)
    except (OSError, ValueError):
        return None
    around = [node for node in _definitions(parsed(text)) if _first(node) <= line <= _last(node)]
    if not around:
        return None
    node = max(around, key=lambda each: each.lineno)
    lines = lines_of(text)
    return Editable(file, node.name, _first(node), _last(node), "".join(lines[_first(node) - 1 : _last(node)]))


def functions_in(text: str) -> list[Editable]:
    """The functions and methods of a text, in its order; none where it is no Python."""
    lines = lines_of(text)
    found = _definitions(parsed(text))
    return [Editable("", node.name, _first(node), _last(node), "".join(lines[_first(node) - 1 : _last(node)])) for node in found]


def put(text: str, one: Editable, own: str, before: str = "") -> str:
    """A text with a new version of one of its functions in the place of the old one. before: what stands right above it."""
    lines = lines_of(text)
    return "".join([*lines[: one.first - 1], before, *lines_of(_in_place(one, own)), *lines[one.last :]])


def edited(tree: Worktree, functions: Sequence[Editable], program: str) -> Edit | Refused:
    """The edit that a program makes: each function of it, also one inside a class, in the place of the one with the same name."""
    program = textwrap.dedent(program)
    module = parsed(program)
    if module is None:
        return Refused("the answer is no Python")
    lines = lines_of(program)
    places: list[tuple[Editable, str]] = []
    for node in _definitions(module):
        named = [one for one in functions if one.name == node.name]
        if named:
            own = "".join(lines[_first(node) - 1 : _last(node)])
            one = max(named, key=lambda each: difflib.SequenceMatcher(None, each.shown, own).ratio()) if len(named) > 1 else named[0]
            if not any(other.file == one.file and other.first <= one.last and one.first <= other.last for other, _ in places):
                places.append((one, own))
    names = ", ".join(dict.fromkeys(one.name for one in functions))
    if not places:
        return Refused(f"the answer changes none of the functions {names}: it defines none of them")
    edit = _applied(tree, places, module)
    try:
        for file, text in edit.files.items() if edit else ():
            tree.written(file, text)
    except ValueError as problem:
        return Refused(f"the answer has characters that {file} cannot hold ({problem})")
    return edit or Refused(f"the answer leaves {', '.join(one.name for one, _ in places)} as it was")


def _applied(tree: Worktree, found: Sequence[tuple[Editable, str]], answer: ast.Module) -> Edit | None:
    """From the last line to the first, so that places stay true, then what the answer imports for them. None where nothing differs or the
    file would be no Python."""
    before = {one.file: tree.read(one.file) for one, _ in found}
    after = dict(before)
    for one, own in sorted(found, key=lambda pair: -pair[0].first):
        after[one.file] = put(after[one.file], one, own)
    for file in before:
        after[file] = _with_imports(after[file], answer, "".join(own for one, own in found if one.file == file))
    files = {file: text for file, text in after.items() if text != before[file]}
    if not files or not all(parsed(text) for text in files.values()):
        return None
    differing = [_differing(before[file], text) for file, text in files.items()]
    return Edit(files, sum(lines for lines, _ in differing), sum(characters for _, characters in differing))


def _with_imports(text: str, answer: ast.Module, own: str) -> str:
    """A file with those imports of an answer whose names its new functions use and the file does not know, behind the file's own imports."""
    module, used = parsed(text), parsed(textwrap.dedent(own))
    if module is None or used is None:
        return text
    known = {name for node in (*_outside_functions(module), *ast.walk(used)) for name in _bound(node)}
    names = {node.id for node in ast.walk(used) if isinstance(node, ast.Name)} - known
    wanted = [
        ast.unparse(_narrowed(node, alias))
        for node in answer.body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "module", "") != "__future__"
        for alias in node.names
        if _name_of(alias) in names
    ]
    if not wanted:
        return text
    heads: list[ast.stmt] = [node for node in module.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    if not heads and module.body and isinstance(module.body[0], ast.Expr) and isinstance(module.body[0].value, ast.Constant):
        heads = [module.body[0]]  # the docstring
    lines = lines_of(text)
    at = max((node.end_lineno or 0 for node in heads), default=0)
    if not heads:  # behind the remarks at the top, which may say what runs the file and how it is encoded
        at = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    before = "".join(lines[:at])
    before = before if not before or before.endswith("\n") else f"{before}\n"
    return "".join([before, *(f"{line}\n" for line in dict.fromkeys(wanted)), *lines[at:]])


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What belongs to a module's own scope."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue  # not there when it runs
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _outside_functions(child)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a part of a module gives a meaning."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from map(_name_of, node.names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg


def _name_of(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _narrowed(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.Import | ast.ImportFrom:
    return ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], node.level)


def _in_place(one: Editable, own: str) -> str:
    """A new version with the decorators and the docstring of the old one where it brings none of its own, indented as that was."""
    old, own = _outdented(one.text), _outdented(own)
    was, new = _definitions(parsed(old))[0], _definitions(parsed(own))[0]
    kept, span = _docstring(was), _docstring(new)
    if kept is not None:
        doc = "".join(lines_of(old)[kept[0] - 1 : kept[1]])
        depth = new.body[0].col_offset
        doc = doc if depth == was.body[0].col_offset else textwrap.indent(textwrap.dedent(doc), " " * depth)
        if span is not None:
            own = _spliced(own, span, doc)
        elif new.body[0].lineno > new.lineno and ast.get_docstring(new) is None:
            at = _first(new.body[0]) if isinstance(new.body[0], Definition) else new.body[0].lineno
            own = _spliced(own, (at, at - 1), doc)
    if not new.decorator_list:
        own = "".join(lines_of(old)[: was.lineno - 1]) + own
    indent = one.text[: len(one.text) - len(one.text.lstrip())]
    made = "".join(f"{indent}{line}" if line.strip() else line for line in lines_of(own))
    return made if made.endswith("\n") else made + "\n"


def _outdented(text: str) -> str:
    """Without the indentation of its first line; lines of a text in it may stand further to the left, and stay."""
    indent = text[: len(text) - len(text.lstrip())]
    return "".join(line.removeprefix(indent) for line in lines_of(text))


def _spliced(text: str, span: tuple[int, int], new: str) -> str:
    """Lines from span[0] to span[1], both included, replaced."""
    lines = lines_of(text)
    return "".join([*lines[: span[0] - 1], new, *lines[span[1] :]])


def _docstring(node: Definition) -> tuple[int, int] | None:
    """The lines of a docstring that stands on lines of its own, with something after it."""
    first = node.body[0]
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)):
        return None
    apart = first.lineno > node.lineno and len(node.body) > 1 and node.body[1].lineno > (first.end_lineno or 0)
    return (first.lineno, first.end_lineno or first.lineno) if apart else None


def _differing(before: str, after: str) -> tuple[int, int]:
    """Lines that differ, and characters of them."""
    lines = [line for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=0) if line[:3] not in ("+++", "---", "@@ ")]
    old, new = ("".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
    same = sum(block.size for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    return len(lines), len(old) + len(new) - 2 * same


def _definitions(module: ast.Module | None) -> list[Definition]:
    """Functions and methods in the order of the text, those inside others after them."""
    found = [node for node in ast.walk(module) if isinstance(node, Definition)] if module else []
    return sorted(found, key=lambda node: node.lineno)


def _first(node: Definition) -> int:
    return min([node.lineno, *(mark.lineno for mark in node.decorator_list)])


def _last(node: Definition) -> int:
    return node.end_lineno or node.lineno
