"""What a task made of code shows: its sizes, what was left out and why, and some pairs drawn by the seed."""

from __future__ import annotations

from luthier.report.page import Page
from luthier.report.wording import number
from luthier.run.record import RunRecord

TITLE = "A retrieval task made of code"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier evaluate retrieval build`."""
    found, settings = run.results("task"), run.settings
    tags = (str(settings.get("recipe", "")), *map(str, settings.get("sources", ())))
    if not found:
        return Page(TITLE, tags=tags)
    counts = found["counts"]
    journey = (
        (number(counts["pairs"]), "pairs"),
        (number(counts["queries"]), "queries"),
        (number(counts["documents"]), "documents"),
        (number(sum(found["dropped"].values())), "left out"),
    )
    return Page(found["name"], "evaluate/retrieval/build/page.html.j2", {"found": found, "counts": counts}, tags, journey)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("task")
    counts = found["counts"]
    splits = ", ".join(f"{split} {size:,}" for split, size in counts["splits"].items())
    said = [
        f"{counts['queries']:,} queries ({splits}), {counts['documents']:,} documents from {counts['pairs']:,} pairs; "
        f"{counts['near_copies']:,} near-copies ({counts['near']})   Task: {run.path}"
    ]
    said += [f"  left out: {count:6,}  {reason}" for reason, count in found["dropped"].items()]
    return [*said, str(run.path / "report.html")]
