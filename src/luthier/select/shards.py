"""Selection in two rounds: each shard of the pool picks more than its share, then one pass picks among these.

What two shards pick alike is seen in the second round, so the whole is about as good as one pass (over-selection by two: no measurable
loss), while the long part of the work is done in as many places as there are shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from luthier.select.budget import Allowance
from luthier.select.long_window import LongZip
from luthier.select.pool import Texts
from luthier.select.replica import Engine

OVER = 2.0  # how many times its share of the budget a shard picks


class Only(Texts):
    """Rows of which only some are seen; the others read as empty, which selectors pass over."""

    def __init__(self, rows: Sequence[bytes], seen: Sequence[int]) -> None:
        self._rows, self._seen = rows, frozenset(seen)

    def __len__(self) -> int:
        return len(self._rows)

    def _at(self, index: int) -> bytes:
        return self._rows[index] if index in self._seen else b""


def shard_picks(
    rows: Sequence[bytes], weights: Sequence[float] | None, shards: int, allowance: Allowance, engine: Engine, *, k3: int, seed: int
) -> list[int]:
    """Indices that the shards pick with `zip-long`, every one under `OVER` / shards of the allowance, in the pool's order.

    A shard is every so many-th row, so that all have the pool's mix.
    """
    work = partial(_picked, weights=weights, allowance=allowance.scaled(OVER / shards), k3=k3, seed=seed)
    parts = [range(first, len(rows), shards) for first in range(shards)]
    return sorted(index for picks in engine.parts(work, rows, parts) for index in picks)


def _picked(
    rows: Sequence[bytes], part: Sequence[int], *, weights: Sequence[float] | None, allowance: Allowance, k3: int, seed: int
) -> list[int]:
    part_weights = None if weights is None else [weights[index] for index in part]
    mine = [rows[index] for index in part]
    search = LongZip(mine, k3=k3, weights=part_weights, seed=seed, allowance=_Renumbered(allowance.scaled(1.0), part))
    return [part[pick.index] for new in search.rounds() for pick in new]


class _Renumbered(Allowance):
    """An allowance that is asked about positions in a shard and knows the pool's."""

    def __init__(self, whole: Allowance, part: Sequence[int]) -> None:
        super().__init__()
        self._whole, self._part = whole, part

    @property
    def exhausted(self) -> bool:
        return self._whole.exhausted

    def admit(self, index: int) -> bool:
        return self._whole.admit(self._part[index])
