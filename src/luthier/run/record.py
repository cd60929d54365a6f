"""A run folder as it is on disk: `run.json`, the rows of its artefacts, and a list of what is not there.

A run may still be going on, so a missing step or file is noted, never an error. Only `run.json` itself must be readable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import BadRowError, MissingFileError
from luthier.records import JSON
from luthier.records.files import SkippedRows, read_rows
from luthier.records.lines import as_row, parse_value
from luthier.records.locks import is_locked

RECORD, LOCK, REPORT = "run.json", ".lock", "report.html"
CHECKPOINTS = "checkpoints"  # the folder in which a training keeps where it goes on from


class RunRecord:
    """What a run has left so far. record: what `run.json` holds; problems: what of its artefacts is missing or damaged."""

    def __init__(self, path: Path, record: JSON) -> None:
        self.path, self.record = path, record
        self.problems: list[str] = []

    @classmethod
    def read(cls, folder: str | Path, name: str | None = None) -> RunRecord:
        """Raises MissingFileError or BadRowError where `run.json` is absent or damaged, or is of another command than `name`."""
        path = Path(folder)
        file = path / RECORD
        try:
            record = as_row(parse_value(file.read_bytes()))
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise MissingFileError(f"{file}: cannot be read ({reason}); give the folder of a run") from None
        except BadRowError as problem:
            raise problem.at(file, problem.line or 1) from None
        steps = record.get("steps", {})
        if not isinstance(steps, dict) or not all(isinstance(step, dict) for step in steps.values()):
            raise BadRowError("not a run record: `steps` is no table of steps", file)
        if name is not None and record.get("name") != name:
            raise MissingFileError(f"{folder}: not a run of `luthier {name}`; give its folder")
        return RunRecord(path, record)

    @property
    def name(self) -> str:
        """The words of the command that made it."""
        return str(self.record.get("name", ""))

    @property
    def settings(self) -> JSON:
        found = self.record.get("settings")
        return found if isinstance(found, dict) else {}

    @property
    def seed(self) -> int:
        return int(self.record.get("seed", 0))

    @property
    def steps(self) -> dict[str, JSON]:
        """The steps that have begun, in their order."""
        found: dict[str, JSON] = self.record.get("steps", {})
        return found

    @property
    def status(self) -> str:
        """`done`, `failed`, `stopped` or `running`; a record that says `running` although no process holds the folder was killed."""
        told = str(self.record.get("status", "running"))
        return "stopped" if told == "running" and not is_locked(self.path / LOCK) else told

    @property
    def is_worth_keeping(self) -> bool:
        """Whether there is work in it: a finished step, one that did not fail, or one that failed and left something to go on from."""
        if any("results" in step for step in self.steps.values()) or (self.steps and self.record.get("status") != "failed"):
            return True
        return any(self._goes_on(step) for step in self.steps.values())

    def _goes_on(self, step: JSON) -> bool:
        """Whether a step has checkpoints, or rows of a journal; a training's own metrics are nothing to go on from."""
        files: Sequence[str] = step.get("files", ())
        places = [self.path / file for file in files]
        if any(True for place in places if place.is_dir() for _ in place.rglob("checkpoint-*")):
            return True
        journals = [] if CHECKPOINTS in files else [place for place in places if place.suffix == ".jsonl" and place.is_file()]
        return any(place.stat().st_size for place in journals)

    def is_finished(self, step: str) -> bool:
        return "results" in self.steps.get(step, {})

    def results(self, step: str) -> JSON:
        """What a step measured; empty where it has not ended."""
        found = self.steps.get(step, {}).get("results")
        return found if isinstance(found, dict) else {}

    def rows(self, file: str) -> Iterator[JSON]:
        """The rows of an artefact. A missing file is noted once its step has ended; a damaged row is noted and left out."""
        path = self.path / file
        if not path.is_file():
            owned = (each for step in self.steps.values() if "results" in step for each in step.get("files", ()))
            if any(file == each or file.startswith(f"{each}/") for each in owned):
                self._note(f"{file} is missing")
            return
        skipped = SkippedRows()
        for _, row in read_rows(path, skipped):
            yield row
        if skipped.count:
            rows = "1 damaged row, which is" if skipped.count == 1 else f"{skipped.count} damaged rows, which are"
            self._note(f"{file} has {rows} left out")

    def sample(self, file: str, count: int) -> list[JSON]:
        """Some rows drawn evenly by the run's seed, in the order of the file, without holding the file in memory."""
        draw = random.Random(f"{self.seed} {file}")
        kept: list[tuple[int, JSON]] = []
        for position, row in enumerate(self.rows(file)):
            if len(kept) < count:
                kept.append((position, row))
            elif (place := draw.randrange(position + 1)) < count:
                kept[place] = (position, row)
        return [row for _, row in sorted(kept, key=lambda pair: pair[0])]

    def below(self, name: str) -> RunRecord | None:
        """The run in a folder below, where it has begun."""
        folder = self.path / name
        return RunRecord.read(folder) if (folder / RECORD).is_file() else None

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
