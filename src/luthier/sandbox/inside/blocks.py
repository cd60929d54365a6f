"""What a program did, block by block: the straight runs of its statements, with the variables before and after each.

A block is a maximal run of statements without a branch; the head of an `if`, `while`, `for`, `with`, `try`, `match`, function or class
ends the run it stands in. The first and the last events of a run are kept, in a memory map that survives the process, so a program
that never ends has been seen as well.
"""

from __future__ import annotations

import ast
import json
import mmap
import sys
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, NamedTuple

FILE = "/tmp/candidate.py"
SHOWN = 5  # events kept from the beginning, and as many from the end
BUDGET = 20_000
VALUE, VARIABLES = 120, 12
SLOT = 4096
HEAD = 64
SIZE = HEAD + 2 * SHOWN * SLOT
_COMPOUND = (ast.If, ast.While, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Block(NamedTuple):
    """Lines `first` to `last`, one-based and inclusive; `scope` is the function or class it stands in, "" for the module."""

    first: int
    last: int
    scope: str


def partition(source: str) -> list[Block]:
    """The blocks of a program in the order of their lines; every executable line is in exactly one. Raises SyntaxError."""
    return sorted(_blocks(ast.parse(source).body, ""))


def _blocks(body: list[ast.stmt], scope: str) -> list[Block]:
    found: list[Block] = []
    first = last = 0
    for statement in body:
        start, end, closes = _extent(statement)
        first, last = first or start, max(last, end)
        if closes:
            found.append(Block(first, last, scope))
            first = last = 0
        found += _nested(statement, scope)
    if first:
        found.append(Block(first, last, scope))
    return _apart(found)


def _extent(statement: ast.stmt) -> tuple[int, int, bool]:
    """First and last line of a statement itself, without the statements in it, and whether it ends a run."""
    start = min([statement.lineno, *(mark.lineno for mark in getattr(statement, "decorator_list", []))])
    if isinstance(statement, (*_COMPOUND, *_DEFINITIONS)):
        inner = min((child.lineno for child in _children(statement)), default=statement.lineno + 1)
        return start, max(statement.lineno, _head_end(statement, inner)), True
    return start, statement.end_lineno or statement.lineno, False


def _head_end(statement: ast.stmt, inner: int) -> int:
    """The last line of a head: of its condition, its parameters or its bases, and before the first statement in it."""
    parts = [part for part in ast.iter_child_nodes(statement) if not isinstance(part, (ast.stmt, ast.ExceptHandler, ast.match_case))]
    heads = [getattr(node, "end_lineno", 0) or 0 for part in parts for node in ast.walk(part)]
    return max(statement.lineno, min(max(heads, default=statement.lineno), inner - 1))


def _children(statement: ast.stmt) -> list[ast.stmt]:
    return [child for body in _bodies(statement) for child in body]


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    bodies = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    bodies += [handler.body for handler in getattr(statement, "handlers", [])]
    bodies += [case.body for case in getattr(statement, "cases", [])]
    return [body for body in bodies if body]


def _nested(statement: ast.stmt, scope: str) -> list[Block]:
    inner = f"{scope}.{statement.name}".lstrip(".") if isinstance(statement, _DEFINITIONS) else scope
    return _heads(statement, scope) + [block for body in _bodies(statement) for block in _blocks(body, inner)]


def _heads(statement: ast.stmt, scope: str) -> list[Block]:
    """The lines of `except` and `case`, which are run without being statements."""
    heads = [(handler.lineno, handler.type) for handler in getattr(statement, "handlers", [])]
    heads += [(case.pattern.lineno, case.guard or case.pattern) for case in getattr(statement, "cases", [])]
    return [Block(first, (part.end_lineno or first) if part else first, scope) for first, part in heads]


def _apart(blocks: list[Block]) -> list[Block]:
    """Blocks that share a line (several statements on one) become one."""
    apart: list[Block] = []
    for block in sorted(blocks):
        if apart and block.first <= apart[-1].last:
            apart[-1] = Block(apart[-1].first, max(apart[-1].last, block.last), apart[-1].scope)
        else:
            apart.append(block)
    return apart


@dataclass
class _Open:
    """A block that a frame is in: the variables at its start, its latest line, the number of its event."""

    block: Block
    before: dict[str, str]
    line: int
    number: int


class BlockTracer:
    """Watches the frames of one program while it is entered as a context; writes events into `store` as they end."""

    def __init__(self, store: mmap.mmap) -> None:
        self.store, self.events = store, 0
        self.block_of: dict[int, Block] = {}
        self.open: dict[FrameType, _Open] = {}

    def prepare(self, source: bytes) -> None:
        try:
            blocks = partition(source.decode())
        except (SyntaxError, ValueError, RecursionError):
            return
        for block in sorted(blocks, key=lambda found: found.last - found.first, reverse=True):
            self.block_of.update(dict.fromkeys(range(block.first, block.last + 1), block))

    def __enter__(self) -> BlockTracer:
        sys.settrace(self._enter)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.settrace(None)
        self.open.clear()

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._watch if frame.f_code.co_filename == FILE and self.events < BUDGET else None

    def _watch(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self._line(frame)
        elif event == "exception":
            self._close(frame, f"{argument[0].__name__} in line {frame.f_lineno}")
        elif event == "return":
            self._close(frame, "")
        if self.events >= BUDGET:
            sys.settrace(None)
            frame.f_trace = None
            return None
        return self._watch

    def _line(self, frame: FrameType) -> None:
        """A line begins: the same block goes on, or another one starts (the same one again, where the line jumps back)."""
        block = self.block_of.get(frame.f_lineno)
        current = self.open.get(frame)
        if block is None:
            return
        if current is not None and current.block == block and frame.f_lineno > current.line:
            current.line = frame.f_lineno
            return
        after = self._close(frame, "")
        before = _variables(frame) if after is None else after
        self.open[frame] = _Open(block, before, frame.f_lineno, self.events)
        self._write({**block._asdict(), "before": before, "after": None, "error": "", "number": self.events})
        self.events += 1

    def _close(self, frame: FrameType, error: str) -> dict[str, str] | None:
        """The open block of a frame ends; the variables as they are now, None where there was none."""
        ended = self.open.pop(frame, None)
        if ended is None:
            return None
        after = _variables(frame)
        self._write({**ended.block._asdict(), "before": ended.before, "after": after, "error": error, "number": ended.number})
        return after

    def _write(self, event: dict[str, Any]) -> None:
        number = event["number"]
        slot = number if number < SHOWN else SHOWN + (number - SHOWN) % SHOWN
        text = json.dumps(event).encode()
        if len(text) > SLOT - 4:
            event = {**event, "before": {}, "after": {}, "error": event["error"] or "too large to show"}
            text = json.dumps(event).encode()
        at = HEAD + slot * SLOT
        self.store[at : at + 4 + len(text)] = len(text).to_bytes(4, "big") + text


def read_events(store: mmap.mmap) -> list[dict[str, Any]]:
    """The events of a run in their order; what cannot be read (the program may have written there) is left out."""
    events = []
    for slot in range(2 * SHOWN):
        at = HEAD + slot * SLOT
        size = int.from_bytes(store[at : at + 4], "big")
        if 0 < size <= SLOT - 4:
            events += _event(bytes(store[at + 4 : at + 4 + size]))
    return sorted(events, key=lambda event: event["number"])


def _event(text: bytes) -> list[dict[str, Any]]:
    try:
        told = json.loads(text)
        event: dict[str, Any] = {name: told[name] for name in ("first", "last", "number", "scope", "error", "before", "after")}
        numbers, words = [event[name] for name in ("first", "last", "number")], [event["scope"], event["error"]]
        words += [*event["before"].values(), *([] if event["after"] is None else event["after"].values())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    whole = all(type(number) is int for number in numbers) and all(type(word) is str for word in words)
    return [event] if whole else []


def clear(store: mmap.mmap) -> None:
    """Forget the events of the run before."""
    store[:] = bytes(SIZE)


def _variables(frame: FrameType) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in frame.f_locals.items():
        if name.startswith("__") or isinstance(value, (FunctionType, ModuleType, type, CodeType)):
            continue
        if len(shown) == VARIABLES:
            break
        shown[name] = shorten(value)
    return shown


def shorten(value: object) -> str:
    """A value in at most VALUE characters, without running code of the program for large containers."""
    if isinstance(value, (list, tuple, set, frozenset, dict, str, bytes)) and len(value) > VALUE:
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, int) and value.bit_length() > 4 * VALUE:
        return f"<int of {value.bit_length()} bits>"
    try:
        text = repr(value)
    except Exception as problem:
        return f"<{type(value).__name__}: {type(problem).__name__}>"
    return text if len(text) <= VALUE else f"{text[: VALUE // 2]} … {text[-VALUE // 2 :]}"
