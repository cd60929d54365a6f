"""What a run of `luthier evaluate fusion` shows: every scenario by arm and noise, what was retained, how refusing went, and the worst items
with their contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.records.fusion import SCENARIOS, TITLES, Scenario
from luthier.report.charts import plot, ticks
from luthier.report.page import Page
from luthier.report.wording import interval, percent, percent_range
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

WORST = "worst.jsonl"
TITLE = "Knowledge fusion"
FORGETFUL = 0.1  # retention below which S2 and S3 measure memory alone
COLOURS = ("arm0", "arm1", "arm2", "arm3")  # of the style sheet of this page; further arms have the last one


def draw(run: RunRecord) -> Page:
    """The page of a run; until its arms are compared, its shell."""
    found, tags = run.results("comparison"), (str(run.settings.get("suite", "")).rstrip("/").rpartition("/")[2],)
    if not found:
        return Page(TITLE, tags=tags)
    arms, worst = _arm_results(run), list(run.rows(WORST))
    scenarios = [name for name in SCENARIOS if any(name in one["scenarios"] for one in arms.values())]
    values = {
        "suite": found["suite"],
        "names": list(arms),
        "colours": dict(zip(arms, _colours(len(arms)), strict=True)),
        "retention": _rows(arms, lambda one: one["retention"]),
        "scenarios": [_scenario(name, arms, found["differences"]) for name in scenarios],
        "retained": [(name, TITLES[name], _rows(arms, partial(_retained, name))) for name in scenarios if name in ("S2", "S3")],
        "refusing": [_refusing(name, one) for name, one in arms.items()],
        "gaps": [(name, one["gap"]) for name, one in arms.items() if one["gap"]],
        "places": _places(arms),
        "forms": _forms(arms),
        "abstention": _abstention(arms),
        "truncated": {name: one["truncated"] for name, one in arms.items()},
        "sources": [(name, one["sources"]) for name, one in arms.items() if one["sources"]],
        "forgetful": [name for name, one in arms.items() if _is_forgetful(one)],
        "judges": [(name, one["judge"]) for name, one in arms.items() if "judge" in one],
        "worst": [(name, TITLES[name], [item for item in worst if item["scenario"] == name]) for name in scenarios],
        "short": _short,
        "span": _span,
    }
    return Page(TITLE, "evaluate/fusion/page.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    arms, differences = _arm_results(run), run.results("comparison")["differences"]
    told = [line for name, one in arms.items() for line in _told(name, one)]
    for name, each in differences.items():
        apart = ", ".join(f"{scenario} {one['mean']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})" for scenario, one in each.items())
        told.append(f"{name} against {next(iter(arms))}: {apart}")
    return [*told, str(run.path / "report.html")]


def _arm_results(run: RunRecord) -> dict[str, JSON]:
    """The figures of each arm by its name, the first being what the others are compared with."""
    return {step.removeprefix("arm "): run.results(step) for step in run.steps if step.startswith("arm ")}


def _told(name: str, one: JSON) -> Iterator[str]:
    """One arm in a few lines."""
    retention = f"   retention {_value(one['retention'])}" if one["retention"] else ""
    yield f"{name}: {one['items']} items, {one['truncated']} answers cut off{retention}"
    if _is_forgetful(one):
        yield "  retains next to nothing, so S2 and S3 tell of memory, not of fusion"
    for scenario, each in one["scenarios"].items():
        noise = "  ".join(f"{level}: {rate['rate']:.2f}" for level, rate in each["by_noise"].items())
        kept = f"   on retained facts {_value(one['retained'][scenario]['right'])}" if scenario in one["retained"] else ""
        rates = f"R_acc {_value(each['right'])}   R_cover {each['cover']['rate']:.2f}   refused {each['refused']['rate']:.2f}"
        yield f"  {scenario} {rates}   by distractors {noise}{kept}"
    refusing = one["refusing"]
    collapsed = f"   refuses {refusing['collapsed']}" if refusing["collapsed"] else ""
    yield "  refusing: " + "   ".join(f"{part} {_value(refusing[part])}" for part in ("precision", "recall", "f1")) + collapsed
    if "judge" in one:
        yield f"  judge {one['judge']['judge']}: agrees with exact matching {_value(one['judge']['agreement'])}"


def _value(one: JSON) -> str:
    return "none" if one.get("items") == 0 else interval(one["rate"], one["low"], one["high"], ".2f")


def _is_forgetful(one: JSON) -> bool:
    """Whether an arm retains so little that S2 and S3 cannot tell how it combines."""
    return one["retention"] is not None and one["retention"]["rate"] < FORGETFUL


def _colours(count: int) -> list[str]:
    """The first arm pale, the last one strong."""
    chosen = [COLOURS[min(at, len(COLOURS) - 1)] for at in range(count)]
    return [*chosen[:-1], COLOURS[-1]] if count > 1 else [COLOURS[-1]]


def _rows(arms: Mapping[str, JSON], get: Callable[[JSON], JSON | None]) -> list[tuple[str, JSON, str]]:
    """(arm, score, colour) of each arm that has the score."""
    scores = ((name, get(one), colour) for (name, one), colour in zip(arms.items(), _colours(len(arms)), strict=True))
    return [(name, score, colour) for name, score, colour in scores if score is not None and score["items"]]


def _retained(name: str, one: JSON) -> JSON | None:
    return one["retained"][name]["right"] if name in one["retained"] else None


def _scenario(name: Scenario, arms: Mapping[str, JSON], differences: Mapping[str, JSON]) -> JSON:
    present = {arm: one["scenarios"][name] for arm, one in arms.items() if name in one["scenarios"]}
    levels = sorted({level for one in present.values() for level in one["by_noise"]}, key=int)
    return {
        "name": name,
        "title": TITLES[name],
        "questions": max(one["questions"] for one in present.values()),
        "bars": _rows(arms, lambda one: one["scenarios"].get(name, {}).get("right")),
        "levels": levels,
        "table": [
            (arm, one, [one["by_noise"].get(level) for level in levels], differences.get(arm, {}).get(name)) for arm, one in present.items()
        ],
        "curve": _curve(present, levels, _colours(len(arms)), list(arms)),
    }


def _curve(present: Mapping[str, JSON], levels: Sequence[str], colours: Sequence[str], names: Sequence[str]) -> Markup | None:
    """R_acc over the number of distractors, a line an arm."""
    if len(levels) < 2:
        return None
    last = int(levels[-1])
    paths, told = [], []
    for arm, one in present.items():
        points = [(int(level), one["by_noise"][level]["rate"]) for level in levels if level in one["by_noise"]]
        data = "M" + "L".join(f"{100 * x / last:.2f} {100 - 100 * y:.2f}" for x, y in points)
        paths.append((f"line {colours[names.index(arm)]}", data))
        told.append(f"{arm}: " + ", ".join(f"{percent(round(y, 2))} at {x}" for x, y in points))
    rows = [(y, f"{y:.0%}") for y in (0.0, 0.5, 1.0)]
    columns = [(x / last, f"{x:g}") for x in (ticks(0, last) if last > 6 else map(int, levels)) if x <= last]
    return plot("R_acc by distractors. " + "; ".join(told), paths, rows, columns)


def _refusing(name: str, one: JSON) -> JSON:
    parts = {part: one["refusing"][part] for part in ("precision", "recall", "f1")}
    return {"name": name, **parts, "share": one["refusing"]["share"], "collapsed": one["refusing"]["collapsed"]}


def _places(arms: Mapping[str, JSON]) -> list[JSON]:
    """Where the gold passage stands, at the greatest noise."""
    return [
        {"scenario": name, "arm": arm, "places": one["scenarios"][name]["by_place"]}
        for name in ("S1", "S2")
        for arm, one in arms.items()
        if "by_place" in one["scenarios"].get(name, {})
    ]


def _forms(arms: Mapping[str, JSON]) -> list[JSON]:
    found = [
        (name, form)
        for name in SCENARIOS
        for form in sorted({form for one in arms.values() for form in one["scenarios"].get(name, {}).get("by_form", {})})
    ]
    return [
        {"scenario": name, "form": form, "rates": [one["scenarios"].get(name, {}).get("by_form", {}).get(form) for one in arms.values()]}
        for name, form in found
    ]


def _abstention(arms: Mapping[str, JSON]) -> Markup | None:
    known = {arm: one["abstention"] for arm, one in arms.items() if one["abstention"]}
    if not known:
        return None
    colours, names = _colours(len(arms)), list(arms)
    paths = [
        (
            f"line {colours[names.index(arm)]}",
            "M" + "L".join(f"{100 * p['coverage']:.2f} {100 - 100 * p['rate']:.2f}" for p in one["points"]),
        )
        for arm, one in known.items()
    ]
    marks = [(x, f"{x:.0%}") for x in (0.0, 0.5, 1.0)]
    return plot("R_acc of the answers the model is surest of, by their share", paths, marks, marks)


def _short(rate: object) -> str:
    return percent(round(rate, 2)) if isinstance(rate, int | float) else "–"


def _span(one: JSON | None) -> str:
    return percent_range(round(one["low"], 2), round(one["high"], 2)) if one and one.get("low") is not None else ""
