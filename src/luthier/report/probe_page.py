"""The page of a probed run: what chains of thought changed, and for some questions the confidence in every option, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.records.choices import LETTERS
from luthier.report.charts import plot
from luthier.report.templating import write_page
from luthier.report.wording import THIN, percent, percent_range

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 10
PLACES = 20  # along the chain, from its beginning to its end
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def write_probe_page(path: Path, results: JSON, traces: Sequence[JSON], *, settings: JSON, seed: int, shown: int = SHOWN) -> None:
    """One HTML file on a run of `luthier probe`. Raises DiskError.

    results: of the step `statistics`; traces: rows of traces.jsonl with `answers`, `final`, `right` and `held`, the confidence in the final
    answer by step.
    """
    chosen = sorted(Random(seed).sample(range(len(traces)), min(shown, len(traces))))
    overall = results["all"]
    groups = [("all", overall)] if not results["groups"] else [*results["groups"].items(), ("all", overall)]
    write_page(
        "probe_page.html.j2",
        path,
        overall=overall,
        groups=groups,
        by_steps=results["by_steps"],
        early_exit=results["early_exit"],
        trajectory=trajectory(traces),
        reliability=reliability(overall.get("reliability", [])),
        settings=settings,
        rate=rate,
        heat=[heat_map(traces[at], at + 1) for at in chosen],
        letters=LETTERS,
        percent=percent,
    )


def rate(value: JSON | None) -> str:
    """A rate with its interval in words; a dash where nothing was counted."""
    if value is None or not value["items"]:
        return "–"
    return f"{percent(round(value['rate'], 3))} ({percent_range(round(value['low'], 2), round(value['high'], 2)).removesuffix(f'{THIN}%')})"


def trajectory(traces: Sequence[JSON]) -> Markup:
    """Mean confidence in the final answer along the chain, of chains that end right and of those that end wrong (all, where none is known)."""
    kinds = {"right": [trace for trace in traces if trace["right"]], "wrong": [trace for trace in traces if trace["right"] is False]}
    if not any(kinds.values()):
        kinds = {"right": list(traces)}
    paths, told = [], []
    for name, each in kinds.items():
        if each:
            means = [sum(_at(trace["held"], place / PLACES) for trace in each) / len(each) for place in range(PLACES + 1)]
            points = [f"{100 * place / PLACES:.2f} {100 - 100 * mean:.2f}" for place, mean in enumerate(means)]
            paths.append((name, "M" + "L".join(points)))
            told.append(f"{name}: from {percent(round(means[0], 2))} to {percent(round(means[-1], 2))}")
    axis = [(at, percent(at)) for at in TICKS]
    return plot(
        f"Confidence in the final answer along the chain. {'; '.join(told)}", paths, axis, [(0, "before"), (0.5, "half-way"), (1, "end")]
    )


def reliability(bins: Sequence[JSON]) -> Markup | None:
    """The share of right answers by the final confidence, beside the diagonal where the two are equal; None without known answers."""
    if not bins:
        return None
    dots = "M" + "L".join(f"{100 * one['score']:.2f} {100 - 100 * one['right'] / one['chains']:.2f}" for one in bins)
    told = "; ".join(f"confidence {one['score']:.2f}: {one['right']} of {one['chains']} right" for one in bins)
    axis = [(at, percent(at)) for at in TICKS]
    return plot(f"Share of right answers by confidence. {told}", [("even", "M0 100L100 0"), ("right", dots)], axis, axis)


def heat_map(trace: JSON, number: int) -> JSON:
    """A question's chain as rows, one before it and one a step: its text, and each option's confidence as a share to be coloured."""
    texts = ["before the chain", *trace["steps"]]
    rows = [
        {"text": text, "cells": [{"share": share, "shown": f"{100 * share:.0f}"} for share in conf], "held": held, "mass": mass}
        for text, conf, held, mass in zip(texts, trace["conf"], trace["answers"], trace["mass"], strict=True)
    ]
    return {
        "number": number,
        "asked": trace["question"],
        "options": trace["options"],
        "answer": trace["answer"],
        "stated": trace["stated"],
        "final": trace["final"],
        "right": trace["right"],
        "rows": rows,
        "statement": trace["statement"],
        "group": trace["group"],
        "early": trace["answers"][0] == trace["final"],
        "wrong": trace.get("extra", {}).get("wrong"),
    }


def _at(values: Sequence[float], share: float) -> float:
    """A row of values at a share of its length, between two of them in proportion."""
    place = share * (len(values) - 1)
    low = min(int(place), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
