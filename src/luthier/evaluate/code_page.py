"""What a run of `luthier evaluate code` shows: pass@k with its intervals, what the programs came to, and some that failed."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.page import Page
from luthier.report.wording import duration, number, percent, percent_range, words
from luthier.run.record import RunRecord

VERDICTS = "verdicts.jsonl"
SHOWN = 8
TITLE = "Programs"


def draw(run: RunRecord) -> Page:
    """The page of a run; without scores yet, its shell."""
    found, settings = run.results("scores"), run.settings
    tags = tuple(str(settings[name]) for name in ("model", "adapter") if settings.get(name))
    if not found:
        return Page(TITLE, tags=tags)
    failed = [row for row in run.rows(VERDICTS) if row.get("outcome") != "passed"]
    programs = sum(found["outcomes"].values())
    values = {
        "first": found["private"][0],
        "programs": programs,
        "blocks": [{"tests": kind, "bars": [_bar(rate) for rate in found[kind]]} for kind in ("private", "public") if kind in found],
        "outcomes": [(words(kind), count, percent(round(count / programs, 3))) for kind, count in found["outcomes"].items()],
        "public_only": found["public_only"],
        "private_only": found["private_only"],
        "written": run.results("answers"),
        "judged": run.results("verdicts"),
        "failed": failed[:: max(1, len(failed) // SHOWN)][:SHOWN],
        "failed_count": len(failed),
    }
    return Page(TITLE, "evaluate/code.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, written, judged = run.results("scores"), run.results("answers"), run.results("verdicts")
    told = [
        f"pass@{rate['k']} {rate['rate']:.1%} ({rate['low']:.1%}–{rate['high']:.1%}) of {rate['problems']} problems, {kind} tests"
        for kind in ("private", "public")
        for rate in found.get(kind, [])
    ]
    outcomes = ", ".join(f"{number(count)} {words(kind)}" for kind, count in found["outcomes"].items())
    times = f"written in {duration(written['wall'])} ({duration(written['cpu'])} CPU), judged in {duration(judged['wall'])} ({duration(judged['cpu'])} CPU)"
    return [*told, outcomes, times, str(run.path / "report.html")]


def _bar(rate: JSON) -> JSON:
    return {
        "k": rate["k"],
        "chart": interval_bars([("after", rate)]),
        "rate": percent(round(rate["rate"], 3)),
        "range": percent_range(round(rate["low"], 2), round(rate["high"], 2)),
    }
