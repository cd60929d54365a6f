"""The monitor of one job: it starts driver and candidate, keeps the time, drains what the program prints, and tells how each test ended.

It never looks into what the candidate says to the driver. One job, one process: when it ends, the kernel has ended everything below it.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from . import blocks, candidate, driver, kernel
from .children import Child, Timer
from .remote import REPLY, Line

TICK = 0.05
GRACE = 1.0
DRIVER_MEMORY = 1 << 30


class Job(NamedTuple):
    """What the host asks: mode "judge", "call" or "run", the number of tests, and the limits (seconds and bytes)."""

    mode: str
    tests: int
    trace: bool
    wall: float
    cpu: float
    total: float
    output: int
    bounds: kernel.Bounds


class Descriptors(NamedTuple):
    """The four files of a job: program, tests (or standard input), files beside the program, and where the result goes."""

    program: int
    tests: int
    files: int
    result: int


class Monitor:
    """One job from its start to its result."""

    def __init__(self, job: Job, files: Descriptors, driver_bounds: kernel.Bounds) -> None:
        self.job, self.files, self.driver_bounds = job, files, driver_bounds
        self.own = os.pidfd_open(os.getpid())
        self.began = time.monotonic()
        self.trace = mmap.mmap(-1, blocks.SIZE) if job.trace else None
        self.answer = os.memfd_create("answer")
        self.printed, self.heard = {1: bytearray(), 2: bytearray()}, 0
        self.readers: dict[int, int] = {}  # pipe to drain -> 1 or 2
        self.outcomes: list[dict[str, Any]] = []
        self.current: int | None = None
        self.timer: Timer | None = None
        self.killed = ""
        self.ended = False
        self.cpu, self.peak = 0.0, 0
        self.candidate: Child | None = None
        self.driver: Child | None = None

    # What runs below.
    def spawn(self, keep: list[int], work: Callable[[], int | None], standard: tuple[int, int, int], bounds: kernel.Bounds) -> Child:
        """A confined child that does `work` and ends."""
        kernel.unshare(kernel.NEWPID)
        pid = kernel.fork()
        if pid == 0:
            status = 1
            try:
                for target, source in enumerate(standard):
                    os.dup2(source, target)
                kernel.confine(bounds, [0, 1, 2, *keep])
                status = work() or 0
            finally:
                os._exit(status)
        kernel.join_own_pids(self.own)
        return Child(pid)

    def spawn_candidate(self) -> tuple[int, int]:
        """A fresh candidate; the driver's ends of its two pipes."""
        asked, requests = os.pipe()
        replies, said = os.pipe()
        self.killed = ""
        self.candidate = self._with_output(
            [self.files.program, asked, said],
            lambda: candidate.serve(self.files.program, asked, said, self._tracer()),
            os.open("/dev/null", os.O_RDONLY),
        )
        os.close(asked)
        os.close(said)
        return requests, replies

    def _tracer(self) -> blocks.BlockTracer | None:
        return blocks.BlockTracer(self.trace) if self.trace is not None else None

    def _with_output(self, keep: list[int], work: Callable[[], int | None], stdin: int) -> Child:
        out, out_end = os.pipe()
        error, error_end = os.pipe()
        child = self.spawn(keep, work, (stdin, out_end, error_end), self.job.bounds)
        for descriptor in (out_end, error_end, stdin):
            os.close(descriptor)
        self.readers |= {out: 1, error: 2}
        return child

    def spawn_driver(self, start: int, requests: int, replies: int) -> None:
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR)
        keep = [self.files.tests, far.fileno(), requests, replies, self.answer]
        line = Line(far, requests, replies)
        work = partial(driver.drive, self.files.tests, line, self.answer, self.trace, start)
        self.driver = self.spawn(keep, work, (null, null, null), self.driver_bounds)
        far.close()
        for descriptor in (null, requests, replies):
            os.close(descriptor)

    # The job.
    def judge(self) -> None:
        """Run the tests; a driver that hangs or dies is replaced by one that goes on after the test it was at."""
        start = 0
        while start < self.job.tests and not self._late():
            before = start
            requests, replies = self.spawn_candidate()
            self.spawn_driver(start, requests, replies)
            self._watch()
            self._end_all()
            start = len(self.outcomes)
            if self.ended:
                break
            if start == before and not self._late():
                raise RuntimeError("the driver ended before its first test")
        late = {"kind": "timeout", "detail": f"the job's {self.job.total:g} s were over", "calls": 0}
        self.outcomes += [late] * (self.job.tests - len(self.outcomes))

    def _late(self) -> bool:
        return time.monotonic() - self.began > self.job.total

    def _watch(self) -> None:
        """Until the driver is done, gone or out of time."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        watched: set[int] = set()
        while True:
            for pipe in self.readers.keys() - watched:
                poll.register(pipe, select.POLLIN)
            watched |= self.readers.keys()
            for descriptor, _ in poll.poll(TICK * 1000):
                if descriptor == self.control.fileno():
                    if not self._hear():
                        return
                elif not self._drain(descriptor):
                    poll.unregister(descriptor)
                    watched.discard(descriptor)
            if self._out_of_time():
                return

    def _hear(self) -> bool:
        """One message of the driver; False when it has no more to say."""
        text = self.control.recv(1 << 16)
        if not text:
            self._record("exception", "the test ended its own process")
            return False
        message = json.loads(text)
        say = message.pop("say")
        if say == "start":
            self.current = message["test"]
            self.timer = Timer([child for child in (self.candidate, self.driver) if child])
        elif say == "done":
            self.current = self.timer = None
            message.pop("test")
            self.outcomes.append(message)
        elif say == "fate":
            self.control.send(json.dumps(self._fate()).encode())
        elif say == "candidate":
            self._replace()
        elif say == "end":
            self.ended = True
            return False
        return True

    def _record(self, kind: str, detail: str) -> None:
        if self.current is not None:
            self.outcomes.append({"kind": kind, "detail": detail, "calls": 0})
            self.current = self.timer = None

    def _replace(self) -> None:
        self._retire(self.candidate)
        requests, replies = self.spawn_candidate()
        socket.send_fds(self.control, [b"{}"], [requests, replies])
        os.close(requests)
        os.close(replies)
        if self.driver and self.candidate:
            self.timer = Timer([self.candidate, self.driver])

    def _fate(self) -> dict[str, str]:
        """How the candidate ended; one that only closed its pipe is ended here."""
        child = self.candidate
        if child is None:
            return {"kind": "sandbox_error", "detail": "no candidate"}
        if not child.reap(GRACE if not self.killed else 10):
            self.killed = "exited_early"
            child.end()
        if self.killed:
            return {"kind": self.killed, "detail": self._words(self.killed)}
        return self._judged_status(child.status or 0)

    def _judged_status(self, status: int) -> dict[str, str]:
        if os.WIFEXITED(status):
            return {"kind": "exited_early", "detail": f"the process ended with status {os.WEXITSTATUS(status)}"}
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and self.candidate and self.candidate.seconds >= self.job.cpu:
            return {"kind": "timeout", "detail": self._words("timeout")}
        return {"kind": "crashed", "detail": f"signal {number} ({signal.Signals(number).name})"}

    def _words(self, kind: str) -> str:
        return {
            "timeout": f"no answer within {self.job.cpu:g} s of processor time or {self.job.wall:g} s of waiting",
            "output_limit": f"more than {self.job.output} bytes of output",
            "exited_early": "the program closed its line to the judge",
        }[kind]

    # Time and output.
    def _out_of_time(self) -> bool:
        """Ends a candidate whose test is over its time, and says True where the driver itself has to be given up."""
        if self.timer is None:
            return self._late()
        if time.monotonic() - self.timer.looked < TICK:
            return False
        self.timer.look()
        if not (self.timer.over(self.job.wall, self.job.cpu) or self._late()):
            return False
        if self.candidate and self.candidate.status is None:
            self.killed = self.killed or "timeout"
            self.candidate.end()
            self.timer.began = time.monotonic()
            return False
        if time.monotonic() - self.timer.began < GRACE:
            return False
        self._record("timeout", self._words("timeout"))
        return True

    def _drain(self, pipe: int) -> bool:
        """Take what was printed; more than the limit ends the program. False when the pipe is at its end."""
        part = os.read(pipe, 1 << 16)
        if not part:
            os.close(pipe)
            del self.readers[pipe]
            return False
        self.heard += len(part)
        self.printed[self.readers[pipe]] += part
        if self.heard > self.job.output and self.candidate and self.candidate.status is None:
            self.killed = self.killed or "output_limit"
            self.candidate.end()
        return True

    def _retire(self, child: Child | None) -> None:
        if child is not None:
            child.end()
            self.cpu += child.seconds
            self.peak = max(self.peak, child.peak)

    def _end_all(self) -> None:
        self._retire(self.candidate)
        self._retire(self.driver)
        self.candidate = self.driver = None
        for pipe in list(self.readers):
            while self._drain(pipe):
                pass
        self.control.close()

    def script(self) -> None:
        """Run the program as a script on its standard input."""
        self.candidate = self._with_output(
            [self.files.program, self.files.files], lambda: candidate.run_script(self.files.program, self.files.files), self.files.tests
        )
        timer, poll = Timer([self.candidate]), select.poll()
        for pipe in self.readers:
            poll.register(pipe, select.POLLIN)
        while self.readers and not self.candidate.reap(0):
            for descriptor, _ in poll.poll(TICK * 1000):
                if not self._drain(descriptor):
                    poll.unregister(descriptor)
            timer.look()
            if timer.over(self.job.wall, self.job.cpu) and not self.killed:
                self.killed = "timeout"
                self.candidate.end()
        self.outcomes.append(self._script_outcome(self.candidate, timer))
        self._retire(self.candidate)
        for pipe in list(self.readers):
            while self._drain(pipe):
                pass

    def _script_outcome(self, child: Child, timer: Timer) -> dict[str, Any]:
        while not child.reap(TICK):
            timer.look()
            if timer.over(self.job.wall, self.job.cpu):
                self.killed = self.killed or "timeout"
                child.end()
        status = child.status or 0
        if self.killed:
            found = {"kind": self.killed, "detail": self._words(self.killed)}
        elif os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            found = {"kind": "exception" if code else "passed", "detail": f"exit status {code}" if code else ""}
        else:
            found = self._judged_status(status)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return {**found, "calls": 0, "status": code}

    def report(self) -> None:
        """Write the result: one line that says what follows, then standard output, standard error and the answer."""
        parts = [bytes(self.printed[1][: self.job.output]), bytes(self.printed[2][: self.job.output]), candidate.read_all(self.answer)]
        head = {"outcomes": self.outcomes, "cpu": self.cpu + time.process_time(), "wall": time.monotonic() - self.began, "peak": self.peak}
        text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
        left = memoryview(text + b"\n" + b"".join(parts))
        while left:
            left = left[os.write(self.files.result, left) :]


def run(message: bytes, descriptors: list[int], filters: tuple[bytes, ...], mapped: int) -> None:
    """Do one job and write its result. filters: of candidate and driver. mapped: address space that the interpreter takes by itself."""
    asked = json.loads(message)
    limits = asked.pop("limits")
    bounds = kernel.Bounds(**{**limits, "memory": limits["memory"] + mapped}, filter=filters[0])
    memory, file = mapped + max(limits["memory"], DRIVER_MEMORY), max(limits["file"], 2 * REPLY)
    of_driver = bounds._replace(filter=filters[1], memory=memory, file=file)  # tests must not fail for want of what programs are denied
    monitor = Monitor(Job(**asked, bounds=bounds), Descriptors(*descriptors), of_driver)
    if asked["mode"] == "run":
        monitor.script()
    else:
        monitor.judge()
    monitor.report()
