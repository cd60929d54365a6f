"""Choosing rows from a file, from end to end: the selection and its files, a forecast, a comparison of methods, the reasons."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows, atomic_write, write_jsonl

SAMPLE = 200  # measurements that a forecast times
TIMED_ROWS = 16  # rows that a forecast has a model read
PROMPT_HEAD = 200  # bytes; prompts that begin alike to here count as repeated


def select_file(
    pool: Path,
    out: Path,
    settings: Any,
    *,
    run: Path | None = None,
    workers: int = 0,
    skipped: SkippedRows | None = None,
    progress: Progress = quiet,
    page: bool = True,
) -> JSON:
    """Choose rows of `pool` and write them to `out`; beside it the account (`.report.json`), the reasons (`.scores.jsonl.gz`) and,
    unless `page` is false, both drawn with rows to look at (`.html`).

    run: where rounds are kept. skipped: where bad rows go. Returns the account. Raises SettingsError, BadRowError, MissingFileError,
    DiskError.
    """
    import json

    from luthier.recipes.selection_page import write_page
    from luthier.select.selection import select

    progress.step("choose")
    made = select(
        pool, settings=settings, run=run, workers=workers, skipped=skipped, progress=progress.advance, watch_model=_watcher(progress)
    )
    made.save(out)
    write_jsonl(beside(out, ".scores.jsonl.gz"), made.scores())
    with atomic_write(beside(out, ".report.json")) as stream:
        json.dump(made.report, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    if page:
        progress.step("page")
        write_page(made, beside(out, ".html"))
    return made.report


def beside(out: Path, ending: str) -> Path:
    """A file of the selection beside its rows: `train.jsonl.gz` and ".html" make `train.html`."""
    return out.with_name(out.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".parquet") + ending)


def _watcher(progress: Progress) -> Callable[[int, int], None]:
    """Shows the model's reading as a step of its own within the choosing."""

    def watch(done: int, total: int) -> None:
        if done == 0:
            progress.step("score", total)
        progress.update(done, total, "texts")
        if done == total:
            progress.step("choose")

    return watch


def forecast(pool: Path, settings: Any, skipped: SkippedRows | None = None) -> JSON:
    """What a selection would do: rows, budget, measurements at most, and the seconds they take by a timed sample.

    Of `perplexity` and `ifd`, measurements are rows that the model reads, and `seconds_per_1000` says what a thousand of them take.
    """
    from luthier.select.budget import parse_budget
    from luthier.select.long_window import LongZip
    from luthier.select.model_sample import BY_MODEL, check_model_settings
    from luthier.select.pool import TextPool
    from luthier.select.rows import read_pool
    from luthier.select.zip import Zip, evaluations

    if settings.method in BY_MODEL:
        check_model_settings(settings)
    rows, numbers = TextPool(), array("Q")
    for row in read_pool(pool, settings.fields, skipped):
        rows.append(row.text)
        numbers.append(row.number)
    budget = parse_budget(settings.budget, len(rows))
    picks = budget.amount
    if budget.unit != "rows":
        mean = max(1.0, rows.total / max(1, len(rows)) / (1 if budget.unit == "bytes" else 4))
        picks = min(len(rows), round(budget.amount / mean))
    plan: JSON = {"method": settings.method, "budget": str(budget), "pool_rows": len(rows), "pool_bytes": rows.total}
    if settings.method in BY_MODEL:
        count = min(settings.score_rows or len(rows), len(rows))
        each = _seconds_to_read(pool, numbers, settings)
        return {**plan, "measurements": count, "seconds": count * each, "seconds_per_1000": 1000 * each}
    sample = list(islice(rows, SAMPLE))
    start = time.perf_counter()
    if settings.method == "zip":
        count = evaluations(len(rows), picks, settings.k1, settings.k2, settings.k3)
        next(Zip(sample, SAMPLE, 2, 1).rounds(), None)
        each = (time.perf_counter() - start) / max(1, 2 * len(sample))
    elif settings.method == "zip-long":
        rounds = -(-picks // settings.k3)
        count = len(rows) * (rounds + 1)
        next(LongZip(sample, k3=1).rounds(), None)
        each = (time.perf_counter() - start) / max(1, 2 * len(sample))
    else:
        count, each = len(rows), (time.perf_counter() - start) / max(1, len(sample))
    return {**plan, "measurements": count, "seconds": count * each}


def _seconds_to_read(pool: Path, numbers: Sequence[int], settings: Any) -> float:
    """What the model takes for one row, by a seeded sample of the pool; loading it and the first row are not counted."""
    from luthier.select.model_sample import sample
    from luthier.select.model_scores import ifd_ratios, open_scorer, perplexities
    from luthier.select.rows import rows_at

    rows = list(rows_at(pool, set(sample(numbers, TIMED_ROWS, settings.seed))).values())
    measure, model = ifd_ratios if settings.method == "ifd" else perplexities, open_scorer(settings.model)
    measure(model, rows[:1])
    start = time.perf_counter()
    measure(model, rows)
    return (time.perf_counter() - start) / max(1, len(rows))


def compare_methods(
    pool: Path, methods: Sequence[str], settings: Any, *, skipped: SkippedRows | None = None, progress: Progress = quiet
) -> list[JSON]:
    """One row a method: what it took, how redundant that is at three windows, repeated prompts, seconds. "random*5" is five seeds."""
    from luthier.select.selection import METHODS, select

    runs: list[tuple[str, Any]] = []
    for name in methods:
        method, _, times = name.partition("*")
        if method not in METHODS or (times and not times.isdigit()):
            raise SettingsError(f"method {name!r} is not known; known are {', '.join(METHODS)}, each also as random*5")
        runs += [
            (f"{method} (seed {settings.seed + n})" if times else method, replace(settings, method=method, seed=settings.seed + n))
            for n in range(int(times or 1))
        ]
    progress.step("choose", len(runs))
    rows = []
    for name, chosen in runs:
        start = time.perf_counter()
        made = select(pool, settings=chosen, skipped=skipped)
        seconds = time.perf_counter() - start
        progress.advance(1)
        report = made.report
        repeated = repeated_prompts(made.rows())
        rows.append(
            {
                "method": name,
                "seconds": seconds,
                "repeated_prompts": repeated,
                **{k: report[k] for k in ("rows", "bytes", "ratio", "taken_by_source")},
            }
        )
    return rows


def repeated_prompts(rows: Sequence[JSON]) -> int:
    """Rows whose prompt begins like that of an earlier row."""
    from luthier.select.rows import row_text

    heads = [row_text(row, "prompt").encode("utf-8", "replace")[:PROMPT_HEAD] for row in rows]
    return len(heads) - len(set(heads))


def pool_ratios(pool: Path, group: str, fields: Any = "all") -> dict[str, JSON]:
    """Compression ratios of the whole pool (under "all rows") and of each source, largest first."""
    from luthier.select.pool import TextPool
    from luthier.select.profile import ratio_by_group, ratio_profile
    from luthier.select.rows import read_pool

    texts, groups = TextPool(), []
    for row in read_pool(pool, fields):
        texts.append(row.text)
        groups.append(str(row.row.get(group, "")))
    table: dict[str, JSON] = {"all rows": {"rows": len(texts), "ratio": ratio_profile(texts)}}
    parts = ratio_by_group(texts, groups)
    if len(parts) > 1:
        table |= {name: {"rows": groups.count(name), "ratio": profile} for name, profile in parts.items()}
    return table


def explain_rows(
    pool: Path, rows: Sequence[int], settings: Any, *, skipped: SkippedRows | None = None, progress: Progress = quiet
) -> list[JSON]:
    """Why rows were taken or left: those asked for by line, else the first ten taken and the first ten left.

    Raises SettingsError for a row that the pool does not have.
    """
    from luthier.select.selection import select

    progress.step("choose")
    made = select(pool, settings=settings, skipped=skipped, progress=progress.advance, watch_model=_watcher(progress))
    told = list(made.scores())
    if rows:
        by_number = {row["row"]: row for row in told}
        missing = [row for row in rows if row not in by_number]
        if missing:
            raise SettingsError(
                f"{pool} has no row {missing[0]}; rows are {told[0]['row']} to {told[-1]['row']}" if told else f"{pool} has no rows"
            )
        return [by_number[row] for row in rows]
    taken = sorted((row for row in told if row["taken"]), key=lambda row: row["rank"])
    return taken[:10] + [row for row in told if not row["taken"]][:10]
