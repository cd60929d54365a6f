from __future__ import annotations

import platform

import pytest

from luthier.errors import SandboxUnavailable
from luthier.sandbox.filters import generate, system_call_filter


@pytest.mark.parametrize("role", generate.ROLES)
@pytest.mark.parametrize("machine", generate.MACHINES)
def test_the_filter_is_what_libseccomp_makes_of_the_list(machine: str, role: str) -> None:
    seccomp = generate.library()
    if seccomp is None:
        pytest.skip("libseccomp is not installed")
    assert generate.compiled(seccomp, machine, role) == (generate.FOLDER / f"{machine}-{role}.bpf").read_bytes()


def test_what_must_stay_closed_is_not_on_the_list() -> None:
    closed = (
        "socket connect bind execve execveat fork vfork kill ptrace bpf keyctl mount unshare setns memfd_create io_uring_setup userfaultfd"
    )
    assert not set(closed.split()) & set(generate.ALLOWED)
    assert len(set(generate.ALLOWED)) == len(generate.ALLOWED)


def test_another_processor_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    system_call_filter.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: "mips")
    with pytest.raises(SandboxUnavailable, match="mips"):
        system_call_filter("candidate")
    system_call_filter.cache_clear()
