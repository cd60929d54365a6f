"""The sandboxes of one `Sandbox`: started when needed, replaced after a thousand jobs and after any failure, ended together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from luthier.errors import SandboxError
from luthier.sandbox import bubblewrap
from luthier.sandbox.outcome import KINDS, Limits
from luthier.sandbox.session import Jail, Job, Raw, Session

RECYCLE = 1000


class Fleet:
    """Does jobs, from any number of threads.

    single: a sandbox of its own for each job, else one that forks them all until it is replaced. jail: who builds its walls.
    """

    def __init__(self, modules: tuple[str, ...], single: bool, recycle: int = RECYCLE, jail: Jail = bubblewrap) -> None:
        self.jail = jail
        self.modules, self.recycle = modules, 1 if single else recycle
        self._lock = threading.Lock()
        self._open: list[Session] = []
        self._closed = False
        # The kernel ends a sandbox with the thread that started it, so one thread starts them all.
        self._starter = ThreadPoolExecutor(1, "sandbox-start")

    def do(self, job: Job, limits: Limits) -> Raw:
        """The job's result. One that fails is tried once more, in a sandbox of its own; raises SandboxError then."""
        session = self._enter()
        try:
            return _checked(session.run(job, limits), job)
        except SandboxError:
            session.jobs = max(session.jobs, self.recycle)  # it ends when the others' jobs in it are done
        finally:
            self._leave(session)
        with self._alone() as alone:
            return _checked(alone.run(job, limits), job)

    def close(self) -> None:
        """End them all, and the jobs in them: those fail with SandboxError."""
        with self._lock:
            self._closed = True
            for session in self._open:
                if session.running:
                    session.kill()
            self._sweep()
        self._starter.shutdown()

    def _enter(self) -> Session:
        """A sandbox with room for one more job, counted as taken."""
        with self._lock:
            self._sweep()
            session = next((open_ for open_ in self._open if open_.alive and open_.jobs < self.recycle), None)
            if session is None:
                session = self._start()
                self._open.append(session)
            session.jobs, session.running = session.jobs + 1, session.running + 1
            return session

    def _alone(self) -> Session:
        with self._lock:
            return self._start()

    def _start(self) -> Session:
        if self._closed:
            raise SandboxClosedError("this sandbox is closed")
        return self._starter.submit(Session, self.modules, self.jail).result()

    def _leave(self, session: Session) -> None:
        with self._lock:
            session.running -= 1
            self._sweep()

    def _sweep(self) -> None:
        """Close those that have no job and get none any more."""
        for session in [open_ for open_ in self._open if open_.running == 0 and self._is_over(open_)]:
            self._open.remove(session)
            session.close()

    def _is_over(self, session: Session) -> bool:
        return self._closed or session.jobs >= self.recycle or not session.alive


class SandboxClosedError(SandboxError):
    """A job for a sandbox that has been closed."""


def _checked(raw: Raw, job: Job) -> Raw:
    known = {*KINDS, "bad_test"}
    if len(raw.outcomes) != job.count or any(outcome["kind"] not in known for outcome in raw.outcomes):
        raise SandboxError(f"the sandbox reports {raw.outcomes[:1]} for {job.count} tests")
    return raw
