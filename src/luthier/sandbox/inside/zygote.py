"""The first process inside the sandbox: an interpreter with the usual modules loaded, which forks a monitor for every job it is sent.

It reads neither programs nor tests: a fork would carry them into the next candidate's memory. They travel as file descriptors.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from . import kernel, monitor
from .usual import USUAL


def main(descriptor: str, packages: str, *extra: str) -> None:
    """Serve jobs from the socket until the host closes it. packages: where extra modules are found, joined by colons."""
    sys.path += [folder for folder in packages.split(":") if folder]
    filters = tuple(Path(f"/luthier/{role}.bpf").read_bytes() for role in ("candidate", "driver"))
    kernel.set_dumpable(False)
    signal.signal(signal.SIGCHLD, _collect)
    for name in (*USUAL, *extra):
        importlib.import_module(name)
    mapped = kernel.own_memory()
    host = socket.socket(fileno=int(descriptor))
    host.send(json.dumps({"python": sys.version.split()[0]}).encode())
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        message, descriptors, _, _ = socket.recv_fds(host, 1 << 16, 4)
        if not message:
            return
        if kernel.fork() == 0:
            _monitor(host, message, descriptors, filters, mapped)
        for received in descriptors:
            os.close(received)


def _collect(*_: object) -> None:
    """Wait for the monitors that have ended, so that none stays as a zombie and their processor time is counted."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _monitor(host: socket.socket, message: bytes, descriptors: list[int], filters: tuple[bytes, ...], mapped: int) -> None:
    """The child: one job, and never back into the loop. What goes wrong here is told by a result that is not there."""
    try:
        host.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kernel.die_with_parent()
        monitor.run(message, descriptors, filters, mapped)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(0)
