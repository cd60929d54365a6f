"""The system calls that a confined process may make, as a filter that libseccomp compiled; one file for each processor and role."""

from __future__ import annotations

import platform
from functools import cache
from importlib.resources import files
from typing import Literal

from luthier.errors import SandboxUnavailable

Role = Literal["candidate", "driver"]


@cache
def system_call_filter(role: Role) -> bytes:
    """The filter of a role on this machine, in the kernel's form. Raises SandboxUnavailable where there is none for its processor."""
    machine = platform.machine()
    filter_file = files(__name__) / f"{machine}-{role}.bpf"
    if not filter_file.is_file():
        raise SandboxUnavailable(f"there is no system call filter for the processor {machine}; x86_64 and aarch64 have one")
    return filter_file.read_bytes()
