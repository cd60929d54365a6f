"""What a strategy yields and what it is sent: something said by a model, a program tried, looked at, or called."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from luthier.models.asking import Ask
from luthier.records import JSON
from luthier.sandbox.outcome import BlockTrace, Judgement
from luthier.search.problem import Posed

T = TypeVar("T")


@dataclass(frozen=True)
class Say(Ask):
    """Wanted of the model; the answer is a Completion. kind: which prompt this is; about: what it is on, for the record and for scripted
    models: thoughts and, where one is meant, the program last."""

    kind: str = ""
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Try:
    """A program to be run on the public tests; the answer is Tried."""

    program: str


@dataclass(frozen=True)
class Look:
    """A program to be watched on one public test, block by block; the answer is Watched."""

    program: str
    test: int


@dataclass(frozen=True)
class Behave:
    """A program to be given inputs, calls of its function or texts to read; the answer is Behaviour."""

    program: str
    inputs: tuple[str, ...]


Trial = Try | Look | Behave
Want = Say | Trial
Steps = Generator[
    Any, Any, T
]  # yields a Want or a tuple of one kind of them, is sent an answer or a tuple of answers; None: no budget left


@dataclass(frozen=True)
class Asks:
    """What one search wants of the model at the same moment; answered by as many Timed."""

    says: tuple[Say, ...]


@dataclass(frozen=True)
class Trials:
    """What one search wants of the sandbox for its problem at the same moment; answered by as many Timed."""

    problem: Posed
    wants: tuple[Trial, ...]


@dataclass(frozen=True)
class Timed:
    """An answer, and the seconds it took."""

    answer: Any
    seconds: float


@dataclass(frozen=True)
class Behaviour:
    """What a program gave for each input, as text; "" where it gave nothing."""

    values: tuple[str, ...]

    @staticmethod
    def from_row(row: JSON) -> Behaviour:
        return Behaviour(tuple(row["values"]))

    def to_row(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class Tested:
    """One public test of a program. kind, detail: of its outcome; shown: what the last call gave."""

    __test__ = False  # a value, not a test of pytest

    kind: str
    detail: str
    shown: str

    @property
    def passed(self) -> bool:
        return self.kind == "passed"


@dataclass(frozen=True)
class Tried:
    """A program on all public tests."""

    tests: tuple[Tested, ...]

    @property
    def passed(self) -> bool:
        return all(test.passed for test in self.tests)

    @property
    def share(self) -> float:
        """v_test, the share of the public tests that passed."""
        return sum(test.passed for test in self.tests) / len(self.tests)

    @staticmethod
    def of(judgement: Judgement) -> Tried:
        return Tried(tuple(Tested(test.outcome.kind, test.outcome.detail, test.shown) for test in judgement.tests))

    @staticmethod
    def from_row(row: JSON) -> Tried:
        return Tried(tuple(Tested(**test) for test in row["tests"]))

    def to_row(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """One pass through a block: its lines, the variables before and after, and the error it ended with."""

    first: int
    last: int
    scope: str
    before: dict[str, str]
    after: dict[str, str]
    error: str


@dataclass(frozen=True)
class Watched:
    """The first and the last blocks that a test ran; empty where nothing could be followed."""

    blocks: tuple[Seen, ...]

    @staticmethod
    def of(trace: BlockTrace) -> Watched:
        events = trace.events
        return Watched(tuple(Seen(e.first, e.last, e.scope, dict(e.before), dict(e.after or {}), e.error) for e in events))

    @staticmethod
    def from_row(row: JSON) -> Watched:
        return Watched(tuple(Seen(**block) for block in row["blocks"]))

    def to_row(self) -> JSON:
        return asdict(self)
