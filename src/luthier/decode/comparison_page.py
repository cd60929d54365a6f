"""What a comparison shows: what each way of setting the temperature does at one mean temperature, and where it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.report.charts import plot, ticks
from luthier.report.page import Page
from luthier.report.wording import interval
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 12  # contexts at each end
TITLE = "Dynamic decoding"
MEASURES = (
    ("distinct_2", "distinct-2", "chat: different word pairs over the replies to a context"),
    ("diversity", "diversity", "chat: 1 less the mean similarity of replies"),
    ("self_bleu", "self-BLEU", "chat: likeness of replies, less is more varied"),
    ("correct", "correct", "facts: share of replies with the right answer"),
    ("consistency", "consistency", "facts: share of replies with the commonest answer"),
    ("likeness", "likeness", "facts: mean similarity of replies"),
    ("repetition", "repetition", "all: share of word triples a reply has said before"),
)


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier decode compare`; its shell until all is drawn."""
    found = run.results("compare")
    if not found:
        return Page(TITLE)
    ordered = sorted(found["spent"], key=lambda row: float(row["temperature"]))
    ends = {"low": ordered[:SHOWN], "high": ordered[::-1][:SHOWN]}
    values = {"results": found, "measures": MEASURES, "chart": spread(found["spent"]), **ends}
    return Page(TITLE, "decode/comparison.html.j2", values, (str(found["model"]),))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("compare")
    told = []
    for arm in (*found["arms"], *found["extra"]):
        said = "  ".join(f"{name} {interval(**one)}" for name, one in arm["measures"].items() if one is not None)
        told.append(f"{arm['name']}: T {arm['temperature']['realised']:.2f} on {arm['contexts']} contexts  {said}")
    for pair in found["comparisons"]:
        said = "  ".join(f"{name} {interval(**one, form='+.3f')}" for name, one in pair["measures"].items() if one is not None)
        told.append(f"{pair['one']} less {pair['other']}: {said}")
    return [*told, str(run.path / "report.html")]


def spread(spent: Sequence[JSON], bins: int = 24) -> Markup:
    """How many contexts of each kind get which temperature: two outlines over the temperature."""
    values = [float(row["temperature"]) for row in spent] or [1.0]
    columns = ticks(min(values), max(values))
    left, right = columns[0], columns[-1]
    counts = {kind: [0] * bins for kind in ("fact", "chat")}
    for row in spent:
        counts[row["kind"]][min(bins - 1, int(bins * (row["temperature"] - left) / (right - left)))] += 1
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
