"""What the commands of `luthier sandbox` are told."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.sandbox.attack import Aim
from luthier.sandbox.box import Backend
from luthier.sandbox.outcome import Judge, Limits
from luthier.settings import REQUIRED, argument, check, option


@dataclass(frozen=True)
class BoxSettings:
    """How programs are run."""

    backend: Backend = option(
        "auto", "bubblewrap: one sandbox that forks each program (auto), or one for each (bwrap-exec, nsjail); or the interpreter monty."
    )
    workers: int | None = option(None, "Programs at a time; as many as there are cores where left out.", least=1, most=256)
    modules: tuple[str, ...] = option((), "A third-party module that programs may import.", "--module", metavar="NAME")


@dataclass(frozen=True)
class LimitSettings(BoxSettings):
    """How programs are run, and what one may use."""

    seconds: float = option(6.0, "Longest that a test or a script may take.", above=0, most=3600)
    memory: int = option(1024, "MiB beside what the interpreter takes.", least=16, most=1 << 20)

    @property
    def limits(self) -> Limits:
        return Limits(wall=self.seconds, cpu=self.seconds * 5 / 6, total=max(60.0, 2 * self.seconds), memory=self.memory << 20)


@dataclass(frozen=True)
class DoctorSettings(BoxSettings):
    """Start the sandbox on this machine and try each of its walls; where one does not hold, what stops it and the cure."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ScriptSettings(LimitSettings):
    """Run the Python program FILE as a script in the sandbox, and show what it prints; ends with 1 where the program does not end well."""

    file: str = argument("The program.", default=REQUIRED)
    stdin: str | None = option(None, "A file that is its standard input; it is empty where left out.", metavar="FILE")
    files: tuple[str, ...] = option((), "A file that lies in its folder.", "--with", metavar="FILE")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class JudgeSettings(LimitSettings):
    """Judge PROGRAMS by their tests: a Python file with --tests, or rows with program or completion, tests and entry_point.

    A test is code that calls the function, HumanEval's `check(candidate)`, or a pair of input and expected output. Ends with 1 where a Python
    file does not pass; of rows the verdicts are the result.
    """

    programs: str = argument("A .py file, or rows.", default=REQUIRED)
    tests: str | None = option(
        None, "Tests of a .py file: code in a .py file, or rows with test, or with input and output.", metavar="FILE"
    )
    entry_point: str = option("", "The function that tests in code call.")
    judge: Judge = option("split", "inprocess lets programs share an interpreter with their tests: for callbacks, and open to cheats.")
    out: str | None = option(None, "Write the verdicts as rows into this file.", metavar="FILE")

    def __post_init__(self) -> None:
        check(self)
        if self.programs.endswith(".py") != bool(self.tests):
            raise SettingsError("--tests are for a .py file; rows bring theirs" if self.tests else f"{self.programs}: give its --tests")


@dataclass(frozen=True)
class AttackSettings(BoxSettings):
    """Run the attack suite against this machine's sandbox: cheats, hogs, break-outs, and honest programs that must work."""

    aims: tuple[Aim, ...] = option((), "Only attacks of this aim.", "--aim")

    def __post_init__(self) -> None:
        check(self)
