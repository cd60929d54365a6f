"""The examples of a docstring as tests: each an assertion that stands alone, behind the earlier statements that it builds on."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Sequence

from luthier.texts.programs import parsed


def examples(text: str, entry_point: str) -> Iterator[str]:
    """The examples of a docstring that call the function, as assertions, each behind the statements that it builds on."""
    tree = parsed(text.rstrip() + "\n    pass\n") or parsed(text)
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point] if tree else []
    try:
        found = doctest.DocTestParser().get_examples(ast.get_docstring(defined[0]) or "" if defined else text)
    except ValueError:
        return
    before: list[ast.stmt] = []
    for example in found:
        code = parsed(example.source)
        if code is None or example.exc_msg or example.options.get(doctest.SKIP):
            continue
        needed = _needed(before, code.body)
        if example.want and len(code.body) == 1 and isinstance(code.body[0], ast.Expr) and _calls(entry_point, [*needed, *code.body]):
            asserted = _asserted(code.body[0].value, example)
            if asserted:
                yield "\n".join([*map(ast.unparse, needed), asserted])
        before += code.body


def _needed(before: Sequence[ast.stmt], code: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Earlier statements that code builds on: those that give a name that it uses, and those that use one with them."""
    names, found = _used(code), list[ast.stmt]()
    while True:
        more = [node for node in before if node not in found and (_given(node) & names or (_used([node]) & names & _all_given(before)))]
        if not more:
            return [node for node in before if node in found]
        found += more
        names |= _used(more)


def _all_given(nodes: Sequence[ast.stmt]) -> set[str]:
    return set().union(*map(_given, nodes)) if nodes else set()


def _given(node: ast.stmt) -> set[str]:
    return set(names_bound(ast.Module([node], [])))


def _used(nodes: Sequence[ast.stmt]) -> set[str]:
    return {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}


def _calls(name: str, nodes: Sequence[ast.stmt]) -> bool:
    calls = (one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Call))
    return any(isinstance(one.func, ast.Name) and one.func.id == name for one in calls)


def _asserted(value: ast.expr, example: doctest.Example) -> str:
    """That an expression is, or prints, what an example says; empty where this cannot be said without running it as a doctest."""
    said, wanted = ast.get_source_segment(example.source, value) or ast.unparse(value), example.want.strip()
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
        if value.keywords:
            return ""
        said = f"' '.join(map(str, [{', '.join(map(ast.unparse, value.args))}]))"
        literal = False
    else:
        expected = parsed(wanted)
        literal = expected is not None and len(expected.body) == 1 and isinstance(expected.body[0], ast.Expr) and "\n" not in wanted
        said = said if literal and not example.options else f"repr({said})"
    if any(example.options.values()):
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
