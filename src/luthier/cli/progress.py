"""Draws a run's progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

EVERY = 30.0  # seconds between lines where there is no terminal


class Watch:
    """A `luthier.progress.Progress` that people can look at; a context manager."""

    def __init__(self, quiet: bool = False, command: str = "", replace: bool = False) -> None:
        self.quiet, self.command, self.replace = quiet, command, replace
        self.bars: Any = None
        self.task: Any = None
        self.title, self.total, self.done, self.began, self.spoke = "", 0, 0, 0.0, 0.0

    def __enter__(self) -> Watch:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn()]
            columns += [TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
            self.bars = Progress(*columns, console=Console(stderr=True))
            self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if problem is None:
            self._close_step()
        if self.bars is not None:
            self.bars.stop()

    def step(self, title: str, total: int | None = None) -> None:
        self._close_step()
        self.title, self.total, self.done = title, total or 0, 0
        self.began = self.spoke = time.monotonic()
        if self.bars is not None:
            self.task = self.bars.add_task(title, total=total, note="")
        else:
            self.say(f"{title} …")

    def advance(self, amount: int = 1) -> None:
        self.update(self.done + amount, self.total)

    def update(self, done: int, total: int, note: str = "") -> None:
        self.done, self.total = done, total
        if self.bars is not None:
            self.bars.update(self.task, completed=done, total=total or None, note=note)
        elif time.monotonic() - self.spoke > EVERY:
            self.spoke = time.monotonic()
            amount = f"{done:,} of {total:,}" if total else f"{done:,}"
            self.say(f"  {amount} {note}".rstrip())

    def say(self, text: str) -> None:
        if self.quiet:
            return
        if self.bars is not None:
            self.bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _close_step(self) -> None:
        if self.title and self.bars is None:
            self.say(f"  done in {time.monotonic() - self.began:.1f} s")
        elif self.title and self.task is not None:
            self.bars.update(self.task, completed=self.total or 1, total=self.total or 1)
        self.title = ""
