"""What a labelling shows: how diverse replies are by the kind of the context, and the contexts at both ends."""

from __future__ import annotations

from luthier.decode.labels import LABELS
from luthier.records import JSON
from luthier.report.page import Page
from luthier.run.record import RunRecord

SHOWN = 8  # contexts at each end
SAID = 3  # replies to one of them
TITLE = "How diverse replies are"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier decode label`; its shell until the replies are compared."""
    found = run.results("labels")
    if not found:
        return Page(TITLE)
    ordered = sorted(map(_shown, run.rows(LABELS)), key=lambda row: float(row["diversity"]))
    values = {"results": found, "low": ordered[:SHOWN], "high": ordered[::-1][:SHOWN]}
    counts = tuple((str(count), {"chat": "contexts of chat", "fact": "questions of fact"}[kind]) for kind, count in found["kinds"].items())
    return Page(TITLE, "decode/label.html.j2", values, (str(run.settings.get("model", "")),), counts)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("labels")
    told = [f"{found['contexts']} contexts ({found['kinds']['chat']} chat, {found['kinds']['fact']} facts)   {run.path / LABELS}"]
    for name, means in found["means"].items():
        said = [f"{kind} {mean:.3f}" for kind, mean in means.items() if mean is not None]
        told += [f"  {name} diversity: {', '.join(said)}"] if said else []
    return told


def _shown(row: JSON) -> JSON:
    """A label with what was measured on it, human replies where no other are there."""
    measured = row["sampled"] if row["sampled"] is not None else row["referenced"]
    said = row["replies"] or row.get("references", [])
    text = str(row["messages"][-1]["content"])
    return {"text": text, "kind": row["kind"], "diversity": measured or 0.0, "measured": measured is not None, "replies": said[:SAID]}
