"""Two threads behind the event loop: one does what is asked, in the order of asking; the other waits for the disk.

A request that writes is confirmed when a sync that began after it has ended; all that wait then share that sync. Others are answered at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from luthier.errors import DiskError
from luthier.records import JSON
from luthier.trace.service.roster import Roster


class _Asked(NamedTuple):
    work: Callable[[], JSON]
    writes: bool
    outcome: asyncio.Future[JSON]


class _Done(NamedTuple):
    outcome: asyncio.Future[JSON]
    found: JSON | Exception


class Worker:
    """Use it as a context manager inside an event loop."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self._waiting: SimpleQueue[_Asked | None] = SimpleQueue()
        self._written: SimpleQueue[_Done | None] = SimpleQueue()
        self._threads = [threading.Thread(target=work, name=f"roster {work.__name__}", daemon=True) for work in (self._do, self._sync)]

    def __enter__(self) -> Worker:
        self._loop = asyncio.get_running_loop()
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._threads[0].join()
        self._written.put(None)
        self._threads[1].join()

    async def ask(self, work: Callable[[], JSON], *, writes: bool) -> JSON:
        """What `work` gives or raises; where it writes, once all of it is on disk. Raises DiskError where that fails."""
        outcome: asyncio.Future[JSON] = self._loop.create_future()
        self._waiting.put(_Asked(work, writes, outcome))
        return await outcome

    def _do(self) -> None:
        while (asked := self._waiting.get()) is not None:
            done = _Done(asked.outcome, _found(asked.work))
            if asked.writes:
                self._written.put(done)
            else:
                self._settle([done])

    def _sync(self) -> None:
        ends = False
        while not ends:
            done, ends = _all_of(self._written)
            try:
                self.roster.sync()
            except DiskError as problem:
                done = [_Done(outcome, problem) for outcome, _ in done]
            self._settle(done)

    def _settle(self, done: Sequence[_Done]) -> None:
        if done:
            self._loop.call_soon_threadsafe(_tell, done)


def _all_of(queue: SimpleQueue[_Done | None]) -> tuple[list[_Done], bool]:
    """What waits, at least one; and whether that was the last."""
    found: list[_Done] = []
    try:
        done = queue.get()
        while done is not None:
            found.append(done)
            done = queue.get_nowait()
    except Empty:
        return found, False
    return found, True


def _found(work: Callable[[], JSON]) -> JSON | Exception:
    try:
        return work()
    except Exception as problem:
        return problem


def _tell(done: Sequence[_Done]) -> None:
    for outcome, found in done:
        if outcome.done():  # nobody waits any more
            continue
        if isinstance(found, Exception):
            outcome.set_exception(found)
        else:
            outcome.set_result(found)
