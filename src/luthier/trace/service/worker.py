"""One thread that does what is asked, in the order of asking; answers that wait together go to the disk together, and are confirmed after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from luthier.errors import DiskError
from luthier.records import JSON
from luthier.trace.service.roster import Roster

GROUP = 64  # requests before one sync


class _Asked(NamedTuple):
    work: Callable[[], JSON]
    outcome: asyncio.Future[JSON]


class Worker:
    """Use it as a context manager inside an event loop."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self._waiting: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="roster", daemon=True)

    def __enter__(self) -> Worker:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()

    async def ask(self, work: Callable[[], JSON]) -> JSON:
        """What `work` gives or raises, once everything it counted is on disk. Raises DiskError where that fails."""
        outcome: asyncio.Future[JSON] = self._loop.create_future()
        self._waiting.put(_Asked(work, outcome))
        return await outcome

    def _work(self) -> None:
        while True:
            group, ends = self._group()
            with self.roster.lock:
                settled = [(asked.outcome, _outcome(asked.work)) for asked in group]
                try:
                    if not self.roster.closed:
                        self.roster.sync()
                except DiskError as problem:
                    settled = [(outcome, problem) for outcome, _ in settled]
            if settled:
                self._loop.call_soon_threadsafe(_settle, settled)
            if ends:
                return

    def _group(self) -> tuple[list[_Asked], bool]:
        """What waits, at least one; and whether the worker is to end."""
        group: list[_Asked] = []
        asked = self._waiting.get()
        while asked is not None:
            group.append(asked)
            if len(group) == GROUP:
                return group, False
            try:
                asked = self._waiting.get_nowait()
            except Empty:
                return group, False
        return group, True


def _outcome(work: Callable[[], JSON]) -> JSON | Exception:
    try:
        return work()
    except Exception as problem:
        return problem


def _settle(settled: list[tuple[asyncio.Future[JSON], JSON | Exception]]) -> None:
    for outcome, found in settled:
        if outcome.done():  # nobody waits any more
            continue
        if isinstance(found, Exception):
            outcome.set_exception(found)
        else:
            outcome.set_result(found)
