"""Scores of several runs side by side, with paired tests, and a refusal where they do not compare.

NDCG moves by twenty points with the size of the corpus alone, so runs of other texts, other readings or other depths never share a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.page import score_words
from luthier.evaluate.retrieval.results import Result, load_results
from luthier.evaluate.retrieval.settings import ComparisonSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.lines import to_text
from luthier.report.wording import Told
from luthier.statistics.resampling import paired

SETTINGS = ("task", "split", "reading", "depth")  # what must be alike
LENGTH = "max_length"  # alike among the models that have one, unless allowed


@dataclass(frozen=True)
class Comparison:
    """table: a row each result, best first; pairs: the paired difference of every two; differ: settings that differ, with their values."""

    metric: str
    ties: str
    table: list[JSON]
    pairs: list[JSON]
    differ: dict[str, list[Any]]


def answer(settings: ComparisonSettings, progress: Progress = quiet) -> Told:
    """The comparison of the results of several runs."""
    results = [result for path in settings.runs for result in load_results(path)]
    found = compare(results, metric=settings.metric, ties=settings.ties, allow=settings.allow)
    for name, values in found.differ.items():
        progress.say(f"These differ in {name}: {', '.join(str(value) for value in values)}")
    said = [f"{row['model']:24} {found.metric} {score_words(row)}" for row in found.table]
    said += [
        f"{pair['better']} over {pair['worse']}: {100 * pair['mean']:+.2f} "
        f"({100 * pair['low']:+.2f} to {100 * pair['high']:+.2f}), p = {pair['p']:.4f}"
        for pair in found.pairs
    ]
    return Told(said, asdict(found))


def compare(
    results: Sequence[Result], *, metric: str = "ndcg@10", ties: str = "expected", allow: Sequence[str] = (), seed: int = 0
) -> Comparison:
    """A table of the results, best first, and the paired difference of every two.

    allow: settings that may differ all the same; the table then says so. Raises SettingsError where another setting differs.
    """
    if len(results) < 2:
        raise SettingsError("one result compares with nothing; name two runs, or a run of two models")
    differing = unlike(results)
    refused = [name for name in differing if name not in allow]
    if refused:
        told = "; ".join(f"{name}: {' against '.join(str(value) for value in differing[name])}" for name in refused)
        raise SettingsError(f"these results do not compare, they differ in {told} (run them alike, or name the setting with --allow)")
    key = f"{metric}/{ties}"
    for result in results:
        if key not in result.values:
            raise SettingsError(f"{result.row.model} has no {metric} under {ties!r}; it has {', '.join(sorted(result.values))}")
    ranked = sorted(results, key=lambda result: -float(result.values[key].mean()))
    pairs = []
    if "task" not in differing and "split" not in differing:
        for better, worse in combinations(ranked, 2):
            difference = paired(worse.values[key], better.values[key], better.clusters, seed)
            pairs.append({"better": better.row.model, "worse": worse.row.model, **difference.to_row()})
    rows = [result.row for result in ranked]
    table = [{"model": row.model, **row.metrics[metric][ties], "settings": row.settings} for row in rows]
    return Comparison(metric, ties, table, pairs, differing)


def unlike(results: Sequence[Result]) -> dict[str, list[Any]]:
    """The settings that differ, with their values."""
    found = {}
    for name in (*SETTINGS, LENGTH):
        values = list(dict.fromkeys(_shown(result.row.settings.get(name)) for result in results))
        if name == LENGTH:
            values = [value for value in values if value is not None]
        if len(values) > 1:
            found[name] = values
    return found


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float | type(None)) else to_text(value)
