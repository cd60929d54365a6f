"""Marks of LaTeX and Markdown taken off an answer: what is left reads as a person would type it. Linear in the text."""

from __future__ import annotations

import re

_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|textrm|operatorname|mbox|boxed|fbox|emph|bm|displaystyle)\s*+\{([^{}]*+)\}"
)
_SIMPLE = {
    "\\(": " ",
    "\\)": " ",
    "\\[": " ",
    "\\]": " ",
    "\\left": "",
    "\\right": "",
    "\\!": "",
    "\\,": "",
    "\\;": " ",
    "\\:": " ",
    "\\ ": " ",
    "\\quad": " ",
    "\\displaystyle": "",
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\cfrac": "\\frac",
    "\\%": "%",
    "\\$": "$",
    "\\&": "&",
    "\\#": "#",
    "\\_": "_",
    "\\{": "{",
    "\\}": "}",
    "{,}": ",",
    "^\\circ": "°",
    "^{\\circ}": "°",
    "\\degree": "°",
    "\\times": "×",
    "\\cdot": "·",
    "\\div": "/",
    "\\approx": "≈",
    "\\leq": "≤",
    "\\geq": "≥",
    "\\le": "≤",
    "\\ge": "≥",
    "\\leqslant": "≤",
    "\\geqslant": "≥",
    "\\lt": "<",
    "\\gt": ">",
    "\\neq": "≠",
    "\\ne": "≠",
    "\\infty": "∞",
    "\\pm": "±",
    "$$": " ",
}
_MARKS = re.compile(
    "|".join(re.escape(mark) + ("(?![a-zA-Z])" if mark[-1].isalpha() else "") for mark in sorted(_SIMPLE, key=len, reverse=True))
)
_MATH_DOLLARS = re.compile(r"\$([^$\n]*+)\$")
_SHORT_FRACTION = re.compile(r"\\frac\s*+(\d)\s*+(\d)(?!\d)")
_NUMERIC_FRACTION = re.compile(r"\\frac\s*+\{\s*+(-?\d++)\s*+\}\s*+\{\s*+(\d++)\s*+\}")
_MIXED = re.compile(r"(\d)(?=\\frac\s*+\{)")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED_RUN = re.compile(r"(?<=[\w)\]|])[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]++")
_POWER_BRACES = re.compile(r"\^\s*+\{\s*+(-?\d++)\s*+\}")
_VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
    "⅙": "1/6",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_VULGAR_SIGN = re.compile("|".join(_VULGAR))


def plain_math(text: str) -> str:
    """The text without what only sets it: `\\(\\dfrac{1}{2}\\)` is `1/2`, `\\text{(C)}` is `(C)`, `10³` is `10^3`."""
    for _ in range(4):  # commands within commands
        stripped = _WRAPPED.sub(r"\1", text)
        if stripped == text:
            break
        text = stripped
    text = _MARKS.sub(lambda match: _SIMPLE[match[0]], text)
    text = _MATH_DOLLARS.sub(r" \1 ", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _MIXED.sub(r"\1 ", text)
    text = _NUMERIC_FRACTION.sub(r"\1/\2", text)
    text = _RAISED_RUN.sub(lambda match: "^" + match[0].translate(_RAISED), text)
    text = _POWER_BRACES.sub(r"^\1", text)
    return _VULGAR_SIGN.sub(lambda match: (" " if match.start() and text[match.start() - 1].isdigit() else "") + _VULGAR[match[0]], text)
