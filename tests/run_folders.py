"""Run folders made by hand, for tests of pages: what a command would have left there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.records import write_jsonl
from luthier.report.page import Page, write_page
from luthier.run import RunRecord


def run_folder(
    folder: Path,
    name: str,
    results: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    rows: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    **record: Any,
) -> RunRecord:
    """A finished run of the command `name`. results: of each step; rows: of each JSONL file beside it; record: more fields of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, each in (rows or {}).items():
        write_jsonl(folder / file, each)
    steps = {step: {"key": step, "seconds": 1.5, "results": found, "files": list(rows or {})} for step, found in results.items()}
    told = {"luthier": "0", "name": name, "status": "done", "settings": settings or {}, "seed": 0, "steps": steps, **record}
    (folder / "run.json").write_text(json.dumps(told))
    return RunRecord.read(folder)


def drawn(run: RunRecord, draw: Callable[[RunRecord], Page]) -> str:
    """The page of a run as text."""
    return write_page(draw(run), run).read_text()
