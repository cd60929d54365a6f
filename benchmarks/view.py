"""How long `luthier view` takes to list a thousand run folders, the first time and again, each run with its record and its page."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

RUNS, QUICK = 5000, 1000
TRIES = 5


def measure(quick: bool) -> dict[str, Any]:
    from luthier.cli.view import draw
    from luthier.report.page import write_page
    from luthier.run import RunRecord
    from luthier.view.catalogue import Catalogue

    count = QUICK if quick else RUNS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(count):
            place = root / f"group-{number // 100}" / f"run-{number}"
            place.mkdir(parents=True)
            (place / "run.json").write_text(json.dumps(_record(number)))
            if number == 0:
                run = RunRecord.read(place)
                page = draw(run)
                drawn = write_page(page, run).read_bytes() if page is not None else b""
            (place / "report.html").write_bytes(drawn)
        first = [_seconds(Catalogue(root)) for _ in range(TRIES)]
        kept = Catalogue(root)
        kept.runs()
        again = [_seconds(kept) for _ in range(TRIES)]
        found = len(kept.runs())
    return {"runs": found, "first_ms": 1000 * median(first), "again_ms": 1000 * median(again)}


def _record(number: int) -> dict[str, Any]:
    settings = {f"setting_{at}": at * number for at in range(20)} | {"model": f"model-{number % 7}"}
    steps = {"other": {"key": "k", "seconds": 3.0, "results": {"n": number}, "files": []}}
    started = f"2026-01-{1 + number % 28:02}T10:00:00Z"
    return {"luthier": "0", "name": "compare", "status": "done", "seed": 0, "started": started, "settings": settings, "steps": steps}


def _seconds(catalogue: Any) -> float:
    start = time.perf_counter()
    catalogue.runs()
    return time.perf_counter() - start


def line(figures: dict[str, Any]) -> str:
    return f"{figures['runs']:,} runs listed in {figures['first_ms']:.0f} ms, {figures['again_ms']:.0f} ms again"


if __name__ == "__main__":
    benchmark("view", measure, line, __doc__)
