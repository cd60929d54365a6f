"""Which of the user's operations is called next, and with which optional parameters: each at least k times before anything repeats.

A round goes over all operations that are still owed something, in a random order; once nothing is owed, over all of them. What is owed are calls of the
operation and values of each of its parameters, nested ones too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from luthier.synthesize.tools.drafts import given
from luthier.synthesize.tools.operations import Operation

MOST_OWED = 4  # optional parameters that one call gives because they are owed; more make no request a person would write
OPTIONAL_SHARE = 0.35  # of those that are not owed


class Plan:
    def __init__(self, operations: Sequence[Operation], least: int, random: Random) -> None:
        """least: calls of each operation, and values of each parameter, before anything repeats."""
        self._operations, self._least, self._random = list(operations), least, random
        self._calls: Counter[str] = Counter()
        self._values: dict[str, Counter[str]] = {one.name: Counter() for one in operations}
        self._round: list[Operation] = []

    def next(self) -> Operation:
        """The operation whose turn it is."""
        if not self._round:
            owed = [one for one in self._operations if self._owes(one)] or self._operations
            self._round = self._random.sample(owed, len(owed))
        return self._round.pop()

    def wanted(self, operation: Operation) -> frozenset[str]:
        """Paths of the optional parameters that its next call gives: some of those that are owed, and a few others."""
        optional = [path for path in operation.paths if path not in operation.required]
        owed = [path for path in optional if self._values[operation.name][path] < self._least]
        chosen = self._random.sample(owed, min(len(owed), self._random.randint(1, MOST_OWED))) if owed else []
        chosen += [path for path in optional if path not in owed and self._random.random() < OPTIONAL_SHARE]
        if not chosen and operation.changes and optional:
            chosen = [self._random.choice(optional)]
        return frozenset(chosen)

    def gave(self, operation: Operation, arguments: Any) -> None:
        """Books a call."""
        self._calls[operation.name] += 1
        self._values[operation.name].update(set(given(arguments)))

    def _owes(self, operation: Operation) -> bool:
        values = self._values[operation.name]
        return self._calls[operation.name] < self._least or any(values[path] < self._least for path in operation.paths)
