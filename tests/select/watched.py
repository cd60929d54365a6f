"""A watcher of progress that remembers what it was told."""

from __future__ import annotations


class Watched:
    """told: (title, total) of each step, the amount of each advance, (done, total) of each update."""

    command, replace = "", False

    def __init__(self) -> None:
        self.told: list[object] = []

    def step(self, title: str, total: int | None = None) -> None:
        self.told.append((title, total))

    def advance(self, amount: int = 1) -> None:
        self.told.append(amount)

    def update(self, done: int, total: int, note: str = "") -> None:
        self.told.append((done, total))

    def say(self, text: str) -> None:
        self.told.append(text)
