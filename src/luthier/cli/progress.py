"""Draws a run's progress on standard error: a bar on a terminal, a line a step elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

TITLES = {
    "pool": "Reading APIs",
    "dialogues": "Making dialogues",
    "check": "Checking dialogues",
    "select": "Selecting with ZIP",
    "choose": "Selecting rows",
    "score": "Reading rows with a model",
    "evaluate-before": "Scoring the model before",
    "answers": "Asking the model",
    "bridge": "Bridging",
    "reference": "Reading with the reference",
    "encode": "Encoding texts",
    "rerank": "Reranking",
    "train": "Training",
    "chains": "Writing chains of thought",
    "probe": "Probing",
    "online": "Writing chains that stop early",
    "whole": "Writing whole chains",
    "judge": "Judging chains",
    "choice": "Scoring options",
    "replies": "Sampling replies",
    "compare": "Comparing replies",
    "read": "Reading contexts",
    "fit": "Fitting the head",
    "calibrate": "Calibrating items",
    "held-out": "Leaving families out",
    "draw": "Sampling with every temperature",
    "trace": "Training tracers",
    "mastery": "Following learners",
    "relations": "Asking about concepts",
    "sharpness": "Measuring sharpness",
    "documents": "Reading documents",
    "read-texts": "Reading facts from texts",
    "word-questions": "Wording questions",
    "closed-book": "Asking without context",
    "infuse-continued": "Continued pre-training",
    "infuse-supervised": "Supervised fine-tuning",
    "evaluate-after": "Scoring the model after",
    "report": "Writing the report",
}
EVERY = 30.0  # seconds between lines where there is no terminal


class Watch:
    """A `recipes.progress.Progress` that people can look at; a context manager."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bars: Any = None
        self.task: Any = None
        self.name, self.total, self.done, self.began, self.spoke = "", 0, 0, 0.0, 0.0

    def __enter__(self) -> Watch:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = [
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
            ]
            self.bars = Progress(*columns, console=Console(stderr=True))
            self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._close_step()
        if self.bars is not None:
            self.bars.stop()

    def step(self, name: str, total: int | None = None) -> None:
        self._close_step()
        self.name, self.total, self.done = name, total or 0, 0
        self.began = self.spoke = time.monotonic()
        if self.bars is not None:
            self.task = self.bars.add_task(TITLES.get(name, name), total=total, note="")
        else:
            self._say(f"{TITLES.get(name, name)} …")

    def advance(self, amount: int) -> None:
        self.update(self.done + amount, self.total, "")

    def update(self, done: int, total: int, note: str) -> None:
        self.done, self.total = done, total
        if self.bars is not None:
            self.bars.update(self.task, completed=done, total=total or None, note=note)
        elif time.monotonic() - self.spoke > EVERY:
            self.spoke = time.monotonic()
            self._say(f"  {done}/{total} {note}".rstrip())

    def _close_step(self) -> None:
        if self.name and self.bars is None:
            self._say(f"  done in {time.monotonic() - self.began:.1f} s")
        elif self.name and self.task is not None:
            self.bars.update(self.task, completed=self.total or 1, total=self.total or 1)
        self.name = ""

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)
