"""The runs of selection: choose rows of a pool with the account of all others, and compare methods on one pool."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows, read_rows, write_jsonl
from luthier.run import Run
from luthier.run.record import RECORD
from luthier.select import comparison_page, page
from luthier.select.answers import forecast, skipped_rows
from luthier.select.raw import write_rows
from luthier.select.rows import row_text
from luthier.select.selection import PoolRows, Selection, check_tools, choose, read_texts, tokenizer_file
from luthier.select.settings import BY_MODEL, ChoiceSettings, ComparisonSettings, SelectionSettings, SelectSettings
from luthier.select.shown import gather

SCORES = "scores.jsonl.gz"
PROMPT_HEAD = 200  # bytes; prompts that begin alike to here count as repeated
ASIDE = ("format", "workers", "dry_run")  # settings that change no pick


def run(settings: SelectionSettings, out: Path, progress: Progress = quiet) -> Run:
    """Choose rows: `selected.jsonl` (or another format), and `scores.jsonl.gz` with the reason for every row of the pool.

    A stopped run continues to the same picks. With `dry_run` nothing is written, and the run has one step, `plan`. Raises SettingsError,
    BadRowError, MissingFileError, DiskError.
    """
    check_tools(settings)
    skipped, reads = skipped_rows(settings), _reads(settings, settings.method)
    made = Run(out, "select run", settings, reads=reads, progress=progress, draw=page.draw)
    if settings.dry_run:
        made.record |= {"status": "planned", "steps": {"plan": {"results": forecast(settings, skipped)._asdict()}}}
        return made
    job = _Choosing(settings, out, skipped, progress)
    _refuse_others(out, (SCORES, job.file))
    job.read_first()
    with made:
        uses = [name for name in made.settings if name not in ASIDE]
        made.step("choose", job.choose, uses=uses, files=[SCORES])
        made.step("rows", job.write, uses=["pool", "format"], reads=[settings.pool], files=[job.file], after=["choose"])
        made.step("shown", lambda: gather(job.made).to_row(), uses=uses, after=["choose"])
    return made


class _Pool:
    """The pool of a run, read once and where a step asks for it."""

    def __init__(
        self, settings: SelectionSettings | ComparisonSettings, folder: Path, skipped: SkippedRows | None, progress: Progress
    ) -> None:
        self.pool, self.settings, self.folder, self.skipped, self.progress = settings.pool, settings, folder, skipped, progress

    def read_first(self) -> None:
        """Read it now where nothing is in the folder yet, so that a bad row is named before anything is written."""
        if not (self.folder / RECORD).is_file() or self.progress.replace:
            _ = self.rows

    @cached_property
    def rows(self) -> PoolRows:
        self.progress.step("Reading the pool")
        return read_texts(self.pool, self.settings, self.skipped)


class _Choosing(_Pool):
    """What the steps of a selection work on."""

    settings: SelectionSettings

    @property
    def file(self) -> str:
        return f"selected.{self.settings.format}"

    @cached_property
    def made(self) -> Selection:
        return choose(self.rows, self.settings, run=self.folder, workers=self.settings.workers, progress=self.progress)

    def choose(self) -> JSON:
        write_jsonl(self.folder / SCORES, self.made.scores())
        return self.made.report

    def write(self) -> JSON:
        taken = [(row["rank"], row["row"]) for _, row in read_rows(self.folder / SCORES) if row["taken"]]
        write_rows(self.pool, [number for _, number in sorted(taken)], self.folder / self.file)
        return {"file": self.file}


def compare(settings: ComparisonSettings, out: Path, progress: Progress = quiet) -> Run:
    """One step a method: what it took, how redundant that is at three windows, repeated prompts, seconds of choosing.

    Raises SettingsError, BadRowError, MissingFileError.
    """
    arms, skipped = settings.arms(), skipped_rows(settings)
    for arm in arms.values():
        check_tools(arm)
    reads = dict(read for arm in arms.values() for read in _reads(settings, arm.method))
    made = Run(out, "select compare", settings, reads=reads.items(), progress=progress, draw=comparison_page.draw)
    pool = _Pool(settings, out, skipped, progress)
    pool.read_first()
    uses = ["skip_bad", *(one.name for one in fields(ChoiceSettings) if one.name != "seed")]
    progress.step("Selecting rows", len(arms))
    with made:
        for name, arm in arms.items():
            about = {"method": arm.method, "seed": arm.seed}
            known = [read for read, _ in _reads(settings, arm.method)]
            made.step(name, partial(_measured, pool, arm), uses=uses, reads=known, more=about)
            progress.advance()
    return made


def _measured(pool: _Pool, settings: SelectSettings) -> JSON:
    rows = pool.rows
    start = time.perf_counter()
    made = choose(rows, settings, run=pool.folder if settings.method in BY_MODEL else None)
    seconds = time.perf_counter() - start
    kept = {name: made.report[name] for name in ("rows", "bytes", "ratio", "taken_by_source", "target_divergence")}
    return {"seconds": seconds, "repeated_prompts": repeated_prompts(made.rows()), **kept}


def repeated_prompts(rows: Sequence[JSON]) -> int:
    """Rows whose prompt begins like that of an earlier row."""
    heads = [row_text(row, "prompt").encode("utf-8", "replace")[:PROMPT_HEAD] for row in rows]
    return len(heads) - len(set(heads))


def _reads(settings: SelectionSettings | ComparisonSettings, method: str) -> list[tuple[str, str | Path]]:
    """What a selection by that method reads."""
    found: list[tuple[str, str | Path]] = [(path, path) for path in (settings.pool, *settings.exclude, *settings.target)]
    if settings.tokenizer is not None:
        found.append((f"tokenizer {settings.tokenizer}", tokenizer_file(settings.tokenizer)))
    return [*found, *(settings.reads() if method in BY_MODEL else [])]


def _refuse_others(out: Path, names: Sequence[str]) -> None:
    """Named before the work, not after it: files that stand where those of the run will be, the pool itself among them."""
    for name in names:
        if (out / name).exists() and not (out / RECORD).is_file():
            raise SettingsError(f"{out / name}: is there already and is not of this run; choose another --out")
