"""A run folder as the report reads it: `run.json`, the rows of its artefacts, and a list of what is not there.

A run may still be going on, so a missing step or file is noted, never an error. Only `run.json` itself must be readable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError
from luthier.records import JSON
from luthier.records.files import SkippedRows, read_rows
from luthier.records.lines import as_row, parse_value

STEPS = {
    "pool": "Collect tools",
    "dialogues": "Make dialogues",
    "check": "Check them",
    "select": "Choose with ZIP",
    "evaluate-before": "Score the model before",
    "train": "Train",
    "evaluate-after": "Score it after",
}


class RunFolder:
    """Raises MissingFileError or BadRowError where `run.json` is absent or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: JSON = _read_run(path / "run.json")
        steps = self.run.get("steps")
        self.steps: dict[str, JSON] = (
            {name: step for name, step in steps.items() if isinstance(step, dict)} if isinstance(steps, dict) else {}
        )
        self.problems: list[str] = []

    @property
    def unfinished(self) -> list[str]:
        """Titles of the steps that have not ended."""
        return [title for name, title in STEPS.items() if name not in self.steps]

    def results(self, step: str) -> JSON:
        """What a step measured; empty where it has not ended."""
        found = self.steps.get(step, {}).get("results")
        return found if isinstance(found, dict) else {}

    def rows(self, name: str, step: str) -> Iterator[JSON]:
        """The rows of an artefact. A missing file is noted once its step has ended; a damaged row is noted and left out."""
        file = self.path / name
        if not file.is_file():
            if step in self.steps:
                self.problems.append(f"{name} is missing")
            return
        skipped = SkippedRows()
        for _, row in read_rows(file, skipped):
            yield row
        if skipped.count:
            rows = "1 damaged row, which is" if skipped.count == 1 else f"{skipped.count} damaged rows, which are"
            self.problems.append(f"{name} has {rows} left out")

    def sample(self, name: str, step: str, count: int) -> list[JSON]:
        """Some rows drawn evenly by the run's seed, in the order of the file, without holding the file in memory."""
        draw = random.Random(f"{self.run.get('seed', 0)} {name}")
        kept: list[tuple[int, JSON]] = []
        for position, row in enumerate(self.rows(name, step)):
            if len(kept) < count:
                kept.append((position, row))
            elif (place := draw.randrange(position + 1)) < count:
                kept[place] = (position, row)
        return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


def _read_run(file: Path) -> Any:
    try:
        return as_row(parse_value(file.read_bytes()))
    except OSError as problem:
        raise MissingFileError(f"{file}: cannot be read ({problem.strerror}); give the folder of a run") from None
    except BadRowError as problem:
        raise problem.at(file, problem.line or 1) from None
