from __future__ import annotations

import ast
import dis
import json
import mmap
from itertools import pairwise
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.sandbox import Sandbox
from luthier.sandbox.inside import blocks

PROGRAM = """import math
LIMIT = 3

def f(items,
      start=0):
    total = start
    count = 0
    for item in items:
        if item > LIMIT:
            total += item
            count += 1
        elif (item ==
              0):
            continue
        else:
            total -= item
    while count: count -= 1
    try:
        total = math.floor(total)
    except (ValueError,
            TypeError) as error:
        total = 0
    else:
        total += 1
    finally:
        count = 0
    with open("/dev/null") as stream:
        stream.read()
    match total:
        case 1:
            return 1
        case _:
            pass
    return total

class Holder:
    size = 1
    @property
    def value(self):
        return self.size
"""


def executed_lines(code: CodeType) -> set[int]:
    """Lines that Python itself reports as beginnings of instructions, other than a frame's start."""
    found = {line for _, line in dis.findlinestarts(code) if line}
    if code.co_name == "<module>":
        found -= {0}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= executed_lines(constant)
    return found


def test_every_line_that_runs_is_in_exactly_one_block() -> None:
    found = blocks.partition(PROGRAM)
    owners: dict[int, list[blocks.Block]] = {}
    for block in found:
        for line in range(block.first, block.last + 1):
            owners.setdefault(line, []).append(block)
    for line in executed_lines(compile(PROGRAM, "x", "exec")):
        assert len(owners.get(line, [])) == 1, (line, PROGRAM.splitlines()[line - 1], owners.get(line))


def test_a_branch_ends_a_run_and_scopes_are_named() -> None:
    found = {(block.first, block.last): block.scope for block in blocks.partition(PROGRAM)}
    assert found[6, 8] == found[10, 11] == found[9, 9] == found[34, 34] == "f"
    assert found[40, 40] == "Holder.value"
    assert found[1, 5] == ""


STATEMENTS = st.recursive(
    st.sampled_from(["a = 1", "b = a", "pass", "g(a,\n  b)", "c = [\n  1,\n]"]).map(lambda text: [text]),
    lambda inner: st.tuples(
        st.sampled_from(["if a:", "while a:", "for a in b:", "def h():", "class K:", "with a as b:"]),
        st.lists(inner, min_size=1, max_size=3),
    ).map(lambda parts: [parts[0], *("  " + line for body in parts[1] for text in body for line in text.split("\n"))]),
    max_leaves=8,
)


@given(st.lists(STATEMENTS, min_size=1, max_size=4))
def test_blocks_never_overlap_and_leave_no_statement_out(programs: list[list[str]]) -> None:
    source = "\n".join(line for body in programs for line in body)
    found = blocks.partition(source)
    assert all(one.last < other.first for one, other in pairwise(found))
    covered = {line for block in found for line in range(block.first, block.last + 1)}
    assert {node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)} <= covered


def seen(box: Sandbox, program: str, test: str) -> list[tuple[int, int]]:
    return [(event.first, event.last) for event in box.blocks(program, test, entry_point="f").events]


def test_only_the_branch_that_is_taken_is_seen(box: Sandbox) -> None:
    program = "def f(x):\n    y = 1\n    if x:\n        y = 2\n    else:\n        y = 3\n    return y\n"
    assert seen(box, program, "assert f(True) == 2") == [(1, 1), (2, 3), (4, 4), (7, 7)]
    assert seen(box, program, "assert f(False) == 2") == [(1, 1), (2, 3), (6, 6), (7, 7)]


def test_values_go_from_block_to_block(box: Sandbox) -> None:
    program = "def f(x):\n    for y in range(2):\n        x += y\n    return x\n"
    trace = box.blocks(program, "assert f(5) == 5", entry_point="f")
    assert trace.judgement.outcome.kind == "wrong_answer"
    steps = trace.events[1:]
    assert all(one.after == other.before for one, other in pairwise(steps))
    assert [event.before for event in steps] == [
        {"x": "5"},
        {"x": "5", "y": "0"},
        {"x": "5", "y": "0"},
        {"x": "5", "y": "1"},
        {"x": "6", "y": "1"},
        {"x": "6", "y": "1"},
    ]


def test_the_block_that_fails_shows_it(box: Sandbox) -> None:
    trace = box.blocks("def f(x):\n    y = x - 1\n    return 1 / y\n", "assert f(1) == 1", entry_point="f")
    assert trace.events[-1].error == "ZeroDivisionError in line 3"
    assert trace.events[-1].after == {"x": "1", "y": "0"}
    assert trace.judgement.outcome.kind == "exception"


def test_a_program_that_fails_at_load_is_seen_too(box: Sandbox) -> None:
    trace = box.blocks("a = 1\nb = a / 0\ndef f(x): pass\n", "assert f(1) == 1", entry_point="f")
    assert [(event.first, event.error) for event in trace.events] == [(1, "ZeroDivisionError in line 2")]


@pytest.mark.parametrize("body", ["while True:\n        x += 1", "x = sum(range(10 ** 12))\n    return x"])
def test_a_program_that_never_ends_shows_its_beginning_and_its_end(box: Sandbox, body: str) -> None:
    trace = box.blocks(f"def f(x):\n    y = 2\n    for z in range(9):\n        y += z\n    {body}\n", "assert f(1) == 1", entry_point="f")
    assert trace.judgement.outcome.kind == "timeout"
    assert [event.number for event in trace.events[:5]] == [0, 1, 2, 3, 4]
    assert len(trace.events) == 10
    assert trace.events[-1].first >= 5
    assert trace.events[-1].after is None or trace.events[-1].number >= blocks.BUDGET - 1


def test_large_values_are_told_by_their_size(box: Sandbox) -> None:
    program = (
        "class Odd:\n    def __repr__(self): raise ValueError\ndef f(x):\n    y, z, w = list(range(500)), Odd(), 10 ** 9999\n    return 1\n"
    )
    after = box.blocks(program, "assert f(1) == 1", entry_point="f").events[-1].after
    assert after == {"x": "1", "y": "<list of 500>", "z": "<Odd: ValueError>", "w": "<int of 33216 bits>"}


@given(st.binary(min_size=1, max_size=300), st.integers(0, 9))
def test_whatever_a_program_writes_into_the_trace_is_events_or_nothing(text: bytes, slot: int) -> None:
    store = mmap.mmap(-1, blocks.SIZE)
    at = blocks.HEAD + slot * blocks.SLOT
    store[at : at + 4 + len(text)] = len(text).to_bytes(4, "big") + text
    assert blocks.read_events(store) == []
    good = {"first": 1, "last": 2, "number": 3, "scope": "", "error": "", "before": {"x": "1"}, "after": None}
    for wrong in ({"first": "1"}, {"before": {"x": 1}}, {"after": [1]}, {"scope": None}):
        damaged = json.dumps({**good, **wrong}).encode()
        store[at : at + 4 + len(damaged)] = len(damaged).to_bytes(4, "big") + damaged
        assert blocks.read_events(store) == []
    whole = json.dumps({**good, "more": 1}).encode()
    store[at : at + 4 + len(whole)] = len(whole).to_bytes(4, "big") + whole
    assert blocks.read_events(store) == [good]
