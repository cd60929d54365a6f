"""Files in memory that nobody can change any more: what a program, its tests and the sandbox's own files travel in."""

from __future__ import annotations

import os

_SEALS = 0x000F  # no more sealing, shrinking, growing, writing


def memory_file(content: bytes) -> int:
    """A descriptor of an anonymous file with this content, sealed."""
    import fcntl  # Windows, where monty judges without it, has none

    descriptor = os.memfd_create("luthier", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor
