"""Formulas in answers, read by latex2sympy2, which parses and does not evaluate; what takes a parser long is not read at all."""

from __future__ import annotations

import re
from typing import Any

from luthier.texts.quantities import Verdict
from luthier.texts.signs import brackets

_FORMULA = re.compile(r"\\[a-z]|\d\s*+[\^*/+·×]|[\^√π]|[a-z]\s*+[-+*/=]\s*+\d|sqrt|\d\s*+-\s*+\d|\d\(")
_READ = re.compile(r"(?:[a-z0-9\s{}()+\-*/^.|_√π·×∞°%]|\\[a-z])++")  # the signs whose meaning the parser does not pass over
_INDEXED = re.compile(r"(?<![a-z\\])[a-z]\d")  # x2 may be an index, and how people type a square
_LONGEST_FORMULA, _DEEPEST, _MOST_COMMANDS = 80, 3, 8  # signs, brackets within one another, and names after a backslash
_LONGEST_WITH_FUNCTION = 40  # a function without brackets may take any part of what follows it
_FUNCTION = re.compile(r"\\(?!(?:d?frac|sqrt|pi|cdot|times|left|right|infty)(?![a-z]))[a-z]")
_TOWER = re.compile(
    r"\d{13}|!|\^[^\^]*+\^[^\^]*+\^|\^\s*+\{?\(?-?\d{4}|mod|log_|int|sum|prod|binom|begin|_[^_]*+_|\|[^|]*+\|[^|]*+\|[^|]*+\|[^|]*+\|"
)


def is_formula(text: str) -> bool:
    """Whether a text has the signs of one."""
    return _FORMULA.search(text) is not None


def compare_formulas(a: str, b: str) -> Verdict | None:
    """Formulas that have one value, or are the same for all values of their letters."""
    if not (is_formula(a) or is_formula(b)):
        return None
    if not all(_READ.fullmatch(text) and not _INDEXED.search(text) and brackets(text) != "{}" and _is_light(text) for text in (a, b)):
        return "unclear"
    try:
        return _compared(_parsed(a), _parsed(b))
    except Exception:  # what a parser of free text raises has no end; all of it means: nobody can tell
        return "unclear"


def _is_light(text: str) -> bool:
    """Whether a formula is read in a moment."""
    longest = _LONGEST_WITH_FUNCTION if _FUNCTION.search(text) else _LONGEST_FORMULA
    if len(text) > longest or text.count("\\") > _MOST_COMMANDS or _TOWER.search(text):
        return False
    return _is_shallow(text) and not _has_words(text)


def _is_shallow(text: str) -> bool:
    """Whether all brackets are closed and few stand within one another: parsers take long over others."""
    opened = list[str]()
    for sign in text:
        if sign in "({[":
            opened.append(sign)
        elif sign in ")}]" and (not opened or opened.pop() + sign not in ("()", "{}", "[]")):
            return False
        if len(opened) > _DEEPEST:
            return False
    return not opened


def _has_words(text: str) -> bool:
    return bool(re.search(r"[a-z]{2}", re.sub(r"\\[a-z]++", "", text).replace("sqrt", "").replace("pi", "")))


def _parsed(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy

    formula = re.sub(
        r"(?<!\\)sqrt\(([^()]*+)\)",
        r"\\sqrt{\1}",
        text.replace("**", "^").replace("·", "*").replace("×", "*").replace("√", "\\sqrt ").replace("π", "\\pi "),
    )
    formula = re.sub(r"(?<![\\a-z])pi(?![a-z])", r"\\pi ", formula)
    return latex2sympy(re.sub(r"\^\(([^()]*+)\)", r"^{\1}", formula))


def _compared(one: Any, two: Any) -> Verdict:
    from sympy import Float

    if one == two:
        return "same"
    if one.free_symbols != two.free_symbols or one.count_ops() + two.count_ops() > 60:
        return "unclear"
    if not one.free_symbols:
        x, y = complex(_value(one)), complex(_value(two))
        if abs(x - y) <= 1e-9 * max(1.0, abs(x), abs(y)):
            return "same"
        return "unclear" if abs(x - y) <= 1e-2 * max(abs(x), abs(y)) else "different"
    points = [
        {symbol: Float(value + at) for at, symbol in enumerate(sorted(one.free_symbols, key=str))} for value in (0.37, 1.91, 2.73, 5.11)
    ]
    gaps = [abs(complex(_value(one, point)) - complex(_value(two, point))) for point in points]
    return "same" if max(gaps) < 1e-9 else "unclear" if min(gaps) < 1e-6 else "different"


def _value(node: Any, point: Any = None) -> Any:
    """The value of a formula to 20 digits, from its parts upwards: sympy's own `evalf` looks twice into each part of a product, so a chain of
    divisions that the parser has nested doubles its time with each sign."""
    if node.args:
        return node.func(*(_value(part, point) for part in node.args))
    return (point or {}).get(node, node).evalf(20)
