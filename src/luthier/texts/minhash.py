"""Near-duplicates by MinHash (Broder 1997) with bands: sets that overlap much share a band, and only those that do are compared.

What the elements of a set are, and when two sets are the same in the end, is the caller's business.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Set
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 128  # hashes in a signature: 512 bytes

_MISSES = 1e-3  # share of the pairs at the threshold that no band may find
_DEVIATIONS = 4  # standard deviations by which a signature may understate a pair
_BUCKET = 256  # sets that one band value holds; more have only a template in common, which other bands tell apart
_STEP = 4096  # elements hashed at a time
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that no bit is lost


def jaccard(left: Set[Any], right: Set[Any]) -> float:
    """Size of the intersection over size of the union; 1 for two empty sets."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The MinHash signature, (128,), of a set given by a hash of each element, (elements,). The same everywhere.

    Two signatures agree in a share of their values that is the Jaccard index of the sets, give or take 0.04.
    """
    import numpy as np

    factor, offset = _permutations()
    smallest = np.full(SIZE, 2**64 - 1, dtype=np.uint64)
    for start in range(0, len(hashes), _STEP):
        values = _mixed(hashes[start : start + _STEP])[:, None] * factor + offset
        np.minimum(smallest, values.min(axis=0), out=smallest)
    return (smallest >> np.uint64(32)).astype(np.uint32)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes with every bit depending on all (SplitMix64): the hash functions are linear, and take likeness for chance."""
    import numpy as np

    mixed = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@cache
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Factors and offsets of the hash functions, both (128,)."""
    import numpy as np

    draw = np.random.default_rng(2409_00920)
    factor = draw.integers(1, 2**63, SIZE, dtype=np.uint64) | np.uint64(1)
    return factor, draw.integers(0, 2**63, SIZE, dtype=np.uint64)


def first_twins(signatures: NDArray[np.uint32], threshold: float, same: Callable[[int, int], bool]) -> dict[int, int]:
    """For each set that repeats an earlier one that does not repeat any itself: its index, and that of the earliest such set.

    signatures: (sets, 128). threshold: Jaccard index, above 0, from which two sets can be the same. same: whether the sets with
    these indices, the later one first, are; asked only about pairs whose signatures allow it.
    """
    import numpy as np

    least = threshold - _DEVIATIONS * math.sqrt(threshold * (1 - threshold) / SIZE)
    shared = _shared_bands(signatures, band_rows(threshold))
    kept: dict[tuple[int, int], list[int]] = defaultdict(list)
    twins: dict[int, int] = {}
    for index in np.flatnonzero((shared >= 0).any(axis=1)).tolist():
        buckets = [(band, value) for band, value in enumerate(shared[index].tolist()) if value >= 0]
        near = np.array(sorted({other for bucket in buckets for other in kept.get(bucket, ())}), dtype=np.intp)
        agreement = (signatures[near] == signatures[index]).mean(axis=1)
        twin = next((other for other in near[agreement >= least].tolist() if same(index, other)), None)
        if twin is not None:
            twins[index] = twin
            continue
        for bucket in buckets:
            if len(kept[bucket]) < _BUCKET:
                kept[bucket].append(index)
    return twins


def band_rows(threshold: float) -> int:
    """Hashes in a band: as many as leave no more than one in a thousand pairs at the threshold without a band in common."""
    fitting = (rows for rows in range(16, 1, -1) if (1 - threshold**rows) ** (SIZE // rows) <= _MISSES)
    return next(fitting, 1)


def _shared_bands(signatures: NDArray[np.uint32], rows: int) -> NDArray[np.int32]:
    """For each set and band a number that only sets with the same hashes there have, (sets, bands); -1 where no other set has them."""
    import numpy as np

    bands = SIZE // rows
    shared = np.full((len(signatures), bands), -1, dtype=np.int32)
    for band in range(bands):
        keys = np.zeros(len(signatures), dtype=np.uint64)
        for column in signatures[:, band * rows : (band + 1) * rows].T:
            keys = (keys ^ column) * np.uint64(_FACTOR)
            keys ^= keys >> np.uint64(32)
        _, number, count = np.unique(keys, return_inverse=True, return_counts=True)
        shared[:, band] = np.where(count[number] > 1, number, -1)
    return shared
