"""What a run of `luthier synthesize fusion` shows: the facts and questions by part, what was left out, an item of each scenario."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.records import JSON
from luthier.records.fusion import SCENARIOS, TITLES
from luthier.records.fusion_suite import ITEMS
from luthier.report.page import Page
from luthier.report.wording import number
from luthier.run.record import RunRecord

SHOWN = 2  # items of each scenario
PARTS = ("memory", "external", "held")
TITLE = "A suite of knowledge fusion"


def draw(run: RunRecord) -> Page:
    """The page of a run; without a suite yet, its shell."""
    made, names = run.results("suite"), tuple(str(path).rpartition("/")[2] for path in run.settings.get("documents", ()))
    if not made:
        return Page(TITLE, tags=names)
    rows = sorted(run.rows(ITEMS), key=lambda row: -int(row["noise"]))
    items = {name: _first([row for row in rows if row["scenario"] == name]) for name in SCENARIOS}
    values = {
        "made": made,
        "parts": [(name, made["facts"][name]) for name in PARTS],
        "scenarios": [(name, TITLES[name], made["questions"][name], made["items"][name]) for name in SCENARIOS],
        "shown": [(name, TITLES[name], some) for name, some in items.items() if some],
    }
    facts = sum(made["facts"][name]["train"] + made["facts"][name]["test"] for name in PARTS)
    figures = (
        (facts, "facts"),
        (made["facts"]["infused"], "to infuse"),
        (sum(made["questions"].values()), "questions"),
        (sum(made["items"].values()), "items with all noise levels"),
        (sum(made["taught"].values()), "conversations to train on"),
    )
    return Page(TITLE, "synthesize/fusion/page.html.j2", values, names, tuple((number(value), label) for value, label in figures))


def _first(rows: Sequence[JSON]) -> list[JSON]:
    """One row a question, of the first questions."""
    return list({row["base"]: row for row in reversed(rows)}.values())[::-1][:SHOWN]


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    made = run.results("suite")
    parts = ", ".join(f"{made['facts'][name]['train'] + made['facts'][name]['test']} {name}" for name in PARTS)
    questions = ", ".join(f"{name} {count}" for name, count in made["questions"].items())
    taught = ", ".join(f"{count} {kind}" for kind, count in made["taught"].items())
    told = [
        f"facts: {parts}, {made['facts']['updates']} with two values; {made['facts']['infused']} are infused",
        f"questions: {questions}   items with all noise levels: {sum(made['items'].values())}",
        f"training: {made['files']['continued.jsonl']['rows']} statements, {taught}",
    ]
    told += [f"  left out, {reason}: {count}" for reason, count in made["dropped"].items()]
    return [*told, str(run.path), str(run.path / "report.html")]
