"""Cells that may say that there is nothing, judged by the others of their column: `NO` among `FR` and `DE` is Norway, `Unknown` among films a film."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Literal

EMPTY = frozenset(("", "-", "–", "—", "n/a", "na", "none", "null", "nan", "?", "unknown", "tbd", "tba"))
FLAGS = frozenset(("true", "false", "yes", "no"))
_NAMES = frozenset(("unknown", "na"))  # empty cells that are names where the column is one of names or codes
_LONGEST_CODE = 3
Shape = Literal["code of 1", "code of 2", "code of 3", "name", "other"]
_CODES: tuple[Shape, ...] = ("code of 1", "code of 2", "code of 3")


class Columns:
    """The cells of the columns of documents, by their shape."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, str], Counter[Shape]] = defaultdict(Counter)
        self._doubtful: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._frequent: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def see(self, document: str, column: str, text: str) -> None:
        if text.casefold() in EMPTY | FLAGS:
            self._doubtful[document, column][text] += 1
        else:
            shape = _shape(text)
            self._shapes[document, column][shape] += 1
            if shape in _CODES:
                self._frequent[document, column][text] += 1

    def is_code(self, document: str, column: str, text: str) -> bool:
        """Whether most others of the column are codes as this one looks: as long, and in capitals."""
        shape, shapes = _shape(text), self._shapes[document, column]
        return shape in _CODES and shapes[shape] * 2 > shapes.total()

    def is_name(self, document: str, column: str, text: str) -> bool:
        """Whether a cell names what its row is about. `Yes` and `No` do; `NA` and `Unknown` where most others look as they do and none is told
        less often: what is missing is missing in many rows."""
        word, key = text.casefold(), (document, column)
        if word not in EMPTY:
            return True
        if word not in _NAMES:
            return False
        often = self._doubtful[key][text]
        if self.is_code(document, column, text):
            return often <= max(self._frequent[key].values())
        shapes = self._shapes[key]
        return _shape(text) == "name" and often == 1 and (shapes["name"] * 2 > shapes.total())


def _shape(text: str) -> Shape:
    if text.isalpha() and text.isupper() and len(text) <= _LONGEST_CODE:
        return _CODES[len(text) - 1]
    return "name" if text[:1].isupper() else "other"
