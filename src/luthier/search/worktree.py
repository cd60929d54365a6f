"""Copies of a repository whose tests run inside bubblewrap: no network, no home, nothing of the machine but Python and the copy itself.

The repository is only read. The tests share an interpreter with the code they test, as pytest has it, so a result here is for people to
look at: unlike in `luthier.sandbox`, code that means to deceive its tests could.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from luthier.errors import MissingFileError, SettingsError
from luthier.sandbox import bubblewrap
from luthier.texts.sources import Source

INSIDE, SEEN, PLUGIN = "/luthier-tree", ".luthier-seen.json", "luthier_seen"
LEFT_OUT = frozenset(
    {".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
LARGEST = 64 << 20  # of a file that is copied
MEMORY, FILE = 4 << 30, 256 << 20
ENVIRONMENT = {
    "PYTHONPATH": f"/luthier:{INSIDE}/src:{INSIDE}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "HOME": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
}
"""What the tests find in their environment, beside PATH."""
_LIMITED = (
    "import os, resource, sys\n"
    "for what, most in ((resource.RLIMIT_AS, {memory}), (resource.RLIMIT_FSIZE, {file}), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, {cpu})):\n"
    "    resource.setrlimit(what, (most, most))\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


class Place(NamedTuple):
    """Where a function is: a file inside the copy, or an absolute path; its name; a line of it, the first one of those that were called."""

    file: str
    name: str
    line: int


@dataclass(frozen=True)
class Ran:
    """What a run of tests came to. tests: outcome by node id; texts: what was said of those that failed; frames: by node id
    the functions of their tracebacks; called, lines: where tests were followed, the functions that each called, in their order, and the files and lines that it ran; said: the end of
    the output where pytest did not get to its end; doctests: which of the tests are examples of docstrings."""

    tests: Mapping[str, str]
    texts: Mapping[str, str]
    called: Mapping[str, tuple[Place, ...]]
    frames: Mapping[str, tuple[Place, ...]]
    lines: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    said: str = ""
    doctests: frozenset[str] = frozenset()

    @property
    def files(self) -> frozenset[str]:
        """Those that hold nothing but tests."""
        return frozenset(name.partition("::")[0] for name in self.tests.keys() - self.doctests)

    @property
    def passed(self) -> frozenset[str]:
        return frozenset(name for name, outcome in self.tests.items() if outcome == "passed")

    @property
    def failed(self) -> frozenset[str]:
        return frozenset(name for name, outcome in self.tests.items() if outcome == "failed")


class Worktree:
    """A copy of a repository below a temporary folder, which is as it was after every run of its tests. A context manager.

    left_out: what of the repository is not in the copy, but for what is made anew anyway: links that lead out of it, large and special files.
    """

    def __init__(self, repository: Path, python: str | None = None) -> None:
        if not repository.is_dir():
            raise MissingFileError(f"{repository}: no such folder; give the root of a repository")
        self.python = python or sys.executable
        self._holder = tempfile.TemporaryDirectory(prefix="luthier-")
        self._kept, self.path = Path(self._holder.name) / "kept", Path(self._holder.name) / "work"
        self.left_out = _copied(repository.resolve(), self._kept)
        shutil.copytree(self._kept, self.path, symlinks=True)
        self._states = _states(self.path)

    def read(self, file: str) -> str:
        """The text of a file, its lines ending in a line feed. Raises OSError, and ValueError where it is no text of its encoding."""
        return Source.of((self._kept / file).read_bytes()).text

    def content(self, file: str) -> bytes:
        """A file as it stands in the repository."""
        return (self._kept / file).read_bytes()

    def written(self, file: str, text: str) -> bytes:
        """What the file holds with another text: its encoding and the ends of its lines stay."""
        return Source.of((self._kept / file).read_bytes()).written(text)

    def test(self, names: Sequence[str], *, changes: Mapping[str, str], seconds: float, follow: bool = False, most_failing: int = 0) -> Ran:
        """Run tests with these files changed, and bring back whatever they changed.

        names: of pytest; none runs the whole suite. follow: tell what is called. most_failing: tests that fail before the rest is left
        out; 0 runs all. A test that takes a third of the time fails.
        """
        try:
            for file, text in changes.items():
                (self.path / file).write_bytes(self.written(file, text))
            return self._pytest(names, seconds, follow=follow, most_failing=most_failing)
        finally:
            self._restore()

    def __enter__(self) -> Worktree:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._holder.cleanup()

    def _restore(self) -> None:
        """Whatever is not as it was copied, is again."""
        now = _states(self.path)
        for name in sorted(now.keys() - self._states.keys(), reverse=True):  # what is inside a folder before the folder
            path = self.path / name
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for name in sorted(self._states):  # a folder before what is inside it
            if now.get(name) == self._states[name]:
                continue
            path, kept = self.path / name, self._kept / name
            folder, was_folder = (one.is_dir() and not one.is_symlink() for one in (kept, path))
            if was_folder and not folder:
                shutil.rmtree(path)
            elif not was_folder:
                path.unlink(missing_ok=True)
            if folder:
                path.mkdir(exist_ok=True)
                shutil.copymode(kept, path)
            else:
                shutil.copy2(kept, path, follow_symlinks=False)
            self._states[name] = _state(path)

    def _pytest(self, names: Sequence[str], seconds: float, *, follow: bool, most_failing: int) -> Ran:
        (self.path / SEEN).unlink(missing_ok=True)
        words = ["-m", "pytest", "-q", f"--maxfail={most_failing}", "-p", PLUGIN, "-o", "cache_dir=/tmp/pytest-cache", "--color=no"]
        words += ["--continue-on-collection-errors", *names]
        try:
            done = subprocess.run(
                self._command(words, seconds, follow=follow),
                env={},
                capture_output=True,
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        except subprocess.TimeoutExpired:
            return Ran({}, {}, {}, {}, said=f"no end within {seconds:g} s")
        if done.returncode and "bwrap:" in said:
            raise bubblewrap.explain(said)
        return self._told(said)

    def _told(self, said: str) -> Ran:
        try:
            told = json.loads((self.path / SEEN).read_text(encoding="utf-8"))
            tests = {str(name): str(each["outcome"]) for name, each in told["tests"].items()}
            texts = {str(name): str(each["text"]) for name, each in told["tests"].items()}
            functions = [self._place(row) for row in told["functions"]]
            called = {str(name): tuple(functions[at] for at in own) for name, own in told["called"].items()}
            lines = {
                str(name): frozenset((self._inside(file), int(line)) for file, own in files.items() for line in own)
                for name, files in told["lines"].items()
            }
            frames = {str(name): tuple(map(self._place, rows)) for name, rows in told["frames"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return Ran({}, {}, {}, {}, said=said or "pytest said nothing")
        return Ran(tests, texts, called, frames, lines, said if not tests else "", frozenset(map(str, told["doctests"])))

    def _place(self, row: Sequence[object]) -> Place:
        file, name, line = row
        return Place(self._inside(str(file)), str(name), int(str(line)))

    def _inside(self, file: str) -> str:
        """A file inside the copy by its own name, whatever links led to it; others as they are."""
        name = file.removeprefix(f"{INSIDE}/")
        if name == file or not (self._kept / name).exists():
            return name
        return str((self._kept / name).resolve().relative_to(self._kept.resolve()))

    def _command(self, words: Sequence[str], seconds: float, *, follow: bool) -> list[str]:
        plugin = Path(__file__).with_name("seen.py")
        folders = _folders(self.python)
        made = [
            bubblewrap.find(),
            "--unshare-all",
            "--unshare-user",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--clearenv",
        ]
        for name, value in (
            *ENVIRONMENT.items(),
            ("PATH", f"{Path(self.python).parent}:/usr/bin:/bin"),
            ("LUTHIER_ROOT", f"{INSIDE}/"),
            ("LUTHIER_OUT", f"{INSIDE}/{SEEN}"),
            ("LUTHIER_FOLLOW", "1" if follow else "0"),
            ("LUTHIER_SECONDS", f"{seconds / 2 if follow else seconds / 3:g}"),  # what is followed takes its time
        ):
            made += ["--setenv", name, value]
        for folder in folders:
            made += ["--ro-bind", folder, folder]
        for path in ("/lib", "/lib64", "/bin"):
            if Path(path).is_symlink():
                made += ["--symlink", str(Path(path).readlink()), path]
            elif Path(path).exists():
                made += ["--ro-bind", path, path]
        made += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/luthier"]  # noqa: S108
        made += ["--ro-bind", str(plugin), f"/luthier/{PLUGIN}.py", "--bind", str(self.path), INSIDE, "--chdir", INSIDE]
        limits = _LIMITED.format(memory=MEMORY, file=FILE, cpu=int(seconds) + 5)
        return [*made, self.python, "-c", limits, self.python, *words]


def _copied(repository: Path, target: Path) -> tuple[str, ...]:
    """Copy a repository with the links that stay inside it; what is left out of the copy, by name. The folder that holds the copy may lie in the
    repository, where temporary files go there, and is no part of it."""
    left: list[str] = []
    links: list[Path] = []
    holder = target.resolve().parent

    def left_out(folder: str, names: list[str]) -> set[str]:
        apart = set(LEFT_OUT.intersection(names))
        if holder.parent == Path(folder):
            apart.add(holder.name)
        for path in (Path(folder, name) for name in names if name not in apart):
            if path.is_symlink():
                links.append(path.relative_to(repository))
            elif path.is_dir() or (path.is_file() and path.stat().st_size <= LARGEST):
                continue
            else:
                left.append(str(path.relative_to(repository)))
            apart.add(path.name)
        return apart

    shutil.copytree(repository, target, ignore=left_out)
    for link in links:
        leads = Path(os.path.realpath(repository / link))
        if leads.is_relative_to(repository) and not LEFT_OUT.intersection(leads.relative_to(repository).parts):
            (target / link).symlink_to(os.path.relpath(leads, os.path.realpath(repository / link.parent)))
        else:
            left.append(str(link))
    return tuple(sorted(left))


def _states(folder: Path) -> dict[str, tuple[int, ...]]:
    """Of everything below a folder what tells whether it was changed, by its relative name."""
    found: dict[str, tuple[int, ...]] = {}
    for inner, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(inner, name)
            found[str(path.relative_to(folder))] = _state(path)
    return found


def _state(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    mode = status.st_mode
    return (mode,) if stat.S_ISDIR(status.st_mode) else (mode, status.st_size, status.st_mtime_ns, status.st_ino)


def _folders(python: str) -> list[str]:
    """What of the machine an interpreter needs: the system's programs, its own folder, and the one its environment was made from."""
    path = Path(python).absolute()
    if not path.exists():
        raise MissingFileError(f"{python}: no such interpreter; give the one that runs the repository's tests with --python")
    wanted = {"/usr", str(path.parents[1]), str(Path(os.path.realpath(path)).parents[1])}
    if "/" in wanted:
        raise SettingsError(f"{python}: lies at the root of the file system, all of which would be seen inside; give another --python")
    return [one for one in sorted(wanted) if not any(one != outer and Path(one).is_relative_to(outer) for outer in wanted)]
