"""Watchers of training for tests: one that breaks off at a step, one that notes the steps."""

from __future__ import annotations


class Watched:
    """A `luthier.progress.Progress` that notes the steps it hears of, and breaks off at one of them."""

    command, replace = "", False

    def __init__(self, stop: int = 0) -> None:
        self.stop = stop
        self.seen: list[int] = []

    def step(self, title: str, total: int | None = None) -> None:
        return

    def advance(self, amount: int = 1) -> None:
        return

    def update(self, done: int, total: int, note: str = "") -> None:
        self.seen.append(done)
        if done == self.stop:
            raise KeyboardInterrupt

    def say(self, text: str) -> None:
        return
