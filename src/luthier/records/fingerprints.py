"""SHA-256 of what a run reads: files, and folders as a whole. Large files are read once; after that their state on disk vouches for them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from luthier.errors import MissingFileError
from luthier.packages import cache_folder, file_sha256
from luthier.records.hub import commit_of, dataset_named

LARGE = 16 << 20  # bytes from which a hash is remembered


def fingerprint(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, of the names and hashes of all files below a folder (hidden ones do not count), or of a data set of
    the hub, its name and commit.

    Raises MissingFileError where it cannot be read.
    """
    source = Path(path)
    if not source.exists() and (named := dataset_named(path)) is not None:
        return hashlib.sha256(commit_of(named).encode()).hexdigest()
    try:
        if not source.is_dir():
            return _file(source)
        files = sorted(each for each in source.rglob("*") if each.is_file() and not _hidden(each.relative_to(source)))
        told = [[str(each.relative_to(source)), _file(each)] for each in files]
    except (OSError, ValueError) as problem:
        raise MissingFileError(f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from problem
    return hashlib.sha256(json.dumps(told).encode(errors="surrogateescape")).hexdigest()


def _hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _file(path: Path) -> str:
    state = path.stat()
    if state.st_size < LARGE:
        return file_sha256(path)
    # The time of the last change of an inode cannot be set by hand, so it tells every write.
    key = [str(path.resolve()), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    note = cache_folder() / "hashes" / hashlib.sha256(json.dumps(key).encode(errors="surrogateescape")).hexdigest()
    try:
        known = note.read_text(encoding="ascii")
        if len(known) == 64:
            return known
    except (OSError, ValueError):
        pass
    found = file_sha256(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f"{note.name}.{os.getpid()}")
        draft.write_text(found, encoding="ascii")
        draft.replace(note)
    except OSError:  # a cache that cannot be written costs time only
        return found
    return found
