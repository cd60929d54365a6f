"""Pages of dynamic decoding: how well a head orders contexts, and what each way of setting the temperature does at one mean temperature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.records import JSON
from luthier.report.charts import plot, ticks
from luthier.report.templating import write_page

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 12  # contexts at each end
PARTS = (("chat", "within chat"), ("fact", "within facts"), ("all", "all contexts"))
SIDES = (("target", "with the label it was fitted to"), ("sampled", "with the diversity of sampled replies"))
MEASURES = (
    ("distinct_2", "distinct-2", "chat: different word pairs over the replies to a context"),
    ("diversity", "diversity", "chat: 1 less the mean similarity of replies"),
    ("self_bleu", "self-BLEU", "chat: likeness of replies, less is more varied"),
    ("correct", "correct", "facts: share of replies with the right answer"),
    ("consistency", "consistency", "facts: share of replies with the commonest answer"),
    ("likeness", "likeness", "facts: mean similarity of replies"),
    ("repetition", "repetition", "all: share of word triples a reply has said before"),
)


class Scored(NamedTuple):
    """A context's last message, its kind, its out-of-fold score, its label, and the diversity of its sampled replies."""

    text: str
    kind: str
    score: float
    target: float
    sampled: float | None


class Spent(NamedTuple):
    """A context's last message, its kind, and the mean temperature its replies were drawn at, with one of them."""

    text: str
    kind: str
    temperature: float
    reply: str


def write_fit_page(results: JSON, rows: Sequence[Scored], path: Path) -> None:
    """One HTML file on a fit. results: of the step `fit`. Raises DiskError."""
    tables = [
        (told, [(name, results["agreement"].get(f"{side}/{part}")) for part, name in PARTS])
        for side, told in SIDES
        if any(results["agreement"].get(f"{side}/{part}") for part, _ in PARTS)
    ]
    ordered = sorted(rows, key=lambda row: row.score)
    write_page(
        "decoding_fit_page.html.j2",
        path,
        results=results,
        tables=tables,
        chart=scatter(rows),
        auc=results["agreement"]["auc"],
        low=ordered[:SHOWN],
        high=ordered[::-1][:SHOWN],
    )


def write_eval_page(results: JSON, spent: Sequence[Spent], path: Path) -> None:
    """One HTML file on an evaluation. results: of the step `compare`; spent: contexts of the first head's arm. Raises DiskError."""
    ordered = sorted(spent, key=lambda row: row.temperature)
    write_page(
        "decoding_eval_page.html.j2",
        path,
        results=results,
        measures=MEASURES,
        chart=spread(spent),
        low=ordered[:SHOWN],
        high=ordered[::-1][:SHOWN],
    )


def scatter(rows: Sequence[Scored]) -> Markup:
    """Out-of-fold score over the label, a dot a context: facts and chat in two colours."""
    marks = [at / 4 for at in range(5)]
    paths = [
        (f"dots {name}", " ".join(f"M{100 * row.target:.2f} {100 - 100 * row.score:.2f}h0" for row in rows if row.kind == kind))
        for name, kind in (("before", "fact"), ("after", "chat"))
    ]
    axis = [(mark, f"{mark:g}") for mark in marks]
    return plot(f"Score of {len(rows)} contexts by their label", [path for path in paths if path[1]], axis, axis)


def spread(spent: Sequence[Spent], bins: int = 24) -> Markup:
    """How many contexts of each kind get which temperature: two outlines over the temperature."""
    values = [row.temperature for row in spent] or [1.0]
    columns = ticks(min(values), max(values))
    left, right = columns[0], columns[-1]
    counts = {kind: [0] * bins for kind in ("fact", "chat")}
    for row in spent:
        counts[row.kind][min(bins - 1, int(bins * (row.temperature - left) / (right - left)))] += 1
    rows = ticks(0, max(1, *(max(some) for some in counts.values())))
    paths = []
    for name, kind in (("before", "fact"), ("after", "chat")):
        outline = [f"M0 {100:.2f}"]
        for at, count in enumerate(counts[kind]):
            height = 100 - 100 * count / rows[-1]
            outline.append(f"L{100 * at / bins:.2f} {height:.2f}L{100 * (at + 1) / bins:.2f} {height:.2f}")
        paths.append((f"line {name}", "".join([*outline, "L100 100"])))
    return plot(
        f"Contexts by mean temperature, {left:g} to {right:g}",
        paths,
        [(mark / rows[-1], f"{mark:g}") for mark in rows],
        [((mark - left) / (right - left), f"{mark:g}") for mark in columns],
    )
