"""Selection on a Ray cluster, or on the cores of one machine: `RayEngine` measures rows in as many processes as it is told.

The texts lie once a machine in Ray's shared memory. Row-by-row scores are batches of Ray Data; a growing set is kept by every worker, which
is sent only the numbers of the rows that join it, so that the picks are those of one process, bit for bit.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from luthier.errors import SettingsError
from luthier.select.pool import Texts
from luthier.select.replica import CHUNK, Replica, Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # so named, but it keeps Ray off the network on any system
Result = TypeVar("Result")


class PackedRows(Texts):
    """Rows in two arrays, which processes of one machine can share: all bytes, (bytes,) uint8, and where each row ends, (rows,) uint64."""

    def __init__(self, data: NDArray[Any], ends: NDArray[Any]) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, rows: Sequence[bytes]) -> PackedRows:
        import numpy as np

        data, ends = bytearray(), array("Q")
        for row in rows:
            data += row
            ends.append(len(data))
        return cls(np.frombuffer(bytes(data), dtype=np.uint8), np.frombuffer(ends, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.ends)

    def _at(self, index: int) -> bytes:
        start = int(self.ends[index - 1]) if index else 0
        return bytes(self.data[start : int(self.ends[index])])


class RayEngine:
    """Work on the rows in `workers` Ray processes. Use it as a context: it ends what it started.

    A cluster that is already connected, or named by RAY_ADDRESS, is used; otherwise one is started on this machine, for this process alone
    and on the loopback address. Raises SettingsError where Ray is not installed or `workers` is below 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise SettingsError(f"workers is {workers}; it must be at least 1")
        self.workers = workers
        self._ray, self._started = _connected(workers)
        self._actors: list[Any] = []
        self._shared: tuple[Sequence[bytes], Any] | None = None

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            with suppress(Exception):  # one that has died already
                self._ray.kill(actor)
        self._actors, self._shared = [], None
        if self._started:
            self._ray.shutdown()

    def columns(self, scorer: Scorer, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        """Columns of scores by Ray Data: batches of row numbers go to workers that hold the rows."""
        import numpy as np

        if not len(rows):
            return scorer([])
        numbers = self._ray.data.range(len(rows), override_num_blocks=max(self.workers, len(rows) // (8 * CHUNK)))
        scored = numbers.map_batches(
            _Scored,
            fn_constructor_args=(scorer, self._share(rows)),
            batch_size=CHUNK,
            num_cpus=1,
            compute=self._ray.data.ActorPoolStrategy(size=self.workers),
        )
        batches = list(scored.iter_batches(batch_size=None, batch_format="numpy"))
        order = np.argsort(np.concatenate([batch.pop("id") for batch in batches]))
        return {name: np.concatenate([batch[name] for batch in batches])[order] for name in batches[0]}

    def replica(self, make: Callable[[Sequence[bytes]], Replica[Any]], rows: Sequence[bytes]) -> Replica[Any]:
        """A set that every worker keeps; each measures its part of the candidates."""
        worker = self._ray.remote(num_cpus=1)(_Kept)
        shared = self._share(rows)
        actors = [worker.remote(make, shared) for _ in range(self.workers)]
        self._actors += actors
        return _Replicas(self._ray, actors)

    def parts(
        self, work: Callable[[Sequence[bytes], Sequence[int]], Result], rows: Sequence[bytes], parts: Iterable[Sequence[int]]
    ) -> list[Result]:
        """`work(rows, part)` for each part, `workers` of them at a time."""
        task = self._ray.remote(num_cpus=1)(_called)
        shared = self._share(rows)
        asked: list[Any] = []
        for part in parts:
            if len(asked) >= self.workers:
                self._ray.wait(asked, num_returns=len(asked) - self.workers + 1)
            asked.append(task.remote(work, shared, part))
        results: list[Result] = self._ray.get(asked)
        return results

    def _share(self, rows: Sequence[bytes]) -> Any:
        """The rows in shared memory; the last ones are kept there, as one selection asks for the same rows again and again."""
        if self._shared is None or self._shared[0] is not rows:
            self._shared = (rows, self._ray.put(PackedRows.of(rows)))
        return self._shared[1]


def _called(work: Callable[[Sequence[bytes], Sequence[int]], Result], rows: PackedRows, part: Sequence[int]) -> Result:
    return work(rows, part)


class _Kept:
    """A worker's copy of the growing set."""

    def __init__(self, make: Callable[[Sequence[bytes]], Replica[Any]], rows: PackedRows) -> None:
        self._state = make(rows)

    def grow(self, indices: Sequence[int]) -> None:
        self._state.grow(indices)

    def measure(self, indices: Sequence[int]) -> Sequence[Any]:
        return self._state.measure(indices)


class _Replicas:
    """The copies of all workers, as one set."""

    def __init__(self, ray: Any, actors: Sequence[Any]) -> None:
        self._ray, self._actors = ray, actors

    def grow(self, indices: Sequence[int]) -> None:
        self._ray.get([actor.grow.remote(indices) for actor in self._actors])

    def measure(self, indices: Sequence[int]) -> list[Any]:
        share = -(-len(indices) // len(self._actors)) or 1
        cuts = [indices[start : start + share] for start in range(0, len(indices), share)]
        asked = [actor.measure.remote(cut) for actor, cut in zip(self._actors, cuts, strict=False)]
        return list(chain.from_iterable(self._ray.get(asked)))


class _Scored:
    """A worker of Ray Data: scores the rows with the numbers of a batch."""

    def __init__(self, scorer: Scorer, rows: Any) -> None:
        import ray

        self._scorer, self._rows = scorer, ray.get(rows) if isinstance(rows, ray.ObjectRef) else rows

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"id": batch["id"], **self._scorer([self._rows[index] for index in batch["id"].tolist()])}


def _connected(workers: int) -> tuple[Any, bool]:
    """Ray, connected, and whether that started a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # selecting rows tells no one
    if "RAY_ADDRESS" not in os.environ:
        # read when Ray is imported: its servers then listen on the loopback address only
        os.environ.setdefault(ONE_MACHINE, "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise SettingsError("workers need Ray; pip install 'luthier[cluster]'") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        return ray, False
    # a cluster of one's own counts slots, not cores: Ray Data reads beside its workers, and would wait for them for ever
    slots = None if "RAY_ADDRESS" in os.environ else 4 * workers
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it reports every batch job on the terminal
    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return ray, True
