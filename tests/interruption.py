"""Killing a command half-way, for tests that then run it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def kill_after(words: Sequence[str], rows: Path, count: int = 7) -> None:
    """Run `luthier WORDS` and send it SIGKILL once a file of rows has so many."""
    with subprocess.Popen([sys.executable, "-m", "luthier", *words], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while (
            process.poll() is None and time.monotonic() < deadline and not (rows.is_file() and len(rows.read_text().splitlines()) >= count)
        ):
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
