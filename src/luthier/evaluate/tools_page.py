"""What a run of `luthier evaluate tools` shows: the score table, and some of the wrong answers."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import rate
from luthier.run.record import RunRecord

ANSWERS = "answers.jsonl"
RULES = ("official", "strict")
SHOWN = 10
TITLE = "Function calling"


def draw(run: RunRecord) -> Page:
    """The page of a run; without scores yet, its shell."""
    found, settings = run.results("answers"), run.settings
    tags = tuple(str(settings[name]) for name in ("model", "adapter") if settings.get(name))
    if not found:
        return Page(TITLE, tags=tags)
    wrong = [row for row in run.rows(ANSWERS) if not (row.get("official") and row.get("strict"))]
    values = {
        "rows": found["scores"],
        "rules": RULES,
        "benchmark": found["benchmark"],
        "first": found["scores"][0],
        "read": [_read(row) for row in found["scores"]],
        "wrong": wrong[:: max(1, len(wrong) // SHOWN)][:SHOWN],
        "wrong_count": len(wrong),
    }
    return Page(TITLE, "evaluate/tools.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    told = [
        f"{row['category']:14} {row['decoding']:12} {row['items']:4} items   " + "   ".join(f"{rule} {rate(row[rule])}" for rule in RULES)
        for row in run.results("answers")["scores"]
    ]
    read = [f"{row['category']:14} {row['decoding']:12} {_read(row)}" for row in run.results("answers")["scores"]]
    return [*told, *read, str(run.path / "report.html")]


def _read(row: JSON) -> str:
    """In which form the calls were, and how many attempts were in none that is known."""
    forms, unread = row.get("forms", {}), row.get("unread", 0)
    told = f"calls read as {', '.join(f'{form} ({count})' for form, count in forms.items())}" if forms else "no calls"
    return told + (f"; {unread} attempts in no known form" if unread else "")
