"""Many generators of dialogues, side by side, answered by one model within one budget; what is answered is kept, so that a stopped run continues.

An answer is kept as it comes (`RecordingModel`), and every draw has its own seed, so the same command replays to where it was stopped and goes
on: the same recording gives the same bytes. A call is reserved before it is made; one that could overshoot is not made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from luthier.models.asking import Ask, side_by_side
from luthier.models.budget import Budget, Ledger, most_tokens
from luthier.models.protocol import Completion, LanguageModel
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.records import JSON
from luthier.synthesize.tools.asks import Asks

T = TypeVar("T")
AT_ONCE = 32  # dialogues that grow side by side


@dataclass
class Writer:
    """A model within a budget. asked: answers by kind."""

    model: LanguageModel
    ledger: Ledger = field(default_factory=Ledger)
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def structured(self) -> bool:
        return "json_schema" in self.model.supports

    def write(
        self, talks: Iterable[Generator[Any, Any, T]], *, at_once: int = AT_ONCE, ended: Callable[[int, T], None] | None = None
    ) -> list[T]:
        """What each generator makes, in their order. Raises EngineError where the model cannot answer."""
        return side_by_side(talks, {Asks: self._answer}, at_once=at_once, ended=ended)

    def to_row(self) -> JSON:
        """What it cost, for a run's account."""
        spent = self.ledger.spent
        row: JSON = {"model": self.model.name, "calls": spent.calls, "prompt_tokens": spent.prompt_tokens}
        row |= {"completion_tokens": spent.completion_tokens, "asked": dict(self.asked.most_common())}
        return row | ({"stopped_by": self.ledger.stopped} if self.ledger.stopped else {})

    def _answer(self, wants: Sequence[Asks]) -> list[list[Completion | None]]:
        """What can be paid for is asked, in its order; a want is answered whole or with None."""
        held: list[list[tuple[Ask, int]]] = []
        for want in wants:
            granted = list[tuple[Ask, int]]()
            for ask in want.asks:
                bound = most_tokens(ask.prompt) + self.ledger.extra
                if not self.ledger.reserve(bound, ask.sampling.max_tokens):
                    break
                granted.append((ask, bound))
            if len(granted) < len(want.asks):
                for ask, bound in granted:
                    self.ledger.release(bound, ask.sampling.max_tokens)
                granted = []
            held.append(granted)
        flat = [ask for granted in held for ask, _ in granted]
        answers = iter(self.model.generate([ask.prompt for ask in flat], [ask.sampling for ask in flat]) if flat else ())
        told: list[list[Completion | None]] = []
        for want, granted in zip(wants, held, strict=True):
            row: list[Completion | None] = []
            for ask, bound in granted:
                answer = next(answers)
                self.ledger.settle(bound, ask.sampling.max_tokens, answer, 0.0)
                self.ledger.extra += max(0, answer.prompt_tokens - bound)
                self.asked[want.kind] += 1
                row.append(answer)
            told.append(row or [None] * len(want.asks))
        return told


@contextmanager
def recorded(model: Callable[[], LanguageModel], path: Path, budget: Budget | None = None, *, replay: bool = False) -> Iterator[Writer]:
    """A Writer whose answers are kept in the file `path`. replay: only they are used, and the model is not opened.

    Raises EngineError for what was not recorded, or where the file holds answers of another model.
    """
    ledger = Ledger(budget or Budget())
    if replay:
        yield Writer(ReplayModel(path), ledger)
        return
    with RecordingModel(model(), path) as keeping:
        yield Writer(keeping, ledger)
