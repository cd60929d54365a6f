"""What a trained retriever shows: its scores before and after on each test, and how it was trained."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.page import Page
from luthier.report.wording import duration, number
from luthier.run.record import RunRecord

TITLE = "A retriever, trained"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier evaluate retrieval train`; before it was measured, its shell."""
    trained, tests = run.results("train"), run.results("measure").get("tests", [])
    tags = (str(run.settings.get("base", "")), str(run.settings.get("task", "")).rpartition("/")[2])
    if not trained or not tests:
        return Page(TITLE, tags=tags)
    journey = (
        (number(trained["pairs"]), "pairs"),
        (number(trained["left_out"]), "left out, as they repeat a test"),
        (number(trained["steps"]), "steps"),
        (duration(trained["cpu_seconds"]), "of processor time"),
    )
    shown = [{**test, "words": change_words(test["change"]), "bars": _bars(test)} for test in tests]
    return Page(TITLE, "recipes/retriever_page.html.j2", {"tests": shown, "trained": trained}, tags, journey)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    trained = run.results("train")
    told = f"{trained['pairs']:,} pairs, {trained['left_out']:,} left out as they repeat a test"
    said = [f"{told}; {trained['steps']} steps in {trained['cpu_seconds']} CPU-s   Model: {run.path / 'model'}"]
    for name, account in trained.get("accounts", {}).items():
        said += [f"{name:24} left out: {count:,}  {reason}" for reason, count in account.items()]
    for row in run.results("measure")["tests"]:
        said.append(
            f"{row['task']:24} NDCG@10 {100 * row['before']['mean']:.2f} -> {100 * row['after']['mean']:.2f}: {change_words(row['change'])}"
        )
    return [*said, str(run.path / "report.html")]


def change_words(change: JSON) -> str:
    """`+11.80 (+10.70 to +12.80, p = 0.0005)`, in points."""
    return f"{100 * change['mean']:+.2f} ({100 * change['low']:+.2f} to {100 * change['high']:+.2f}, p = {change['p']:.4f})"


def _bars(test: JSON) -> object:
    sides = [(name, test[name]) for name in ("before", "after")]
    return interval_bars([(name, {"rate": score["mean"], "low": score["low"], "high": score["high"]}) for name, score in sides])
