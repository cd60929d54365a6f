"""A failing test of a repository as a problem: programs are new versions of a function that the test runs, tried in a copy of the tree.

The failing test comes first, the rest of the suite after it; the smallest edit that passes both is the fix. The tree itself is only read.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.errors import MissingFileError, SettingsError
from luthier.models.budget import Budget, Spent
from luthier.models.opening import ServedModelSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import atomic_write, write_jsonl
from luthier.run import Run
from luthier.search import repair_page
from luthier.search.edits import Edit, Editable, Refused, edited
from luthier.search.infill import holes, infill
from luthier.search.journals import Answers, Kept
from luthier.search.page import PROGRAMS, SEARCHES
from luthier.search.problem import Posed
from luthier.search.runs import search_results
from luthier.search.settings import SearchSettings
from luthier.search.solving import ANSWERS, VERDICTS, Solved, search_all
from luthier.search.steps import Search
from luthier.search.suspects import as_followed, cut_short, editable, line_suspicion
from luthier.search.wants import Behave, Behaviour, Look, Steps, Tested, Timed, Trials, Tried, Try, Watched
from luthier.search.worktree import Ran, Worktree
from luthier.settings import REQUIRED, argument, check, option

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel

PATCH = repair_page.PATCH
ENOUGH = 50  # further tests that fail, after which the others are not run
SHOWN = 1800  # characters of a failing test that a model is told
_SECTION = re.compile(r"^_ (?:_ ?)+$", re.MULTILINE)  # between the functions of a traceback
_HEAD = re.compile(r"[> ] +(?:async +)?def ")
REST = "the rest of the test suite"
Lines = Literal["first", "only", "never"]


@dataclass(frozen=True)
class RepairSettings(ServedModelSettings, SearchSettings):
    """Search a fix for a failing test of a repository: new versions of the functions it runs, each tried in a copy inside a sandbox.

    A fix passes the test and breaks no other; the smallest one is written as a patch. The working tree is never touched.
    """

    test: str = argument("The failing test as pytest names it, PATH::TEST.", default=REQUIRED, metavar="PATH::TEST")
    root: str = option(".", "The repository.")
    python: str | None = option(None, "Interpreter that has pytest and what the repository needs; Luthier's own where left out.")
    functions: int = option(
        3,
        "Functions that may be edited: those first that failing tests call and passing ones do not, then those of the traceback.",
        least=1,
        most=20,
    )
    lines: Lines = option(
        "first", "Lines hidden from the model and written anew: before the strategy, with half of the budget; nothing but that; or never."
    )
    apart: bool = option(True, "Each function is searched by itself with its share of the budget; else one prompt shows all.")
    suite_seconds: float = option(120.0, "Longest that the suite may take.", above=0, most=36_000)

    def __post_init__(self) -> None:
        check(self)
        Budget.parse(self.budget)
        if "::" not in self.test:
            raise SettingsError(f"PATH::TEST is {self.test!r}; name one test, such as tests/test_x.py::test_y")

    def how(self) -> SearchSettings:
        return SearchSettings(**{one.name: getattr(self, one.name) for one in fields(SearchSettings)})


@dataclass(frozen=True)
class _Baseline:
    """How the tree stands: the failing test, all tests of its file, and the suite. cut: how following the failing test ended early."""

    failing: Ran
    near: Ran
    suite: Ran
    cut: str = ""

    @property
    def files(self) -> frozenset[str]:
        """Those that hold nothing but tests."""
        return self.suite.files

    def to_row(self) -> JSON:
        """Of the suite how many tests passed and failed, and which of its files could not even be imported."""
        broken = sorted(name for name in self.suite.failed if "::" not in name)
        return {"passed": len(self.suite.passed), "failed": len(self.suite.failed) - len(broken), "not_imported": broken}


def run(settings: RepairSettings, out: Path, progress: Progress = quiet, model: LanguageModel | None = None) -> Run:
    """Search, and keep `fix.patch` where one is found, the tree and `report.html` in `out`; a stopped run continues.

    model: in place of the one that the settings name, already open. Raises MissingFileError where there is no file of the test, SettingsError where the test passes or does not exist,
    SandboxUnavailable where nothing can be confined here.
    """
    root, named = Path(settings.root), settings.test.partition("::")[0]
    if root.is_dir() and not (root / named).is_file():
        raise MissingFileError(f"{root / named}: no such file; name the test as PATH::TEST, its path from --root")
    with Worktree(root, settings.python) as tree:
        progress.step("Running the suite as it is")
        stands = _baseline(tree, settings)
        for told in _kept_from(tree, stands):
            progress.say(told)
        functions = editable(tree, stands.failing, stands.near, settings.functions, stands.files, cut=stands.cut)
        groups = [[one] for one in functions] if settings.apart else [functions]
        files = sorted({root / one.file for one in functions} | {root / named})
        asked = model or settings.open()
        with Run(out, "search repair", settings, reads=[*files, *settings.reads()], progress=progress, draw=repair_page.draw) as made:
            job = _Job(tree, stands, groups, settings, out)
            made.step("search", partial(job.search, asked), files=[ANSWERS, VERDICTS, SEARCHES, PROGRAMS])
            made.step("fix", job.fix, uses=(), after=["search"])
    return made


def _baseline(tree: Worktree, settings: RepairSettings) -> _Baseline:
    seconds = settings.suite_seconds
    failing = tree.test([settings.test], changes={}, seconds=seconds)
    if not failing.tests:
        raise SettingsError(f"{settings.test}: {_no_test(failing.said)}")
    if not failing.failed:
        raise SettingsError(f"{settings.test}: passes as it is; there is nothing to repair")
    suite = tree.test([], changes={}, seconds=seconds)
    if not suite.tests:
        raise SettingsError(
            f"the suite of {settings.root} does not run ({' '.join(suite.said.split())[-200:]}); --suite-seconds may be too few"
        )
    near = tree.test([settings.test.partition("::")[0]], changes={}, seconds=seconds, follow=True)
    told = {name: suite.tests.get(name, outcome) for name, outcome in near.tests.items()}  # following makes slow tests fail
    followed = tree.test([settings.test], changes={}, seconds=seconds, follow=True)
    return _Baseline(as_followed(failing, followed), replace(near, tests=told), suite, cut_short(failing, followed))


def _no_test(said: str) -> str:
    """Why a run of one test told of none."""
    told = " ".join(said.split())[-200:]
    if "unrecognized arguments" in said or "usage:" in said:
        return f"pytest did not start ({told}); --python names an interpreter that has what the repository's settings ask for"
    if said.startswith("no end within"):
        return f"pytest came to no end ({told}); --suite-seconds may be too few"
    return f"pytest finds no test there ({told})"


def _kept_from(tree: Worktree, stands: _Baseline) -> Iterator[str]:
    """What the search does not know and what a fix cannot be held against, in sentences."""
    row = stands.to_row()
    if stands.cut:
        yield f"{stands.cut}; a larger --suite-seconds may tell more"
    if not stands.near.tests:
        yield f"the tests of its file told nothing when they were followed ({' '.join(stands.near.said.split())[-200:]}): no function is less suspect for passing ones"
    if row["not_imported"]:
        yield f"not held against a fix, because they cannot be imported as it is: {', '.join(row['not_imported'])}"
    if not row["passed"]:
        yield "no other test passes as it is, so there is none that a fix could break"
    if tree.left_out:
        yield f"not in the copy that the tests run in: {', '.join(tree.left_out)} (links that lead out of the repository, large or special files)"


def pose(test: str, failing: Ran, functions: Sequence[Editable]) -> Posed:
    """The problem in words: what fails and how, and the functions that may be edited."""
    listed = "\n\n".join(f"{one.file}:\n\n```python\n{one.shown.rstrip()}\n```" for one in functions)
    names = list(dict.fromkeys(f"`{one.name}`" for one in functions))
    lead, wanted = ("This function is run by it and may hold the mistake", f"the corrected function {names[0]}, whole,")
    if len(names) > 1:
        lead, wanted = "These functions are run by it and may hold the mistake", f"the corrected one of {', '.join(names)}, whole,"
    text = f"A test of a Python repository fails.\n\n{report(failing.texts.get(min(failing.failed), ''))}\n\n{lead}:\n\n{listed}"
    return Posed(f"{test} by {', '.join(name.strip('`') for name in names)}", text, "", (test, REST), wanted=wanted)


def report(told: str) -> str:
    """What pytest says of a failure, without the functions that are listed anyway: the test's own lines, and of those it calls the line
    that fails and the error."""
    own, *others = _SECTION.split(told)
    lines = own.splitlines()
    start = next((place for place, line in enumerate(lines) if _HEAD.match(line)), 0)
    values = [line for line in lines[:start] if " = " in line and not line.startswith((" ", ">", "E"))]
    own = "\n".join([*values, *lines[start:]]).strip()
    own = own if len(own) <= SHOWN else f"...\n{own[-SHOWN:]}"
    rest = [line for other in others for line in other.splitlines() if line.startswith((">", "E "))]
    return "\n".join([own, *rest[-12:]]).strip()


class _Trials(Kept):
    """Edits tried in the copy, each once: the failing test, and where it passes the rest of the suite."""

    def __init__(self, path: Path, job: _Job, functions: Sequence[Editable]) -> None:
        super().__init__(path)
        self.job, self.functions = job, functions

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
            told = self._tried(want.program)
            self.keep(key, {"task": problem.task, "seconds": round(time.monotonic() - began, 3), **told.to_row()})
        row = self.rows[key]
        return Timed(Tried.from_row(row), row["seconds"])

    def _tried(self, program: str) -> Tried:
        job, passed = self.job, Tested("passed", "", "")
        edit = edited(job.tree, self.functions, program)
        if isinstance(edit, Refused):
            wrong = Tested("load_error", edit.why, "")
            return Tried((wrong, wrong))
        seconds = job.settings.suite_seconds
        first = job.tree.test([job.settings.test], changes=edit.files, seconds=seconds)
        if not first.tests or first.failed:
            told = next(iter(first.texts[name] for name in sorted(first.failed)), first.said)
            return Tried((Tested("wrong_answer", _end(told), ""), Tested("wrong_answer", "not run", "")))
        suite = job.stands.suite
        rest = job.tree.test([], changes=edit.files, seconds=seconds, most_failing=len(suite.failed) + ENOUGH)
        broken = sorted(suite.passed - rest.passed, key=lambda name: (name not in rest.failed, name))
        if not broken:
            return Tried((passed, passed))
        told = f"breaks {', '.join(broken[:5])}: {_end(rest.texts.get(broken[0], rest.said))}"
        return Tried((passed, Tested("wrong_answer", told, "")))


def _end(text: str) -> str:
    """The last lines that say what was wrong."""
    lines = [line for line in text.splitlines() if line.startswith(("E ", ">")) or "Error" in line]
    return "\n".join(lines[-8:])[-800:] or text[-400:]


@dataclass(frozen=True)
class _Job:
    """What the search of a fix works on. groups: the functions that each search may edit."""

    tree: Worktree
    stands: _Baseline
    groups: Sequence[Sequence[Editable]]
    settings: RepairSettings
    out: Path

    def search(self, model: LanguageModel) -> JSON:
        found: list[tuple[Sequence[Editable], Solved]] = []
        left = self.settings.limits
        parts = [*([] if self.settings.lines == "never" else [None]), *([] if self.settings.lines == "only" else self.groups)]
        for at, part in enumerate(parts):
            share = _share(left, len(parts) - at)
            if share is None or (found and found[-1][1].passes and self.settings.stop != "never"):
                break
            functions = [one for group in self.groups for one in group] if part is None else part
            how = replace(self.settings.how(), budget=str(share))
            problem, steps = (
                self._by_lines(functions, model) if part is None else (pose(self.settings.test, self.stands.failing, functions), None)
            )
            with Answers(model, self.out / ANSWERS) as answers, _Trials(self.out / VERDICTS, self, functions) as trials:
                (solved,) = search_all([problem], how, answers.answer, trials.answer, count=answers.count, steps=steps)
            found.append((functions, solved))
            left = _less(left, solved.spent)
        searches = [one for _, one in found]
        write_jsonl(self.out / SEARCHES, [one.to_row() for one in searches])
        write_jsonl(self.out / PROGRAMS, ({"task": one.task, **asdict(each)} for one in searches for each in one.candidates))
        places = [f"{one.file}:{one.first} {one.name}" for functions in self.groups for one in functions]
        return search_results(searches) | {
            "functions": places,
            "suite": self.stands.to_row(),
            "left_out": list(self.tree.left_out),
            "fix": self._smallest(found),
        }

    def _by_lines(self, functions: Sequence[Editable], model: LanguageModel) -> tuple[Posed, Callable[[Search], Steps[None]]]:
        failing = self.stands.failing
        told = report(failing.texts.get(min(failing.failed), ""))
        places = holes(functions, line_suspicion(failing, self.stands.near))
        problem = Posed(f"{self.settings.test} by single lines", told, "", (self.settings.test, REST), wanted="the line")
        return problem, partial(infill, told=told, places=places, forced="grammar" in model.supports)

    def _smallest(self, found: Sequence[tuple[Sequence[Editable], Solved]]) -> JSON | None:
        """The files of the smallest edit that passes everything: fewest lines, then fewest characters."""
        sized: list[tuple[int, int, int, dict[str, str]]] = []
        for functions, solved in found:
            for one in solved.candidates:
                edit = edited(self.tree, functions, one.program) if one.passes else None
                if isinstance(edit, Edit):
                    sized.append((edit.size, edit.characters, len(sized), dict(edit.files)))
        if not sized:
            return None
        size, _, _, files = min(sized)
        return {"lines": size, "files": files}

    def fix(self) -> JSON:
        """Write the patch."""
        from luthier.run import RunRecord

        made = RunRecord.read(self.out).results("search")["fix"]
        if made is None:
            (self.out / PATCH).unlink(missing_ok=True)
            return {"fixed": False, "lines": 0}
        with atomic_write(self.out / PATCH, "wb") as file:
            file.write(
                b"".join(
                    patch(name, self.tree.content(name), self.tree.written(name, text)) for name, text in sorted(made["files"].items())
                )
            )
        return {"fixed": True, "lines": made["lines"], "file": ", ".join(sorted(made["files"]))}


def patch(file: str, before: bytes, after: bytes) -> bytes:
    """A patch as `git apply` reads it, byte for byte."""
    end = "\t" if " " in file else ""
    old, new = (io.BytesIO(content).readlines() for content in (before, after))
    lines = difflib.diff_bytes(difflib.unified_diff, old, new, f"a/{file}{end}".encode(), f"b/{file}{end}".encode())
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def _share(left: Budget, searches: int) -> Budget | None:
    """What the next of so many searches may spend: half of what is left, all of it for the last; None where nothing is left."""
    if any(amount is not None and amount <= 0 for amount in (left.calls, left.tokens, left.seconds, left.money)):
        return None
    if searches == 1:
        return left
    return Budget(
        *(None if amount is None else -(-amount // 2) for amount in (left.calls, left.tokens)),
        *(None if amount is None else amount / 2 for amount in (left.seconds, left.money)),
    )


def _less(left: Budget, spent: Spent) -> Budget:
    return Budget(
        None if left.calls is None else left.calls - spent.calls,
        None if left.tokens is None else left.tokens - spent.tokens,
        None if left.seconds is None else left.seconds - spent.seconds,
        None if left.money is None else left.money - spent.money,
    )
