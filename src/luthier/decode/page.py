"""What a fitted head shows: how well its scores order contexts beside entropy, and the contexts at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import plot
from luthier.report.page import Page
from luthier.report.wording import interval
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

SCORES = "scores.jsonl"
SHOWN = 12  # contexts at each end
PARTS = (("chat", "within chat"), ("fact", "within facts"), ("all", "all contexts"))
SIDES = (("target", "with the label it was fitted to"), ("sampled", "with the diversity of sampled replies"))
TITLE = "Diversity head"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier decode fit`; its shell until the head is fitted."""
    found = run.results("fit")
    if not found:
        return Page(TITLE)
    cells = found["agreement"]
    tables = [
        (told, [(name, cells.get(f"{side}/{part}")) for part, name in PARTS])
        for side, told in SIDES
        if any(cells.get(f"{side}/{part}") for part, _ in PARTS)
    ]
    ordered = sorted(run.rows(SCORES), key=lambda row: float(row["score"]))
    ends = {"low": ordered[:SHOWN], "high": ordered[::-1][:SHOWN]}
    values = {"results": found, "tables": tables, "chart": scatter(ordered), "auc": cells["auc"], **ends}
    return Page(TITLE, "decode/page.html.j2", values, (str(found["model"]["name"]),))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("fit")
    error = f"mean absolute error {found['mean_absolute_error']:.3f}"
    told = [f"{found['contexts']} contexts, labels {found['source']}, {error}   {run.path}"]
    for name, cell in found["agreement"].items():
        told.append(f"  {name:14} " + "   ".join(f"{who} {interval(**one)}" for who, one in cell.items()))
    return told


def scatter(rows: Sequence[JSON]) -> Markup:
    """Out-of-fold score over the label, a dot a context: facts and chat in two colours."""
    marks = [at / 4 for at in range(5)]
    paths = [
        (f"dots {name}", " ".join(f"M{100 * row['target']:.2f} {100 - 100 * row['score']:.2f}h0" for row in rows if row["kind"] == kind))
        for name, kind in (("before", "fact"), ("after", "chat"))
    ]
    axis = [(mark, f"{mark:g}") for mark in marks]
    return plot(f"Score of {len(rows)} contexts by their label", [path for path in paths if path[1]], axis, axis)
