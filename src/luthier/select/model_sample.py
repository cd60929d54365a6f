"""Which rows a model is asked about, and which of them pass: the middle band of perplexity, or an IFD below 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from luthier.models.opening import require
from luthier.progress import Progress, quiet
from luthier.select.model_scores import ifd_ratios, perplexities
from luthier.select.rows import rows_at
from luthier.select.settings import SelectSettings

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.records import JSON


class Verdict(NamedTuple):
    """Scores by index in the pool, and for each row that may not be picked the gate and what it saw."""

    scores: dict[int, float]
    left: dict[int, tuple[str, str]]


def open_scorer(settings: SelectSettings) -> LocalModel:
    """The model of the settings, whose weights are read when they are first used. Raises MissingFileError, EngineError, FetchError."""
    found: LocalModel = require(settings.open(), "module", f"method {settings.method}")
    return found


def judge(
    source: str | Path | Sequence[JSON],
    numbers: Sequence[int],
    open_rows: Sequence[int],
    settings: SelectSettings,
    *,
    run: Path | None = None,
    progress: Progress = quiet,
) -> Verdict:
    """Score a seeded sample of `settings.score_rows` of the rows (all where it is None or 0) with the model of the settings.

    numbers: line or position of each row of the pool. open_rows: indices of the rows that no gate took out.
    """
    chosen = sample(open_rows, settings.score_rows, settings.seed)
    rows = rows_at(source, {numbers[index] for index in chosen})
    measure = ifd_ratios if settings.method == "ifd" else perplexities
    found = measure(open_scorer(settings), [rows[numbers[index]] for index in chosen], run=run, progress=progress)
    scores = {index: one.value for index, one in zip(chosen, found, strict=True) if one.value is not None}
    left = dict.fromkeys(set(open_rows) - set(chosen), ("not scored", f"outside the sample of {len(chosen):,} rows"))
    left |= {index: ("not scored", one.reason) for index, one in zip(chosen, found, strict=True) if one.value is None}
    return Verdict(scores, left | (_unhelped(scores) if settings.method == "ifd" else _outside(scores, settings.band)))


def sample(indices: Sequence[int], count: int | None, seed: int) -> list[int]:
    """`count` of the indices, in their order; all of them where it is None, 0 or more than there are."""
    return sorted(Random(seed).sample(indices, count)) if count and count < len(indices) else list(indices)


def band_limits(scores: Sequence[float], band: tuple[float, float]) -> tuple[float, float]:
    """The scores at the two quantiles of the band, interpolated; there is at least one score."""
    import numpy as np

    low, high = np.quantile(np.asarray(scores, dtype=np.float64), band)
    return float(low), float(high)


def _unhelped(ratios: dict[int, float]) -> dict[int, tuple[str, str]]:
    return {index: ("ifd", f"{ratio:.3f}: the prompt does not help the answer") for index, ratio in ratios.items() if ratio >= 1}


def _outside(scores: dict[int, float], band: tuple[float, float]) -> dict[int, tuple[str, str]]:
    if not scores:
        return {}
    low, high = band_limits(list(scores.values()), band)
    return {
        index: ("perplexity", f"{score:.2f} is outside the band {low:.2f} to {high:.2f}")
        for index, score in scores.items()
        if not low <= score <= high
    }
