"""Functions of a repository as they are shown to a model, and the edits that its answers make of them.

Docstrings stay as they are: a long one is shown by its first lines, and put back whole. What an answer holds beside functions is left out.
"""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.search.worktree import Worktree
from luthier.texts.programs import parsed

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
    lines = text.splitlines(keepends=True)
    return Editable(file, node.name, _first(node), _last(node), "".join(lines[_first(node) - 1 : _last(node)]))


def functions_in(text: str) -> list[Editable]:
    """The functions and methods of a text, in its order; none where it is no Python."""
    lines = text.splitlines(keepends=True)
    found = _definitions(parsed(text))
    return [Editable("", node.name, _first(node), _last(node), "".join(lines[_first(node) - 1 : _last(node)])) for node in found]


def put(text: str, one: Editable, own: str, before: str = "") -> str:
    """A text with a new version of one of its functions in the place of the old one. before: what stands right above it."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: one.first - 1], before, *_in_place(one, own).splitlines(keepends=True), *lines[one.last :]])


def edited(tree: Worktree, functions: Sequence[Editable], program: str) -> Edit | Refused:
    """The edit that a program makes: each function of it, also one inside a class, in the place of the one with the same name."""
    program = textwrap.dedent(program)
    module = parsed(program)
    if module is None:
        return Refused("the answer is no Python")
    lines = program.splitlines(keepends=True)
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
    return _applied(tree, places) or Refused(f"the answer leaves {', '.join(one.name for one, _ in places)} as it was")


def _applied(tree: Worktree, found: Sequence[tuple[Editable, str]]) -> Edit | None:
    """From the last line to the first, so that places stay true. None where nothing differs or the file would be no Python."""
    before = {one.file: tree.read(one.file) for one, _ in found}
    after = dict(before)
    for one, own in sorted(found, key=lambda pair: -pair[0].first):
        after[one.file] = put(after[one.file], one, own)
    files = {file: text for file, text in after.items() if text != before[file]}
    if not files or not all(parsed(text) for text in files.values()):
        return None
    differing = [_differing(before[file], text) for file, text in files.items()]
    return Edit(files, sum(lines for lines, _ in differing), sum(characters for _, characters in differing))


def _in_place(one: Editable, own: str) -> str:
    """A new version with the decorators and the docstring of the old one where it brings none of its own, indented as that was."""
    old, own = _outdented(one.text), _outdented(own)
    was, new = _definitions(parsed(old))[0], _definitions(parsed(own))[0]
    kept, span = _docstring(was), _docstring(new)
    if kept is not None:
        doc = "".join(old.splitlines(keepends=True)[kept[0] - 1 : kept[1]])
        depth = new.body[0].col_offset
        doc = doc if depth == was.body[0].col_offset else textwrap.indent(textwrap.dedent(doc), " " * depth)
        if span is not None:
            own = _spliced(own, span, doc)
        elif new.body[0].lineno > new.lineno and ast.get_docstring(new) is None:
            at = _first(new.body[0]) if isinstance(new.body[0], Definition) else new.body[0].lineno
            own = _spliced(own, (at, at - 1), doc)
    if not new.decorator_list:
        own = "".join(old.splitlines(keepends=True)[: was.lineno - 1]) + own
    indent = one.text[: len(one.text) - len(one.text.lstrip())]
    made = "".join(f"{indent}{line}" if line.strip() else line for line in own.splitlines(keepends=True))
    return made if made.endswith("\n") else made + "\n"


def _outdented(text: str) -> str:
    """Without the indentation of its first line; lines of a text in it may stand further to the left, and stay."""
    indent = text[: len(text) - len(text.lstrip())]
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def _spliced(text: str, span: tuple[int, int], new: str) -> str:
    """Lines from span[0] to span[1], both included, replaced."""
    lines = text.splitlines(keepends=True)
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
