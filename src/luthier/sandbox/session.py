"""A running sandbox as the host sees it: it is sent jobs over a socket, and each job writes its result into a pipe of its own."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Protocol

from luthier.errors import SandboxError, SandboxUnavailable
from luthier.sandbox import bubblewrap
from luthier.sandbox.bubblewrap import Command
from luthier.sandbox.inside.children import SLACK
from luthier.sandbox.outcome import Limits
from luthier.sandbox.sealed import memory_file

START_SECONDS = 60.0
PATIENCE = 30.0  # beyond the job's own limit, before the sandbox counts as broken
_ROOM = 64 << 20


class Jail(Protocol):
    """Who builds the outer walls: the modules `bubblewrap` and `nsjail`."""

    def command(self, host: int, modules: Sequence[str], /) -> Command: ...

    def explain(self, said: str, /) -> SandboxUnavailable: ...


@dataclass(frozen=True)
class Job:
    """One job: "judge", "call" or "run". Program, tests and files travel in files of their own."""

    mode: str
    program: bytes
    tests: bytes
    files: bytes
    count: int
    trace: bool = False


@dataclass(frozen=True)
class Raw:
    """What a monitor reports."""

    outcomes: list[dict[str, Any]]
    cpu: float
    wall: float
    peak: int
    stdout: bytes
    stderr: bytes
    answer: bytes


class Session:
    """One sandbox with its zygote. Any number of threads may `run` jobs in it."""

    def __init__(self, modules: Sequence[str] = (), jail: Jail = bubblewrap) -> None:
        """Start it. jail: who builds its walls. Raises SandboxUnavailable."""
        self._jail = jail
        self.jobs, self.running = 0, 0  # the fleet counts them
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session
        self._host, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            command = jail.command(inside.fileno(), modules)
            try:
                self._process = subprocess.Popen(
                    command.words,
                    env={},
                    pass_fds=command.descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._said,
                )
            finally:
                for descriptor in command.opened:
                    os.close(descriptor)
        finally:
            inside.close()
        self.python = self._greeting()

    def run(self, job: Job, limits: Limits) -> Raw:
        """Do one job. Raises SandboxError where no whole result comes back."""
        result, end = os.pipe()
        try:
            with _open_files(job) as files:
                try:
                    socket.send_fds(self._host, [_header(job, limits)], [*files, end])
                except OSError as problem:
                    raise SandboxError(f"the sandbox takes no more jobs ({problem.strerror})") from problem
                finally:
                    os.close(end)
            return _parse(_read(result, limits.total + limits.wall * (SLACK + 1) + PATIENCE))
        finally:
            os.close(result)

    def close(self) -> None:
        """End it and everything in it."""
        self._host.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._said.close()

    def kill(self) -> None:
        """End it now; jobs in it fail with SandboxError."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _greeting(self) -> str:
        poll = select.poll()
        poll.register(self._host, select.POLLIN)
        greeting = self._host.recv(1 << 12) if poll.poll(START_SECONDS * 1000) else b""
        if not greeting:
            self.kill()
            said = self._last_words()
            self.close()
            raise self._jail.explain(said)
        return str(json.loads(greeting)["python"])

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read()[-2000:].decode(errors="replace")


@contextmanager
def _open_files(job: Job) -> Iterator[list[int]]:
    descriptors = [memory_file(content) for content in (job.program, job.tests, job.files)]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _header(job: Job, limits: Limits) -> bytes:
    bounds = {name: value for name, value in asdict(limits).items() if name not in ("wall", "cpu", "total", "output")}
    bounds["cpu"] = int(limits.cpu + 1) * (job.count + 1)
    head = {"mode": job.mode, "tests": job.count, "trace": job.trace, "wall": limits.wall, "cpu": limits.cpu}
    return json.dumps({**head, "total": limits.total, "output": limits.output, "limits": bounds}).encode()


def _read(descriptor: int, seconds: float) -> bytes:
    """Everything up to the end of the pipe; raises SandboxError after `seconds` or where it is too much."""
    poll, end, parts = select.poll(), time.monotonic() + seconds, bytearray()
    poll.register(descriptor, select.POLLIN)
    while True:
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise SandboxError(f"the sandbox gave no result within {seconds:g} s")
        part = os.read(descriptor, 1 << 20)
        if not part:
            return bytes(parts)
        parts += part
        if len(parts) > _ROOM:
            raise SandboxError("the sandbox gave a result that is too large")


def _parse(text: bytes) -> Raw:
    try:
        head, rest = text.split(b"\n", 1)
        told = json.loads(head)
        parts, at = [], 0
        for size in told.pop("sizes"):
            parts.append(rest[at : at + size])
            at += size
        if at != len(rest):
            raise ValueError("cut short")
        return Raw(**told, stdout=parts[0], stderr=parts[1], answer=parts[2])
    except (ValueError, KeyError, TypeError) as problem:
        raise SandboxError("the sandbox ended without a result") from problem
