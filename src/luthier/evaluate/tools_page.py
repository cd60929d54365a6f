"""What a run of `luthier evaluate tools` shows: the score table, and some of the wrong answers."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.page import Page
from luthier.report.wording import percent, percent_range, words
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
        "rows": [_shown(row) for row in found["scores"]],
        "benchmark": found["benchmark"],
        "first": found["scores"][0],
        "wrong": wrong[:: max(1, len(wrong) // SHOWN)][:SHOWN],
        "wrong_count": len(wrong),
    }
    return Page(TITLE, "evaluate/tools.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    told = [_line(row) for row in run.results("answers")["scores"]]
    return [*told, str(run.path / "report.html")]


def _line(row: JSON) -> str:
    official, strict = row["official"], row["strict"]
    return (
        f"{row['category']:14} {row['decoding']:12} {row['items']:4} items  official {official['rate']:6.1%} "
        f"({official['low']:.1%}-{official['high']:.1%})  strict {strict['rate']:6.1%}"
    )


def _shown(row: JSON) -> JSON:
    bars = [
        {
            "rule": rule,
            "chart": interval_bars([("after", row[rule])]),
            "rate": percent(round(row[rule]["rate"], 3)),
            "range": percent_range(round(row[rule]["low"], 2), round(row[rule]["high"], 2)),
        }
        for rule in RULES
    ]
    return {"category": words(row["category"]), "decoding": row["decoding"], "items": row["items"], "bars": bars}
