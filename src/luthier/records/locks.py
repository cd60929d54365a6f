"""One lock for what a command writes and continues: a second writer gets one line, and no file is emptied or followed on the way."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from luthier.errors import LuthierError, SettingsError


class FileLock:
    """An exclusive lock on a file, which is made where it is missing. A context manager; the lock ends with the process at the latest."""

    def __init__(self, path: Path, what: str) -> None:
        """what: the thing it guards, as people name it."""
        self.path, self.what = path, what
        self._descriptor: int | None = None

    def __enter__(self) -> FileLock:
        """Raises LuthierError where another process holds it, SettingsError where the file cannot be a lock."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as problem:
            why = "it is a symbolic link" if problem.errno == errno.ELOOP else problem.strerror
            raise SettingsError(f"{self.path}: cannot be a lock file ({why}); choose another with --out") from problem
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(descriptor)
            raise LuthierError(f"{self.what}: another run is using it; wait for it or choose another with --out") from problem
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of that file now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
