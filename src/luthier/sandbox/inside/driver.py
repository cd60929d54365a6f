"""The driver process: it runs the tests as they were written, and asks the candidate process for every call of the program.

The two share no interpreter, so nothing the program does reaches the comparison: it is made here, on values decoded here. Only
a test that ran to its end is told as passed.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import mmap
import os
import socket
import sys
from types import CodeType
from typing import Any

from . import blocks, codec
from .candidate import read_all

REPLY = 8 << 20
TOLD = 400
_ENDS = (StopIteration, StopAsyncIteration)  # raised under `map`, these would end a test's loop early instead of failing it


class Lost(BaseException):
    """The candidate gave no value that a test could look at; no test can catch this into a pass."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(kind, detail)


class Line:
    """The driver's end of the pipes to a candidate, which may be replaced, and of the socket to the monitor."""

    def __init__(self, control: socket.socket, requests: int, replies: int) -> None:
        self.control, self.requests, self.replies = control, requests, replies
        self.alive = True

    def ask(self, *request: Any) -> list[Any]:
        """One request, one reply. Raises Lost where none comes, or none that may be believed."""
        if not self.alive:
            self._next_candidate()
        try:
            frame = codec.encode(list(request))
        except codec.CodecError as problem:
            raise Lost("unsupported_value", f"an argument is {problem}") from None
        try:
            codec.write_frame(self.requests, frame)
            reply = codec.read_frame(self.replies, REPLY)
        except OSError:
            reply = None
        except codec.FrameError as problem:
            self._fate()
            raise Lost("output_limit", str(problem)) from None
        if reply is None:
            raise self._fate()
        return _checked(reply)

    def tell(self, **message: Any) -> None:
        self.control.send(json.dumps(message).encode())

    def _fate(self) -> Lost:
        """What became of the candidate, by the monitor, who ends it if it still runs."""
        self.alive = False
        self.tell(say="fate")
        told = json.loads(self.control.recv(1 << 16))
        return Lost(told["kind"], told["detail"])

    def _next_candidate(self) -> None:
        os.close(self.requests)
        os.close(self.replies)
        self.tell(say="candidate")
        _, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 2)
        self.requests, self.replies = descriptors
        self.alive = True


def _checked(frame: bytes) -> list[Any]:
    try:
        reply = codec.decode(frame)
    except codec.CodecError as problem:
        raise Lost("unsupported_value", str(problem)) from None
    if type(reply) is not list or not reply or type(reply[0]) is not str:
        raise Lost("unsupported_value", "a reply that is not plain data (shape)")
    return reply


class Candidate:
    """The program as the tests see it: it loads, it is called, it has names."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.lost: Lost | None = None
        self.raised: Exception | None = None
        self.kind, self.where = "", ""
        self.calls, self.shown = 0, ""

    def load(self) -> None:
        self.calls, self.shown, self.lost, self.raised = 0, "", None, None
        try:
            reply = self.line.ask("load")
        except Lost as lost:
            raise self._lose(lost) from None
        if reply[0] != "loaded":
            self._fail(reply, "load_error")

    def call(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """The value that the program's function returns; changed lists, sets and dictionaries are changed here as well."""
        self.calls += 1
        try:
            reply = self.line.ask("call", name, arguments, keywords)
        except Lost as lost:
            raise self._lose(lost) from None
        if reply[0] == "missing":
            raise self._lose(Lost("load_error", f"the program defines no {name!r}"))
        if reply[0] != "value" or len(reply) != 3:
            self._fail(reply, None)
        if type(reply[2]) is list:
            for old, new in zip(arguments, reply[2], strict=False):
                _change(old, new)
        self.shown = f"{name} gave {blocks.shorten(reply[1])}"
        return reply[1]

    def lookup(self, name: str) -> list[Any]:
        try:
            return self.line.ask("get", name)
        except Lost as lost:
            raise self._lose(lost) from None

    def tests_inside(self, tests: str, entry_point: str) -> None:
        """Leave the tests to the program's own interpreter, and take its word."""
        self.calls += 1
        reply = self.line.ask("inprocess", tests, entry_point)
        if reply[0] != "value":
            self._fail(reply, "wrong_answer" if reply[:2] == ["error", "AssertionError"] else None)

    def _lose(self, lost: Lost) -> Lost:
        self.lost = self.lost or lost
        return lost

    def _fail(self, reply: list[Any], kind: str | None) -> None:
        """Raise what the program raised: an ordinary exception for the test to expect or not, everything else as Lost."""
        if reply[0] == "exit":
            raise self._lose(Lost("exited_early", f"exit({_text(reply, 1)})"))
        if reply[0] == "memory":
            raise self._lose(Lost("memory", "MemoryError"))
        if reply[0] != "error" or len(reply) != 7:
            raise self._lose(Lost("unsupported_value", _text(reply, 1)))
        _, base, name, arguments, message, line, refused = reply
        told = f"{name}: {message}" + (f" (line {line})" if line else "")
        told_kind = "blocked" if refused is True else kind or "exception"
        cause = vars(builtins).get(base) if type(base) is str else None
        if kind is not None or not (isinstance(cause, type) and issubclass(cause, Exception)) or issubclass(cause, _ENDS):
            raise self._lose(Lost(told_kind, told[:TOLD]))
        self.raised, self.kind, self.where = _raised(cause, arguments, message), told_kind, told[:TOLD]
        raise self.raised


def _raised(kind: type[Exception], arguments: Any, message: Any) -> Exception:
    try:
        return kind(*arguments) if type(arguments) is tuple else kind(message)
    except Exception:
        return Exception(message)


def _text(reply: list[Any], at: int) -> str:
    return str(reply[at])[:TOLD] if len(reply) > at and type(reply[at]) is str else ""


def _change(old: Any, new: Any) -> None:
    """Make a container equal to what the program left of it, in place where its shape allows."""
    if type(old) is list and type(new) is list:
        kept = len(old) == len(new)
        old[:] = [_merged(was, now) for was, now in zip(old, new, strict=True)] if kept else new
    elif type(old) is dict and type(new) is dict:
        merged = {key: _merged(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(merged)
    elif (type(old) is set and type(new) is set) or (type(old) is bytearray and type(new) is bytearray):
        old.clear()
        old |= new if type(old) is set else set()
        if type(old) is bytearray:
            old.extend(new)


def _merged(was: Any, now: Any) -> Any:
    if type(was) is type(now) and type(was) in (list, dict, set, bytearray):
        _change(was, now)
        return was
    return now


class Tests:
    """The tests of one job, run one after the other from `start`."""

    def __init__(self, candidate: Candidate, spec: dict[str, Any], trace: mmap.mmap | None) -> None:
        self.candidate, self.spec, self.trace = candidate, spec, trace
        self.events: list[list[dict[str, Any]]] = []

    def run(self, start: int) -> None:
        for index in range(start, len(self.spec["tests"])):
            self.candidate.line.tell(say="start", test=index)
            if self.trace is not None:
                blocks.clear(self.trace)
            kind, detail = self._one(self.spec["tests"][index])
            events = blocks.read_events(self.trace) if self.trace is not None else []
            self.events.append(events)
            self.candidate.line.tell(
                say="done", test=index, kind=kind, detail=detail[:TOLD], calls=self.candidate.calls, shown=self.candidate.shown
            )

    def _one(self, test: str) -> tuple[str, str]:
        """One test on the program freshly loaded: what it came to, and why."""
        candidate = self.candidate
        try:
            code = compile(test, "<test>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as problem:
            return "bad_test", str(problem)
        try:
            candidate.load()
            if self.spec["inprocess"]:
                candidate.tests_inside(test, self.spec["entry_point"])
            else:
                self._execute(test, code)
        except BaseException as error:
            lost = candidate.lost or (error if isinstance(error, Lost) else None)
            return (lost.kind, lost.detail) if lost else self._verdict(error, test)
        return (candidate.lost.kind, candidate.lost.detail) if candidate.lost else ("passed", "")

    def _execute(self, test: str, code: CodeType) -> None:
        entry = self.spec["entry_point"]
        space: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
        tree = ast.parse(test)
        for name in sorted(_free_names(code, tree) | {entry}):
            self._provide(space, name, name == entry)
        exec(code, space)
        if _is_check(tree):
            space["check"](space[entry])

    def _provide(self, space: dict[str, Any], name: str, is_entry: bool) -> None:
        """A name that the tests use and do not define: the program's function as a stub, its data, or a module of Python's."""
        if is_entry:
            space[name] = self._stub(name)
            return
        found = self.candidate.lookup(name)
        if found[0] == "callable":
            space[name] = self._stub(name)
        elif found[0] == "module" and name in sys.stdlib_module_names:
            space[name] = importlib.import_module(name)
        elif found[0] == "value" and len(found) == 3:
            space[name] = found[1]

    def _stub(self, name: str) -> Any:
        def stub(*arguments: Any, **keywords: Any) -> Any:
            return self.candidate.call(name, list(arguments), keywords)

        stub.__name__ = stub.__qualname__ = name
        return stub

    def _verdict(self, error: BaseException, test: str) -> tuple[str, str]:
        candidate = self.candidate
        if error is candidate.raised:
            return candidate.kind, candidate.where
        where = _quoted(error, test)
        if isinstance(error, AssertionError):
            told = f"{where}: {error}" if str(error) else where
            return "wrong_answer", told
        return "exception", f"{type(error).__name__}: {error} in the test: {where}"


def _free_names(code: CodeType, tree: ast.Module) -> set[str]:
    """Global names that a test reads and neither it nor Python defines."""
    used, codes = set(), [code]
    while codes:
        inner = codes.pop()
        used.update(inner.co_names)
        codes += [constant for constant in inner.co_consts if isinstance(constant, CodeType)]
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            own |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return (used & read) - own - set(vars(builtins))


def _is_check(tree: ast.Module) -> bool:
    """Whether a test is laid out as HumanEval's: it defines `check(candidate)` and leaves the call to the judge."""
    defined = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    called = any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "check"
        for node in tree.body
    )
    return defined and not called


def _quoted(error: BaseException, test: str) -> str:
    """The line of the test that an error came from."""
    number, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "<test>":
            number = step.tb_lineno
        step = step.tb_next
    lines = test.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def drive(tests: int, control: socket.socket, requests: int, replies: int, answer: int, trace: mmap.mmap | None, start: int) -> None:
    """Read the tests, which nobody has read before, and run them; or make the one call that the job asks for."""
    spec = codec.decode(read_all(tests))
    os.close(tests)
    candidate = Candidate(Line(control, requests, replies))
    if "call" in spec:
        _call(candidate, spec, answer)
        return
    runner = Tests(candidate, spec, trace)
    runner.run(start)
    os.write(answer, json.dumps(runner.events).encode() if trace is not None else b"")
    candidate.line.tell(say="end")


def _call(candidate: Candidate, spec: dict[str, Any], answer: int) -> None:
    line = candidate.line
    line.tell(say="start", test=0)
    kind, detail = "passed", ""
    try:
        candidate.load()
        text = memoryview(codec.encode(candidate.call(spec["call"], spec["arguments"], spec["keywords"])))
        while text:
            text = text[os.write(answer, text) :]
    except BaseException as error:
        lost = candidate.lost or (error if isinstance(error, Lost) else None)
        kind, detail = (lost.kind, lost.detail) if lost else (candidate.kind or "exception", candidate.where)
    line.tell(say="done", test=0, kind=kind, detail=detail, calls=1, shown="")
    line.tell(say="end")
