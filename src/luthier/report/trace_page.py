"""The page of an evaluated tracer: every model beside the baselines, how chances hold, and what happens on concepts never seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import plot
from luthier.report.templating import write_page
from luthier.report.wording import number, percent

if TYPE_CHECKING:
    from markupsafe import Markup

TITLES = {
    "sinkt": "SINKT",
    "dkt": "DKT on identities",
    "dkt-known": "DKT, unknown concepts skipped",
    "irt": "item response theory",
    "bkt": "BKT",
    "running+difficulty": "running accuracy and difficulty",
    "running": "running accuracy",
    "mean": "mean of training",
}
MEASURES = (("auc", "AUC"), ("accuracy", "accuracy"), ("log_loss", "log-loss"), ("brier", "Brier"), ("ece", "calibration error"))
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def write_trace_page(path: Path, record: JSON, results: Sequence[JSON]) -> None:
    """One HTML file on a run of `luthier trace evaluate`. Raises DiskError. results: of each draw; the first is shown in full."""
    first = results[0]
    parts = [name for name in first["scores"]["sinkt"] if name not in ("within learners", "unseen", "seen", "all")]
    held = "unseen" in first["scores"]["sinkt"]
    models = [(TITLES.get(name, name), name, first["scores"][name]) for name in first["scores"]]
    settings = record["settings"]
    write_page(
        "trace_page.html.j2",
        path,
        data=record["data"],
        first=first,
        models=models,
        measures=MEASURES,
        parts=parts,
        held=held,
        draws=record["over_draws"],
        titles=TITLES,
        settings=settings,
        reliability=reliability(first["reliability"]),
        cold=cold_start(first["scores"], held),
        auc=auc,
        value=value,
        lead=lead,
        number=number,
        percent=percent,
    )


def auc(score: JSON | None) -> str:
    """An AUC with its interval; a dash where it is not defined."""
    return value(score["auc"]) if score and "auc" in score else "–"


def value(estimate: JSON, digits: int = 3) -> str:
    """A value with its interval."""
    if estimate["value"] is None:
        return "not defined"
    shown = f"{estimate['value']:.{digits}f}"
    return shown if estimate["low"] is None else f"{shown} ({estimate['low']:.{digits}f}–{estimate['high']:.{digits}f})"


def lead(spread: JSON) -> str:
    """Mean of draws and their range, signed."""
    return "–" if spread["mean"] is None else f"{spread['mean']:+.3f} ({spread['low']:+.3f} to {spread['high']:+.3f})"


def reliability(bins: Sequence[JSON]) -> Markup:
    """The share of right answers by predicted chance, beside the diagonal."""
    dots = "M" + "L".join(f"{100 * one['chance']:.2f} {100 - 100 * one['right']:.2f}" for one in bins)
    told = "; ".join(f"chance {one['chance']:.2f}: {one['right']:.2f} right of {one['answers']}" for one in bins)
    axis = [(at, percent(at)) for at in TICKS]
    return plot(f"Share of right answers by chance. {told}", [("even", "M0 100L100 0"), ("right", dots)], axis, axis)


def cold_start(scores: JSON, held: bool) -> list[JSON]:
    """AUC of each model where little is known: on unseen and on seen items, and on a learner's first ten answers."""
    parts = [*(("unseen", "seen") if held else ()), "answers 1-10", "answers 11-50", "answers 51-200"]
    rows = []
    for name, each in scores.items():
        if name == "mean":
            continue
        cells = [{"part": part, "auc": each[part]["auc"]["value"]} for part in parts if part in each]
        rows.append({"model": TITLES.get(name, name), "name": name, "cells": cells})
    return rows
