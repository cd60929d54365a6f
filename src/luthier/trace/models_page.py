"""The page of traced models: accuracies with intervals, skills by learner with the evidence behind them, alarms, and difficulty from text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.records.files import evenly
from luthier.report.charts import interval_bars, plot, ticks
from luthier.report.page import Page
from luthier.report.wording import percent, percent_range
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

TITLE = "Traced models"
WIDE, TALL = 24, 60  # learners and skills on the page; the tables beside it hold all
LISTED = 20


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace models`; its shell until the tables are written."""
    results, held, settings = run.results("trace"), run.results("held-out"), run.settings
    tags = (f"{settings.get('parameters', 1)}PL",)
    if not results:
        return Page(TITLE, tags=tags)
    learners = shown_learners(results["learners"], ordered=not settings["checkpoints"])
    values = {
        "results": results,
        "held": held,
        "settings": settings,
        "estimates": [_estimate(one) for one in learners],
        "left_out": len(results["learners"]) - len(learners),
        "heat": heat_map(results, [one["learner"] for one in learners]),
        "changed": [_change(one) for one in results["changes"] if one["narrowest"]],
        "tested": len(results["changes"]),
        "text": _text(results["text"]),
        "ask": results["ask"][:LISTED],
        "train": results["train"][:LISTED],
    }
    return Page(TITLE, "trace/models.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    made, held = run.results("trace"), run.results("held-out")
    said = [
        *made["notes"],
        f"{len(made['learners'])} learners, {made['items']} items, {made['answers']} answers, {len(made['concepts'])} skills",
    ]
    for one in made["learners"]:
        if one["new"]:
            range_ = f"({one['low']:.1%}–{one['high']:.1%})"
            said.append(f"{one['learner']}: {one['accuracy']:.1%} {range_} of {one['items']} items, from {one['answered']} answers")
    if held["learners"]:
        said.append(
            f"families left out, {held['asked']} items: mean error {100 * held['error_adaptive']:.1f} points where they are chosen one after "
            f"another, {100 * held['error_random']:.1f} at random, {100 * held['plain_error']:.1f} by the share right; "
            f"{held['covered_random']:.0%} of the intervals hold the truth"
        )
    if run.settings["checkpoints"]:
        said += [_told_change(change) for change in made["changes"] if change["narrowest"]]
        said += [] if made["alarms"] else ["no skill was lost that the answers can tell"]
    return [*said, str(run.path / "report.html")]


def _told_change(change: JSON) -> str:
    between = f"{change['before']} → {change['after']}: {change['mastery_before']:.0%} → {change['mastery_after']:.0%}"
    return f"{change['verdict']}: {change['concept']}, {between} on {change['evidence_after']} answers (p {change['p_all']:.2g} over all tests)"


def shown_learners(rows: Sequence[JSON], ordered: bool) -> list[JSON]:
    """The learners that fit the page: in the order read or, where they are no checkpoints, the new ones and then the others by accuracy, evenly thinned."""
    if not ordered:
        return list(rows[-WIDE:])
    new = [one for one in rows if one["new"]][:WIDE]
    others = sorted((one for one in rows if not one["new"]), key=lambda one: (-one["accuracy"], one["learner"]))
    return new + evenly(others, WIDE - len(new))


def heat_map(results: JSON, learners: Sequence[str]) -> list[JSON]:
    """A row for each skill: for each learner its mastery as a share to be coloured, the answers behind it and its interval; None where there are none."""
    cells = {(one["concept"], one["learner"]): one for one in results["mastery"]}
    evidence = {name: sum(one["answers"] for one in results["mastery"] if one["concept"] == name) for name in results["concepts"]}
    named = sorted((name for name in results["concepts"] if evidence[name]), key=lambda name: -evidence[name])[:TALL]
    kept = [name for name in results["concepts"] if name in set(named)]
    return [{"concept": name, "cells": [_cell(cells.get((name, learner)), learner) for learner in learners]} for name in kept]


def _cell(one: JSON | None, learner: str) -> JSON:
    if one is None:
        return {"share": None, "told": f"{learner}: no answers", "answers": 0}
    low, high = round(one["low"], 2), round(one["high"], 2)
    return {
        "share": one["mastery"],
        "shown": f"{100 * one['mastery']:.0f}",
        "answers": one["answers"],
        "told": f"{learner}: {percent(round(one['mastery'], 3))}, interval {percent_range(low, high)}, {one['answers']} answers",
    }


def _estimate(one: JSON) -> JSON:
    score = {"rate": one["accuracy"], "low": one["low"], "high": one["high"]}
    return {
        **one,
        "bar": interval_bars([("after" if one["new"] else "before", score)]),
        "rate": percent(round(one["accuracy"], 3)),
        "range": percent_range(round(one["low"], 3), round(one["high"], 3)),
    }


def _change(one: JSON) -> JSON:
    told = "" if one["low"] is None else f"{100 * one['low']:+.0f} to {100 * one['high']:+.0f}"
    p = "< 0.001" if one["p_all"] < 0.001 else f"{one['p_all']:.3f}"
    return {**one, "points": f"{100 * one['difference']:+.0f}", "range": told, "p_told": p}


def _text(text: JSON | None) -> JSON | None:
    if text is None:
        return None
    return {**text, "chart": scatter(text["points"])}


def scatter(points: Sequence[tuple[float, float]]) -> Markup:
    """Difficulty as read from text (across) and as answers show it (up), with the diagonal where they are equal."""
    values = [value for point in points for value in point]
    marks = ticks(min(values), max(values))
    low, high = marks[0], marks[-1]
    span = (high - low) or 1.0
    dots = " ".join(f"M{100 * (x - low) / span:.2f} {100 - 100 * (y - low) / span:.2f}h0" for x, y in points)
    axis = [((mark - low) / span, f"{mark:g}") for mark in marks]
    return plot(f"Difficulty of {len(points)} items: from text, against answers", [("even", "M0 100L100 0"), ("raw", dots)], axis, axis)
