"""Grammars for engines that read EBNF, as XGrammar and with it OpenVINO GenAI do: the Lark that `grammar` writes, in that notation.

Only what Lark and EBNF share is turned: rules, literals, groups, alternatives and repeats, and of regular expressions characters, classes,
groups and repeats. Anything else is refused by name, so that no answer follows another grammar than the one that was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from luthier.errors import EngineError

_RULE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*+):[ \t]*+(.*+)")
_TOKEN = re.compile(
    r"""(?P<space>[ \t]++)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<regex>/(?:[^/\\\[]|\\.|\[(?:[^\]\\]|\\.)*+\])++/)"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*+)|(?P<sign>[()|?*+]|\{\d++(?:,\d*+)?\})"""
)
_CLASSES = {"d": "[0-9]", "w": "[A-Za-z0-9_]", "s": "[ \\t\\n\\r\\f\\v]"}
_RANGES = {text[1:-1] for text in _CLASSES.values()}  # which are no end of another range
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_PIECES = re.compile(r"[ -~\n\r\t]*+[^ -~\n\r\t]|[ -~\n\r\t]++")
_SPECIAL = "\\]^-["  # in a class
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_REPEAT = re.compile(r"[?*+]|\{\d++(?:,\d*+)?\}")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)


def ebnf(grammar: str) -> str:
    """A Lark grammar as EBNF whose first rule is `root`. Raises EngineError where it has what EBNF has not."""
    rules = []
    for line in grammar.splitlines():
        if not line.strip() or line.lstrip().startswith("//"):
            continue
        rule = _RULE.fullmatch(line)
        if rule is None:
            raise EngineError(f"this grammar cannot be written as EBNF: {line.strip()[:60]!r} is no rule on a line of its own")
        name = "root" if rule[1] == "start" else rule[1]
        rules.append(f"{name} ::= {' '.join(_expression(rule[2]))}")
    return "\n".join(rules) + "\n"


def _expression(text: str) -> Iterator[str]:
    """A rule's right side; a repeat stands directly behind what it repeats."""
    at, parts = 0, list[str]()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise EngineError(f"this grammar cannot be written as EBNF: {text[at : at + 30]!r}")
        at = found.end()
        if (found["text"] or found["regex"]) and text[at : at + 1].isalpha():
            raise EngineError(f"this grammar cannot be written as EBNF: {text[found.start() : at + 1]!r} has a flag")
        if found["text"]:
            parts.append(_literal(_read(found["text"])))
        elif found["regex"]:
            parts.append(f"({_regex(found['regex'][1:-1])})")
        elif found["name"]:
            parts.append(found["name"])
        elif found["sign"] and found["sign"] not in "()|":
            parts[-1:] = [parts[-1] + found["sign"]] if parts else [found["sign"]]
        elif found["sign"]:
            parts.append(found["sign"])
    yield from parts


def _read(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise EngineError(f"this grammar cannot be written as EBNF: {quoted} has an escape that JSON has not") from None


def _literal(text: str) -> str:
    """In quotes; in several where a letter beyond ASCII ends one, since XGrammar writes it as a number and reads its own `\\xdf` and `e` as `\\xdfe`."""
    parts = ['"' + "".join(_character(one, '"\\') for one in part) + '"' for part in _PIECES.findall(text)]
    return parts[0] if len(parts) == 1 else f"({' '.join(parts)})" if parts else '""'


def _character(one: str, special: str) -> str:
    """A character as EBNF writes it; controls by their number."""
    if one in special:
        return f"\\{one}"
    if one in _NAMED:
        return _NAMED[one]
    return one if one.isprintable() else f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"


def _regex(pattern: str) -> str:
    """A regular expression as EBNF. Raises EngineError at anchors, looks around, back references and lazy or possessive repeats."""
    parts, at = list[str](), 0
    while at < len(pattern):
        sign = pattern[at]
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None and parts and parts[-1] not in ("(", "|"):
            at = repeat.end()
            if pattern[at : at + 1] in ("?", "+"):
                raise _refused(pattern, at)
            parts[-1] += repeat[0]
        elif sign in "(|)":
            at += 1
            parts.append(sign)
            if sign == "(" and pattern.startswith("?", at):
                if not pattern.startswith("?:", at):
                    raise _refused(pattern, at)
                at += 2
        elif sign == "[":
            text, at = _class(pattern, at)
            parts.append(text)
        elif sign == "\\":
            text, at = _escaped(pattern, at)
            parts.append(text)
        elif sign == ".":
            parts.append("[^\\n]")
            at += 1
        elif sign in "^$?*+{":
            raise _refused(pattern, at)
        else:
            parts.append(_literal(sign))
            at += 1
    return " ".join(parts)


def _escaped(pattern: str, at: int) -> tuple[str, int]:
    """What an escape outside of brackets stands for, and where it ends."""
    found = _ESCAPE.match(pattern, at)
    if found is None:
        raise _refused(pattern, at)
    if found[3] in _CLASSES:
        return _CLASSES[found[3]], found.end()
    if found[3] and found[3].isalnum() and found[3] not in _CONTROL:
        raise _refused(pattern, at)
    return _literal(_meant(found)), found.end()


def _meant(found: re.Match[str]) -> str:
    number = found[1] or found[2]
    return chr(int(number, 16)) if number else _CONTROL.get(found[3], found[3])


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A class of characters, and where it ends; those beyond ASCII stand last, for the reason told at `_literal`."""
    start, at = at, at + 1
    negated = pattern.startswith("^", at)
    at += negated
    parts: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not parts):
        part, at = _member(pattern, at)
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("]", ""):
            last, at = _member(pattern, at + 1)
            if part in _RANGES or last in _RANGES:
                raise _refused(pattern, start)
            part = f"{part}-{last}"
        parts.append(part)
    if at >= len(pattern):
        raise _refused(pattern, start)
    parts.sort(key=lambda part: not part[-1].isascii() or "\\u" in part)
    return f"[{'^' * negated}{''.join(parts)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """A character of a class, or a class of its own, and where it ends."""
    if pattern[at] != "\\":
        return _character(pattern[at], _SPECIAL), at + 1
    found = _ESCAPE.match(pattern, at)
    if found is None or (found[3] and found[3].isalnum() and found[3] not in _CONTROL and found[3] not in _CLASSES):
        raise _refused(pattern, at)
    return _CLASSES[found[3]][1:-1] if found[3] in _CLASSES else _character(_meant(found), _SPECIAL), found.end()


def _refused(pattern: str, at: int) -> EngineError:
    return EngineError(f"this grammar cannot be written as EBNF: /{pattern}/ has {pattern[at : at + 4]!r}")
