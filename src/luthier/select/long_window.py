"""ZIP with a window over the whole selection: the rows that add most new bytes, measured against everything picked so far.

DEFLATE looks back 32 KiB, which is the last few dozen rows; what was picked before that is forgotten, and repeats get in. Here the
selection is the dictionary of a Zstandard compressor, so a repeat is cheap however long ago its twin was picked. The score of a row is
marginal, its bytes / the bytes it adds, which does not favour long rows as the ratio of the whole does. Adding to the selection can
only make a row cheaper, so an old score is a lower bound of the new one, and most rows need not be measured again (lazy greedy).
The bound holds for nearly all rows, not for all: the order may differ a little from that of measuring every row each time (`lazy=False`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain
from random import Random
from typing import Any

from luthier.errors import SettingsError
from luthier.select.budget import Allowance, Pick
from luthier.select.replica import Replica

LEVEL = 6
SLACK = 1.5  # how much worse than the best row outside its block a pick may be
BATCH = 256  # rows measured between two looks at the bound
WINDOW = 64 << 20  # bytes of the selection that the compressor sees


class LongZip:
    """Greedy selection by marginal score; `rounds()` yields the picks of each round, for as long as rows are left.

    rows: UTF-8 bytes a row; empty ones are passed over. k3: picks a round at most, from a block of 2 k3 rows. weights: quality a row, above 0;
    a row of weight 0.5 must add twice as much. allowance: what may be picked; everything by default. window: bytes of the selection that are seen; a larger one keeps the newest half and a
    sample of what is older. state: where rows are measured; this process by default. State between rounds: `picks` and `bounds`; give both back to `resume` and the rounds go on as they would have.
    """

    def __init__(
        self,
        rows: Sequence[bytes],
        *,
        k3: int = 100,
        weights: Sequence[float] | None = None,
        level: int = LEVEL,
        window: int = WINDOW,
        lazy: bool = True,
        seed: int = 0,
        allowance: Allowance | None = None,
        state: Replica[int] | None = None,
    ) -> None:
        if k3 < 1 or window < 1 or not 1 <= level <= 19:
            raise SettingsError(f"k3 ({k3}) and window ({window}) are 1 at least, level ({level}) is 1 to 19")
        if weights is not None and (len(weights) != len(rows) or any(not weight > 0 for weight in weights)):
            raise SettingsError("weights are one a row, each above 0; leave out the rows that may not be picked")
        self.rows, self.k3, self.weights, self.level = rows, k3, weights, level
        self.lazy, self.allowance = lazy, allowance or Allowance()
        self.state = state or AddedBytes(rows, level=level, window=window, seed=seed)
        self.picks: list[Pick] = []
        self.bounds = array("d", [0.0]) * len(rows)  # last score; 0 where none was measured
        self.measured = 0

    def resume(self, picks: Sequence[Pick], bounds: Sequence[float]) -> None:
        """Go on after these picks, which must be whole rounds; they are taken out of the allowance."""
        self.picks, self.bounds = list(picks), array("d", bounds)
        for pick in picks:
            self.allowance.admit(pick.index)

    def left(self) -> dict[int, float]:
        """The rows that are no picks and have a score, with that which they were last measured at."""
        taken = {pick.index for pick in self.picks}
        return {index: bound for index, bound in enumerate(self.bounds) if bound and index not in taken}

    def rounds(self) -> Iterator[list[Pick]]:
        taken = {pick.index for pick in self.picks} | self.allowance.capped_rows.keys()
        left = [index for index, row in enumerate(self.rows) if row and index not in taken]
        if self.picks:
            self.state.grow([pick.index for pick in self.picks])
        else:
            self._measure(left)
        heap = [(self.bounds[index], index) for index in left]
        heapify(heap)
        while heap and not self.allowance.exhausted:
            block = self._block(heap)
            next_best = heap[0] if heap else None
            new, rest = self._one_by_one(block, next_best, self.picks[-1].round + 1 if self.picks else 1)
            for entry in rest:
                heappush(heap, entry)
            self.picks += new
            self.state.grow([pick.index for pick in new])
            if new:
                yield new

    def _block(self, heap: list[tuple[float, int]]) -> list[tuple[float, int]]:
        """The 2 k3 rows of lowest score against the selection, taken from the heap, in order."""
        size = 2 * self.k3
        fresh: list[tuple[float, int]] = []
        while heap and (not self.lazy or len(fresh) < size or heap[0] < fresh[size - 1]):
            stale = [heappop(heap)[1] for _ in range(min(BATCH, len(heap)))]
            fresh += self._measure(stale)
            fresh.sort()
        for entry in fresh[size:]:
            heappush(heap, entry)
        return fresh[:size]

    def _one_by_one(
        self, block: Sequence[tuple[float, int]], next_best: tuple[float, int] | None, number: int
    ) -> tuple[list[Pick], list[tuple[float, int]]]:
        """k3 rows of the block, each the one of lowest score against the selection and the rows picked before it in this round.

        The round ends early where what is left of the block says again what the round has picked: once its best row scores above
        `next_best`, the lowest bound outside the block. Returns the picks and what may still be picked later.
        """
        heap = [(score, index, 0, score) for score, index in block]
        heapify(heap)
        picks: list[Pick] = []
        compressor: Callable[[bytes], int] | None = None
        while heap and len(picks) < self.k3 and not self.allowance.exhausted:
            score, index, seen, alone = heappop(heap)
            if seen < len(picks):
                compressor = compressor or added_bytes(b"\n".join(self.rows[pick.index] for pick in picks), self.level)
                again = self._score(index, compressor(self.rows[index]))
                heappush(heap, (max(alone, again), index, len(picks), alone))
            elif picks and next_best is not None and score > SLACK * next_best[0]:
                heappush(heap, (score, index, seen, score))
                break
            elif self.allowance.admit(index):
                picks.append(Pick(index, score, number))
                compressor = None
        return picks, [(alone, index) for _, index, _, alone in heap]

    def _measure(self, indices: Sequence[int]) -> list[tuple[float, int]]:
        measured = zip(indices, self.state.measure(indices), strict=True)
        scores = [(self._score(index, added), index) for index, added in measured]
        for score, index in scores:
            self.bounds[index] = score
        return scores

    def _score(self, index: int, added: int) -> float:
        self.measured += 1
        return len(self.rows[index]) / (added * (1.0 if self.weights is None else self.weights[index]))


class AddedBytes:
    """The selection as one process keeps it: the dictionary of a compressor, which tells what each row would add."""

    def __init__(self, rows: Sequence[bytes], *, level: int = LEVEL, window: int = WINDOW, seed: int = 0) -> None:
        self._rows, self._level, self._window, self._seed = rows, level, window, seed
        self._picked: list[int] = []
        self._compressor: Callable[[bytes], int] | None = None

    def grow(self, indices: Sequence[int]) -> None:
        """Add rows to the selection, in this order."""
        self._picked += indices
        self._compressor = None

    def measure(self, indices: Sequence[int]) -> list[int]:
        """The bytes that each row would add to the selection."""
        compressor = self._compressor = self._compressor or added_bytes(self._seen(), self._level)
        return [compressor(self._rows[index]) for index in indices]

    def _seen(self) -> bytes:
        """What the compressor sees: all picks, or the newest half window and a sample of the older ones, oldest first."""
        sizes = [len(self._rows[index]) + 1 for index in self._picked]
        if sum(sizes) <= self._window:
            return b"\n".join(self._rows[index] for index in self._picked)
        newest, room = len(sizes), self._window // 2
        while newest and sizes[newest - 1] <= room:
            newest -= 1
            room -= sizes[newest]
        older = []
        room += self._window - self._window // 2
        for at in Random(self._seed).sample(range(newest), newest):
            if sizes[at] <= room:
                older.append(at)
                room -= sizes[at]
        return b"\n".join(self._rows[self._picked[at]] for at in chain(sorted(older), range(newest, len(sizes))))


def added_bytes(dictionary: bytes, level: int = LEVEL) -> Callable[[bytes], int]:
    """Measures the bytes that a text adds to the dictionary: the size of its frame without the frame's own header."""
    import zstandard

    parameters: dict[str, Any] = {
        "format": zstandard.FORMAT_ZSTD1_MAGICLESS,
        "write_content_size": False,
        "write_checksum": False,
        "write_dict_id": False,
    }
    settings = zstandard.ZstdCompressionParameters.from_level(level, source_size=2048, dict_size=len(dictionary), **parameters)
    if len(dictionary) < _SHORTEST_DICTIONARY:
        compressor = zstandard.ZstdCompressor(compression_params=settings)
    else:
        content = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        content.precompute_compress(compression_params=settings)
        compressor = zstandard.ZstdCompressor(dict_data=content, compression_params=settings)
    empty = len(compressor.compress(b""))
    return lambda text: max(1, len(compressor.compress(text)) - empty)


_SHORTEST_DICTIONARY = 8  # bytes; Zstandard ignores a shorter one
