"""A failing test of a repository as a problem: programs are new versions of a function that the test runs, tried in a copy of the tree.

The failing test comes first, the rest of the suite after it; the smallest edit that passes both is the fix. The tree itself is only read.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.models.budget import Budget
from luthier.models.opening import ServedModelSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import atomic_write, write_jsonl
from luthier.run import Run
from luthier.search import repair_page
from luthier.search.journals import Answers, Kept
from luthier.search.page import PROGRAMS, SEARCHES
from luthier.search.problem import Posed
from luthier.search.runs import search_results
from luthier.search.settings import SearchSettings
from luthier.search.solving import ANSWERS, VERDICTS, Solved, search_all
from luthier.search.wants import Behave, Behaviour, Look, Tested, Timed, Trials, Tried, Try, Watched
from luthier.search.worktree import Ran, Worktree
from luthier.settings import REQUIRED, argument, check, option
from luthier.texts.programs import parsed

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel

PATCH = repair_page.PATCH
SHOWN = 2500  # characters of a traceback that a model is told
REST = "the rest of the test suite"


@dataclass(frozen=True)
class RepairSettings(ServedModelSettings, SearchSettings):
    """Search a fix for a failing test of a repository: new versions of the functions it runs, each tried in a copy inside a sandbox.

    A fix passes the test and breaks no other; the smallest one is written as a patch. The working tree is never touched.
    """

    test: str = argument("The failing test as pytest names it, PATH::TEST.", default=REQUIRED, metavar="PATH::TEST")
    root: str = option(".", "The repository.")
    python: str | None = option(None, "Interpreter that has pytest and what the repository needs; Luthier's own where left out.")
    functions: int = option(
        3, "Functions that may be edited: those of the traceback first, then those that the test calls.", least=1, most=20
    )
    suite_seconds: float = option(120.0, "Longest that the suite may take.", above=0, most=36_000)

    def __post_init__(self) -> None:
        check(self)
        Budget.parse(self.budget)
        if "::" not in self.test:
            raise SettingsError(f"PATH::TEST is {self.test!r}; name one test, such as tests/test_x.py::test_y")

    def how(self) -> SearchSettings:
        return SearchSettings(**{one.name: getattr(self, one.name) for one in fields(SearchSettings)})


@dataclass(frozen=True)
class Editable:
    """A function that may be edited: where it stands, and its text."""

    file: str
    name: str
    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Edit:
    """A function in place of another: the file with it, and how many lines differ."""

    file: str
    text: str
    size: int


def run(settings: RepairSettings, out: Path, progress: Progress = quiet) -> Run:
    """Search, and keep `fix.patch` where one is found, the tree and `report.html` in `out`; a stopped run continues.

    Raises SettingsError where the test passes or does not exist, SandboxUnavailable where nothing can be confined here.
    """
    root = Path(settings.root)
    with Worktree(root, settings.python) as tree:
        progress.step("Running the suite as it is")
        failing, suite = _baseline(tree, settings)
        functions = editable(tree, failing, settings.functions)
        problem = pose(settings.test, failing, functions)
        files = sorted({root / one.file for one in functions} | {root / settings.test.partition("::")[0]})
        model = settings.open()
        with Run(out, "search repair", settings, reads=[*files, *settings.reads()], progress=progress, draw=repair_page.draw) as made:
            job = _Job(tree, problem, functions, suite, settings, out)
            made.step("search", partial(job.search, model), files=[ANSWERS, VERDICTS, SEARCHES, PROGRAMS])
            made.step("fix", partial(_fix, tree, functions, out), uses=(), after=["search"])
    return made


def _baseline(tree: Worktree, settings: RepairSettings) -> tuple[Ran, frozenset[str]]:
    """The failing test with what it calls, and the tests that pass as the tree stands."""
    failing = tree.test([settings.test], changes={}, seconds=settings.suite_seconds, follow=True)
    if not failing.tests:
        raise SettingsError(f"{settings.test}: pytest finds no test there ({' '.join(failing.said.split())[-200:]})")
    if not failing.failed:
        raise SettingsError(f"{settings.test}: passes as it is; there is nothing to repair")
    suite = tree.test([], changes={}, seconds=settings.suite_seconds)
    if not suite.tests:
        raise SettingsError(
            f"the suite of {settings.root} does not run ({' '.join(suite.said.split())[-200:]}); --suite-seconds may be too few"
        )
    return failing, suite.passed


def editable(tree: Worktree, failing: Ran, most: int) -> list[Editable]:
    """Functions of the repository that the failing test ran: the innermost of the traceback first, then in the order of their calls."""
    found: dict[tuple[str, int], Editable] = {}
    for file, name, line in (*reversed(failing.frames), *failing.called):
        if len(found) == most:
            break
        if file.startswith("/") or _is_test(file) or not file.endswith(".py"):
            continue
        one = _function_at(tree, file, name, line)
        if one is not None:
            found.setdefault((file, one.first), one)
    if not found:
        raise SettingsError("the failing test runs no function of the repository that could be edited")
    return list(found.values())


def _is_test(file: str) -> bool:
    name = Path(file).name
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py" or "tests" in Path(file).parts[:-1]


def _function_at(tree: Worktree, file: str, name: str, line: int) -> Editable | None:
    """The innermost function around a line."""
    try:
        text = tree.read(file)
    except (OSError, ValueError):
        return None
    module, lines = parsed(text), text.splitlines(keepends=True)
    around = [
        node
        for node in (ast.walk(module) if module else ())
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and min([node.lineno, *(mark.lineno for mark in node.decorator_list)]) <= line <= (node.end_lineno or 0)
    ]
    if not around:
        return None
    node = max(around, key=lambda each: each.lineno)
    first, last = min([node.lineno, *(mark.lineno for mark in node.decorator_list)]), node.end_lineno or node.lineno
    return Editable(file, node.name, first, last, "".join(lines[first - 1 : last]))


def pose(test: str, failing: Ran, functions: Sequence[Editable]) -> Posed:
    """The problem in words: what fails and how, and the functions that may be edited."""
    told = next((failing.texts[name] for name in sorted(failing.failed)), "")
    shown = told if len(told) <= SHOWN else f"{told[: SHOWN // 3]}\n...\n{told[-2 * SHOWN // 3 :]}"
    listed = "\n\n".join(f"{one.file}:\n\n```python\n{_dedented(one.text)}```" for one in functions)
    text = f"A test of a Python repository fails.\n\n{shown}\n\nThese functions are run by it:\n\n{listed}"
    names = list(dict.fromkeys(f"`{one.name}`" for one in functions))
    wanted = f"the corrected function {names[0]}, whole," if len(names) == 1 else f"the corrected one of {', '.join(names)}, whole,"
    return Posed(test, text, "", (test, REST), wanted=wanted)


def _dedented(text: str) -> str:
    import textwrap

    return textwrap.dedent(text)


def edited(tree: Worktree, functions: Sequence[Editable], program: str) -> Edit | None:
    """The edit that a program makes: its function in the place of the one with the same name; None where there is none."""
    module = parsed(program)
    defined = [node for node in module.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))] if module else []
    for node in defined:
        one = next((each for each in functions if each.name == node.name), None)
        if one is None:
            continue
        lines = program.splitlines(keepends=True)
        marks = [mark.lineno for mark in node.decorator_list]
        own = "".join(lines[node.lineno - 1 : node.end_lineno])
        kept = _decorators(one) if not marks else "".join(lines[min(marks) - 1 : node.lineno - 1])
        indent = one.text[: len(one.text) - len(one.text.lstrip())]
        new = "".join(f"{indent}{line}" if line.strip() else line for line in (kept + own).splitlines(keepends=True))
        new = new if new.endswith("\n") else new + "\n"
        before = tree.read(one.file).splitlines(keepends=True)
        after = [*before[: one.first - 1], *new.splitlines(keepends=True), *before[one.last :]]
        changed = sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in difflib.unified_diff(before, after, n=0))
        return Edit(one.file, "".join(after), changed) if changed and parsed("".join(after)) else None
    return None


def _decorators(one: Editable) -> str:
    """The lines before `def`, without their indentation."""
    lines = _dedented(one.text).splitlines(keepends=True)
    at = next((place for place, line in enumerate(lines) if line.startswith(("def ", "async def "))), 0)
    return "".join(lines[:at])


class _Trials(Kept):
    """Edits tried in the copy, each once: the failing test, and where it passes the rest of the suite."""

    def __init__(self, path: Path, tree: Worktree, functions: Sequence[Editable], suite: frozenset[str], seconds: float) -> None:
        super().__init__(path)
        self.tree, self.functions, self.suite, self.seconds = tree, functions, suite, seconds

    def answer(self, wanted: Sequence[Trials]) -> list[list[Timed]]:
        return [[self._one(each.problem, want) for want in each.wants] for each in wanted]

    def _one(self, problem: Posed, want: Try | Look | Behave) -> Timed:
        if isinstance(want, Look):
            return Timed(Watched(()), 0.0)
        if isinstance(want, Behave):
            return Timed(Behaviour(("",) * len(want.inputs)), 0.0)
        key = hashlib.sha256(json.dumps([problem.task, want.program]).encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self.rows:
            began = time.monotonic()
            told = self._tried(problem.task, want.program)
            self.keep(key, {"task": problem.task, "seconds": round(time.monotonic() - began, 3), **told.to_row()})
        row = self.rows[key]
        return Timed(Tried.from_row(row), row["seconds"])

    def _tried(self, test: str, program: str) -> Tried:
        edit = edited(self.tree, self.functions, program)
        if edit is None:
            names = ", ".join(dict.fromkeys(one.name for one in self.functions))
            wrong = Tested("load_error", f"the answer changes none of the functions {names}", "")
            return Tried((wrong, wrong))
        changes = {edit.file: edit.text}
        first = self.tree.test([test], changes=changes, seconds=self.seconds)
        if not first.tests or first.failed:
            told = next(iter(first.texts[name] for name in sorted(first.failed)), first.said)
            return Tried((Tested("wrong_answer", _end(told), ""), Tested("wrong_answer", "not run", "")))
        rest = self.tree.test([], changes=changes, seconds=self.seconds)
        broken = sorted(self.suite - rest.passed)
        if broken:
            return Tried(
                (
                    Tested("passed", "", ""),
                    Tested("wrong_answer", f"breaks {', '.join(broken[:5])}: {_end(rest.texts.get(broken[0], rest.said))}", ""),
                )
            )
        return Tried((Tested("passed", "", ""), Tested("passed", "", "")))


def _end(text: str) -> str:
    """The last lines that say what was wrong."""
    lines = [line for line in text.splitlines() if line.startswith(("E ", ">")) or "Error" in line]
    return "\n".join(lines[-8:])[-800:] or text[-400:]


@dataclass(frozen=True)
class _Job:
    """What the search of a fix works on. suite: the tests that pass as the tree stands."""

    tree: Worktree
    problem: Posed
    functions: Sequence[Editable]
    suite: frozenset[str]
    settings: RepairSettings
    out: Path

    def search(self, model: LanguageModel) -> JSON:
        seconds = self.settings.suite_seconds
        with (
            Answers(model, self.out / ANSWERS) as answers,
            _Trials(self.out / VERDICTS, self.tree, self.functions, self.suite, seconds) as trials,
        ):
            (found,) = search_all([self.problem], self.settings.how(), answers.answer, trials.answer, count=answers.count)
        write_jsonl(self.out / SEARCHES, [found.to_row()])
        write_jsonl(self.out / PROGRAMS, ({"task": found.task, **asdict(one)} for one in found.candidates))
        places = [f"{one.file}:{one.first} {one.name}" for one in self.functions]
        return search_results([found]) | {"passing": _smallest(self.tree, self.functions, found), "functions": places}


def _smallest(tree: Worktree, functions: Sequence[Editable], found: Solved) -> str:
    """The program of the smallest edit that passes everything; "" where none does."""
    sized = []
    for one in found.candidates:
        edit = edited(tree, functions, one.program) if one.passes else None
        if edit is not None:
            sized.append((edit.size, one.number, one.program))
    return min(sized, default=(0, 0, ""))[2]


def _fix(tree: Worktree, functions: Sequence[Editable], out: Path) -> JSON:
    """Write the patch."""
    from luthier.run import RunRecord

    program = RunRecord.read(out).results("search")["passing"]
    edit = edited(tree, functions, program) if program else None
    if edit is None:
        (out / PATCH).unlink(missing_ok=True)
        return {"fixed": False, "lines": 0}
    before = tree.read(edit.file).splitlines(keepends=True)
    lines = difflib.unified_diff(before, edit.text.splitlines(keepends=True), f"a/{edit.file}", f"b/{edit.file}")
    text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    with atomic_write(out / PATCH) as file:
        file.write(text)
    return {"fixed": True, "lines": edit.size, "file": edit.file}
