from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

import pytest

from luthier.errors import SandboxError, SettingsError
from luthier.sandbox import CallError, InputOutput, Limits, Sandbox, Task

SQUARE = "def f(x):\n    return x * x\n"


def kinds(verdict: object) -> list[str]:
    return [test.outcome.kind for test in verdict.tests]


def test_a_right_program_passes_every_test(box: Sandbox) -> None:
    verdict = box.judge(SQUARE, ["assert f(2) == 4", "assert f(3) == 9"], entry_point="f")
    assert verdict.passed
    assert verdict.share == 1
    assert verdict.trust == "split"
    assert [test.calls for test in verdict.tests] == [1, 1]
    assert 0 < verdict.cpu < 5
    assert 0 < verdict.wall < 5
    assert verdict.memory > 1 << 20


def test_a_wrong_program_is_told_the_line_and_the_value(box: Sandbox) -> None:
    verdict = box.judge(SQUARE, ["assert f(2) == 4", "x = 3\nassert f(x) == 8, 'cube?'"], entry_point="f")
    assert not verdict.passed
    assert verdict.share == 0.5
    assert str(verdict.outcome) == "wrong_answer (assert f(x) == 8, 'cube?': cube?)"
    assert verdict.tests[1].shown == "f gave 9"


def test_the_layout_of_humaneval_needs_no_call_of_check(box: Sandbox) -> None:
    test = "METADATA = []\n\ndef check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == {}\n"
    assert box.judge(SQUARE, test.format(9), entry_point="f").passed
    assert kinds(box.judge(SQUARE, test.format(8), entry_point="f")) == ["wrong_answer"]
    assert box.judge(SQUARE, test.format(9) + "check(f)\n", entry_point="f").tests[0].calls == 2


def test_tests_may_use_other_names_of_the_program(box: Sandbox) -> None:
    program = "import math\nLIMIT = (1, 2)\ndef helper(x):\n    return x + 1\ndef f(x):\n    return x - 1\n"
    tests = ["assert f(helper(5)) == 5", "assert f(LIMIT[1]) == LIMIT[0]", "assert f(math.ceil(1.5)) == 1"]
    assert box.judge(program, tests, entry_point="f").passed
    assert kinds(box.judge(program, "assert f(nowhere) == 1", entry_point="f")) == ["exception"]


def test_values_keep_their_types(box: Sandbox) -> None:
    program = "def f(x):\n    return [(1, {2: {3}}), b'4', None, 10**40, 1.5, frozenset({6}), range(7)]\n"
    test = "assert f(0) == [(1, {2: {3}}), b'4', None, 10**40, 1.5, frozenset({6}), range(7)] and type(f(0)[0]) is tuple"
    assert box.judge(program, test, entry_point="f").passed


def test_changed_arguments_are_changed_for_the_test_too(box: Sandbox) -> None:
    program = "def f(items, table, seen):\n    items.sort()\n    items.append(9)\n    table['b'][0] = 2\n    seen.add(3)\n"
    test = (
        "items, inner, seen = [2, 1], [1], {1}\ntable = {'b': inner}\nassert f(items, table, seen) is None\n"
        "assert items == [1, 2, 9] and inner == [2] and table == {'b': [2]} and seen == {1, 3}"
    )
    assert box.judge(program, test, entry_point="f").passed


def test_tests_may_expect_exceptions(box: Sandbox) -> None:
    program = "class Bad(ValueError): pass\ndef f(x):\n    raise Bad('no', x)\n"
    expects = "try:\n    f(1)\nexcept ValueError as error:\n    assert error.args == ('no', 1)\nelse:\n    assert False"
    assert box.judge(program, expects, entry_point="f").passed
    verdict = box.judge(program, "assert f(1) == 1", entry_point="f")
    assert str(verdict.outcome) == "exception (Bad: ('no', 1) (line 3))"


def test_no_test_can_catch_a_lost_program(box: Sandbox) -> None:
    test = "try:\n    f(1)\nexcept BaseException:\n    pass"
    for program, kind in (("import os\ndef f(x): os._exit(0)", "exited_early"), ("def f(x): return object()", "unsupported_value")):
        assert kinds(box.judge(program, test, entry_point="f")) == [kind]


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("def g(x): return x", "load_error"),
        ("def f(x) return x", "load_error"),
        ("import nowhere", "load_error"),
        ("raise ValueError", "load_error"),
        ("\ud800", "load_error"),
        ("f = 5", "exception"),
        ("def f(): pass", "exception"),
        ("def f(x): return f(x)", "exception"),
        ("", "load_error"),
    ],
)
def test_what_goes_wrong_has_its_name(box: Sandbox, program: str, kind: str) -> None:
    assert kinds(box.judge(program, "assert f(1) == 1", entry_point="f")) == [kind]


def test_a_hang_costs_one_test_and_the_next_ones_are_judged(box: Sandbox) -> None:
    program = "def f(x):\n    while x == 2: pass\n    return x\n"
    tests = ["assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3", "assert f(4) == 5"]
    assert kinds(box.judge(program, tests, entry_point="f")) == ["passed", "timeout", "passed", "wrong_answer"]


def test_a_test_that_hangs_itself_costs_one_test(box: Sandbox) -> None:
    tests = ["assert f(1) == 1", "f(1)\nwhile True: pass", "import os\nf(1)\nos._exit(0)", "assert f(2) == 4"]
    assert kinds(box.judge(SQUARE, tests, entry_point="f")) == ["passed", "timeout", "exception", "passed"]


def test_a_test_that_waits_without_working_is_over_too(box: Sandbox) -> None:
    verdict = box.judge("import time\ndef f(x): time.sleep(100)", "assert f(1) == 1", entry_point="f")
    assert kinds(verdict) == ["timeout"]
    assert 1.5 < verdict.wall < 10


def test_the_whole_job_has_an_end(box: Sandbox) -> None:
    with Sandbox(workers=1, limits=Limits(wall=1, cpu=1, total=1.5)) as short:
        verdict = short.judge("def f(x):\n    while True: pass\n", ["assert f(1) == 1"] * 30, entry_point="f")
    assert kinds(verdict) == ["timeout"] * 30
    assert verdict.wall < 10


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_tests_does_not_matter(box: Sandbox, seed: int) -> None:
    program = "seen = []\nimport random\ndef f(x):\n    seen.append(x)\n    return len(seen) * x + random.randint(0, 9) * 0\n"
    tests = ["assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 4", "f(5)\nassert f(5) == 10"]
    mixed = random.Random(seed).sample(range(4), 4)
    verdict = box.judge(program, [tests[index] for index in mixed], entry_point="f")
    assert [verdict.tests[mixed.index(index)].outcome.kind for index in range(4)] == ["passed", "passed", "wrong_answer", "passed"]


@pytest.mark.parametrize("program", [SQUARE, "def f(x):\n    return x\n", "def f(x):\n    return 1 / (x - 2)\n"])
def test_a_comment_or_another_name_changes_no_verdict(box: Sandbox, program: str) -> None:
    tests = ["assert f(2) == 4", "assert f(1) == 1"]
    renamed = program.replace("(x)", "(value)").replace("x", "value").replace("(vvalue", "(v")
    verdicts = [box.judge(text, tests, entry_point="f") for text in (program, f"# a comment\n{program}", renamed)]
    assert len({tuple(kinds(verdict)) for verdict in verdicts}) == 1


def test_inprocess_is_marked_and_takes_callbacks(box: Sandbox) -> None:
    program, test = "def f(g):\n    return g(2)\n", "assert f(lambda x: x + 1) == 3"
    assert kinds(box.judge(program, test, entry_point="f")) == ["unsupported_value"]
    verdict = box.judge(program, test, entry_point="f", judge="inprocess")
    assert verdict.passed
    assert verdict.trust == "inprocess"
    assert kinds(box.judge(program, "assert f(abs) == 3", entry_point="f", judge="inprocess")) == ["wrong_answer"]


def test_scripts_are_judged_by_what_they_print(box: Sandbox) -> None:
    program = "a, b = map(int, input().split())\nprint(a + b)\n"
    verdict = box.judge(program, [InputOutput("1 2\n", "3"), InputOutput("5 6\n", "11\n"), InputOutput("1 1", "3"), InputOutput("", "0")])
    assert kinds(verdict) == ["passed", "passed", "wrong_answer", "exception"]
    assert verdict.outcome.detail == "line 1 is '2', expected '3'"


def test_verdicts_come_in_order_and_are_all_there(box: Sandbox) -> None:
    tasks = [Task(f"def f(x):\n    return x * {number % 3}\n", "assert f(1) == 1", "f") for number in range(60)]
    assert [verdict.passed for verdict in box.judge_many(tasks)] == [number % 3 == 1 for number in range(60)]


@pytest.mark.parametrize(
    ("tests", "entry", "said"),
    [
        ("", "f", "without tests"),
        ((), "f", "without tests"),
        (["assert f(1) == 1", " "], "f", "without tests"),
        ("assert f(1) == 1", "", "entry_point"),
        ("assert 1 == 1", "f", "never calls the program"),
        ("assert f(", "f", "test 1 is not Python"),
        (["assert f(1) == 1", InputOutput("", "")], "f", "not both"),
    ],
)
def test_tests_that_cannot_judge_are_refused(box: Sandbox, tests: object, entry: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        box.judge(SQUARE, tests, entry_point=entry)


def test_call_gives_exact_values_or_says_why_not(box: Sandbox) -> None:
    program = "def f(x, *, add=0):\n    return {'value': (x + add, [x])}\ndef g():\n    raise KeyError('a')\n"
    assert box.call(program, "f", 1, add=2) == {"value": (3, [1])}
    for name, said in (("g", r"exception \(KeyError: 'a' \(line 4\)\)"), ("h", "load_error")):
        with pytest.raises(CallError, match=said):
            box.call(program, name)
    with pytest.raises(SettingsError, match="plain data"):
        box.call(program, "f", object())


def test_a_script_reads_its_input_and_files_and_has_a_status(box: Sandbox) -> None:
    program = "import sys\nprint(open('data/a.txt').read() + sys.stdin.read(), __name__)\nprint('no', file=sys.stderr)\nsys.exit(3)\n"
    output = box.run(program, "in", {"data/a.txt": b"file "})
    assert (output.stdout, output.stderr, output.status, output.outcome.kind) == ("file in __main__\n", "no\n", 3, "exception")
    assert box.run("print(1)").outcome.passed
    assert box.run("1 / 0").stderr.endswith("ZeroDivisionError: division by zero\n")
    with pytest.raises(SettingsError, match="below the program's folder"):
        box.run("", files={"../a": b""})


def test_output_before_the_end_is_kept(box: Sandbox) -> None:
    output = box.run("import time\nprint('begun', flush=True)\ntime.sleep(100)\n")
    assert output.outcome.kind == "timeout"
    assert output.stdout == "begun\n"


def test_settings_without_meaning_are_refused() -> None:
    for make in (
        lambda: Sandbox("docker"),
        lambda: Sandbox(workers=0),
        lambda: Limits(wall=-1),
        lambda: Limits(cpu=float("nan")),
        lambda: Limits(memory=1 << 20),
    ):
        with pytest.raises(SettingsError):
            make()


def test_third_party_modules_come_in_by_name(box: Sandbox) -> None:
    program = "import numpy\ndef f(x):\n    return float(numpy.square(x))\n"
    assert kinds(box.judge(program, "assert f(3) == 9", entry_point="f")) == ["load_error"]
    with Sandbox(workers=1, modules=["numpy"]) as furnished:
        assert furnished.judge(program, "assert f(3) == 9", entry_point="f").passed


def test_tight_limits_are_the_programs_alone() -> None:
    tight = Limits(memory=16 << 20, file=1 << 12, files=6, disk=1 << 12, inodes=2, threads=1, output=100)
    with Sandbox(workers=1, limits=tight) as small:
        verdict = small.judge("def f(x):\n    return bytes(x)\n", ["assert f(1) == b'\\0'", "assert f(64 << 20)"], entry_point="f")
    assert kinds(verdict) == ["passed", "memory"]


def test_a_closed_sandbox_says_so_and_ends_what_runs(box: Sandbox) -> None:
    closed = Sandbox(workers=2)
    verdicts = closed.judge_each([Task("def f():\n    while True: pass\n", "assert f() == 1", "f")] * 2)
    threading.Timer(0.5, closed.close).start()
    assert isinstance(next(verdicts), SandboxError)
    closed.close()
    with pytest.raises(SandboxError, match="closed"):
        closed.judge(SQUARE, "assert f(2) == 4", entry_point="f")


def test_a_sandbox_that_nobody_closes_keeps_no_process_from_its_end(box: Sandbox) -> None:
    script = "from luthier.sandbox import Sandbox\nprint(Sandbox().call('def f(): return 5', 'f'))"
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=path, check=True)
    assert finished.stdout == "5\n"
