"""What the leaderboard reads in an answer as written: its own decoding of `[name(argument=value)]`, step by step, without running any of it.

The benchmark parses the text as Python, drops positional arguments, takes bare names as strings, and **evaluates** operators. Here
arithmetic on literals is computed within bounds; whatever would run more than that is refused, as the only difference.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

from luthier.errors import LuthierError

LONGEST = 100_000  # characters of an answer
_BITS, _SIZE = 4096, 100_000  # of a computed number, of a computed string or list
_Operation = Callable[[Any, Any], Any]
_OPERATIONS: dict[type[ast.operator], _Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}


class DecodingError(LuthierError):
    """Text in which the leaderboard reads no calls."""


def bracketed(text: str) -> str:
    """An answer without code marks around it, in brackets, as BFCL reads all of them. Raises DecodingError where it is too long."""
    said = text.strip("`\n ")
    said = said if said.startswith("[") else "[" + said
    said = said if said.endswith("]") else said + "]"
    if len(said) > LONGEST:
        raise DecodingError(f"longer than {LONGEST} characters")
    return said


def decode(text: str) -> list[dict[str, dict[str, Any]]]:
    """The calls that BFCL reads in an answer in its own form: one dictionary each, of the name and the keyword arguments.

    Empty for `[]`. Raises DecodingError where BFCL's decoding fails, or would run what the model wrote.
    """
    said = bracketed(text)
    try:
        body = _parsed(said.strip().strip("'"))
        return [_call(element) for element in _elements(body)]
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError, AttributeError) as error:
        raise DecodingError(f"not a list of calls: {str(error) or type(error).__name__}") from error


def _parsed(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in what the model wrote
        return ast.parse(text, mode="eval").body


def _elements(body: ast.expr) -> list[ast.Call]:
    found = [body] if isinstance(body, ast.Call) else getattr(body, "elts", None)
    if found is None or not all(isinstance(element, ast.Call) for element in found):
        raise DecodingError("not a list of calls")
    return found


def _call(node: ast.Call) -> dict[str, dict[str, Any]]:
    parts: list[str] = []
    named: ast.expr = node.func
    while isinstance(named, ast.Attribute):
        parts.append(named.attr)
        named = named.value
    if isinstance(named, ast.Name):
        parts.append(named.id)
    return {".".join(reversed(parts)): {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}}


def _value(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant():
            return "..." if node.value is Ellipsis else node.value
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return -value  # type: ignore[operator]  # whatever the operator is
        case ast.List():
            return [_value(element) for element in node.elts]
        case ast.Tuple():
            return tuple(_value(element) for element in node.elts)
        case ast.Dict():
            return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
        case ast.BinOp():
            return _computed(node)
        case ast.Name():
            return node.id
        case ast.Call():
            return _call(node) if node.keywords else ast.unparse(node)
        case ast.Subscript():
            return f"{ast.unparse(node.value)}[{ast.unparse(node.slice)}]"
    raise DecodingError("a value that is neither a literal nor a name")


def _computed(node: ast.expr) -> Any:
    """What Python makes of operators on literals."""
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple():
            values = [_computed(element) for element in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        case ast.UnaryOp():
            return _SIGNS[type(node.op)](_computed(node.operand))
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            left, right = _computed(node.left), _computed(node.right)
            _check_size(node.op, left, right)
            return _OPERATIONS[type(node.op)](left, right)
    raise DecodingError("an expression that only running it would tell")


def _check_size(sign: ast.operator, left: Any, right: Any) -> None:
    """Raises DecodingError where the result could be too large to compute."""
    if any(isinstance(side, int) and side.bit_length() > _BITS for side in (left, right)):
        raise DecodingError("a number too large to compute with")
    numbers = isinstance(left, int) and isinstance(right, int)
    if isinstance(sign, ast.Pow) and numbers and left.bit_length() * abs(right) > _BITS:
        raise DecodingError("a power too large to compute")
    if isinstance(sign, ast.LShift) and numbers and right > _BITS:
        raise DecodingError("a shift too large to compute")
    if isinstance(sign, ast.Mult) and not numbers:
        size = next((len(side) for side in (left, right) if hasattr(side, "__len__")), 0)
        times = next((side for side in (left, right) if isinstance(side, int)), 0)
        if size * times > _SIZE:
            raise DecodingError("a repetition too large to compute")
    if isinstance(sign, ast.Mod) and isinstance(left, str | bytes):
        raise DecodingError("text formatted by an operator")
