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
from luthier.sandbox.inside import blocks, codec, driver
from luthier.sandbox.inside.remote import REPLY, TOLD
from luthier.sandbox.monty import shim
from luthier.sandbox.monty.gaps import gap, gap_in_text
from luthier.sandbox.monty.imports import fitted
from luthier.sandbox.outcome import Judgement, Kind, Limits, Outcome, Output, Task, TestResult
from luthier.sandbox.verdicts import encoded, first_failure, harmless

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

_CALLS = 1_000_000  # round trips of one session
_TESTS_MEMORY = 1 << 30
_RECURSION = 1000  # CPython's own limit
_KEPT = 64 << 10
_ENDS = (StopIteration, StopAsyncIteration)
_PRELUDE = "<python-input-0>"


class Lost(Exception):  # noqa: N818 - as `inside.remote.Lost`: what became of a program, not a fault of this one
    """The program gave no value that a test could look at."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(kind, detail)


class Printed:
    """What a program prints: `kept` bytes of each stream, and no more than `most` altogether."""

    def __init__(self, most: int, kept: int = _KEPT) -> None:
        self.most, self.kept, self.heard, self.flooded = most, kept, 0, False
        self.streams: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._held = dict.fromkeys(self.streams, 0)

    def __call__(self, stream: str, text: str) -> None:
        self.heard += len(text)
        if self._held[stream] < self.kept:
            self.streams[stream].append(text[: self.kept - self._held[stream]])
            self._held[stream] += len(text)
        if self.heard > self.most:
            self.flooded = True
            raise RuntimeError("too much output")

    def text(self, stream: str) -> str:
        return "".join(self.streams[stream])


class Program:
    """A program in an interpreter of its own, asked for one call at a time and never believed."""

    def __init__(self, session: MontySession, text: str, limits: Limits, printed: Printed) -> None:
        self.session, self.text, self.limits, self.printed = session, text, limits, printed
        self.lost: Lost | None = None
        self.raised: BaseException | None = None
        self.lost_to = ""
        self.calls, self.shown, self.spent = 0, "", 0.0

    def load(self) -> None:
        """Run its text. Raises Lost."""
        if lacks := gap_in_text(self.text):
            raise self.lose("unsupported", f"monty lacks {lacks}")
        self.printed.flooded = False  # by a test before
        self._feed(shim.CANDIDATE, None)
        self._feed(fitted(self.text), "load_error")

    def call(self, name: str, told: str) -> list[str]:
        """The value of a function, and its arguments where it changed them, as texts. Raises Lost, or what the program raised."""
        self.calls += 1
        if not name.isidentifier():
            raise self.lose("load_error", f"{name!r} is no name of a function")
        if self.look(name)[0] == "missing":
            raise self.lose("load_error", f"the program defines no {name!r}")
        reply = self._feed(f"_luthier_call({name}, _luthier_told)", "exception", _luthier_told=told)
        value, after = self._two_texts(reply)
        self.shown = f"{name} gave {blocks.shorten(self._decoded(value))}"
        if after:
            self._decoded(after)
        return [value, after]

    def look(self, name: str) -> list[str]:
        """What the program calls `name`: missing, module, callable, or value and its text. Raises Lost."""
        try:
            return self._two_texts(self._feed(f"_luthier_look({name})", None))
        except NameError:
            return ["missing", ""]

    def lose(self, kind: Kind, detail: str) -> Lost:
        self.lost = self.lost or Lost(kind, detail[:TOLD])
        return self.lost

    def _two_texts(self, reply: Any) -> list[str]:
        if type(reply) is not list or len(reply) != 2 or any(type(part) is not str for part in reply):
            raise self.lose("unsupported_value", "a reply that is not plain data (shape)")
        if sum(map(len, reply)) > REPLY:
            raise self.lose("output_limit", f"a reply of {sum(map(len, reply))} letters; {REPLY} are allowed")
        return reply

    def _decoded(self, text: str) -> Any:
        try:
            return codec.decode(text.encode(errors="surrogatepass"))
        except codec.CodecError as problem:
            raise self.lose("unsupported_value", str(problem)) from None

    def _feed(self, code: str, kind: Kind | None, **inputs: str) -> Any:
        """Run code there. kind: of an exception that it raises; None passes a NameError on and loses the program for the others."""
        import pydantic_monty as monty

        if self.spent > self.limits.cpu:
            raise self.lose("timeout", f"no answer within {self.limits.cpu:g} s of processor time")
        began = time.monotonic()
        try:
            return self.session.feed_run(code, inputs=inputs or None, print_callback=self.printed)
        except monty.MontyError as problem:
            if self.printed.flooded:
                raise self.lose("output_limit", f"more than {self.limits.output} bytes of output") from None
            raise self._told(problem, kind) from None
        finally:
            self.spent += time.monotonic() - began

    def _told(self, problem: Any, kind: Kind | None) -> BaseException:
        """What to raise for an error of monty's: an ordinary exception for the test to expect or not, everything else as Lost."""
        outcome = ending(problem, self.text, self.limits)
        if outcome is not None:
            return self.lose(*outcome)
        error, where = problem.exception(), line_of(problem)
        if kind is None and type(error) is NameError:
            return NameError(str(error))
        if type(error) is TypeError and str(error).startswith("luthier: "):
            return self.lose("unsupported_value", str(error).removeprefix("luthier: "))
        told = f"{type(error).__name__}: {error}" + (f" (line {where})" if where else "")
        if kind != "exception" or not isinstance(error, Exception) or isinstance(error, _ENDS):
            return self.lose(kind or "exception", told)
        self.raised, self.lost_to = _again(error), told[:TOLD]
        return self.raised


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


def ending(problem: Any, text: str, limits: Limits) -> tuple[Kind, str] | None:
    """How an interpreter was ended, or what it lacks: an outcome that no test may catch; None for an ordinary exception of `text`."""
    import pydantic_monty as monty

    if isinstance(problem, monty.MontyCrashedError):
        return ("timeout", f"no answer within {limits.wall:g} s") if problem.timed_out else ("crashed", "monty's worker process died")
    error = problem.exception()
    if isinstance(problem, monty.MontySyntaxError):
        try:
            compile(text, "program", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return "load_error", f"SyntaxError: {error} (line {line_of(problem)})"
        return "unsupported", f"monty cannot parse line {line_of(problem)}: {error}"
    said = str(error)
    if isinstance(error, MemoryError):
        return "memory", "MemoryError"
    if isinstance(error, TimeoutError) and "limit exceeded" in said:
        return "timeout", f"no answer within {limits.cpu:g} s of processor time or {limits.wall:g} s of waiting"
    if isinstance(error, SystemExit):
        return "exited_early", f"exit({said})"
    if lacks := gap(error, text):
        return "unsupported", f"monty lacks: {lacks}" + (f" (line {line_of(problem)})" if line_of(problem) else "")
    if isinstance(error, PermissionError):
        return "blocked", f"PermissionError: {said}"
    return None


def _again(error: Exception) -> Exception:
    """The same error for the tests; where its constructor wants more than monty kept, the nearest that they can catch."""
    try:
        return type(error)(*error.args)
    except TypeError:
        return ValueError(str(error)) if isinstance(error, ValueError) else Exception(str(error))


def line_of(problem: Any) -> int:
    """The last line of what was fed after the prelude on the way to an error; 0 where it is not known."""
    return next((frame.line for frame in reversed(problem.traceback()) if frame.filename != _PRELUDE), 0)


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
