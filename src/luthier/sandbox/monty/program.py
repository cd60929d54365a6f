"""A program in an interpreter of monty's: loaded, called, printed from, and how it ended, in the words of the sandbox. It is never believed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from luthier.sandbox.inside import blocks, codec
from luthier.sandbox.inside.remote import REPLY, TOLD
from luthier.sandbox.monty import shim
from luthier.sandbox.monty.gaps import gap, gap_in_text
from luthier.sandbox.monty.imports import fitted
from luthier.sandbox.outcome import Kind, Limits

if TYPE_CHECKING:
    from pydantic_monty import MontySession

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
