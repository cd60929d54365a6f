"""Judging in monty: 0 of the cheats pass, what it lacks is an outcome of its own, and its limits hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from luthier.errors import SandboxError, SandboxUnavailable, SettingsError
from luthier.records.problems import humaneval_file, read_problems
from luthier.sandbox import CallError, InputOutput, Limits, Sandbox, Task
from luthier.sandbox.attack import LIMITS, attacks, run_attacks
from luthier.sandbox.monty.gaps import gap
from luthier.sandbox.monty.imports import fitted

pytest.importorskip("pydantic_monty", reason="luthier[monty] is not installed")
SQUARE = "def f(x):\n    return x * x\n"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox("monty", workers=2, limits=Limits(wall=1, cpu=0.4)) as sandbox:
        yield sandbox


def outcome(box: Sandbox, program: str, test: str = "assert f(2) == 4") -> str:
    return str(box.judge(program, test, entry_point="f").outcome)


def test_no_cheat_passes_and_an_honest_program_does_after_each(box: Sandbox) -> None:
    results = list(run_attacks(box, attacks("cheats")))
    assert len(results) >= 49
    assert not [result.attack.name for result in results if not result.held or result.outcome.passed]
    assert all(result.next_passed for result in results)


def test_the_solutions_of_humaneval_pass_or_are_told_apart() -> None:
    """162 pass; the other two need a module that monty lacks, and are not called wrong."""
    problems = list(read_problems(humaneval_file()))[::3]  # benchmarks/sandbox.py judges all
    with Sandbox("monty", workers=2) as patient:
        verdicts = patient.judge_many(Task(problem.whole_solution, problem.private, problem.entry_point) for problem in problems)
        count = Counter(verdict.outcome.kind for verdict in verdicts)
    assert set(count) <= {"passed", "unsupported"}
    assert count["passed"] >= len(problems) - 2


def test_values_cross_as_exact_plain_data(box: Sandbox) -> None:
    for value in [
        (1, [2.5, {3}]),
        {"a": b"b", (1, 2): frozenset([4])},
        2**70,
        -0.5,
        None,
        True,
        "é\n",
        1j,
        range(2, 9, 3),
        {},
        float("inf"),
    ]:
        given = box.call("def f(x):\n    return x\n", "f", value)
        assert (type(given), given) == (type(value), value)
    assert list(box.call("def f():\n    return iter([1, (2,)])\n", "f")) == [1, (2,)]
    assert box.call("from collections import Counter\ndef f():\n    return Counter('aab')\n", "f") == {"a": 2, "b": 1}
    with pytest.raises(CallError, match="unsupported_value"):
        box.call("def f():\n    return lambda: 1\n", "f")


def test_lists_that_a_program_changes_are_changed_for_the_test(box: Sandbox) -> None:
    program = "def f(x):\n    x.append(9)\n    return x.pop(0)\n"
    assert outcome(box, program, "given = [1, 2]\nassert f(given) == 1\nassert given == [2, 9]") == "passed"


@pytest.mark.parametrize(
    ("program", "kind", "said"),
    [
        ("def f(x):\n    yield x\n", "unsupported", "yield"),
        ("import heapq\ndef f(x): return heapq.nsmallest(1, [4])[0]\n", "unsupported", "heapq"),
        ("def f(x): return (4.0).is_integer() and 4\n", "unsupported", "float.is_integer"),
        ("class A(Exception): pass\ndef f(x): return 4\n", "unsupported", "inheritance"),
        ("def f(x):\n    raise ValueError('no')\n", "exception", "ValueError: no (line 2)"),
        ("def f(x): return 5\n", "wrong_answer", "assert f(2) == 4"),
        ("def g(x): return 4\n", "load_error", "no 'f'"),
        ("def f(x:\n", "load_error", "SyntaxError"),
        ("1 / 0\ndef f(x): return 4\n", "load_error", "ZeroDivisionError"),
        ("def f(x):\n    while True: pass\n", "timeout", "0.4 s"),
        ("import time\ndef f(x):\n    time.sleep(30)\n", "timeout", "waiting"),
        ("def f(x): return len('a' * (1 << 40))\n", "memory", "MemoryError"),
        ("def f(x):\n    while True: print('a' * 9999)\n", "output_limit", "bytes of output"),
        ("def f(x): return open('/etc/passwd').read()\n", "blocked", "/etc/passwd"),
        ("def f(x): raise SystemExit\n", "exited_early", "exit"),
        ("def f(x):\n    x = [x]\n    for _ in range(300): x = [x]\n    return x\n", "unsupported_value", "levels"),
        ("class A:\n    def __eq__(self, other): return True\ndef f(x): return A()\n", "unsupported_value", "type A"),
        ("def f(x): return '\\ud800'\n", "unsupported", "surrogate"),
    ],
)
def test_each_fault_has_its_name(box: Sandbox, program: str, kind: str, said: str) -> None:
    found = box.judge(program, "assert f(2) == 4", entry_point="f").outcome
    assert found.kind == kind, found
    assert said in found.detail


def test_a_test_that_catches_everything_lets_nothing_pass(box: Sandbox) -> None:
    catching = "try:\n    f(2)\nexcept BaseException:\n    pass"
    assert outcome(box, "def f(x):\n    while True: pass\n", catching).startswith("timeout")
    assert outcome(box, "import heapq_\ndef f(x): return 4\n", catching).startswith("load_error")
    assert outcome(box, "def f(x):\n    import heapq\n", catching).startswith("unsupported")
    assert outcome(box, "def f(x): raise ValueError\n", catching) == "passed"  # a program may raise, and a test may expect it


def test_a_test_that_monty_cannot_run_is_no_verdict_on_the_program(box: Sandbox) -> None:
    for test in ("import heapq\nassert f(heapq.nsmallest(1, [2])[0]) == 4", "assert list(map(f, [2])) == [4]"):
        found = box.judge(SQUARE, test, entry_point="f").outcome
        assert found.kind == "unsupported"
        assert "in the test" in found.detail


@pytest.mark.parametrize(
    "spoiled",
    [
        "class A: pass\n_luthier_call = lambda *a: A()",
        "deep = []\nfor _ in range(100000): deep = [deep]\n_luthier_call = lambda *a: deep",
        "_luthier_call = lambda *a: ['[' * 100000, '']",
        "_luthier_call = lambda *a: ['{\"int\": 4}', '']",
        "_luthier_call = lambda *a: ['4', '[]']",
        "_luthier_look = lambda *a: ['value', '4']",
        "_luthier_json = None",
        "isinstance = lambda *a: True\ntype = lambda *a: bool",
        "def _luthier_look(value): raise NameError('x')",
    ],
)
def test_a_program_that_spoils_its_own_side_of_the_line_fools_nobody(box: Sandbox, spoiled: str) -> None:
    verdict = box.judge(f"def f(x): return 1\n{spoiled}\n", ["assert f(2) == 4", "assert f(3) == 9"], entry_point="f")
    assert not verdict.passed


def test_a_flood_of_output_is_held_against_the_test_it_came_in(box: Sandbox) -> None:
    program = "def f(x):\n    while x == 1: print('a' * 9999)\n    raise ValueError('no')\n"
    verdict = box.judge(program, ["f(1)", "f(2)"], entry_point="f")
    assert [test.outcome.kind for test in verdict.tests] == ["output_limit", "exception"]


def test_the_program_sees_nothing_of_its_tests(box: Sandbox) -> None:
    """They have an interpreter each: a name that the tests bind is not bound for the program, nor one of the program's for the tests."""
    look = "def f(x):\n    try:\n        return secret\n    except NameError:\n        return 4\n"
    assert outcome(box, look, "secret = 7\nassert f(2) == 4") == "passed"
    assert outcome(box, "f_result = 4\n_luthier_stub = None\ndef f(x): return 5\n").startswith("wrong_answer")


def test_scripts_are_judged_by_what_they_print(box: Sandbox) -> None:
    verdict = box.judge("print(int(input()) + 1)\n", [InputOutput("1\n", "2"), InputOutput("5", "7")])
    assert [test.outcome.kind for test in verdict.tests] == ["passed", "wrong_answer"]
    assert verdict.trust == "interpreter"
    assert box.run("print(input())").outcome.kind == "exception"


def test_what_it_cannot_do_is_refused_by_name(box: Sandbox) -> None:
    with pytest.raises(SettingsError, match="judge='inprocess' needs"):
        box.judge(SQUARE, "assert f(2) == 4", entry_point="f", judge="inprocess")
    with pytest.raises(SettingsError, match=r"leave out a\.csv"):
        box.run("print(1)", files={"a.csv": b""})
    with pytest.raises(SettingsError, match="blocks"):
        box.blocks(SQUARE, "assert f(2) == 4", entry_point="f")
    with pytest.raises(SettingsError, match="leave out numpy"):
        Sandbox("monty", modules=["numpy"])
    with pytest.raises(SettingsError, match="never calls"):
        box.judge(SQUARE, "assert True", entry_point="f")
    with pytest.raises(SettingsError, match="not Python"):
        box.judge(SQUARE, "assert f(", entry_point="f")


def test_the_doctor_tries_its_walls(box: Sandbox) -> None:
    report = box.doctor()
    assert report.sound, report
    assert "the interpreter is the wall" in report.checks[0].seen


def test_where_it_is_missing_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with Sandbox("monty") as lacking, pytest.raises(SandboxUnavailable, match=r"pip install 'luthier\[monty\]'"):
        lacking.judge(SQUARE, "assert f(2) == 4", entry_point="f")


def test_a_closed_one_takes_no_jobs() -> None:
    with Sandbox("monty", limits=LIMITS) as done:
        pass
    with pytest.raises(SandboxError, match="closed"):
        done.call(SQUARE, "f", 1)


def test_it_needs_nothing_that_linux_alone_has() -> None:
    script = (
        "import os, sys\nfor name in ('fcntl', 'resource'):\n    sys.modules[name] = None\ndel os.sched_getaffinity, os.memfd_create\n"
        "from luthier.sandbox import Sandbox\nwith Sandbox('monty') as box:\n"
        "    print(box.judge('def f(x): return 4', 'assert f(2) == 4', entry_point='f').outcome)\n"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=path)
    assert done.stdout == "passed\n", done.stderr


@pytest.mark.parametrize(
    ("error", "program", "lacks"),
    [
        (NotImplementedError("The monty syntax parser does not yet support yield expressions"), "", "yield"),
        (NotImplementedError("u"), "raise NotImplementedError('u')", ""),
        (ModuleNotFoundError("No module named 'string'"), "", "the module string"),
        (ModuleNotFoundError("No module named 'numpy'"), "", ""),
        (ImportError("cannot import name 'foo' from 'collections' (unknown location)"), "", "cannot import"),
        (AttributeError("module 'sys' has no attribute 'exit'"), "", "sys.exit"),
        (AttributeError("'float' object has no attribute 'is_integer'"), "", "float.is_integer"),
        (AttributeError("'float' object has no attribute 'no'"), "", ""),
        (AttributeError("'A' object has no attribute 'no'"), "class A:\n    pass", ""),
        (AttributeError("'deque' object has no attribute 'rotate'"), "", "deque.rotate"),
        (NameError("name 'bytearray' is not defined"), "", "the builtin bytearray"),
        (NameError("name 'mine' is not defined"), "", ""),
        (TypeError("unsupported operand"), "", ""),
        (ValueError("module 'sys' has no attribute 'exit'"), "", ""),
    ],
)
def test_gaps_of_monty_are_told_from_faults_of_programs(error: BaseException, program: str, lacks: str) -> None:
    found = gap(error, program)
    assert lacks in found
    assert bool(found) == bool(lacks)


@pytest.mark.parametrize(
    ("program", "given"),
    [
        ("from typing import *\nx: List[int] = []\n", "from typing import List\nx: List[int] = []\n"),
        ("from math import *\n", "pass\n"),
        ("import heapq, math  # both\nmath.pi\n", "import math  # both\nmath.pi\n"),
        ("from heapq import (\n    heappush,\n    heappop,\n)\nheappop\n", "from heapq import heappop\n\n\n\nheappop\n"),
        ("import heapq; x = 1\n", "pass; x = 1\n"),
        ("from foo import *\nimport bar\n", "from foo import *\nimport bar\n"),
        ("from antigravity import *\n", "from antigravity import *\n"),
        ("from __future__ import annotations\n", "from __future__ import annotations\n"),
        ("x = 'é'; import heapq\n", "x = 'é'; pass\n"),
        ("def f(:\n", "def f(:\n"),
    ],
)
def test_imports_are_fitted_without_moving_a_line(program: str, given: str) -> None:
    assert fitted(program) == given
    assert fitted(program).count("\n") == program.count("\n")
