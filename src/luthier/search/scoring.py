"""Scores of finished searches by tests that no strategy sees: each chosen program is judged once, and so is what would have been the
answer earlier, for curves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.sandbox import Task
from luthier.search.problem import Held, Test
from luthier.search.reward import Candidate, choose
from luthier.search.solving import Solved
from luthier.texts.programs import parsed

if TYPE_CHECKING:
    from luthier.sandbox import Sandbox


@dataclass(frozen=True)
class Point:
    """What was the answer from so many calls, tokens and seconds on, and whether it is right."""

    calls: int
    tokens: int
    seconds: float
    right: bool


@dataclass(frozen=True)
class SearchScore:
    """A search, scored. private: whether the answer passes all private tests, None where there are none; apart: those that are not among
    the public ones, None where all are; share: of the private tests; curve: the answer over time."""

    task: str
    public: bool
    private: bool | None
    apart: bool | None
    share: float | None
    curve: tuple[Point, ...] = ()

    def to_row(self) -> JSON:
        points = [[point.calls, point.tokens, round(point.seconds, 3), point.right] for point in self.curve]
        return {
            "task": self.task,
            "public": self.public,
            "private": self.private,
            "apart": self.apart,
            "share": self.share,
            "curve": points,
        }


def score(found: Sequence[tuple[Held, Solved]], box: Sandbox, *, curve: bool = False) -> list[SearchScore]:
    """Judge the answers by their private tests, in one pass; curve: earlier answers as well."""
    wanted: dict[tuple[str, str], Task] = {}
    for problem, solved in found:
        if problem.private:
            for program in dict.fromkeys([solved.program, *(one.program for one in _answers(solved) if curve)]):
                if program:
                    wanted[problem.task, program] = Task(program, _all_tests(problem), problem.posed.entry_point)
    verdicts = dict(zip(wanted, box.judge_many(wanted.values()), strict=True))
    scores = []
    for problem, solved in found:
        count = len(problem.private)
        verdict = verdicts.get((problem.task, solved.program))
        passed = [test.passed for test in verdict.tests] if verdict else [False] * len(_all_tests(problem))
        right = {program: all(t.passed for t in told.tests[:count]) for (task, program), told in verdicts.items() if task == problem.task}
        points = (
            tuple(Point(one.calls, one.tokens, one.seconds, right.get(one.program, False)) for one in _answers(solved)) if curve else ()
        )
        if points:  # the last word is the answer that was given, which votes may have changed
            points = (*points, Point(solved.spent.calls, solved.spent.tokens, solved.spent.seconds, right.get(solved.program, False)))
        scores.append(
            SearchScore(
                problem.task,
                solved.passes,
                all(passed[:count]) if count else None,
                all(passed[count:]) if len(passed) > count else None,
                sum(passed[:count]) / count if count else None,
                points,
            )
        )
    return scores


def _answers(solved: Solved) -> list[Candidate]:
    """The candidates that were the answer for a time, in their order; each became it when it was made."""
    found: list[Candidate] = []
    for count in range(1, len(solved.candidates) + 1):
        best = choose(solved.candidates[:count])
        if best is not None and (not found or best is not found[-1]):
            found.append(best)
    return found


def _all_tests(problem: Held) -> tuple[Test, ...]:
    """The private tests, then what of them is not among the public ones, where something is left."""
    own = [test for test in problem.private if isinstance(test, str)]
    left = apart(own, [test for test in problem.posed.public if isinstance(test, str)], problem.posed.entry_point)
    return (*problem.private, *left)


def apart(private: Iterable[str], public: Iterable[str], entry_point: str) -> tuple[str, ...]:
    """Private tests without the assertions whose calls the public tests make as well; those with no assertion left are not in it."""
    known = {call for test in public for call in _calls(parsed(test), (entry_point,))}
    found = []
    for test in private:
        tree = parsed(test)
        if tree is None:
            continue
        changed = _Without(known, (entry_point, "candidate")).visit(tree)
        if any(isinstance(node, ast.Assert) and _calls(node, (entry_point, "candidate")) for node in ast.walk(changed)):
            found.append(ast.unparse(ast.fix_missing_locations(changed)))
    return tuple(found)


def _calls(tree: ast.AST | None, names: Sequence[str]) -> set[str]:
    """The arguments of every call of these functions, in one form."""
    found = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            found.add(", ".join(ast.unparse(part) for part in (*node.args, *(keyword.value for keyword in node.keywords))))
    return found


class _Without(ast.NodeTransformer):
    def __init__(self, known: set[str], names: Sequence[str]) -> None:
        self.known, self.names = known, names

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return ast.Pass() if _calls(node, self.names) & self.known else node
