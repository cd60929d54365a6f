"""Tool calls as text: `[name(argument=value, ...), other(...)]` with Python literals, the syntax of ToolACE and BFCL.

The parser is a small recursive descent over literals. It never evaluates anything: names, operators, positional or starred
arguments and f-strings are errors. Tool names may hold spaces or dashes (most RapidAPI names do): known names match first, longest first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from luthier.errors import LuthierError
from luthier.records.conversations import ToolCall

MAX_DEPTH = 32
_NAME = re.compile(r"[^\W\d][\w.\-/]*")
_KEYWORD = re.compile(r"[$@]?[^\W\d]\w*(?:[.\-/:]\w+|\[\w*\])*")  # `$top`, `filter[name]` and `a-b` are HTTP parameters
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?")
_SPACE = re.compile(r"\s*")
_OPENING = re.compile(r"\s*\(")
_WORDS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "\\": "\\", "'": "'", '"': '"', "\n": ""}
_OCTAL = re.compile(r"[0-7]{1,3}")
_ATTEMPT = re.compile(  # each word and each space is read once: the possessive parts and the look-behind keep it linear
    r"(?<![\w.\-/])[\d.\-/]*+[^\W\d][\w.\-/]*+\s*+\(\s*+(?:\)|[^\W\d][\w.\-]*+\s*+=)"
    r"|<tool_call>|[\"'](?:name|function)[\"']\s*:\s*[\"']"
)


class CallSyntaxError(LuthierError):
    """Text that is not a list of calls; the message names the character position."""


def render_calls(calls: Sequence[ToolCall]) -> str:
    """The calls as one bracketed line; `parse_calls(render_calls(calls))` gives them back."""
    return "[" + ", ".join(f"{call.name}({_render_arguments(call)})" for call in calls) + "]"


def _render_arguments(call: ToolCall) -> str:
    return ", ".join(f"{name}={render_literal(value)}" for name, value in call.arguments.items())


def render_literal(value: Any) -> str:
    """A JSON value as a Python literal; strings in double quotes with JSON's escapes."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{render_literal(key)}: {render_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(render_literal(item) for item in value) + "]"
    return repr(value)


def parse_calls(text: str, names: Sequence[str] = ()) -> tuple[ToolCall, ...]:
    """Read `[name(argument=value, ...), ...]`; the outer brackets may be missing.

    names: the tools on offer, needed where a name is not a plain identifier. Tuples become lists.
    Raises CallSyntaxError at the first character that does not fit.
    """
    return _Parser(text, sorted(names, key=len, reverse=True)).calls()


def is_call_attempt(text: str) -> bool:
    """Whether the text tries to call something, well-formed or not: the test behind strict irrelevance."""
    return _ATTEMPT.search(text) is not None


class _Parser:
    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text, self.names, self.at = text, names, 0

    def calls(self) -> tuple[ToolCall, ...]:
        bracketed = self.take("[")
        calls: list[ToolCall] = []
        while True:
            if bracketed and self.take("]"):
                break
            calls.append(self.call())
            if not self.take(","):
                if bracketed:
                    self.expect("]")
                break
        self.space()
        if self.at != len(self.text):
            self.fail("the end of the calls")
        return tuple(calls)

    def call(self) -> ToolCall:
        self.space()
        name = self.name()
        self.expect("(")
        arguments: dict[str, Any] = {}
        while not self.take(")"):
            self.space()
            match = _KEYWORD.match(self.text, self.at)
            if match is None:
                self.fail("an argument name")
            if match.group() in arguments:
                self.fail(f"an argument other than {match.group()!r}, which is there already,")
            self.at = match.end()
            self.expect("=")
            arguments[match.group()] = self.literal(0)
            if not self.take(","):
                self.expect(")")
                break
        return ToolCall(name, arguments)

    def name(self) -> str:
        for known in self.names:
            end = self.at + len(known)
            if self.text.startswith(known, self.at) and _OPENING.match(self.text, end):
                self.at = end
                return known
        match = _NAME.match(self.text, self.at)
        if match is None:
            self.fail("a tool name")
        self.at = match.end()
        return match.group()

    def literal(self, depth: int) -> Any:
        self.space()
        if depth > MAX_DEPTH:
            self.fail(f"values nested at most {MAX_DEPTH} deep")
        start = self.text[self.at : self.at + 1]
        if start in ("'", '"'):
            return self.strings()
        if start == "[":
            return self.items(depth)
        if start == "(":
            return self.parentheses(depth)
        if start == "{":
            return self.mapping(depth)
        word = _WORD.match(self.text, self.at)
        if word is not None and word.group() in _WORDS:
            self.at = word.end()
            return _WORDS[word.group()]
        return self.number()

    def number(self) -> int | float:
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            self.fail("a value")
        digits = match.group().replace("_", "")
        try:
            value = float(digits) if any(sign in digits for sign in ".eE") else int(digits)
        except ValueError:  # more digits than int() reads
            self.fail("a shorter number")
        if isinstance(value, float) and math.isinf(value):
            self.fail("a number that JSON can hold")
        self.at = match.end()
        return value

    def items(self, depth: int) -> list[Any]:
        self.at += 1
        values: list[Any] = []
        while not self.take("]"):
            values.append(self.literal(depth + 1))
            if not self.take(","):
                self.expect("]")
                break
        return values

    def parentheses(self, depth: int) -> Any:
        """A tuple, as a list; one value without a comma is only that value."""
        self.at += 1
        values: list[Any] = []
        comma = True
        while not self.take(")"):
            values.append(self.literal(depth + 1))
            comma = self.take(",")
            if not comma:
                self.expect(")")
                break
        return values[0] if len(values) == 1 and not comma else values

    def mapping(self, depth: int) -> dict[str, Any]:
        self.at += 1
        values: dict[str, Any] = {}
        while not self.take("}"):
            self.space()
            key = self.literal(depth + 1)
            if not isinstance(key, str):
                self.fail("a string as key")
            self.expect(":")
            values[key] = self.literal(depth + 1)
            if not self.take(","):
                self.expect("}")
                break
        return values

    def strings(self) -> str:
        """One quoted string, or several side by side."""
        parts = [self.string()]
        while self.space() in ("'", '"'):
            parts.append(self.string())
        return "".join(parts)

    def string(self) -> str:
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            self.fail("a string in single or double quotes")
        self.at += 1
        letters: list[str] = []
        while (letter := self.text[self.at : self.at + 1]) != quote:
            if letter in ("", "\n"):
                self.fail(f"the closing {quote}")
            self.at += 1
            letters.append(self.escape() if letter == "\\" else letter)
        self.at += 1
        return "".join(letters)

    def escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        width = {"x": 2, "u": 4, "U": 8}.get(letter)
        if width is None:
            return self.short_escape(letter)
        digits = self.text[self.at + 1 : self.at + 1 + width]
        if not re.fullmatch(f"[0-9a-fA-F]{{{width}}}", digits) or int(digits, 16) > 0x10FFFF:
            self.fail(f"{width} hexadecimal digits")
        self.at += 1 + width
        return chr(int(digits, 16))

    def short_escape(self, letter: str) -> str:
        """As Python reads it: up to three octal digits, one known letter, or else the backslash itself (`"\\d+"`)."""
        octal = _OCTAL.match(self.text, self.at)
        if octal is not None:
            self.at = octal.end()
            return chr(int(octal.group(), 8))
        if letter in ("", "N", "\r"):
            self.fail("a known escape after the backslash")
        if letter not in _ESCAPES:
            return "\\"
        self.at += 1
        return _ESCAPES[letter]

    def space(self) -> str:
        """Skip white space; the next character, or nothing at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        if self.space() != sign:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            self.fail(repr(sign))

    def fail(self, wanted: str) -> NoReturn:
        found = repr(self.text[self.at : self.at + 12]) if self.at < len(self.text) else "the end"
        raise CallSyntaxError(f"character {self.at + 1}: {wanted} expected, {found} found")
