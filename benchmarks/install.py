"""Time and size of `pip install .` into a new virtual environment without pip's cache. --quick: only the size of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from harness import benchmark

ROOT = Path(__file__).parents[1]


def measure(quick: bool) -> dict[str, Any]:
    if quick:
        return {"seconds": None, "megabytes": _megabytes(Path(sysconfig.get_path("purelib")))}
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        python = Path(scratch) / "bin" / "python"
        start = time.perf_counter()
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", str(ROOT)], check=True)
        seconds = time.perf_counter() - start
        (site,) = Path(scratch).glob("lib/python*/site-packages")
        return {"seconds": round(seconds, 1), "megabytes": _megabytes(site)}


def _megabytes(folder: Path) -> float:
    paths = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return round(sum(path.lstat().st_size for path in paths) / 1e6)


def line(figures: dict[str, Any]) -> str:
    seconds = f"{figures['seconds']:.0f} s, " if figures["seconds"] is not None else ""
    return f"{seconds}{figures['megabytes']:.0f} MB installed (Python {sys.version_info.major}.{sys.version_info.minor})"


if __name__ == "__main__":
    benchmark("install", measure, line, __doc__)
