"""Documents with equal scores: the order that a reading gives them, and means over all their orders in closed form.

A tie group occupies the ranks a+1 … a+n. What is linear in the gains takes the group's mean gain at each of its ranks; average precision and
the first hit need the second moments below (McSherry & Najork, ECIR 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Groups(NamedTuple):
    """For each place: the number of its tie group, counted over all queries, and of that group the rank before it and its size."""

    number: NDArray[np.int64]
    before: NDArray[np.int64]
    size: NDArray[np.int64]


class Ranked(NamedTuple):
    """A run in the order of its ranking, all (queries, depth): gains, whether a place is judged, scores, and whether there is a document."""

    gains: NDArray[np.float64]
    judged: NDArray[np.bool_]
    scores: NDArray[np.float32]
    alive: NDArray[np.bool_]


def ordered(documents: NDArray[np.int32], given: Ranked, ties: str, id_order: NDArray[np.int32] | None) -> Ranked:
    """The run sorted by score, equal scores as the reading says; only rows that need it are sorted. documents: (queries, depth), -1 for none."""
    import numpy as np

    gains, judged, scores, alive = given
    keys = np.where(alive, scores, np.float32(-np.inf))
    if keys.shape[1] < 2:
        return Ranked(gains, judged, keys, alive)
    left, right = keys[:, :-1], keys[:, 1:]
    calm = right <= left if ties == "expected" else right < left
    gap = alive[:, 1:] & ~alive[:, :-1]
    rows = np.flatnonzero(((~calm & alive[:, 1:]) | gap).any(axis=1))
    if not len(rows):
        return Ranked(gains, judged, keys, alive)
    second = _second_key(documents[rows], gains[rows], ties, id_order)
    order = np.lexsort((second, -keys[rows].astype(np.float64), ~alive[rows]), axis=1)

    def sort(array: NDArray[Any]) -> NDArray[Any]:
        moved = array.copy()
        moved[rows] = np.take_along_axis(array[rows], order, axis=1)
        return moved

    return Ranked(sort(gains), sort(judged), sort(keys), sort(alive))


def _second_key(
    documents: NDArray[np.int32], gains: NDArray[np.float64], ties: str, id_order: NDArray[np.int32] | None
) -> NDArray[np.float64]:
    """What orders equal scores, ascending."""
    import numpy as np

    if ties == "best":
        return -gains
    if ties == "worst":
        return gains
    if ties == "trec" and id_order is not None:
        return np.asarray(id_order[np.maximum(documents, 0)], dtype=np.float64)
    return -documents.astype(np.float64) if ties == "trec" else documents.astype(np.float64)


def tie_groups(scores: NDArray[np.float32], alive: NDArray[np.bool_]) -> Groups:
    """The groups of rankings sorted by score, (queries, depth). Empty places at the end are groups of their own."""
    import numpy as np

    queries, depth = scores.shape
    starts = np.ones((queries, depth), dtype=bool)
    starts[:, 1:] = (scores[:, 1:] != scores[:, :-1]) | ~alive[:, 1:]
    number = (np.cumsum(starts) - 1).reshape(queries, depth)
    first = np.flatnonzero(starts)
    size = np.diff(np.append(first, queries * depth))
    return Groups(number, (first % max(depth, 1))[number], size[number])


def group_means(values: NDArray[np.generic], groups: Groups) -> NDArray[np.float64]:
    """Each place with the mean of its group, (queries, depth)."""
    return _group_sums(values, groups) / groups.size


def _group_sums(values: NDArray[np.generic], groups: Groups) -> NDArray[np.float64]:
    import numpy as np

    count = int(groups.number.max(initial=-1)) + 1
    sums = np.bincount(groups.number.ravel(), weights=values.ravel().astype(np.float64), minlength=count)
    return np.asarray(sums[groups.number], dtype=np.float64)


def expected_precision_sum(relevant: NDArray[np.bool_], groups: Groups, depth: int) -> NDArray[np.float64]:
    """Mean over orders of the sum of precisions at relevant ranks, (queries,).

    At the rank a + i of a group of n with m relevant, and c relevant before it: (m/n) (c + 1 + (i - 1)(m - 1)/(n - 1)) / (a + i).
    """
    import numpy as np

    hits = _group_sums(relevant, groups)
    ranks = np.arange(1, relevant.shape[1] + 1)
    within = ranks - groups.before  # i
    running = np.concatenate([np.zeros((len(relevant), 1)), np.cumsum(relevant, axis=1)], axis=1)
    earlier = np.take_along_axis(running, groups.before, axis=1)
    others = (within - 1) * (hits - 1) / np.maximum(groups.size - 1, 1)
    value = hits / groups.size * (earlier + 1 + others) / ranks
    return np.asarray(value[:, :depth].sum(axis=1), dtype=np.float64)


def expected_first_hit(relevant: NDArray[np.bool_], groups: Groups, depth: int, *, reciprocal: bool) -> NDArray[np.float64]:
    """Mean over orders of 1/(rank of the first relevant), or of whether there is one, within `depth`, (queries,).

    No hit up to the place i of a group of n with m relevant has the probability (n-m)/n · (n-m-1)/(n-1) · …, i factors; groups multiply.
    """
    import numpy as np

    hits = _group_sums(relevant, groups)
    ranks = np.arange(1, relevant.shape[1] + 1)
    left = groups.size - (ranks - groups.before) + 1  # documents of the group from here on, n - i + 1
    none_here = np.clip((left - hits) / left, 0.0, 1.0)
    none_so_far = np.cumprod(none_here, axis=1)
    before = np.concatenate([np.ones((len(relevant), 1)), none_so_far[:, :-1]], axis=1)
    first_here = before * (1.0 - none_here)
    weights = 1.0 / ranks if reciprocal else np.ones(len(ranks))
    return np.asarray(first_here[:, :depth] @ weights[:depth], dtype=np.float64)
