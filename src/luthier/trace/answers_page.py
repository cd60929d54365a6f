"""What was read of learners' answers: as the page of an import, and as the line and the figures that other pages begin with."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import number, percent
from luthier.run.record import RunRecord

TITLE = "Answers, as one long table"
MERGED = (("merged_rows", "rows merged"), ("repeated_rows", "of these repeat another row"), ("moved_rows", "sorted by time"))


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier trace import`."""
    data = run.record.get("data")
    if not data:
        return Page(TITLE)
    rows = list(run.sample("events.jsonl", 12))
    return Page(TITLE, "trace/answers.html.j2", {"data": data, "rows": rows, "left": left_out(data)}, journey=journey(data))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    return [f"{told(run.record['data'])}   {run.path}"]


def told(data: JSON) -> str:
    """A log in one line."""
    text = (
        f"{data['answers']:,} answers of {data['learners']:,} learners to {data['items']:,} items of {data['concepts']:,} concepts, "
        f"{data['right']:.0%} right"
    )
    return "; ".join([text, *left_out(data)])


def left_out(data: JSON) -> list[str]:
    """What was merged, moved or left out on the way."""
    return [*(f"{data[key]:,} {what}" for key, what in MERGED if data[key]), *data["notes"]]


def journey(data: JSON) -> tuple[tuple[str, str], ...]:
    """A log in a few figures."""
    return (
        (number(data["answers"]), "answers"),
        (number(data["learners"]), "learners"),
        (number(data["items"]), f"items, {number(data['with_text'])} with text"),
        (number(data["concepts"]), "concepts"),
        (percent(round(data["right"], 2)), "answered right"),
    )
