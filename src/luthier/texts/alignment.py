"""The shortest way from one sequence to another: which items stay, which are replaced, deleted and inserted.

Levenshtein distance with unit costs. Of several shortest ways one is fixed: walking back from the ends, a match is taken before a
substitution, a substitution before a deletion, a deletion before an insertion.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

Step = tuple[int | None, int | None]
_DIAGONAL, _DELETE, _INSERT = 0, 1, 2


def align(source: Sequence[Hashable], target: Sequence[Hashable]) -> list[Step]:
    """(index in source, index in target) in order; None where an item is deleted (no target) or inserted (no source).

    A row of the table is one vector operation, so that a thousand items against a thousand take about ten milliseconds.
    """
    a, b = _numbered(source, target)
    same = _common_end(a, b)
    steps: list[Step] = [(len(a) - 1 - k, len(b) - 1 - k) for k in range(same)]
    i, j = len(a) - same, len(b) - same
    moves = _moves(a[:i], b[:j])
    while i and j:
        move = moves[i - 1][j - 1]
        if move == _DIAGONAL:
            i, j = i - 1, j - 1
            steps.append((i, j))
        elif move == _DELETE:
            i -= 1
            steps.append((i, None))
        else:
            j -= 1
            steps.append((None, j))
    steps += [(k, None) for k in range(i - 1, -1, -1)] + [(None, k) for k in range(j - 1, -1, -1)]
    return steps[::-1]


def edit_masks(source: Sequence[Hashable], target: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """1 for each source item that is deleted or replaced, and for each target item that is inserted or replaces one."""
    gone, new = [0] * len(source), [0] * len(target)
    for i, j in align(source, target):
        if i is None or j is None or source[i] != target[j]:
            if i is not None:
                gone[i] = 1
            if j is not None:
                new[j] = 1
    return gone, new


def edit_distance(source: Sequence[Hashable], target: Sequence[Hashable]) -> int:
    """How many replacements, deletions and insertions the shortest way takes.

    By rapidfuzz, a hundred times as fast as to walk the way; its own way is another of the shortest ones, so `align` is not made of it.
    """
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(*_numbered(source, target))  # numbers: rapidfuzz compares hashes, and -1 and -2 have the same


def normalised_distance(source: Sequence[Hashable], target: Sequence[Hashable]) -> float:
    """The distance over the longer length, from 0 (equal) to 1 (nothing in common)."""
    return edit_distance(source, target) / max(len(source), len(target), 1)


def _numbered(source: Sequence[Hashable], target: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """A number for each item, equal for equal items."""
    number: dict[Hashable, int] = {}
    a = [number.setdefault(item, len(number)) for item in source]
    return a, [number.setdefault(item, len(number)) for item in target]


def _common_end(a: Sequence[int], b: Sequence[int]) -> int:
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count


def _moves(a: list[int], b: list[int]) -> list[bytes]:
    """The last step of a shortest way for each pair of beginnings, a row of bytes for each item of `a`."""
    import numpy as np

    columns = np.arange(len(b) + 1, dtype=np.int32)
    target = np.array(b, dtype=np.int32)
    above, moves = columns.copy(), []
    for i, item in enumerate(a, 1):
        diagonal = above[:-1] + (target != item)
        deleted = above[1:] + 1
        here = np.empty_like(above)
        here[0] = i
        np.minimum(diagonal, deleted, out=here[1:])
        here -= columns  # an insertion costs one a column, so the best of all columns to the left is a running minimum
        np.minimum.accumulate(here, out=here)
        here += columns
        move = np.where(here[1:] == deleted, np.uint8(_DELETE), np.uint8(_INSERT))
        move[here[1:] == diagonal] = _DIAGONAL
        moves.append(move.tobytes())
        above = here
    return moves
