"""The rules that keep a program in, each with the program that found the hole."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from luthier.errors import SandboxError, SandboxUnavailable
from luthier.sandbox import Limits, Sandbox
from luthier.sandbox.fleet import Fleet
from luthier.sandbox.inside import kernel
from luthier.sandbox.outcome import Task
from luthier.sandbox.session import Job, Session
from luthier.sandbox.verdicts import encoded, judge_job

INSIDE = Path(kernel.__file__).parent


def outcome(box: Sandbox, body: str, limits: Limits | None = None) -> str:
    program = f"import os\ndef f(x):\n    {body}\n"
    return str(box.judge(program, "assert f(2) == 4", entry_point="f").outcome)


def test_1_no_variable_of_the_host_comes_in_not_even_through_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CANARY", "feathers-of-yellow")
    with Session() as session:
        for process in zygotes(session):
            assert b"feathers" not in Path(f"/proc/{process}/environ").read_bytes()
        look = "import glob\nprint([open(p, 'rb').read() for p in glob.glob('/proc/*/environ')], __import__('os').environ)"
        raw = session.run(Job("run", look.encode(), b"", encoded([]), 1), Limits())
        assert b"feathers" not in raw.stdout
        assert raw.stdout.startswith(b"[]")


def test_2_processes_are_denied_and_threads_counted_for_each_program_alone(box: Sandbox) -> None:
    assert outcome(box, "os.fork()").startswith("blocked")
    count = (
        "import threading, time\nstarted = 0\ndef f(x):\n    global started\n    threading.stack_size(65536)\n    try:\n"
        "        while True:\n            threading.Thread(target=time.sleep, args=(50,), daemon=True).start()\n            started += 1\n"
        "    except RuntimeError:\n        return started\n"
    )
    with Sandbox(workers=4, limits=Limits(threads=20)) as crowded:
        verdicts = list(crowded.judge_many([Task(count, "assert f(2) == 19", "f")] * 8))
    assert [str(verdict.outcome) for verdict in verdicts] == ["passed"] * 8


def test_3_no_place_to_write_but_a_small_disk(box: Sandbox) -> None:
    for path in ("/dev/x", "/x", "/luthier/x", "/usr/x", "/proc/x"):
        assert outcome(box, f"open({path!r}, 'w')").startswith(("blocked", "exception (FileNotFoundError")), path
    assert "No space left" in outcome(box, "\n    for n in range(600): open(f'/tmp/{n}', 'w')")
    assert "No space left" in outcome(box, "\n    for n in range(6): open(f'/tmp/{n}', 'wb').write(bytes(4 << 20))")


def test_4_tests_are_in_no_memory_that_a_program_can_search(box: Sandbox) -> None:
    search = (
        "import gc\n    seen, todo = set(), gc.get_objects()\n    while todo:\n        thing = todo.pop()\n        if id(thing) in seen: continue\n"
        "        seen.add(id(thing))\n        if type(thing) in (str, bytes) and ''.join(['canary', '77']) in str(thing): return 4\n"
        "        todo += [part for part in gc.get_referents(thing) if id(part) not in seen][:1000]\n    return None"
    )
    verdict = box.judge(f"def f(x):\n    {search}\n", "assert f(2) == 4  # canary77", entry_point="f")
    assert verdict.outcome.kind == "wrong_answer"
    assert box.judge(f"def f(x):\n    {search}\n", "assert f(2) == 4  # canary77", entry_point="f", judge="inprocess").passed  # it can find


def test_4c_a_candidate_that_replaces_another_learns_nothing_of_the_tests_before(box: Sandbox) -> None:
    look = (
        "import sys\ndef f(x):\n    if x == 1:\n        while True: pass\n    frame, seen = sys._getframe(), ''\n    while frame:\n"
        "        seen += ''.join(str(vars(value)) for value in frame.f_locals.values() if hasattr(value, '__dict__'))\n        frame = frame.f_back\n"
        "    return 'outcomes' in seen and ''.join(['canary', '77']) in seen\n"
    )
    tests = ["assert f(0) == 5  # canary77", "f(1)", "assert f(2) is False"]
    verdict = box.judge(look, tests, entry_point="f")
    assert [test.outcome.kind for test in verdict.tests] == ["wrong_answer", "timeout", "passed"]
    assert "canary77" in verdict.tests[0].outcome.detail


def test_4b_no_other_process_is_in_sight_and_the_judge_cannot_be_read(box: Sandbox) -> None:
    assert outcome(box, "return 4 if os.listdir('/proc') == [] and os.getpid() == 1 else None") == "passed"
    assert (
        outcome(box, "import ctypes; ctypes.CDLL(None).umount2(b'/proc', 2); return 4 if os.listdir('/proc') == [] else None") == "passed"
    )
    with Session() as session:
        (zygote,) = zygotes(session)
        assert Path(f"/proc/{zygote}/mem").stat().st_uid == 0  # root's, not its own user's: it is not dumpable


def test_5_system_calls_are_those_of_the_list(box: Sandbox) -> None:
    assert outcome(box, "import socket; socket.socket()").startswith("blocked")
    assert outcome(box, "import socket; a, b = socket.socketpair(); a.send(b'4'); return int(b.recv(1))") == "passed"
    assert outcome(box, "os.memfd_create('x')").startswith("blocked")


def test_6_capabilities_are_gone_in_a_program_and_one_is_left_in_the_zygote(box: Sandbox) -> None:
    held = "import ctypes; h = (ctypes.c_uint32 * 2)(0x20080522, 0); d = (ctypes.c_uint32 * 6)(*[9] * 6)"
    assert outcome(box, f"{held}; return ctypes.CDLL(None).capget(h, d)").startswith("wrong_answer")  # not even asked for
    with Session() as session:
        (zygote,) = zygotes(session)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{zygote}/status").read_text().splitlines() if ":\t" in line)
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 21  # CAP_SYS_ADMIN of its own user namespace
        assert status["NoNewPrivs"] == "1"
        assert status["Uid"].split()[0] != "0"


def test_7_a_long_reply_is_refused_unread(box: Sandbox) -> None:
    assert outcome(box, "return 'x' * (50 << 20)") == "output_limit (a reply of 52428817 bytes; 8388608 are allowed)"
    deep = "\n    for n in range(5000): x = [x]\n    return x"
    assert outcome(box, deep).startswith("unsupported_value (a value of more than 100 levels")


def test_8_output_is_cut_and_kept_and_nothing_printed_is_lost(box: Sandbox) -> None:
    flood = box.judge("def f(x):\n    while True: print('y' * 999)\n", "assert f(1) == 1", entry_point="f")
    assert flood.outcome.kind == "output_limit"
    assert len(flood.stdout) == 64 << 10
    assert box.judge("def f(x):\n    print('last', end='')\n    return x\n", "assert f(1) == 1", entry_point="f").stdout == "last"
    assert box.run("print('last', end='')").stdout == "last"


def test_9_memory_counts_beside_what_the_interpreter_takes(box: Sandbox) -> None:
    with Sandbox(workers=1, limits=Limits(memory=64 << 20), modules=["numpy"]) as furnished:
        assert outcome(furnished, "return len(bytearray(32 << 20)) and 4") == "passed"
        assert outcome(furnished, "return len(bytearray(128 << 20)) and 4").startswith("memory")


def test_10_waiting_for_a_busy_processor_is_not_held_against_a_program() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        with Sandbox(workers=2, limits=Limits(wall=1.2, cpu=1.0)) as box:
            program = (
                "import time\ndef f(x):\n    end = time.process_time() + 0.6\n    while time.process_time() < end: pass\n    return 4\n"
            )
            verdicts = list(box.judge_many([Task(program, "assert f(2) == 4", "f")] * 4))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert [verdict.outcome.kind for verdict in verdicts] == ["passed"] * 4
    assert max(verdict.wall for verdict in verdicts) > 1.2  # longer than the limit, and not held against them


def test_11_a_sandbox_is_replaced_in_time_and_after_every_failure() -> None:
    fleet = Fleet((), single=False, recycle=5)
    job = judge_job(Task("def f(): return 1", "assert f() == 1", "f"), trace=False)
    started = set()
    for turn in range(12):
        assert fleet.do(job, Limits()).outcomes[0]["kind"] == "passed"
        started |= set(fleet._open)
        if turn == 7:
            fleet._open[0].kill()
    assert len(started) == 3
    assert len(fleet._open) == 1
    fleet.close()


def test_11_a_job_that_fails_twice_is_raised_and_never_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def dies(session: Session, job: Job, limits: Limits) -> None:
        tried.append(session)
        session.kill()
        raise SandboxError("gone")

    monkeypatch.setattr(Session, "run", dies)
    with Sandbox(workers=1) as box, pytest.raises(SandboxError, match="gone"):
        box.judge("def f(): return 1", "assert f() == 1", entry_point="f")
    assert len(tried) == 2
    assert tried[0] is not tried[1]


def test_12_the_kernel_calls_raise_with_the_kernels_reason() -> None:
    with pytest.raises(OSError, match="mount") as caught:
        kernel.mount(b"none", b"/nowhere/at/all", b"tmpfs", 0)
    assert caught.value.filename == "mount"


def test_what_runs_inside_imports_the_standard_library_and_its_neighbours_alone() -> None:
    neighbours = {path.stem for path in INSIDE.glob("*.py")}
    for path in INSIDE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names, path
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names} if node.module is None else {node.module}
                allowed = neighbours if node.level == 1 else sys.stdlib_module_names
                assert {name.split(".")[0] for name in names} <= set(allowed), path


def test_where_nothing_can_be_confined_the_reason_and_the_cure_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Sandbox() as box, pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        box.run("print(1)")


def test_where_namespaces_are_used_up_the_reason_and_the_cure_are_said(box: Sandbox) -> None:
    script = "from luthier.sandbox import Sandbox\nprint([check.seen for check in Sandbox().doctor().checks])"
    nested = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", sys.executable, "-c", script]
    finished = subprocess.run(
        nested, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert "the sandbox does not start" in finished.stdout, finished
    assert "max_user_namespaces" in finished.stdout


def test_killing_the_parent_leaves_nothing_running(box: Sandbox) -> None:
    script = (
        "import os, time\nfrom luthier.sandbox import Sandbox, Task\nbox = Sandbox(workers=4)\n"
        "box.call('def f(): pass', 'f')\nprint(box._fleet._open[0]._process.pid, flush=True)\n"
        "list(box.judge_many([Task('def f():\\n    while True: pass', 'assert f() == 1', 'f')] * 4))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert parent.stdout is not None
    sandbox = int(parent.stdout.readline())
    busy = wait_for(lambda: len(below(sandbox)) > 8 and below(sandbox))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not [process for process in busy if Path(f"/proc/{process}").exists()] and [True])


def test_nothing_is_left_behind_by_many_programs(box: Sandbox) -> None:
    with Session() as session:
        job = judge_job(Task("def f(): return 1", "assert f() == 1", "f"), trace=False)
        session.run(job, Limits())
        (zygote,) = zygotes(session)
        before = len(list(Path("/proc/self/fd").iterdir())), len(list(Path(f"/proc/{zygote}/fd").iterdir()))
        for _ in range(100):
            assert session.run(job, Limits()).outcomes[0]["kind"] == "passed"
        assert before == (len(list(Path("/proc/self/fd").iterdir())), len(list(Path(f"/proc/{zygote}/fd").iterdir())))
        assert wait_for(lambda: not below(zygote) and [True])


def wait_for(found: object, seconds: float = 20) -> list[int]:
    """What `found` gives once it is not empty; an empty list after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return list(result)
        time.sleep(0.01)
    return []


def zygotes(session: Session) -> list[int]:
    """Host process numbers of the interpreters in a sandbox: below bubblewrap and its init."""
    return [process for init in children(session._process.pid) for process in children(init)]


def below(process: int) -> list[int]:
    return [found for child in children(process) for found in (child, *below(child))]


def children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
