"""The values of the sandbox: limits, what a program came to, verdicts, and what a script printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from luthier.errors import SettingsError

Kind = Literal[
    "passed",
    "wrong_answer",
    "exception",
    "timeout",
    "memory",
    "output_limit",
    "crashed",
    "exited_early",
    "load_error",
    "blocked",
    "unsupported_value",
    "unsupported",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
LEAST_MEMORY = 16 << 20
Trust = Literal["split", "inprocess", "interpreter"]
Judge = Literal["split", "inprocess"]


@dataclass(frozen=True)
class Limits:
    """What one program may use. Times are seconds a test, sizes are bytes.

    wall: seconds in which it waits or works; seconds in which it only waits for a busy processor do not count. cpu: processor seconds.
    total: seconds of a whole job. memory: beside what the interpreter takes. disk, inodes: its /tmp. output: what it may print.
    """

    wall: float = 6.0
    cpu: float = 5.0
    total: float = 60.0
    memory: int = 1 << 30
    file: int = 8 << 20
    disk: int = 16 << 20
    inodes: int = 512
    files: int = 48
    threads: int = 32
    stack: int = 8 << 20
    output: int = 1 << 20

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not 0 < value < 1 << 50:
                raise SettingsError(f"the sandbox's limit {limit.name} is {value}; it must be a positive number")
        if self.memory < LEAST_MEMORY:
            raise SettingsError(f"the sandbox's limit memory is {self.memory}; an interpreter needs {LEAST_MEMORY} bytes to work at all")


@dataclass(frozen=True)
class Outcome:
    """What a program came to. detail: the failing line of the test, the exception, the signal, the exit status."""

    kind: Kind
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.kind == "passed"

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


@dataclass(frozen=True)
class TestResult:
    """One test. calls: how often it called the program. shown: what the last call gave."""

    __test__ = False  # a value, not a test of pytest

    outcome: Outcome
    calls: int = 0
    shown: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome.passed


@dataclass(frozen=True)
class Judgement:
    """The verdict on one program: passed where every test passed.

    cpu: processor seconds of program and tests. wall: seconds. memory: the program's largest resident set in bytes.
    trust: "inprocess" where the program shared an interpreter with the tests and could have faked this; "interpreter" where monty judged:
    it could not fake a pass, but its failure may be monty's. monty counts no memory, and its processor seconds are seconds of the clock.
    """

    outcome: Outcome
    tests: tuple[TestResult, ...]
    stdout: str
    stderr: str
    cpu: float
    wall: float
    memory: int
    backend: str
    trust: Trust = "split"

    @property
    def passed(self) -> bool:
        return self.outcome.passed

    @property
    def share(self) -> float:
        """The share of the tests that passed."""
        return sum(test.passed for test in self.tests) / len(self.tests)

    def to_row(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}


@dataclass(frozen=True)
class Output:
    """What a script came to and printed. status: its exit status, or minus the signal that ended it."""

    outcome: Outcome
    stdout: str
    stderr: str
    status: int
    cpu: float
    wall: float
    memory: int
    backend: str


@dataclass(frozen=True)
class Event:
    """One pass through a block of lines `first` to `last`: variables before and after (None: it never ended), and its error."""

    number: int
    first: int
    last: int
    scope: str
    before: Mapping[str, str]
    after: Mapping[str, str] | None
    error: str


@dataclass(frozen=True)
class BlockTrace:
    """The blocks that one test ran: the first and the last few events, and what the test came to."""

    judgement: Judgement
    events: tuple[Event, ...]


@dataclass(frozen=True)
class InputOutput:
    """A test of a script: what it reads and what it must print, compared line by line without trailing space."""

    stdin: str
    expected: str


@dataclass(frozen=True)
class Task:
    """A program and its tests: assertions, functions `check(candidate)`, or pairs of input and output."""

    program: str
    tests: str | tuple[str | InputOutput, ...]
    entry_point: str = ""
    judge: Judge = "split"

    @property
    def listed(self) -> tuple[str | InputOutput, ...]:
        """The tests as a tuple. Raises SettingsError where there is none: nothing passes without a test."""
        tests = (self.tests,) if isinstance(self.tests, str) else tuple(self.tests)
        if not tests or any(isinstance(test, str) and not test.strip() for test in tests):
            raise SettingsError("a program without tests cannot be judged")
        if len({isinstance(test, str) for test in tests}) > 1:
            raise SettingsError("tests are either code or pairs of input and output, not both for one program")
        if isinstance(tests[0], str) and not self.entry_point.isidentifier():
            raise SettingsError(f"entry_point is {self.entry_point!r}; it must name the function that the tests call")
        return tests


@dataclass(frozen=True)
class Check:
    """One check of the doctor: whether it held, and what was seen."""

    name: str
    held: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """What the sandbox can do on this machine."""

    checks: tuple[Check, ...]

    @property
    def sound(self) -> bool:
        return all(check.held for check in self.checks)
