"""Where the rows of a pool are measured: in this process, or in several that keep the same state.

A selector asks its engine for three things: columns of row-by-row scores, a set that grows and is measured against, and whole
selections of parts of the pool. `Local` does them here; `luthier.select.cluster` has the engine that does them on Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1024  # rows scored at a time
Result = TypeVar("Result")
Measure_co = TypeVar("Measure_co", covariant=True)
Scorer = Callable[[Sequence[bytes]], "dict[str, NDArray[Any]]"]


class Replica(Protocol[Measure_co]):
    """The set picked so far. The same `grow` calls in the same order lead to the same measures, wherever it is kept."""

    def grow(self, indices: Sequence[int]) -> None:
        """Add rows to the set, in this order."""
        ...

    def measure(self, indices: Sequence[int]) -> Sequence[Measure_co]:
        """One measure for each row, together with the set."""
        ...


class Engine(Protocol):
    """Where the work on the rows is done. Every engine gives the same results."""

    def columns(self, scorer: Scorer, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        """Columns of scores, each (rows, …), by a scorer that is given a batch of rows at a time."""
        ...

    def replica(self, make: Callable[[Sequence[bytes]], Replica[Any]], rows: Sequence[bytes]) -> Replica[Any]:
        """A set over the rows that is kept wherever rows are measured."""
        ...

    def parts(
        self, work: Callable[[Sequence[bytes], Sequence[int]], Result], rows: Sequence[bytes], parts: Iterable[Sequence[int]]
    ) -> list[Result]:
        """`work(rows, part)` for each part, a list of row indices."""
        ...


class Local:
    """This process."""

    def columns(self, scorer: Scorer, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        import numpy as np

        batches = [scorer(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)] or [scorer([])]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    def replica(self, make: Callable[[Sequence[bytes]], Replica[Any]], rows: Sequence[bytes]) -> Replica[Any]:
        return make(rows)

    def parts(
        self, work: Callable[[Sequence[bytes], Sequence[int]], Result], rows: Sequence[bytes], parts: Iterable[Sequence[int]]
    ) -> list[Result]:
        return [work(rows, part) for part in parts]
