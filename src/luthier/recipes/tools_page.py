"""The page of the flow that teaches tools: what was done, what it changed, and what still fails."""

from __future__ import annotations

from typing import Any

from luthier.recipes.tools_scores import STEPS, Flow, answers, charts, comparisons, headline
from luthier.records import JSON
from luthier.report.charts import curve, thin
from luthier.report.page import METRICS, Page, is_number
from luthier.report.talk import dialogue, first_user_text
from luthier.report.wording import duration, number, percent
from luthier.run import RunRecord

DIALOGUES, TEXTS = 10, 5
ADAPTER = "sft/adapter"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier run tools`, finished or not."""
    flow = Flow(run)
    rows = comparisons(flow)
    wins, failures, win_count, failure_count = answers(flow)
    said = headline(flow)
    values = {
        "headline": said,
        "unfinished": flow.unfinished,
        "comparisons": rows,
        "charts": charts(rows),
        "irrelevance": any("irrelevance" in row.category for row in rows),
        "skills": flow.results("skills").get("changes", []),
        "results": {name.replace("-", "_"): flow.results(name) for name in STEPS},
        "training": _training(run),
        "dialogues": [dialogue(row) for row in run.sample("selected.jsonl", DIALOGUES)],
        "selection": _selection(flow),
        "checks": _checks(flow.results("check")),
        "wins": wins,
        "failures": failures,
        "win_count": win_count,
        "failure_count": failure_count,
        "adapter": ADAPTER,
        "has_adapter": (run.path / ADAPTER).is_dir(),
    }
    if flow.results("train") and not values["has_adapter"]:
        run.problems.append(f"{ADAPTER}/ is missing")
    return Page(str(said), "recipes/tools_page.html.j2", values, journey=_journey(flow), training=False)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    told = ["BFCL, share of items right, before → after"]
    for row in comparisons(Flow(run)):
        if row.before and row.after:
            rates = f"{percent(round(row.before['rate'], 3)):>8} → {percent(round(row.after['rate'], 3)):>8}"
            told.append(f"{row.category:14} {row.decoding:12} {row.items:5} items  {row.rule:9} {rates}")
    return [*told, f"Report: {run.path / 'report.html'}   Adapter: {run.path / ADAPTER}"]


def _journey(flow: Flow) -> tuple[tuple[str, str], ...]:
    """The run in a few figures, in the order in which they came about."""
    pool, made, check, select, train = (flow.results(step) for step in ("pool", "dialogues", "check", "select", "train"))
    figures = [
        (pool.get("tools"), "tools collected"),
        (made.get("made"), "dialogues made"),
        (check.get("passed"), "passed every check"),
        (select.get("picked"), "chosen to train on"),
        (train.get("steps"), "training steps"),
    ]
    journey = [(number(value), label) for value, label in figures if value is not None]
    if train.get("seconds") is not None:
        journey.append((duration(train["seconds"]), "of training"))
    return tuple(journey)


def _training(run: RunRecord) -> dict[str, Any]:
    rows = [row for row in run.rows(f"sft/{METRICS}") if is_number(row.get("step")) and is_number(row.get("loss"))]
    thinned, per_dot = thin(sorted((float(row["step"]), float(row["loss"])) for row in rows))
    return {"curve": curve(thinned, "training loss"), "per_dot": per_dot}


def _selection(flow: Flow) -> dict[str, Any]:
    select, made = flow.results("select"), flow.results("dialogues").get("types", {})
    picked = select.get("types_picked", {})
    ratios = [("everything", "ratio_pool"), ("a random pick", "ratio_random"), ("the pick of ZIP", "ratio_picked")]
    return {
        "ratios": [(label, select[name]) for label, name in ratios if is_number(select.get(name))],
        "types": [(name, made.get(name), picked.get(name)) for name in dict.fromkeys([*made, *picked])],
        "made": sum(made.values()),
        "picked": sum(picked.values()),
        "taken": [first_user_text(row) for row in flow.run.sample("selected.jsonl", TEXTS)],
        "left": [first_user_text(row) for row in flow.run.sample("left.jsonl", TEXTS)],
    }


def _checks(check: JSON) -> list[tuple[str, str, int]]:
    """(rule, meaning, dialogues that broke it)."""
    rules, failed = check.get("rules", {}), check.get("failed", {})
    return [(name, rules.get(name, ""), failed.get(name, 0)) for name in dict.fromkeys([*rules, *failed])]
