"""What a model chose among concepts: edges by kind, those that could not be read, and how they lie beside an expert's."""

from __future__ import annotations

from luthier.report.page import Page
from luthier.run.record import RunRecord
from luthier.trace.answers_page import left_out

TITLE, EDGES = "Relations between concepts", "edges.jsonl"
SHOWN = 200


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace relate`; its shell until the edges are written."""
    found, tags = run.results("relations"), (str(run.settings.get("chooser", {}).get("model", "")),)
    if not found:
        return Page(TITLE, tags=tags)
    edges = run.sample(EDGES, SHOWN)
    figures = (
        (str(found["edges"]), "edges"),
        (str(found["concepts"]), "concepts"),
        (str(len(found["unread"])), "replies that cannot be read"),
    )
    return Page(TITLE, "trace/relate.html.j2", {"found": found, "edges": edges, "left": left_out(run.record["data"])}, tags, figures)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, scored = run.results("relations"), run.results("relations").get("against_expert")
    said = [f"{found['edges']} edges into {found['concepts']} concepts"]
    said += [f"{len(found['unread'])} concepts kept their nearest texts, because the reply could not be read"] if found["unread"] else []
    said += [f"{found['dropped']} edges left out, because prerequisites went round in a circle"] if found["dropped"] else []
    said += [f"against the expert's edges: precision {scored['precision']:.2f}, recall {scored['recall']:.2f}"] if scored else []
    return ["; ".join([*said, *left_out(run.record["data"])]) + f"   {run.path / EDGES}"]
