"""Programs judged in monty (pydantic-monty): the program in one worker process, its tests in another, this process between them.

As in `inside.driver`, the tests run unmodified with stubs in place of the program's functions; each call crosses as a text of plain
data. The walls are the interpreter's, not the kernel's: monty has no files, sockets or processes to offer, and limits time and memory.
"""

from __future__ import annotations

import ast
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luthier.errors import SandboxError, SandboxUnavailable, SettingsError
from luthier.sandbox.inside import codec, driver
from luthier.sandbox.inside.remote import TOLD
from luthier.sandbox.monty import shim
from luthier.sandbox.monty.gaps import gap_in_text
from luthier.sandbox.monty.imports import fitted
from luthier.sandbox.monty.program import Lost, Printed, Program, ending
from luthier.sandbox.outcome import Judgement, Kind, Limits, Outcome, Output, Task, TestResult
from luthier.sandbox.verdicts import encoded, first_failure, harmless

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

_CALLS = 1_000_000  # round trips of one session
_TESTS_MEMORY = 1 << 30
_RECURSION = 1000  # CPython's own limit


class MontyBackend:
    """Two pools of monty's worker processes: those that hold programs serve one program each, those that hold tests are used again."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self.workers, self.limits = workers, limits
        self._lock = threading.Lock()
        self._pools: tuple[Monty, Monty] | None = None
        self._closed = False

    def judge(self, task: Task) -> Judgement:
        """The verdict. Raises SettingsError for tests that cannot judge, or that need the program's interpreter."""
        if task.judge == "inprocess":
            raise SettingsError(
                "the backend monty never lets a program share its tests' interpreter; judge='inprocess' needs bubblewrap or nsjail"
            )
        began, printed, results, spent = time.monotonic(), Printed(self.limits.output), [], 0.0
        for index, test in enumerate(test for test in task.listed if isinstance(test, str)):
            if time.monotonic() - began > self.limits.total:
                results.append(TestResult(Outcome("timeout", f"the job's {self.limits.total:g} s were over")))
                continue
            with self._program(task.program, printed) as program:
                results.append(self._test(index, test, task, program))
                spent += program.spent
        wall = time.monotonic() - began
        stdout, stderr = printed.text("stdout"), printed.text("stderr")
        return Judgement(first_failure(results), tuple(results), stdout, stderr, spent, wall, 0, "monty", "interpreter")

    def call(self, text: str, function: str, arguments: list[Any], keywords: dict[str, Any]) -> tuple[Outcome, Any]:
        """What one call came to, and its value. Raises SettingsError for arguments that are not plain data."""
        told = encoded([arguments, keywords]).decode()
        with self._program(text, Printed(self.limits.output)) as program:
            try:
                program.load()
                value, _ = program.call(function, told)
                return Outcome("passed"), codec.decode(value.encode(errors="surrogatepass"))
            except Lost as lost:
                return Outcome(lost.kind, harmless(lost.detail)), None
            except Exception as error:
                if error is not program.raised:
                    raise
                return Outcome("exception", harmless(program.lost_to)), None

    def run(self, text: str, stdin: str, files: Mapping[str, bytes]) -> Output:
        """What a script printed; `input()` reads stdin. Raises SettingsError for files: monty has none."""
        import pydantic_monty as monty

        if files:
            raise SettingsError(f"the backend monty has no files for a program to open; leave out {', '.join(sorted(files))}")
        lines: Iterator[str] = iter(stdin.splitlines())
        printed, began = Printed(self.limits.output, self.limits.output), time.monotonic()

        def read_line(prompt: object = "") -> str:
            if prompt != "":
                printed("stdout", str(prompt))
            try:
                return next(lines)
            except StopIteration:
                raise EOFError("EOF when reading a line") from None

        found = Outcome("unsupported", f"monty lacks {lacks}") if (lacks := gap_in_text(text)) else Outcome("passed")
        if found.passed:
            with self._session(0, self.limits.memory, self.limits.cpu) as session:
                try:
                    session.feed_run(fitted(text), external_lookup={"input": read_line}, print_callback=printed)
                except monty.MontyError as problem:
                    found = self._script_outcome(problem, text, printed)
        wall = time.monotonic() - began
        stdout, stderr = printed.text("stdout"), printed.text("stderr")
        return Output(found, stdout, stderr, 0 if found.passed else 1, wall, wall, 0, "monty")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._pools:
                for pool in self._pools:
                    pool.__exit__(None, None, None)
            self._pools = None

    def _script_outcome(self, problem: Any, text: str, printed: Printed) -> Outcome:
        if printed.flooded:
            return Outcome("output_limit", f"more than {self.limits.output} bytes of output")
        told = ending(problem, text, self.limits)
        if told is not None:
            return Outcome(told[0], harmless(told[1]))
        error = problem.exception()
        printed.most += TOLD
        printed("stderr", f"{type(error).__name__}: {error}"[:TOLD] + "\n")
        return Outcome("exception", "exit status 1")

    def _test(self, index: int, test: str, task: Task, program: Program) -> TestResult:
        try:
            tree = ast.parse(test)
        except (SyntaxError, ValueError) as problem:
            raise SettingsError(f"test {index + 1} is not Python: {problem}") from None
        kind, detail = self._outcome(test, tree, task, program)
        if program.lost:
            kind, detail = program.lost.kind, program.lost.detail
        if kind == "passed" and not program.calls:
            raise SettingsError(f"test {index + 1} never calls the program, so it cannot judge it")
        return TestResult(Outcome(kind, harmless(detail)), program.calls, harmless(program.shown))

    def _outcome(self, test: str, tree: ast.Module, task: Task, program: Program) -> tuple[Kind, str]:
        """What one test came to on the program freshly loaded; only one that ran to its end is passed."""
        import pydantic_monty as monty

        try:
            program.load()
        except Lost as lost:
            return lost.kind, lost.detail
        if lacks := gap_in_text(test):
            return "unsupported", f"monty lacks {lacks}, in the test"
        ask: dict[str, Callable[[str, str], list[str]]] = {"_luthier_ask": program.call}
        quiet = Printed(sys.maxsize, 0)
        with self._session(1, max(self.limits.memory, _TESTS_MEMORY), self.limits.wall) as session:
            try:
                session.feed_run(shim.TESTS + _names(tree, task.entry_point, program), external_lookup=ask, print_callback=quiet)
                session.feed_run(fitted(test), external_lookup=ask, print_callback=quiet)
                if driver.is_check(tree):
                    session.feed_run(f"check({task.entry_point})", external_lookup=ask, print_callback=quiet)
            except Lost as lost:
                return lost.kind, lost.detail
            except monty.MontyError as problem:
                return self._failed(problem, test, program)
        return "passed", ""

    def _failed(self, problem: Any, test: str, program: Program) -> tuple[Kind, str]:
        error = problem.exception()
        if type(error) is type(program.raised) and str(program.raised) in str(error):
            return "exception", program.lost_to
        if told := ending(problem, test, self.limits):
            return told[0], f"{told[1]}, in the test"
        quoted = _quoted(problem, test)
        if isinstance(error, AssertionError):
            return "wrong_answer", f"{quoted}: {error}" if str(error) else quoted
        return "exception", f"{type(error).__name__}: {error} in the test: {quoted}"

    @contextmanager
    def _program(self, text: str, printed: Printed) -> Iterator[Program]:
        with self._session(0, self.limits.memory, self.limits.cpu) as session:
            yield Program(session, text, self.limits, printed)

    @contextmanager
    def _session(self, which: int, memory: int, seconds: float) -> Iterator[MontySession]:
        """An interpreter of its own. which: 0 for programs, 1 for tests. Raises SandboxError where monty itself fails."""
        pool = self._started()[which]
        bounds: dict[str, Any] = {"max_turn_duration_secs": seconds, "max_memory": memory, "max_total_sleep_secs": self.limits.wall}
        bounds |= {"max_recursion_depth": _RECURSION, "max_suspensions": _CALLS}
        asked = pool.checkout(limits=bounds, assert_message_annotations=False, os_policy={"random_start": {"seed": 0}})  # type: ignore[arg-type]
        try:
            session = asked.__enter__()
        except Exception as problem:
            raise SandboxError(f"monty gives no interpreter: {problem}") from problem
        try:
            yield session
        finally:
            asked.__exit__(None, None, None)

    def _started(self) -> tuple[Monty, Monty]:
        with self._lock:
            if self._closed:
                raise SandboxError("this sandbox is closed")
            if self._pools is None:
                monty = opened()
                grace = math.ceil(self.limits.wall)
                pools = (
                    monty.Monty(max_processes=self.workers, max_checkouts_per_worker=1, turn_duration_limit_grace=grace),
                    monty.Monty(max_processes=self.workers, turn_duration_limit_grace=grace),
                )
                try:
                    self._pools = (pools[0].__enter__(), pools[1].__enter__())
                except Exception as problem:
                    raise SandboxUnavailable(f"monty does not start: {problem}; pip install --force-reinstall pydantic-monty") from problem
            return self._pools


def opened() -> Any:
    """The package pydantic_monty. Raises SandboxUnavailable where it is not installed."""
    try:
        import pydantic_monty
    except ImportError:
        raise SandboxUnavailable("monty is not installed: pip install 'luthier[monty]'") from None
    return pydantic_monty


def _names(tree: ast.Module, entry: str, program: Program) -> str:
    """What gives the tests the names that they use and do not define: stubs of functions, data, modules of Python's. Raises Lost."""
    lines = []
    for name in sorted(driver.free_names(tree) | {entry}):
        kind, told = ("callable", "") if name == entry else program.look(name)
        if kind == "callable":
            lines.append(f"{name} = _luthier_stub({name!r})")
        elif kind == "value":
            lines.append(f"{name} = _luthier_read({told!r})")
        elif kind == "module" and name in sys.stdlib_module_names:
            lines.append(f"import {name}")
    return "\n".join(["", *lines, ""])


def _quoted(problem: Any, test: str) -> str:
    """The line of the test that an error came from."""
    lines = test.splitlines()
    number = next((frame.line for frame in reversed(problem.traceback()) if frame.filename == "<python-input-1>"), 0)
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
