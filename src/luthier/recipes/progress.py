"""What a recipe tells its caller while it works: which step, how far. The command line draws it; Python users may pass nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A watcher of a run."""

    def step(self, name: str, total: int | None = None) -> None:
        """A step begins; total: its amount of work, None where it is not known."""
        ...

    def advance(self, amount: int) -> None:
        """So much more of the current step is done."""
        ...

    def update(self, done: int, total: int, note: str) -> None:
        """The current step stands at `done` of `total`."""
        ...


class _Quiet:
    def step(self, name: str, total: int | None = None) -> None:
        return

    def advance(self, amount: int) -> None:
        return

    def update(self, done: int, total: int, note: str) -> None:
        return


quiet: Progress = _Quiet()
