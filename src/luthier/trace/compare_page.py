"""What a run of `luthier compare` shows: the total, tasks and subjects, and the items that changed, with both answers."""

from __future__ import annotations

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import duration, number, percent, points
from luthier.run.record import RunRecord

FLIPS = "flips.jsonl"
TITLE = "Compared"
LEVEL = 0.05
SHOWN = 10  # items of each kind, of each comparison
LISTED = 60  # subjects on the page; run.json has all


def draw(run: RunRecord) -> Page:
    """The page of a run; without comparisons yet, its shell."""
    found = run.results("compare")
    if not found:
        return Page(TITLE)
    flips = list(run.rows(FLIPS))
    values = {
        "comparisons": [_comparison(run, one, flips) for one in found["comparisons"]],
        "sides": [{**side, "time": duration(side["seconds"]) if side.get("seconds") else ""} for side in found["sides"]],
        "scored_by": found.get("scored_by", []),  # runs of before said nothing of it
        "flips": FLIPS,
    }
    return Page(TITLE, "trace/compare.html.j2", values)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    told = list(run.results("compare").get("scored_by", []))
    for one in run.results("compare")["comparisons"]:
        told += _told(one)
        if run.settings.get("fail_if_worse") is not None:
            told.append(f"fail-if-worse {run.settings['fail_if_worse']:g}: {'FAILED' if _worse(run, one) else 'passed'}")
    return [*told, str(run.path / "report.html")]


def code(run: RunRecord) -> int:
    """1 where a model is worse than the bound allows."""
    return int(any(_worse(run, one) for one in run.results("compare")["comparisons"]))


def _worse(run: RunRecord, comparison: JSON) -> bool:
    """Whether a comparison fails the bound of `--fail-if-worse`."""
    bound, total = run.settings.get("fail_if_worse"), comparison["total"]
    return bound is not None and 100 * total["difference"] < -bound and (not run.settings.get("sure") or total["p"] < LEVEL)


def _told(one: JSON) -> list[str]:
    total = one["total"]
    other = ", ".join(
        f"{number(one[key])} only by {one[side]}" for key, side in (("only_before", "before"), ("only_after", "after")) if one[key]
    )
    said = [
        f"{one['before']} → {one['after']}: {percent(round(total['before'], 3))} → {percent(round(total['after'], 3))} of {number(total['items'])} items "
        f"that both answered{f' ({other})' if other else ''}",
        f"  {_points(total)}, {total['by']} p {_p(total['p'])} ({number(total['gained'])} gained, {number(total['lost'])} lost); "
        f"a test that forgets the pairing has p {_p(total['unpaired'])}",
    ]
    sure = [line for line in one["lines"] if _sure(line)]
    said += [
        f"  {line['kind']} {line['name']}: {_points(line)}, p {_p(line['p_all'])} after Holm, {number(line['items'])} items"
        for line in sure
    ]
    if one["lines"] and not sure:
        said.append(f"  none of {len(one['lines'])} tasks and subjects differs beyond chance (Holm)")
    return said


def _comparison(run: RunRecord, one: JSON, flips: list[JSON]) -> JSON:
    mine = [row for row in flips if row.get("between") == [one["before"], one["after"]]]
    kinds = {kind: [row for row in mine if row.get("change") == kind] for kind in ("lost", "gained")}
    rows = [_line(line) for line in sorted(one["lines"], key=lambda line: (line["kind"] != "task", line["p_all"], line["name"]))]
    return {
        **one,
        "total": _line(one["total"]),
        "rows": rows[:LISTED],
        "left_out": max(0, len(rows) - LISTED),
        "told": f"{percent(round(one['total']['before'], 3))} → {percent(round(one['total']['after'], 3))}",
        "worse": _worse(run, one),
        "kinds": [(kind, len(some), some[:SHOWN]) for kind, some in kinds.items()],
    }


def _line(line: JSON) -> JSON:
    shrunk = line.get("mastery_before") is not None
    return {
        **line,
        "points": _points(line),
        "p_told": _p(line["p"] if line["p_all"] is None else line["p_all"]),
        "unpaired_told": _p(line["unpaired"]),
        "verdict": ("gained" if line["difference"] > 0 else "lost") if _sure(line) else "",
        "mastery": f"{percent(round(line['mastery_before'], 2))} → {percent(round(line['mastery_after'], 2))}" if shrunk else "",
    }


def _sure(line: JSON) -> bool:
    p = line["p"] if line["p_all"] is None else line["p_all"]
    return bool(p < LEVEL and line["difference"])


def _points(line: JSON) -> str:
    return points({"mean": line["difference"], "low": line["low"], "high": line["high"]})


def _p(value: float) -> str:
    """`= 0.031`, or `< 0.0001`."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.4f}" if value < 0.01 else f"= {value:.2f}"
