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
import sys
from types import CodeType
from typing import Any

from . import blocks, codec
from .candidate import read_all
from .remote import TOLD, Candidate, Line, Lost


class Tests:
    """The tests of one job, run one after the other from `start`.

    What quotes a test goes into the file `answer`, which the monitor reads at the very end: it forks candidates, and they see its memory.
    """

    def __init__(self, candidate: Candidate, spec: dict[str, Any], answer: int, trace: mmap.mmap | None) -> None:
        self.candidate, self.spec, self.answer, self.trace = candidate, spec, answer, trace

    def run(self, start: int) -> None:
        for index in range(start, len(self.spec["tests"])):
            self.candidate.line.tell(say="start", test=index)
            if self.trace is not None:
                blocks.clear(self.trace)
            kind, detail = self._one(self.spec["tests"][index])
            events = blocks.read_events(self.trace) if self.trace is not None else []
            told = {"test": index, "detail": detail[:TOLD], "shown": self.candidate.shown, "events": events}
            os.write(self.answer, json.dumps(told).encode() + b"\n")
            self.candidate.line.tell(say="done", test=index, kind=kind, calls=self.candidate.calls)

    def _one(self, test: str) -> tuple[str, str]:
        """One test on the program freshly loaded: what it came to, and why."""
        candidate = self.candidate
        try:
            tree = ast.parse(test)
            code = compile(tree, "<test>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as problem:
            return "bad_test", str(problem)
        try:
            candidate.load()
            if self.spec["inprocess"]:
                candidate.tests_inside(test, self.spec["entry_point"])
            else:
                self._execute(tree, code)
        except BaseException as error:
            lost = candidate.lost or (error if isinstance(error, Lost) else None)
            return (lost.kind, lost.detail) if lost else self._verdict(error, test)
        return (candidate.lost.kind, candidate.lost.detail) if candidate.lost else ("passed", "")

    def _execute(self, tree: ast.Module, code: CodeType) -> None:
        entry = self.spec["entry_point"]
        space: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
        for name in sorted(free_names(tree) | {entry}):
            self._provide(space, name, name == entry)
        exec(code, space)
        if is_check(tree):
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


def free_names(tree: ast.Module) -> set[str]:
    """Names that a test reads and neither it nor Python defines."""
    read: set[str] = set()
    own: set[str] = set(vars(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else own).add(node.id)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            own |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            own.add(node.name)
    return read - own


def is_check(tree: ast.Module) -> bool:
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


def drive(tests: int, line: Line, answer: int, trace: mmap.mmap | None, start: int) -> None:
    """Read the tests, which nobody has read before, and run them; or make the one call that the job asks for."""
    spec = codec.decode(read_all(tests))
    os.close(tests)
    candidate = Candidate(line)
    if "call" in spec:
        _call(candidate, spec, answer)
        return
    Tests(candidate, spec, answer, trace).run(start)
    line.tell(say="end")


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
    line.tell(say="done", test=0, kind=kind, detail=detail, calls=1)
    line.tell(say="end")
