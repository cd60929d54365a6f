"""What is asked of a pool at once: what a selection would take, how redundant the pool is, why rows are taken or left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from luthier.errors import SettingsError
from luthier.models.opening import EmbedderSettings, open_embedder
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows
from luthier.records.files import refuse_same
from luthier.report.wording import Told
from luthier.select.budget import parse_budget
from luthier.select.long_window import LongZip
from luthier.select.model_sample import open_scorer, sample
from luthier.select.model_scores import ifd_ratios, perplexities
from luthier.select.pool import TextPool
from luthier.select.profile import ratio_by_group, ratio_profile
from luthier.select.rows import read_pool, row_text, rows_at
from luthier.select.selection import check_tools, choose, read_texts
from luthier.select.settings import BY_MODEL, ComparisonSettings, ExplainSettings, RatioSettings, SelectionSettings
from luthier.select.zip import Zip, evaluations

SAMPLE = 200  # measurements that a forecast times
TIMED_ROWS = 16  # rows that a forecast has a model read
FIRST = 10  # rows taken, and rows left, that are explained where none is asked for


class Forecast(NamedTuple):
    """What a selection would do. measurements: at most, and the seconds they take by a timed sample.

    Of `perplexity` and `ifd`, measurements are rows that the model reads, and `seconds_per_1000` says what a thousand of them take.
    """

    method: str
    budget: str
    pool_rows: int
    pool_bytes: int
    measurements: int
    seconds: float
    seconds_per_1000: float | None = None


def skipped_rows(settings: SelectionSettings | ComparisonSettings | ExplainSettings) -> SkippedRows | None:
    """Where bad rows go. Raises SettingsError where that is a file that is read."""
    if settings.skip_bad is None:
        return None
    refuse_same(settings.skip_bad, [settings.pool, *settings.exclude, *settings.target])
    return SkippedRows(Path(settings.skip_bad))


def forecast(settings: SelectionSettings, skipped: SkippedRows | None = None) -> Forecast:
    """What a selection would do; nothing is chosen. Raises as `select` does."""
    read = read_texts(settings.pool, settings, skipped)
    rows = read.texts
    budget = parse_budget(settings.budget, len(rows))
    picks = budget.amount
    if budget.unit != "rows":
        mean = max(1.0, rows.total / max(1, len(rows)) / (1 if budget.unit == "bytes" else 4))
        picks = min(len(rows), round(budget.amount / mean))
    plan = partial(Forecast, settings.method, str(budget), len(rows), rows.total)
    if settings.method in BY_MODEL:
        count = min(settings.score_rows or len(rows), len(rows))
        each = _seconds_to_read(read.numbers, settings)
        return plan(count, count * each, 1000 * each)
    some = list(islice(rows, SAMPLE))
    start = time.perf_counter()
    if settings.method == "zip":
        count = evaluations(len(rows), picks, settings.k1, settings.k2, settings.k3)
        next(Zip(some, SAMPLE, 2, 1).rounds(), None)
        each = (time.perf_counter() - start) / max(1, 2 * len(some))
    elif settings.method == "zip-long":
        rounds = -(-picks // settings.k3)
        count = len(rows) * (rounds + 1)
        next(LongZip(some, k3=1).rounds(), None)
        each = (time.perf_counter() - start) / max(1, 2 * len(some))
    else:
        count, each = len(rows), (time.perf_counter() - start) / max(1, len(some))
    return plan(count, count * each)


def _seconds_to_read(numbers: Sequence[int], settings: SelectionSettings) -> float:
    """What the model takes for one row, by a seeded sample of the pool; loading it and the first row are not counted."""
    if settings.method == "rds":
        return _seconds_to_embed(numbers, settings)
    rows = list(rows_at(settings.pool, set(sample(numbers, TIMED_ROWS, settings.seed))).values())
    measure, model = ifd_ratios if settings.method == "ifd" else perplexities, open_scorer(settings)
    measure(model, rows[:1])
    start = time.perf_counter()
    measure(model, rows)
    return (time.perf_counter() - start) / max(1, len(rows))


def _seconds_to_embed(numbers: Sequence[int], settings: SelectionSettings) -> float:
    model = open_embedder(settings.model, EmbedderSettings(pooling="weighted-mean", device=settings.device))
    rows = rows_at(settings.pool, set(sample(numbers, TIMED_ROWS, settings.seed))).values()
    texts = [row_text(row, settings.fields) for row in rows]
    model.encode(texts[:1])
    start = time.perf_counter()
    model.encode(texts)
    return (time.perf_counter() - start) / max(1, len(texts))


def ratio(settings: RatioSettings, progress: Progress = quiet) -> Told:
    """Compression ratios of the whole pool (under "all rows") and of each source, largest first."""
    texts, groups = TextPool(), []
    for row in read_pool(settings.pool, settings.fields):
        texts.append(row.text)
        groups.append(str(row.row.get(settings.group, "")))
    table: dict[str, JSON] = {"all rows": {"rows": len(texts), "ratio": ratio_profile(texts)}}
    parts = ratio_by_group(texts, groups)
    if len(parts) > 1:
        table |= {name: {"rows": groups.count(name), "ratio": profile} for name, profile in parts.items()}
    told = []
    for name, found in table.items():
        cells = "  ".join(f"{window} {value:6.2f}" for window, value in found["ratio"].items())
        told.append(f"{name or '(no source)':24} {found['rows']:>9,} rows  {cells}")
    return Told(told, table)


def explain(settings: ExplainSettings, progress: Progress = quiet) -> Told:
    """Why rows were taken or left: those asked for by line, else the first ten taken and the first ten left.

    Raises SettingsError for a row that the pool does not have.
    """
    check_tools(settings)
    made = choose(read_texts(settings.pool, settings, skipped_rows(settings)), settings, progress=progress)
    rows = list(made.scores())
    by_number = {row["row"]: row for row in rows}
    for number in settings.rows:
        if number not in by_number:
            known = f"; rows are {rows[0]['row']} to {rows[-1]['row']}" if rows else ""
            raise SettingsError(f"{settings.pool} has no row {number}{known}")
    taken = sorted((row for row in rows if row["taken"]), key=lambda row: int(row["rank"]))
    first = taken[:FIRST] + [row for row in rows if not row["taken"]][:FIRST]
    chosen = [by_number[number] for number in settings.rows] or first
    return Told([f"{settings.pool}:{row['row']}: {_fate(row)}" for row in chosen], chosen)


def _fate(row: JSON) -> str:
    if row["taken"]:
        return f"taken as number {row['rank']} (round {row['round']}, score {row['score']:.3f})"
    return f"left: {row['reason']}"
