"""What a probed run shows: what chains of thought changed, and for some questions the confidence in every option, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.records.choices import LETTERS
from luthier.report.charts import diagonal, plot
from luthier.report.page import Page
from luthier.report.wording import percent, rate
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

TRACES = "traces.jsonl"
SHOWN = 10
PLACES = 20  # along the chain, from its beginning to its end
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
TITLE = "Chains of thought, probed"


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier probe run`; without statistics yet, its shell."""
    results, settings = run.results("statistics"), run.settings
    names = [path.rpartition("/")[2] for part in ("data", "stored", "injected") for path in settings.get(part, ())]
    tags = (str(settings.get("model", "")), *names)
    if not results:
        return Page(TITLE, tags=tags)
    traces = [_shown(row) for row in run.rows(TRACES)]
    chosen = sorted(Random(run.seed).sample(range(len(traces)), min(SHOWN, len(traces))))
    overall = results["all"]
    values = {
        "overall": overall,
        "groups": [*results["groups"].items(), ("all", overall)],
        "by_steps": results["by_steps"],
        "early_exit": results["early_exit"],
        "trajectory": trajectory(traces),
        "reliability": reliability(overall.get("reliability", [])),
        "asked_for_texts": settings.get("probe") == "texts",
        "heat": [heat_map(traces[at], at + 1) for at in chosen],
        "letters": LETTERS,
    }
    return Page(TITLE, "probe/page.html.j2", values, tags, journey(overall))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found = run.results("statistics")
    told = []
    for name, one in [*found["groups"].items(), ("all", found["all"])]:
        told.append(f"{name or 'all'}: {one['chains']} chains of {one['questions']} questions, {one['steps']:.1f} steps each")
        rates = [(title, one[key]) for key, title in RATES.items() if key in one and one[key]["items"]]
        told.append("  " + "   ".join(f"{title} {rate(each)}" for title, each in rates))
    spent, naive = found["all"]["forwarded"], found["all"]["naive"]
    if spent:
        told.append(f"probing put {spent:,} tokens through the model, reading each prefix anew {naive:,} ({naive / spent:.1f}x)")
    return [*told, str(run.path / "report.html")]


RATES = {
    "early": "early answering",
    "right_before": "right before",
    "right_after": "right after",
    "right_stated": "right as stated",
    "helpful": "helped",
    "harmful": "harmed",
}


def journey(overall: JSON) -> tuple[tuple[str, str], ...]:
    figures = [
        (str(overall["questions"]), "questions"),
        (str(overall["chains"]), "chains"),
        (f"{overall['steps']:.1f}", "steps a chain"),
        (f"{overall['changes']:.2f}", "changes of mind a chain"),
    ]
    if "right_after" in overall:
        before, after = (percent(round(overall[name]["rate"], 2)) for name in ("right_before", "right_after"))
        figures.append((f"{before} → {after}", "right before and after"))
        figures.append((f"{overall['helpful']['correct']} : {overall['harmful']['correct']}", "chains that helped and that harmed"))
    return tuple(figures)


def _shown(row: JSON) -> JSON:
    """A row of traces with the answer held at each probe, the final one, whether it is right, and the confidence in it by step."""
    from luthier.probe.chain_trace import ChainTrace

    trace = ChainTrace.from_row(row)
    held = trace.conf[:, trace.final].tolist()
    return {**row, "answers": list(trace.answers), "final": trace.final, "right": trace.right, "held": held}


def trajectory(traces: Sequence[JSON]) -> Markup:
    """Mean confidence in the final answer along the chain, of chains that end right and of those that end wrong (all, where none is known)."""
    kinds = {"right": [trace for trace in traces if trace["right"]], "wrong": [trace for trace in traces if trace["right"] is False]}
    if not any(kinds.values()):
        kinds = {"right": list(traces)}
    paths, told = [], []
    for name, each in kinds.items():
        if each:
            means = [sum(_at(trace["held"], place / PLACES) for trace in each) / len(each) for place in range(PLACES + 1)]
            points = [f"{100 * place / PLACES:.2f} {100 - 100 * mean:.2f}" for place, mean in enumerate(means)]
            paths.append((name, "M" + "L".join(points)))
            told.append(f"{name}: from {percent(round(means[0], 2))} to {percent(round(means[-1], 2))}")
    axis = [(at, percent(at)) for at in TICKS]
    return plot(
        f"Confidence in the final answer along the chain. {'; '.join(told)}", paths, axis, [(0, "before"), (0.5, "half-way"), (1, "end")]
    )


def reliability(bins: Sequence[JSON]) -> Markup | None:
    """The share of right answers by the final confidence, beside the diagonal where the two are equal; None without known answers."""
    if not bins:
        return None
    told = "; ".join(f"confidence {one['score']:.2f}: {one['right']} of {one['chains']} right" for one in bins)
    return diagonal(f"Share of right answers by confidence. {told}", [(one["score"], one["right"] / one["chains"]) for one in bins])


@dataclass(frozen=True)
class HeatRow:
    """The chain so far: its last step, each option's confidence as (share, percent), the option held, and the options' mass."""

    text: str
    cells: list[tuple[float, str]]
    held: int
    mass: float


@dataclass(frozen=True)
class HeatMap:
    """A question's chain, step by step, as the page shows it. wrong: whether an error was put in, where that is known."""

    number: int
    asked: str
    options: Sequence[str]
    answer: int | None
    stated: int | None
    final: int
    right: bool | None
    rows: list[HeatRow]
    statement: str
    group: str
    early: bool
    wrong: bool | None


def heat_map(trace: JSON, number: int) -> HeatMap:
    """A question's chain as rows, one before it and one a step: its text, and each option's confidence as a share to be coloured."""
    texts = ["before the chain", *trace["steps"]]
    rows = [
        HeatRow(text, [(share, f"{100 * share:.0f}") for share in conf], held, mass)
        for text, conf, held, mass in zip(texts, trace["conf"], trace["answers"], trace["mass"], strict=True)
    ]
    return HeatMap(
        number=number,
        asked=trace["question"],
        options=trace["options"],
        answer=trace["answer"],
        stated=trace["stated"],
        final=trace["final"],
        right=trace["right"],
        rows=rows,
        statement=trace["statement"],
        group=trace["group"],
        early=trace["answers"][0] == trace["final"],
        wrong=trace.get("extra", {}).get("wrong"),
    )


def heat_row(row: JSON, number: int) -> HeatMap:
    """The heat-map of one row of traces.jsonl."""
    return heat_map(_shown(row), number)


def _at(values: Sequence[float], share: float) -> float:
    """A row of values at a share of its length, between two of them in proportion."""
    place = share * (len(values) - 1)
    low = min(int(place), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
