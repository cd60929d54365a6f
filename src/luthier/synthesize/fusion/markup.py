"""Markdown without its markup: what a reader sees of links, emphasis, code, images and footnotes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_MARKS = frozenset("[*_`~<&\\")
_FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,80}\]")
_NOTE = re.compile(r"^ {0,3}\[\^[^\]\s]{1,80}\]: ?", re.MULTILINE)
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\]\n]{1,200}\]: ?\S[^\n]*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_LONGEST = 20_000  # characters of a line; more is no prose


class Markup:
    """The inline markup of one document, whose links may be defined anywhere in it."""

    def __init__(self, text: str) -> None:
        self._env: dict[str, Any] = {}
        definitions = "\n\n".join(match[0].strip() for match in _DEFINITION.finditer(text))
        if definitions:
            _parser().parse(definitions, self._env)

    def plain(self, text: str) -> str:
        """One line or cell as it is seen."""
        if _MARKS.isdisjoint(text) or len(text) > _LONGEST:
            return text
        (line,) = _parser().parseInline(_FOOTNOTE.sub("", text), self._env)
        return " ".join("".join(_seen(token) for token in line.children or ()).split())

    def text(self, text: str) -> str:
        """Running text line by line; blocks of code stay, and lines that only define links are left out."""
        told: list[str] = []
        fenced = False
        for line in text.split("\n"):
            fence = _FENCE.match(line) is not None
            fenced ^= fence
            if fenced or fence:
                told.append(line)
            elif not _DEFINITION.fullmatch(line):
                bare = _NOTE.sub("", line)
                start = len(bare) - len(bare.lstrip())
                mark = re.match(r"(?:[-*+>]|#{1,6}|\d{1,3}[.)])\s", bare[start:])
                head = bare[: start + (len(mark[0]) if mark else 0)]
                told.append(head + self.plain(bare[len(head) :]))
        return "\n".join(told)


def _seen(token: Any) -> str:
    if token.type in ("text", "code_inline", "image"):
        return str(token.content)
    return " " if token.type in ("softbreak", "hardbreak", "html_inline") else ""


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("strikethrough")
