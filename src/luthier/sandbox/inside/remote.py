"""The program as the driver sees it: a process at the far end of two pipes, asked for one thing at a time and never believed.

What comes back is decoded into exact builtin types here; whatever else the program does ends the test as `Lost`.
"""

from __future__ import annotations

import builtins
import json
import os
import socket
from typing import Any

from . import blocks, codec

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
    elif type(old) is set and type(new) is set:
        old.clear()
        old.update(new)
    elif type(old) is bytearray and type(new) is bytearray:
        old[:] = new


def _merged(was: Any, now: Any) -> Any:
    if type(was) is type(now) and type(was) in (list, dict, set, bytearray):
        _change(was, now)
        return was
    return now
