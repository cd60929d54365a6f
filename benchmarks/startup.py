"""CPU-seconds of `luthier --help`, beside an empty Python and beside `import torch`; the median of several starts."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from typing import Any

from harness import benchmark

COMMANDS = {
    "python": ["-c", "pass"],
    "help": ["-c", "from luthier.cli import main; main(['--help'])"],
    "import_torch": ["-c", "import torch"],
}


def measure(quick: bool) -> dict[str, Any]:
    return {name: statistics.median(_cpu_seconds(words) for _ in range(3 if quick else 9)) for name, words in COMMANDS.items()}


def _cpu_seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(figures: dict[str, Any]) -> str:
    return f"--help {figures['help']:.2f} CPU-s (python {figures['python']:.2f}, import torch {figures['import_torch']:.2f})"


if __name__ == "__main__":
    benchmark("startup", measure, line, __doc__)
