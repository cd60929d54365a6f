"""The page of the flow that teaches tools: what was done, what it changed, and what still fails."""

from __future__ import annotations

from typing import Any

from luthier.evaluate.tools_page import OWN
from luthier.recipes.tools_mix import CALLS_ALREADY
from luthier.recipes.tools_scores import LOOSE, STEPS, Comparison, Flow, answers, charts, comparisons, headline
from luthier.records import JSON
from luthier.report.charts import curve, thin
from luthier.report.page import METRICS, Page, is_number
from luthier.report.talk import dialogue, first_user_text
from luthier.report.wording import duration, number, percent
from luthier.run import RunRecord

DIALOGUES, TEXTS = 10, 5
SAMPLE_TITLE = "a library’s desk, the sample that ships with the package"
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
        "own_charts": charts(row for row in rows if row.own),
        "charts": charts(row for row in rows if not row.own),
        "irrelevance": any("irrelevance" in row.category for row in rows),
        "apis": ", ".join(run.settings.get("apis") or (SAMPLE_TITLE,)),
        "skills": flow.results("skills").get("changes", []),
        "results": {name.replace("-", "_"): flow.results(name) for name in STEPS},
        "habit": flow.results("habit"),
        "light": flow.results("habit").get("rate", 0) >= CALLS_ALREADY,
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
    rows = [row for row in comparisons(Flow(run)) if row.before and row.after]
    width = max([14, *(len(row.category) for row in rows)])
    told = []
    for own, title in (
        (True, "Your APIs, held-out dialogues, share right, before → after"),
        (False, "BFCL, share of items right, before → after"),
    ):
        some = [row for row in rows if row.own is own and (row.rule in LOOSE or not own or row.category == OWN)]
        told += [title] if some else []
        told += [f"{row.category:{width}} {row.decoding:12} {row.items:5} items  {row.told:9} {_rates(row)}" for row in some]
    return [*told, f"Report: {run.path / 'report.html'}   Adapter: {run.path / ADAPTER}"]


def _rates(row: Comparison) -> str:
    return " → ".join(f"{percent(round(side['rate'], 3)):>8}" for side in (row.before, row.after) if side)


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
