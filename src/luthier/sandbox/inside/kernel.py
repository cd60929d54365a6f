"""The kernel calls that Python 3.11 does not offer: namespaces, mounts, capabilities, the system call filter.

All go through libc by `ctypes`; each raises OSError with the kernel's reason. `confine` puts them in the one order that is safe.
"""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import NamedTuple

NEWNS, NEWIPC, NEWUSER, NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REC, PRIVATE, BIND = 0x4000, 0x40000, 0x1000
_DEATH_SIGNAL, _DUMPABLE, _FILTER, _DROP_BOUND, _NO_NEW_PRIVILEGES = 1, 4, 22, 24, 38
_CAPABILITIES_V3, _CAPABILITIES = 0x20080522, range(64)
_SIGKILL = 9
_libc = ctypes.CDLL(None, use_errno=True)
_holding = ctypes.PyDLL(None)  # calls that keep the interpreter's lock


class Bounds(NamedTuple):
    """What one process may use: seconds, bytes, counts. `memory` counts what the interpreter has mapped already;
    `filter` is the compiled system call filter.
    """

    cpu: int
    memory: int
    file: int
    disk: int
    inodes: int
    files: int
    threads: int
    stack: int
    filter: bytes


def call(name: str, *arguments: object) -> int:
    """A libc function that answers -1 where it fails; raises OSError then."""
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def fork() -> int:
    """As `os.fork`, for a process with one thread: without Python's hooks, which touch, and so copy, half as many pages again."""
    return int(_holding.fork())


def unshare(spaces: int) -> None:
    call("unshare", spaces)


def join_own_pids(own: int) -> None:
    """Children are born in this process's own PID namespace again; own: its `pidfd`."""
    call("setns", own, NEWPID)


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    call("mount", source, target, kind, flags, options)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may look into this process's memory, and who owns its files in /proc."""
    call("prctl", _DUMPABLE, int(dumpable), 0, 0, 0)


def die_with_parent() -> None:
    call("prctl", _DEATH_SIGNAL, _SIGKILL, 0, 0, 0)


def own_memory() -> int:
    """Bytes of address space that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def keep_only(descriptors: list[int]) -> None:
    """Close every file descriptor but these."""
    start = 0
    for kept in sorted({*descriptors, 1 << 20}):
        if kept > start:
            os.closerange(start, kept)
        start = kept + 1


def confine(bounds: Bounds, keep: list[int]) -> None:
    """Shut this process in for good: descriptors, namespaces, a disk of its own, limits, capabilities, system calls.

    Every step needs what the next one takes away. /proc is covered because the mount shows the processes outside;
    the user namespace makes the limit of threads count this process alone.
    """
    keep_only(keep)
    _own_namespaces()
    mount(b"none", b"/", None, REC | PRIVATE)
    mount(b"tmpfs", b"/tmp", b"tmpfs", NOSUID | NODEV, b"mode=700,size=%d,nr_inodes=%d" % (bounds.disk, bounds.inodes))
    mount(b"tmpfs", b"/proc", b"tmpfs", NOSUID | NODEV | NOEXEC | RDONLY, b"size=4k,nr_inodes=2")
    os.chdir("/tmp")
    _set_limits(bounds)
    _drop_capabilities()
    set_dumpable(False)
    die_with_parent()
    call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _install(bounds.filter)


def _own_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    set_dumpable(True)  # the files below belong to root in a process that is not
    unshare(NEWUSER | NEWNS | NEWIPC)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def _set_limits(bounds: Bounds) -> None:
    for name, limit in (
        (resource.RLIMIT_CPU, bounds.cpu),
        (resource.RLIMIT_AS, bounds.memory),
        (resource.RLIMIT_FSIZE, bounds.file),
        (resource.RLIMIT_NOFILE, bounds.files),
        (resource.RLIMIT_NPROC, bounds.threads),
        (resource.RLIMIT_STACK, bounds.stack),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(name, (limit, limit))


def _drop_capabilities() -> None:
    for capability in _CAPABILITIES:
        if _libc.prctl(_DROP_BOUND, capability, 0, 0, 0) < 0:
            break  # the kernel knows no capability of this number
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _install(rules: bytes) -> None:
    code = ctypes.create_string_buffer(rules, len(rules))
    program = _Program(len(rules) // 8, ctypes.cast(code, ctypes.c_void_p))
    call("prctl", _FILTER, 2, ctypes.byref(program), 0, 0)
