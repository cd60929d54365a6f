"""Every regular expression of the package with the way it is used, and texts that make a slow one show itself."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import luthier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from re import _constants as sre
    from re import _parser as parser

METHODS = {"match", "fullmatch", "search", "sub", "subn", "finditer", "findall", "split"}
ANCHORED = ("match", "fullmatch")
COMMON = " \n\t.,:;-_=/'\"()[]{}<>#*|\\a0A"


class Used(NamedTuple):
    """A pattern, the module and name it has there, and the methods that are called on it."""

    place: str
    pattern: re.Pattern[str]
    methods: frozenset[str]


def all_patterns() -> list[Used]:
    """The patterns that stand in modules, compiled or written into a call of `re`."""
    found = []
    for info in pkgutil.walk_packages(luthier.__path__, "luthier."):
        source = Path(importlib.util.find_spec(info.name).origin)
        if source.suffix != ".py" or info.name.endswith("__main__"):
            continue
        tree = ast.parse(source.read_text(encoding="utf-8"))
        found += _inline(info.name, tree)
        if "re.compile" in source.read_text(encoding="utf-8"):
            found += _named(info.name, tree)
    return found


def _named(module: str, tree: ast.Module) -> Iterator[Used]:
    try:
        values = vars(importlib.import_module(module))
    except ImportError:  # an optional engine that is not installed
        return
    called: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
            called.setdefault(node.value.id, set()).add(node.attr)
    for name, value in values.items():
        for number, pattern in enumerate(_patterns_in(value)):
            if isinstance(pattern.pattern, str) and _is_own(tree, name):
                yield Used(f"{module}.{name}[{number}]", pattern, frozenset(called.get(name) or {"search"}))


def _is_own(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) for each in tree.body for node in ast.walk(each)
    )


def _patterns_in(value: object) -> list[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        return [value]
    if isinstance(value, dict):
        return [each for key, part in value.items() for inner in (key, part) for each in _patterns_in(inner)]
    if isinstance(value, list | tuple) and len(value) < 200:
        return [each for part in value for each in _patterns_in(part)]
    return []


def _inline(module: str, tree: ast.Module) -> Iterator[Used]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re" and node.args and isinstance(node.args[0], ast.Constant):
                yield Used(f"{module}:{node.lineno}", re.compile(node.args[0].value), frozenset({node.func.attr}))


def pumped(pattern: re.Pattern[str], size: int) -> Iterator[str]:
    """Texts of about `size` characters: what leads to each repeated part, the part again and again, and something that does not fit.

    The part is repeated as it stands, one sign at a time, and in pairs of signs that the pattern knows.
    """
    tree = parser.parse(pattern.pattern, pattern.flags)
    seen = set()
    whole = [("", _sample(branch)) for branch in _branches(tree)]
    for prefix, body in (*_repeats(tree, ""), *whole):
        for unit in {body, body[:-1], *body, body + " ", body + "\n", *COMMON}:
            if unit and (prefix, unit) not in seen:
                seen.add((prefix, unit))
                yield prefix + unit * (size // len(unit)) + "\n\x00"


def _branches(tree: object) -> list[object]:
    parts = list(tree)  # type: ignore[call-overload]
    return [tree, *(parts[0][1][1] if len(parts) == 1 and parts[0][0] is sre.BRANCH else [])]


def _repeats(tree: object, prefix: str) -> Iterator[tuple[str, str]]:
    """(a text that leads to a repeated part, a text of the part), of all parts that may be repeated without an end."""
    yield prefix, ""
    for kind, value in tree:  # type: ignore[attr-defined]
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            low, high, inner = value
            yield from _repeats(inner, prefix)
            if high == sre.MAXREPEAT or high > 20:
                yield prefix, _sample(inner)
            prefix += _sample(inner) * max(low, 1)
        elif kind is sre.SUBPATTERN:
            yield from _repeats(value[3], prefix)
            prefix += _sample(value[3])
        elif kind is sre.ATOMIC_GROUP:
            yield from _repeats(value, prefix)
            prefix += _sample(value)
        elif kind is sre.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, prefix)
            prefix += _sample(value[1][0])
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _repeats(value[1], prefix)
        else:
            prefix += _sample([(kind, value)])


_CATEGORY = {
    sre.CATEGORY_DIGIT: "1",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_NOT_WORD: " ",
}


def _sample(tree: object) -> str:
    """A short text that the pattern matches, or nearly."""
    made = ""
    for kind, value in tree:  # type: ignore[attr-defined]
        if kind is sre.LITERAL:
            made += chr(value)
        elif kind is sre.NOT_LITERAL or kind is sre.ANY:
            made += "a" if value != ord("a") else "b"
        elif kind is sre.IN:
            made += _member(value)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            made += _sample(value[2]) * max(value[0], 1 if value[1] else 0)
        elif kind is sre.SUBPATTERN:
            made += _sample(value[3])
        elif kind is sre.ATOMIC_GROUP:
            made += _sample(value)
        elif kind is sre.BRANCH:
            made += _sample(value[1][0])
    return made


def _member(items: list[tuple[object, object]]) -> str:
    if items and items[0][0] is sre.NEGATE:
        tried = re.compile(r"\w")
        out = {chr(value) for kind, value in items if kind is sre.LITERAL}  # type: ignore[arg-type]
        words = any(kind is sre.CATEGORY and value is sre.CATEGORY_WORD for kind, value in items)
        return next(sign for sign in ("  .,-" if words else "ab1 .-") if sign not in out and not (words and tried.match(sign)))
    kind, value = items[0]
    if kind is sre.CATEGORY:
        return _CATEGORY[value]  # type: ignore[index]
    return chr(value[0] if kind is sre.RANGE else value)  # type: ignore[index,arg-type]
