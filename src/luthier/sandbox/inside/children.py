"""Processes below a monitor, and the time they have had.

Seconds in which a process only waits for a busy processor are not held against it: a verdict must not depend on who else is at work.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

SLACK = 10  # a test may take this many times its seconds where the machine is too busy to run it


class Child:
    """A confined process: its exit status once it is gone, and the processor time and memory it took."""

    def __init__(self, pid: int) -> None:
        self.pid, self.status, self.seconds, self.peak = pid, None, 0.0, 0  # type: int, int | None, float, int
        self._clock = (~pid << 3) | 2

    def cpu(self) -> float:
        """Processor seconds so far."""
        if self.status is None:
            try:
                return time.clock_gettime(self._clock)
            except OSError:
                pass
        return self.seconds

    def runs(self) -> bool:
        """Whether it is on a processor or waits for one."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        except (OSError, IndexError):
            return False

    def reap(self, patience: float) -> bool:
        """Collect it if it ends within `patience` seconds."""
        end = time.monotonic() + patience
        while self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status, self.seconds, self.peak = status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
            elif time.monotonic() >= end:
                return False
            else:
                time.sleep(0.001)
        return True

    def end(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.reap(10)


class Timer:
    """The time one test has had: processor seconds, and seconds in which nothing of it wanted a processor."""

    def __init__(self, children: list[Child]) -> None:
        self.children = children
        self.began = self.looked = time.monotonic()
        self.base = self.spent = sum(child.cpu() for child in children)
        self.idle = 0.0

    def look(self) -> None:
        now, spent = time.monotonic(), sum(child.cpu() for child in self.children)
        passed, used = now - self.looked, spent - self.spent
        if not any(child.runs() for child in self.children):
            self.idle += max(0.0, passed - used)
        self.looked, self.spent = now, spent

    def over(self, wall: float, cpu: float) -> bool:
        used = self.spent - self.base
        return used > cpu or used + self.idle > wall or self.looked - self.began > SLACK * wall
