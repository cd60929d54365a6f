"""Markdown without its markup: what a reader sees of links, emphasis, code, images and footnotes, and its tables, as GitHub reads them.

Tables in code and in comments are none. What is struck out, notes to cells and cells beyond the columns of a table are left out and counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

_MARKS = frozenset("[*_`~<&\\")
_FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,80}\]")
_NOTE = re.compile(r"^ {0,3}\[\^[^\]\s]{1,80}\]: ?", re.MULTILINE)
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\]\n]{1,200}\]: ?\S[^\n]*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_LONGEST = 20_000  # characters of a line; more is no prose
_RULE = re.compile(r"^(?=[^-\n]*+-)[ \t>*+|:.)\d-]++$", re.MULTILINE)  # a line that may stand below the header of a table
_PIPE = re.compile(r"(?<!\\)\|")
_STRUCK = re.compile(r"<(/?)(?:s|strike|del)\s*+>", re.IGNORECASE)
_RAISED = re.compile(r"<(/?)sup\s*+>", re.IGNORECASE)
_CITATION = re.compile(r"\[[^\[\]]{1,12}\]")  # [1], [note 2]
_NOTE_SIGN = re.compile(r"[*†‡§¶#]{1,4}|\d{1,3}(?:[,;]\s?\d{1,3})*+|[a-z]")
_EXPONENT_OF = re.compile(
    r"(?:\d|\)|(?<![^\W\d_])(?:[^\W\d_]|[mckdµ]m|kg|mg|ft|in|yd|mi|sec|min|mol|feet|foot|inch(?:es)?|met(?:er|re)s?))\Z", re.IGNORECASE
)
Table = list[list[str]]


class Tables(NamedTuple):
    """A text without its tables and comments, and these tables, each as lines of cells, the header first. beyond: cells behind the last column."""

    text: str
    tables: list[Table]
    beyond: int


def tables_of(text: str, *, comments: bool = True) -> Tables:
    """The tables of a Markdown text. comments: whether those of HTML stay in the text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (comments or "<!--" not in text) and not ("|" in text and _RULE.search(text)):
        return Tables(text, [], 0)
    lines = text.split("\n")
    kept: list[str | None] = [*lines]
    tables, beyond, cell = list[Table](), 0, False
    for token in _blocks().parse(text):
        if token.type == "html_block" and not comments and token.content.lstrip().startswith("<!--"):
            kept[token.map[0] : token.map[1]] = [None] * (token.map[1] - token.map[0])
            kept[token.map[0]] = token.content.rpartition("-->")[2].strip() or None if "-->" in token.content else None
        elif token.type == "table_open":
            tables.append([])
            kept[token.map[0] : token.map[1]] = [None] * (token.map[1] - token.map[0])
        elif token.type == "tr_open":
            tables[-1].append([])
            beyond += max(0, _width(lines[token.map[0]]) - len(tables[-1][0])) if len(tables[-1]) > 1 else 0
        elif token.type in ("th_open", "td_open"):
            tables[-1][-1].append("")
            cell = True
        elif token.type == "inline" and cell:
            tables[-1][-1][-1] = token.content.strip()
            cell = False
    return Tables("\n".join(line for line in kept if line is not None), tables, beyond)


def _width(line: str) -> int:
    """How many cells a line of a table has."""
    return len(_PIPE.split(line.strip().lstrip(">").strip().removeprefix("|").removesuffix("|")))


def is_note(before: str, raised: str) -> bool:
    """Whether what is raised (`<sup>`) is a note to what stands before it: neither an exponent (`km2`) nor the end of a word (`1st`)."""
    if _CITATION.fullmatch(raised):
        return True
    if _NOTE_SIGN.fullmatch(raised) is None or not before:
        return False
    return _EXPONENT_OF.search(before[-20:]) is None or not raised[-1:].isalnum()


class Markup:
    """The inline markup of one document, whose links may be defined anywhere in it."""

    def __init__(self, text: str) -> None:
        self.struck = self.notes = 0
        self._env: dict[str, Any] = {}
        definitions = "\n\n".join(match[0].strip() for match in _DEFINITION.finditer(text))
        if definitions:
            _parser().parse(definitions, self._env)

    def plain(self, text: str) -> str:
        """One line or cell as it is seen."""
        if _MARKS.isdisjoint(text) or len(text) > _LONGEST:
            return text
        (line,) = _parser().parseInline(_FOOTNOTE.sub("", text), self._env)
        return " ".join("".join(self._seen(line.children or ())).split())

    def _seen(self, tokens: Sequence[Any]) -> Iterator[str]:
        """What a reader sees, without what is struck out and notes."""
        crossed, raised, before = 0, False, ""
        for token in tokens:
            tag = token.content if token.type == "html_inline" else ""
            if token.type == "s_open" or ((struck := _STRUCK.fullmatch(tag)) is not None and not struck[1]):
                self.struck += not crossed
                crossed += 1
            elif token.type == "s_close" or _STRUCK.fullmatch(tag):
                crossed = max(0, crossed - 1)
            elif (sup := _RAISED.fullmatch(tag)) is not None:
                raised = not sup[1]
                yield " "
            elif crossed:
                continue
            elif raised and token.type == "text" and is_note(before, token.content.strip()):
                self.notes += 1
            else:
                said = _seen(token)
                before = said if said.strip() else before
                yield said

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


@cache
def _blocks() -> Any:
    """Finds the blocks of a text and leaves what is within a line as it is."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable("inline")
