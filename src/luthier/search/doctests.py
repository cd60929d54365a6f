"""The examples of a docstring as tests: each an assertion that stands alone, behind the earlier statements that it builds on."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from luthier.texts.programs import parsed


def examples(text: str, entry_point: str) -> Iterator[str]:
    """The examples of a docstring that call the function, as assertions, each behind the statements that it builds on."""
    tree = parsed(text.rstrip() + "\n    pass\n") or parsed(text)
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point] if tree else []
    try:
        found = doctest.DocTestParser().get_examples(ast.get_docstring(defined[0]) or "" if defined else text)
    except ValueError:
        return
    before: list[_Known] = []
    for example in found:
        code = parsed(example.source)
        if code is None or example.exc_msg or example.options.get(doctest.SKIP):
            continue
        needed = _needed(before, code.body)
        if example.want and len(code.body) == 1 and isinstance(code.body[0], ast.Expr) and _calls(entry_point, [*needed, *code.body]):
            asserted = _asserted(code.body[0].value, example)
            if asserted:
                yield "\n".join([*map(ast.unparse, needed), asserted])
        before += map(_Known.of, code.body)


def _needed(before: Sequence[_Known], code: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Earlier statements that code builds on: those that give a name that it uses, and those that use one with them."""
    given = set().union(*(one.gives for one in before)) if before else set[str]()
    names, kept, grew = _used(code), set[int](), True
    while grew:
        grew = False
        for at in reversed(range(len(before))):
            if at not in kept and (before[at].gives & names or before[at].uses & names & given):
                kept.add(at)
                names |= before[at].uses
                grew = True
    return [one.node for at, one in enumerate(before) if at in kept]


class _Known(NamedTuple):
    """A statement of an earlier example, the names that it gives a meaning, and those that stand in it."""

    node: ast.stmt
    gives: frozenset[str]
    uses: frozenset[str]

    @classmethod
    def of(cls, node: ast.stmt) -> _Known:
        stored = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        return cls(node, names_bound(ast.Module([node], [])) | stored, frozenset(_used([node])))


def _used(nodes: Sequence[ast.stmt]) -> set[str]:
    return {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}


def _calls(name: str, nodes: Sequence[ast.stmt]) -> bool:
    calls = (one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Call))
    return any(isinstance(one.func, ast.Name) and one.func.id == name for one in calls)


def _asserted(value: ast.expr, example: doctest.Example) -> str:
    """That an expression is, or prints, what an example says; empty where this cannot be said without running it as a doctest."""
    said, wanted = ast.get_source_segment(example.source, value) or ast.unparse(value), example.want.removesuffix("\n")
    loosely = any(example.options.values())
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
        if value.keywords:
            return ""
        said = f"' '.join(map(str, [{', '.join(map(ast.unparse, value.args))}]))"
        literal = False
    else:
        wanted = wanted.strip()
        expected = parsed(wanted)
        literal = expected is not None and len(expected.body) == 1 and isinstance(expected.body[0], ast.Expr) and "\n" not in wanted
        said = said if literal and not loosely else f"repr({said})"
    if loosely:
        flags = sum(flag for flag, on in example.options.items() if on)
        return f"import doctest\nassert doctest.OutputChecker().check_output({example.want!r}, {said} + '\\n', {flags})"
    wanted = wanted.replace("<BLANKLINE>", "")
    return f"assert {said} == {wanted}" if literal else f"assert {said} == {wanted!r}"


def names_bound(tree: ast.Module | None) -> frozenset[str]:
    """What a text itself defines, assigns or imports at its top level."""
    found: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            found |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return frozenset(found)
