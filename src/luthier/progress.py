"""What long work tells its caller: which step, how far. The command line draws it; Python users may pass nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A watcher of a run. command: the caller's own words, "" from Python; replace: move a run of other data or settings aside, and write over files that are there already."""

    command: str
    replace: bool

    def step(self, title: str, total: int | None = None) -> None:
        """A step begins; total: its amount of work, None where it is not known."""
        ...

    def advance(self, amount: int = 1) -> None:
        """So much more of the current step is done."""
        ...

    def update(self, done: int, total: int, note: str = "") -> None:
        """The current step stands at `done` of `total`."""
        ...

    def say(self, text: str) -> None:
        """Something that people should know, and no result."""
        ...


class _Quiet:
    command = ""
    replace = False

    def step(self, title: str, total: int | None = None) -> None:
        return

    def advance(self, amount: int = 1) -> None:
        return

    def update(self, done: int, total: int, note: str = "") -> None:
        return

    def say(self, text: str) -> None:
        return


quiet: Progress = _Quiet()
