"""A run folder: `run.json`, the artefacts of each step, and the rule by which a stopped run continues.

A step is recognised by its key: the hash of its name, its inputs and the keys of the steps it builds on. A finished step with the same
key and its files in place is kept; one that was cut off finds its own files and continues; any other starts from nothing.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from luthier import __version__
from luthier.errors import LuthierError, SettingsError
from luthier.records import JSON
from luthier.records.files import atomic_write

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "llguidance",
    "tokenizers",
    "numpy",
    "mimesis",
    "sentence-transformers",
    "bm25s",
)


class RunFolder:
    """One run on disk; use it as a context manager. Raises LuthierError where another process holds the folder."""

    def __init__(self, path: Path, recipe: str, command: str, settings: JSON, seed: int) -> None:
        self.path = path
        self._kept = _read(path / "run.json")
        self.record: JSON = {
            "luthier": __version__,
            "recipe": recipe,
            "command": command,
            "status": "running",
            "settings": settings,
            "seed": seed,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": _versions(),
            "device": device(),
            "inputs": {},
            "steps": {},
        }
        self._lock: Any = None

    def __enter__(self) -> RunFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise SettingsError(f"{self.path}: cannot be a run folder ({problem.strerror}); choose another with --out") from problem
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            self._lock.close()
            raise LuthierError(f"{self.path}: another run is using this folder; wait for it or choose another with --out") from problem
        self.save()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.close()

    def step(self, name: str, inputs: JSON, files: Sequence[str], work: Callable[[], JSON], *, after: Sequence[str] = ()) -> JSON:
        """The step's results: kept where its key and files are as before, else made by `work()`.

        after: the steps whose results it reads. files: paths under the folder that belong to the step; they are cleared when the step begins with a new key.
        """
        key = self._key(name, inputs, after)
        before = self._kept.get("steps", {}).get(name, {})
        if before.get("key") == key and "results" in before and all((self.path / file).exists() for file in files):
            self.record["steps"][name] = before
            self.save()
            results: JSON = before["results"]
            return results
        if before.get("key") != key:
            for file in files:
                _remove(self.path / file)
        spent = before.get("seconds", 0.0) if before.get("key") == key else 0.0
        self.record["steps"][name] = {"key": key, "seconds": spent}
        self.save()
        start = time.perf_counter()
        results = work()
        _give_memory_back()
        self.record["steps"][name] = {"key": key, "seconds": round(spent + time.perf_counter() - start, 2), "results": results}
        self.save()
        return results

    def shared_step(self, name: str, inputs: JSON, work: Callable[[], JSON]) -> JSON:
        """A step that several processes work on, none of which may be spared: it is never kept, and continues from its own files.

        Raises SettingsError where the folder's files come from other inputs.
        """
        key = self._key(name, inputs, ())
        before = self._kept.get("steps", {}).get(name, {}).get("key")
        if before not in (None, key):
            raise SettingsError(
                f"{self.path}: holds a run with other data or settings; choose another folder with --out, or delete this one"
            )
        self.record["steps"][name] = {"key": key}
        self.save()
        results = work()
        self.record["steps"][name] = {"key": key, "results": results}
        self.save()
        return results

    def was_kept(self, name: str) -> bool:
        """Whether the step's results come from an earlier invocation."""
        return name in self.record["steps"] and self.record["steps"][name] is self._kept.get("steps", {}).get(name)

    def finish(self, **fields: Any) -> None:
        self.record |= {"status": "done", "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}
        self.save()

    def save(self) -> None:
        """Write run.json. Steps of an earlier invocation that have not come up yet stay in it, so a second kill loses nothing."""
        waiting = {name: step for name, step in self._kept.get("steps", {}).items() if name not in self.record["steps"]}
        with atomic_write(self.path / "run.json") as stream:
            json.dump({**self.record, "steps": {**self.record["steps"], **waiting}}, stream, indent=1, ensure_ascii=False)
            stream.write("\n")

    def _key(self, name: str, inputs: JSON, after: Sequence[str]) -> str:
        before = [self.record["steps"][step]["key"] for step in after]
        text = json.dumps([name, inputs, before, __version__], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def device() -> JSON:
    """The machine in a few words: processor, cores, memory, load and the accelerator, if any."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        cpu = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")), cpu)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _give_memory_back() -> None:
    """Free what a finished step still holds (a trainer's cycles, glibc's free lists), or the next one's peak comes on top of it."""
    gc.collect()
    if platform.system() == "Linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far."""
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(path: Path) -> JSON:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise SettingsError(f"{path}: not a run record ({problem}); move the folder away or choose another with --out") from problem
    return record if isinstance(record, dict) else {}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
