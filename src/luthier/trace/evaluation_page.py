"""The page of an evaluated tracer: every model beside the baselines, how chances hold, and what happens on concepts never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import diagonal
from luthier.report.page import Page
from luthier.report.wording import interval
from luthier.run.record import RunRecord
from luthier.trace.answers_page import journey, left_out, told

if TYPE_CHECKING:
    from markupsafe import Markup

TITLE = "Knowledge tracing, evaluated"
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


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace evaluate`, the first draw in full; its shell until all draws are done."""
    data, draws, settings = run.record.get("data"), run.record.get("over_draws"), run.settings
    built = settings.get("built", {})
    tags = (str(built.get("encoder", "")), ", ".join(built.get("graph", ())))
    first = run.results("draw-0")
    if not data or not draws or not first:
        return Page(TITLE, tags=tags, journey=journey(data) if data else ())
    ours = first["scores"]["sinkt"]
    held = "unseen" in ours
    values = {
        "data": data,
        "first": first,
        "models": [(TITLES.get(name, name), name, scores) for name, scores in first["scores"].items()],
        "measures": MEASURES,
        "parts": [name for name in ours if name not in ("within learners", "unseen", "seen", "all")],
        "held": held,
        "hold": settings["hold"],
        "draws": draws,
        "titles": TITLES,
        "reliability": reliability(first["reliability"]),
        "cold": cold_start(first["scores"], held),
        "value": value,
        "lead": lead,
        "left": [*left_out(data), *first.get("notes", [])],
    }
    some = (str(draws["draws"]), "draw of the split" if draws["draws"] == 1 else "draws of the split")
    return Page(TITLE, "trace/evaluation.html.j2", values, tags, (*journey(data), some))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, notes = run.record["over_draws"], run.results("draw-0")["notes"]
    said = ["; ".join([told(run.record["data"]), *notes])]
    for model, parts in found["auc"].items():
        shown = "   ".join(f"{part} {lead(each, '.4f')}" for part, each in parts.items())
        said.append(f"{model:<20} AUC {shown}   calibration error {found['ece'][model]['all']['mean']:.3f}")
    return [*said, str(run.path / "report.html")]


def value(estimate: JSON | None) -> str:
    """A measure with its interval; a dash where it is not defined."""
    return interval(estimate["value"], estimate["low"], estimate["high"]) if estimate else "–"


def lead(spread: JSON, form: str = "+.3f") -> str:
    """Mean of draws, and their range where there are several."""
    one = spread["low"] == spread["high"]
    return interval(spread["mean"], None if one else spread["low"], None if one else spread["high"], form)


def reliability(bins: Sequence[JSON]) -> Markup:
    """The share of right answers by predicted chance, beside the diagonal."""
    told_bins = "; ".join(f"chance {one['chance']:.2f}: {one['right']:.2f} right of {one['answers']}" for one in bins)
    return diagonal(f"Share of right answers by chance. {told_bins}", [(one["chance"], one["right"]) for one in bins])


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
