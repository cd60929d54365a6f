"""The candidate process: it holds the program and answers the driver's calls. Everything in here may be taken over by the program.

So nothing here is believed: the driver decodes the replies, the monitor keeps the time, the kernel keeps the rest. It never sees a test.
"""

from __future__ import annotations

import builtins
import errno
import gc
import inspect
import linecache
import os
import random
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import codec
from .blocks import BlockTracer

NAME = "candidate"
FILE = "/tmp/candidate.py"


class Candidate:
    """A program and the calls that it is asked for, one reply a request."""

    def __init__(self, source: bytes, replies: int, trace: BlockTracer | None) -> None:
        self.source, self.replies, self.trace = source, replies, trace
        self.module = types.ModuleType(NAME)

    def serve(self, requests: int) -> None:
        while (frame := codec.read_frame(requests, 1 << 30)) is not None:
            verb, *arguments = codec.decode(frame)
            self.answer(verb, arguments)

    def answer(self, verb: str, arguments: list[Any]) -> None:
        """Do what is asked and reply; whatever the program raises becomes a reply too."""
        try:
            reply = getattr(self, f"do_{verb}")(*arguments)
            frame = codec.encode(reply)
        except codec.CodecError as problem:
            frame = codec.encode(["unsupported", str(problem)])
        except BaseException as error:
            frame = codec.encode(_told(error))
        _flush()
        codec.write_frame(self.replies, frame)

    def do_load(self) -> list[Any]:
        """Run the program's text in a module of its own, afresh."""
        text = self.source.decode()
        self.module = sys.modules[NAME] = types.ModuleType(NAME)
        self.module.__file__ = FILE
        linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
        random.seed(0)
        self._run(compile(text, FILE, "exec", dont_inherit=True))
        return ["loaded"]

    def do_call(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> list[Any]:
        """Call a function of the program: its value, and the arguments as they are now where they have changed."""
        function = vars(self.module).get(name)
        if function is None:
            return ["missing", name]
        before = codec.encode(arguments)
        value = self._traced(lambda: function(*arguments, **keywords))
        plain = codec.encode(value)
        changed = codec.encode(arguments) != before
        return ["value", codec.decode(plain), arguments if changed else None]

    def do_get(self, name: str) -> list[Any]:
        """What the program calls `name`: nothing, something to call, a module, or plain data."""
        if name not in vars(self.module):
            return ["missing", name]
        value = vars(self.module)[name]
        if isinstance(value, types.ModuleType):
            return ["module"]
        return ["callable"] if callable(value) else ["value", value, None]

    def do_inprocess(self, tests: str, entry_point: str) -> list[Any]:
        """Tests in the program's own interpreter: needed for callbacks and classes, and open to every cheat."""
        space = vars(self.module)
        exec(compile(tests, "<tests>", "exec", dont_inherit=True), space)
        if "check" in space and inspect.isfunction(space["check"]):
            space["check"](space.get(entry_point))
        return ["value", None, None]

    def _run(self, code: types.CodeType) -> None:
        self._traced(lambda: exec(code, vars(self.module)))

    def _traced(self, work: Callable[[], Any]) -> Any:
        if self.trace is None:
            return work()
        with self.trace:
            return work()


def serve(program: int, requests: int, replies: int, trace: BlockTracer | None) -> None:
    """Read the program, which nobody has read before, and answer until the driver closes the pipe."""
    source = read_all(program)
    os.close(program)
    _settle()
    if trace is not None:
        trace.prepare(source)
    Candidate(source, replies, trace).serve(requests)


def run_script(program: int, files: int) -> int:
    """Run a program as a script, beside its files, on the standard input it was given; its exit status."""
    source = read_all(program)
    for name, content in codec.decode(read_all(files) or b"[]"):
        _write(name, content)
    os.close(program)
    os.close(files)
    _settle()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = FILE
    status = 0
    try:
        text = source.decode()
        linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
        exec(compile(text, FILE, "exec", dont_inherit=True), vars(module))
    except SystemExit as error:
        status = _exit_status(error.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    _flush()
    return status


def read_all(descriptor: int) -> bytes:
    """The whole content of a sealed memory file, wherever another reader has left its position."""
    parts, at = [], 0
    while part := os.pread(descriptor, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _settle() -> None:
    """An interpreter that looks freshly started."""
    os.environ.clear()
    sys.argv = [FILE]
    gc.enable()  # what the zygote has loaded stays frozen: to look at it would copy it
    random.seed(0)


def _write(name: str, content: bytes) -> None:
    if folder := os.path.dirname(name):
        os.makedirs(folder, exist_ok=True)
    with open(name, "wb") as stream:
        stream.write(content)


def _exit_status(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the program may have closed or replaced it
            stream.flush()


def _told(error: BaseException) -> list[Any]:
    """An exception as plain data: what it is, the builtin it descends from, its arguments, message and line."""
    if isinstance(error, SystemExit):
        return ["exit", repr(error.code)[:100]]
    if isinstance(error, MemoryError):
        return ["memory"]
    base = next((kind.__name__ for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind), "Exception")
    name = type(error).__name__
    return ["error", base, name, _plain_arguments(error), _message(error), _line(error), _is_refusal(error)]


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EACCES, errno.EROFS)


def _plain_arguments(error: BaseException) -> tuple[Any, ...] | None:
    try:
        plain: tuple[Any, ...] = codec.decode(codec.encode(error.args))
    except BaseException:
        return None
    return plain


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:
        return ""


def _line(error: BaseException) -> int | None:
    """The last line of the program on the way to the error."""
    if isinstance(error, SyntaxError):
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == FILE:
            line = step.tb_lineno
        step = step.tb_next
    return line
