"""The doctor: does the sandbox start on this machine, and does each wall hold? Every check is a program that tries."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from luthier.errors import SandboxError
from luthier.sandbox import bubblewrap, nsjail
from luthier.sandbox.outcome import Check, Kind, Limits, Outcome, Report

LIMITS = Limits(wall=0.5, cpu=0.3)
TEST = "assert f(1) == 1"
_HOLD: tuple[tuple[str, tuple[Kind, ...], str], ...] = (
    ("a program runs", ("passed",), "return x"),
    ("the network is closed", ("blocked",), "import socket; socket.create_connection(('1.1.1.1', 80), 1)"),
    ("files of the host are out of reach", ("exception",), "open('/etc/passwd')"),
    ("nothing outside /tmp can be written", ("blocked",), "open('/usr/luthier', 'w')"),
    ("no variable of the environment comes in", ("passed",), "import os; assert not os.environ; return x"),
    ("no other process can be seen", ("passed",), "import os; assert not os.listdir('/proc'); return x"),
    ("no process can be started", ("blocked",), "import os; os.fork()"),
    (
        "threads are limited",
        ("exception",),
        "import threading, time; threading.stack_size(1 << 16)\n    for _ in range(2000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    ),
    ("memory is limited", ("memory",), "return len(bytearray(1 << 40))"),
    ("time is limited", ("timeout",), "\n    while True: pass"),
    ("an early exit is no pass", ("exited_early",), "import os; os._exit(0)"),
)


_MONTY_HOLDS: tuple[tuple[str, tuple[Kind, ...], str], ...] = (
    ("a program runs", ("passed",), "return x"),
    ("there is no network", ("unsupported",), "import socket"),
    ("files of the host are out of reach", ("blocked",), "open('/etc/passwd')"),
    ("nothing can be written", ("blocked",), "open('/tmp/luthier', 'w')"),
    ("no variable of the environment comes in", ("unsupported",), "import os; return os.environ"),
    ("no process can be started", ("unsupported",), "import os; os.fork()"),
    ("memory is limited", ("memory",), "return len('a' * (1 << 40))"),
    ("time is limited", ("timeout",), "\n    while True: pass"),
    ("what monty lacks is named", ("unsupported",), "yield x"),
)


def examine(tried: Callable[[str], Outcome], backend: str) -> Report:
    """Try every wall; where the sandbox does not start, the one check that says why. tried: runs a program that defines `f` on f(1) == 1."""
    checks: list[Check] = []
    began = time.monotonic()
    try:
        for name, expected, body in _MONTY_HOLDS if backend == "monty" else _HOLD:
            found = tried(f"def f(x):\n    {body}\n")
            seen = f"{time.monotonic() - began:.2f} s to the first verdict" if not checks else str(found)
            checks.append(Check(name, found.kind in expected, seen))
    except SandboxError as problem:
        return Report((*checks, Check("the sandbox starts", False, str(problem))))
    return Report((Check("the sandbox starts", True, f"{backend}, {_what_runs(backend)}"), *checks))


def _what_runs(backend: str) -> str:
    if backend == "monty":
        return f"pydantic-monty {version('pydantic-monty')}: the interpreter is the wall, the kernel adds none"
    return f"{nsjail.find() if backend == 'nsjail' else bubblewrap.find()}, {_as_whom()}"


def _as_whom() -> str:
    if os.geteuid() != 0:
        return f"as user {os.geteuid()}"
    return f"root, given up for user {bubblewrap.USER}" if bubblewrap.can_give_up_root() else "root without capabilities"


def machine() -> str:
    """Kernel and the settings that decide about user namespaces, for a report of a failure."""
    names = (
        "kernel/osrelease",
        "user/max_user_namespaces",
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
    )
    found = {name: Path("/proc/sys", name) for name in names}
    return ", ".join(f"{name.rpartition('/')[2]} {path.read_text().strip()}" for name, path in found.items() if path.is_file())
