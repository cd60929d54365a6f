"""The page of learners' mastery: the class, concepts over time, one learner's way, and how concepts hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import plot
from luthier.report.page import Page
from luthier.report.wording import number, percent
from luthier.run.record import RunRecord
from luthier.trace.answers_page import journey, left_out

if TYPE_CHECKING:
    from markupsafe import Markup

TITLE, LEARNERS_FILE = "Mastery", "learners.jsonl"
CONCEPTS, LEARNERS, TIMELINES, NODES = 25, 30, 4, 28
NAME = 36  # letters of a name beside a node
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHADES = ("a", "b", "c")


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace mastery`; its shell until all learners were followed."""
    data = run.record.get("data")
    if not data or not run.is_finished("mastery") or not run.is_finished("links"):
        return Page(TITLE, journey=journey(data) if data else ())
    rows, links = list(run.rows(LEARNERS_FILE)), run.results("links")["links"]
    evidence: dict[str, float] = {}
    for row in rows:
        for concept, mastery in row["mastery"].items():
            evidence[concept] = evidence.get(concept, 0.0) + mastery[3]
    shown = sorted(evidence, key=lambda name: (-evidence[name], name))[:CONCEPTS]
    most = sorted(rows, key=lambda row: (-row["answers"], row["learner"]))
    values = {
        "rows": rows,
        "concepts": shown,
        "left_out": len(evidence) - len(shown),
        "class_view": most[:LEARNERS],
        "over_time": over_time(rows, shown),
        "timelines": [_timeline(row) for row in most[:TIMELINES]],
        "graph": concept_graph(links, shown),
        "relations": sorted({link["relation"] for link in links}),
        "weakest": weakest(rows),
        "left": left_out(data),
    }
    figures = (
        (number(len(rows)), "learner" if len(rows) == 1 else "learners"),
        (number(data["answers"]), "answers"),
        (percent(round(data["right"], 2)), "answered right"),
        (number(len(evidence)), "concepts practised"),
    )
    return Page(TITLE, "trace/learners.html.j2", values, journey=figures)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done; of learners that were named, what they know."""
    said, new = [], run.record["data"]["attached"]
    for row in list(run.rows(LEARNERS_FILE))[:5] if run.settings["learners"] else []:
        said.append(f"{row['learner']}: {row['answers']} answers, {row['right']:.0%} right")
        for name, (chance, low, high, count) in sorted(row["mastery"].items(), key=lambda pair: pair[1][0]):
            said.append(f"  {chance:4.0%} ({low:.0%}-{high:.0%}), {count:g} answers: {name}")
    told = f", {new} items and concepts that training did not know" if new else ""
    counted = "; ".join([f"{run.results('mastery')['learners']} learners{told}", *left_out(run.record["data"])])
    return [*said, f"{counted}   {run.path / 'report.html'}"]


def over_time(rows: Sequence[JSON], concepts: Sequence[str]) -> list[JSON]:
    """Of each concept, at every twelfth of the way, the mean mastery of the learners that had answered it by then, and their answers."""
    many = max((len(row["timeline"]) for row in rows), default=0)
    table = []
    for concept in concepts:
        cells = []
        for step in range(many):
            seen = [row["timeline"][min(step, len(row["timeline"]) - 1)]["mastery"].get(concept) for row in rows if row["timeline"]]
            some = [each for each in seen if each is not None]
            cells.append(
                {
                    "share": sum(each[0] for each in some) / len(some) if some else None,
                    "learners": len(some),
                    "answers": sum(each[3] for each in some),
                }
            )
        table.append({"concept": concept, "cells": cells})
    return table


def weakest(rows: Sequence[JSON], least: int = 3) -> list[JSON]:
    """Concepts by mean mastery, the lowest first, of learners with `least` answers on them or more; of five such learners where there are."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for concept, (chance, _, _, answers) in row["mastery"].items():
            if answers >= least:
                found.setdefault(concept, []).append(chance)
    enough = min(5, max((len(some) for some in found.values()), default=0))  # one learner is not a class
    found = {name: some for name, some in found.items() if len(some) >= enough}
    means = [{"concept": name, "mean": sum(some) / len(some), "learners": len(some)} for name, some in found.items()]
    return sorted(means, key=lambda one: (one["mean"], one["concept"]))[:10]


def _timeline(row: JSON) -> JSON:
    """A learner's three most practised concepts along the answers, the last answers one by one, and what comes next."""
    practised = sorted(row["mastery"], key=lambda name: (-row["mastery"][name][3], name))[: len(SHADES)]
    paths, told = [], []
    for shade, concept in zip(SHADES, practised, strict=False):
        points = [(each["answers"], each["mastery"][concept][0]) for each in row["timeline"] if concept in each["mastery"]]
        if len(points) > 1:
            paths.append((shade, "M" + "L".join(f"{100 * at / row['answers']:.2f} {100 - 100 * share:.2f}" for at, share in points)))
        told.append({"shade": shade, "concept": concept, "mastery": row["mastery"][concept]})
    return {
        "learner": row["learner"],
        "answers": row["answers"],
        "right": row["right"],
        "curve": _curve(row, paths, told),
        "concepts": told,
        "recent": row["recent"],
        "next": row["next"],
    }


def concept_graph(links: Sequence[JSON], concepts: Sequence[str]) -> Markup | None:
    """The most practised concepts on a circle and the edges between them; None where nothing links them."""
    from markupsafe import Markup

    names = list(concepts[:NODES])
    inside = [link for link in links if link["source"] in names and link["target"] in names and link["source"] != link["target"]]
    if not inside:
        return None
    touched = [name for name in names if any(name in (link["source"], link["target"]) for link in inside)]
    places = {
        name: (math.cos(2 * math.pi * at / len(touched)), math.sin(2 * math.pi * at / len(touched))) for at, name in enumerate(touched)
    }
    heaviest = max(link["weight"] for link in inside)
    drawn = []
    for link in inside:
        (x, y), (u, v) = places[link["source"]], places[link["target"]]
        kind = {"prerequisite": "pre", "related": "rel"}.get(link["relation"], "tog")
        width = 0.6 + 2.4 * link["weight"] / heaviest
        drawn.append(
            Markup('<path class="{}" stroke-width="{}" d="M{} {}Q{} {} {} {}"><title>{}</title></path>').format(
                kind,
                f"{width:.2f}",
                *(f"{150 * each:.1f}" for each in (x, y, (x + u) * 0.28, (y + v) * 0.28, u, v)),
                f"{link['source']} → {link['target']}: {link['relation']}, {link['weight']:.3g}",
            )
        )
    for name, (x, y) in places.items():
        anchor = "start" if x > 0.05 else "end" if x < -0.05 else "middle"
        drawn.append(
            Markup('<circle cx="{0}" cy="{1}" r="3.5"/><text x="{2}" y="{3}" text-anchor="{4}">{5}</text>').format(
                f"{150 * x:.1f}",
                f"{150 * y:.1f}",
                f"{160 * x:.1f}",
                f"{160 * y + 3:.1f}",
                anchor,
                name if len(name) <= NAME else f"{name[: NAME - 1]}…",
            )
        )
    label = f"{len(touched)} concepts and {len(inside)} links between them"
    return Markup('<svg class="graph" viewBox="-330 -185 660 370" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("").join(drawn)
    )


def _curve(row: JSON, paths: list[tuple[str, str]], told: list[JSON]) -> Markup:
    label = f"Mastery along {row['answers']} answers of {row['learner']}: " + "; ".join(
        f"{one['concept']} ends at {percent(round(one['mastery'][0], 2))}" for one in told
    )
    ends = [(0.0, "0"), (1.0, f"{row['answers']}")]
    return plot(label, paths, [(at, percent(at)) for at in TICKS], ends)
