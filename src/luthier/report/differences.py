"""Two texts side by side: their words as pieces, marked where they differ."""

from __future__ import annotations

from typing import NamedTuple

from luthier.texts.alignment import align


class Piece(NamedTuple):
    """Words of an answer, and whether the other answer lacks them."""

    text: str
    differs: bool


def marked(source: str, target: str) -> tuple[list[Piece], list[Piece]]:
    """Two texts as pieces of words, marked where a shortest alignment of their words finds a difference. Line ends stay."""
    a, b = ([word for line in text.splitlines() for word in (*line.split(), "\n")] for text in (source, target))
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for i, j in align(a, b):
        differs = i is None or j is None or a[i] != b[j]
        if i is not None:
            sides[0].append(Piece(a[i], differs))
        if j is not None:
            sides[1].append(Piece(b[j], differs))
    return sides
