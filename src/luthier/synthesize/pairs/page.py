"""What a run of `luthier synthesize pairs` shows: counts, how far the two answers are apart, ten pairs with their differences marked."""

from __future__ import annotations

from random import Random

from luthier.records import JSON
from luthier.report.charts import share_bar
from luthier.report.differences import marked
from luthier.report.page import Page
from luthier.run.record import RunRecord

PAIRS = "pairs.jsonl"
SHOWN = 10
TITLE = "Preference pairs"


def draw(run: RunRecord) -> Page:
    """The page of a run; without pairs yet, its shell."""
    found, names = run.results("pairs"), tuple(str(path).rpartition("/")[2] for path in run.settings.get("data", ()))
    if not found:
        return Page(TITLE, tags=names)
    rows = list(run.rows(PAIRS))
    chosen = sorted(Random(run.seed).sample(range(len(rows)), min(SHOWN, len(rows))))
    widest = max(*found["before"], *found["after"], 1)
    bins = [
        {
            "range": f"{at / 10:.1f}–{(at + 1) / 10:.1f}",
            "before": before,
            "after": after,
            "before_bar": share_bar(before / widest, "before"),
            "after_bar": share_bar(after / widest, "after"),
        }
        for at, (before, after) in enumerate(zip(found["before"], found["after"], strict=True))
    ]
    values = {"report": found, "bins": bins, "pairs": [_shown(rows[at], at + 1) for at in chosen]}
    return Page(TITLE, "synthesize/pairs/page.html.j2", values, names, _journey(found))


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    made = run.results("pairs")
    answers = (
        f"{made['answers']} answers: {made['wrong']} wrong, {made['right']} right, {made['without_answer']} without a final answer,"
        f" {made['cut_off']} cut off, {made['unclear']} unclear"
    )
    bridged = f"{made['bridged']} bridged ({made['acceptance']:.0%})"
    told = [f"{made['pairs']} pairs of {made['questions']} questions ({answers}); {bridged}   {run.path / PAIRS}"]
    told += [f"  not bridged, {reason}: {count}" for reason, count in made["refused"].items()]
    means = f"original chosen, mean {made['mean_before']:.2f}   bridged, mean {made['mean_after']:.2f}"
    told.append(f"distance of the two answers   {means}")
    widest = max(*made["before"], *made["after"], 1)
    for at, sides in enumerate(zip(made["before"], made["after"], strict=True)):
        bars = " ".join(f"{count:>6} {'█' * round(20 * count / widest):<20}" for count in sides)
        told.append(f"  {at / 10:.1f}–{(at + 1) / 10:.1f} {bars}".rstrip())
    return [*told, str(run.path / "report.html")]


def _journey(found: JSON) -> tuple[tuple[str, str], ...]:
    return (
        (str(found["questions"]), "questions"),
        (str(found["answers"]), "answers drawn"),
        (str(found["wrong"]), "wrong"),
        (str(found["right"]), "right"),
        (str(found["without_answer"] + found["unclear"] + found["cut_off"]), "without a clear answer"),
        (f"{100 * found['acceptance']:.0f} %", "bridges accepted"),
    )


def _shown(row: JSON, number: int) -> JSON:
    rejected, chosen, original = (row[name][-1]["content"] for name in ("rejected", "chosen", "original_chosen"))
    left, right = marked(rejected, chosen)
    return {
        "number": number,
        "asked": row["prompt"][-1]["content"],
        "rejected": left,
        "chosen": right,
        "bridged": row["bridged"],
        "original": original if original != chosen else None,
    }
