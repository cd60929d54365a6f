"""Compiles the list of allowed system calls with libseccomp: `python -m luthier.sandbox.filters.generate` writes the files beside this one.

What is not on the list fails with EPERM, so that a program hears of it. `clone` makes threads alone, and `clone3`, whose flags a filter
cannot see, does not exist, so that libc falls back to `clone`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent
ROLES = ("candidate", "driver")
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_BAD_ARCHITECTURE, _EQUAL, _MASKED_EQUAL = 2, 4, 7
_THREAD, _NAMESPACES = 0x00010000, 0x7E020000
_AF_UNIX = 1

_NAMES = """
read write readv writev pread64 pwrite64 preadv pwritev lseek close close_range dup dup2 dup3
open openat creat access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs readlink readlinkat
getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
chmod fchmod fchmodat truncate ftruncate fallocate fsync fdatasync utime utimes utimensat umask sendfile copy_file_range
mmap munmap mprotect mremap madvise brk futex set_robust_list get_robust_list set_tid_address rseq membarrier
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait sigaltstack restart_syscall pause
exit exit_group tgkill sched_yield sched_getaffinity sched_getparam sched_getscheduler
nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times alarm getitimer setitimer
pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd eventfd2
sendto recvfrom shutdown getsockopt setsockopt getsockname getpeername
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
getrandom getrlimit setrlimit prlimit64 getrusage sysinfo uname
"""
ALLOWED = tuple(_NAMES.split())

# system call, position of the argument, mask (None: the whole of it), values that are allowed
DRIVER = ("recvmsg",)  # besides: it is given the pipes to a new candidate

BY_ARGUMENT: tuple[tuple[str, int, int | None, tuple[int, ...]], ...] = (
    ("clone", 0, _THREAD | _NAMESPACES, (_THREAD,)),
    ("socketpair", 0, None, (_AF_UNIX,)),
    ("prctl", 0, None, (15, 16)),  # the name of a thread
    ("fcntl", 1, None, (0, 1, 2, 3, 4, 1030)),  # duplicates and flags; a lock would reach the host's files
    ("ioctl", 1, None, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),  # is it a terminal, how much is there, close on exec
)


class _Comparison(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64))


def library() -> ctypes.CDLL | None:
    """libseccomp 2, where it is installed."""
    name = ctypes.util.find_library("seccomp")
    if name is None:
        return None
    found = ctypes.CDLL(name)
    found.seccomp_init.restype = ctypes.c_void_p
    return found


def compiled(seccomp: ctypes.CDLL, machine: str, role: str) -> bytes:
    """The filter for one processor and a "candidate" or "driver". Raises OSError where libseccomp refuses a rule."""
    with _context(seccomp) as context:
        _done(seccomp.seccomp_arch_add(context, ctypes.c_uint32(MACHINES[machine])), f"add {machine}", errno.EEXIST)
        for other in MACHINES.keys() - {machine}:
            _done(seccomp.seccomp_arch_remove(context, ctypes.c_uint32(MACHINES[other])), f"remove {other}", errno.EEXIST)
        _done(seccomp.seccomp_attr_set(context, _BAD_ARCHITECTURE, ctypes.c_uint32(_KILL_PROCESS)), "set the action")
        for name in (*ALLOWED, *(DRIVER if role == "driver" else ())):
            _rule(seccomp, context, name, _ALLOW)
        _rule(seccomp, context, "clone3", _ERRNO | errno.ENOSYS)
        for name, position, mask, values in BY_ARGUMENT:
            for value in values:
                wanted = _Comparison(position, _EQUAL, value, 0) if mask is None else _Comparison(position, _MASKED_EQUAL, mask, value)
                _rule(seccomp, context, name, _ALLOW, wanted)
        with tempfile.TemporaryFile() as stream:
            _done(seccomp.seccomp_export_bpf(context, stream.fileno()), "export")
            stream.seek(0)
            return stream.read()


@contextmanager
def _context(seccomp: ctypes.CDLL) -> Iterator[ctypes.c_void_p]:
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    try:
        yield context
    finally:
        seccomp.seccomp_release(context)


def _rule(seccomp: ctypes.CDLL, context: ctypes.c_void_p, name: str, action: int, *wanted: _Comparison) -> None:
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number == -1:
        raise OSError(errno.ENOENT, f"libseccomp knows no system call {name}")
    comparisons = (_Comparison * max(1, len(wanted)))(*wanted)
    _done(seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(wanted), comparisons), f"allow {name}")


def _done(result: int, what: str, *accepted: int) -> None:
    if result < 0 and -result not in accepted:
        raise OSError(-result, f"libseccomp cannot {what}: {os.strerror(-result)}")


def main() -> None:
    seccomp = library()
    if seccomp is None:
        raise SystemExit("libseccomp is not installed: apt-get install libseccomp2")
    for machine in MACHINES:
        for role in ROLES:
            (FOLDER / f"{machine}-{role}.bpf").write_bytes(compiled(seccomp, machine, role))


if __name__ == "__main__":
    main()
