"""A problem as a strategy sees it, and as it is scored: the private tests are in the second alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.records.problems import Problem
from luthier.sandbox import InputOutput
from luthier.texts.programs import defines, parsed, prelude, program_of, whole_program

Test = str | InputOutput


@dataclass(frozen=True)
class Posed:
    """What is asked. text: the head of a function with its docstring, or plain words. entry_point: "" where a script is asked for.

    public: the tests that a strategy may run. head: code that every program begins with, imports and helper functions. wanted: what
    an answer holds, in words, where that is neither a function nor a script. tail: code that defines the entry point behind a program
    that does not, as where a class with a method of that name is asked for.
    """

    task: str
    text: str
    entry_point: str
    public: tuple[Test, ...]
    head: str = ""
    wanted: str = ""
    tail: str = ""

    def __post_init__(self) -> None:
        if not self.public:
            raise SettingsError(f"{self.task}: has no public tests; a search without tests to run has nothing to go by")

    @property
    def is_code(self) -> bool:
        """Whether the text is the head of a function, and not words."""
        return parsed(self.text.rstrip() + "\n    pass\n") is not None and bool(self.entry_point)

    def program_in(self, answer: str) -> str:
        """The whole program in a model's answer."""
        text = program_of(answer, self.entry_point)
        if not self.entry_point:
            return text
        if self.is_code:
            return whole_program(self.text, text, self.entry_point)
        tail = f"\n\n{self.tail}" if self.tail and not defines(text, self.entry_point) else ""
        return f"{self.head}{text}{tail}"


@dataclass(frozen=True)
class Held:
    """A problem with the tests that score the chosen program, and which of them are calls that the public tests make as well."""

    posed: Posed
    private: tuple[Test, ...] = ()

    @property
    def task(self) -> str:
        return self.posed.task


def posed(problem: Problem, public: Sequence[str] = ()) -> Posed:
    """A problem of HumanEval's layout, without its private tests. public: in place of its own public tests."""
    return Posed(
        problem.task, problem.prompt, problem.entry_point, tuple(public) or problem.public, prelude(problem.prompt, problem.entry_point)
    )


def held(problem: Problem, public: Sequence[str] = ()) -> Held:
    """The same with the private tests, for scoring."""
    return Held(posed(problem, public), problem.private)
