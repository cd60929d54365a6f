"""The examples of a docstring as tests: each an assertion that stands alone, behind the earlier statements that it builds on."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from luthier.texts.programs import parsed

_NUMBERS = ("inf", "-inf", "nan")  # that Python prints and does not read
_CALLED = ("set", "frozenset", "range", "bytearray")  # plain data that Python prints as calls
_BEGINNINGS = tuple("[({'\"-.0123456789TFNbr")  # of what plain data may print


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
    """That an expression is, or prints, what an example says; empty where this cannot be said without running it as a doctest: of what the
    function itself prints, and of objects that are no plain data."""
    said = ast.get_source_segment(example.source, value) or ast.unparse(value)
    loosely = sum(flag for flag, on in example.options.items() if on)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
        if value.keywords:
            return ""
        said = f"' '.join(map(str, [{', '.join(map(ast.unparse, value.args))}]))"
        if not loosely:
            return f"assert {said} == {example.want.removesuffix(chr(10)).replace('<BLANKLINE>', '')!r}"
    else:
        wanted = example.want.strip()
        said = said if isinstance(value, ast.Call | ast.Name | ast.Subscript | ast.Attribute) else f"({said})"
        if not loosely:
            plain = _plain(wanted)
            return f"assert repr({said}) == {wanted!r}" if wanted in _NUMBERS else f"assert {said} == {plain}" if plain else ""
        if wanted[:1] not in _BEGINNINGS:
            return ""
        said = f"repr({said})"
    return f"import doctest\nassert doctest.OutputChecker().check_output({example.want!r}, {said} + '\\n', {loosely})"


def _plain(wanted: str) -> str:
    """The expression of what an example shows, where it is plain data; a Counter or an OrderedDict is the dictionary that it holds. Else empty."""
    tree = parsed(wanted)
    value = tree.body[0].value if tree is not None and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and not value.keywords and all(map(_is_literal, value.args)):
        if value.func.id in _CALLED:
            return wanted
        if value.func.id in ("Counter", "OrderedDict") and len(value.args) <= 1:
            return f"dict({', '.join(map(ast.unparse, value.args))})"
    return (ast.unparse(value) if "\n" in wanted else wanted) if value is not None and _is_literal(value) else ""


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


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
