"""What a run of `luthier evaluate choice` shows: accuracy by file and way of counting, and the questions that were missed by most."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.records import JSON
from luthier.report.page import Page
from luthier.report.wording import rate
from luthier.run.record import RunRecord

SCORES = "scores.jsonl"
WAYS = (("none", "whole log-probability"), ("token", "mean of the tokens"), ("byte", "mean of the bytes"))
SHOWN = 10
TITLE = "Multiple choice"


def draw(run: RunRecord) -> Page:
    """The page of a run; without accuracies yet, its shell."""
    found, settings = run.results("scores"), run.settings
    tags = tuple(str(settings[name]) for name in ("model", "adapter") if settings.get(name))
    if not found:
        return Page(TITLE, tags=tags)
    ways = WAYS[:1] if settings["by"] == "letters" else WAYS
    groups = [*found["groups"].items(), *([("all", found["all"])] if len(found["groups"]) > 1 else [])]
    missed = [_missed(row) for row in worst(list(run.rows(SCORES)))]
    values = {"groups": groups, "ways": ways, "missed": missed, "by": settings["by"]}
    return Page(TITLE, "evaluate/choice.html.j2", values, tags)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    found, told = run.results("scores"), []
    for name, one in [*found["groups"].items(), ("all", found["all"])]:
        rates = "   ".join(f"{title} {rate(one[way])}" for way, title in (("none", "whole"), ("token", "by token"), ("byte", "by byte")))
        told.append(f"{name}: {one['known']} questions, chance {one['chance']:.0%}   {rates}")
    return [*told, str(run.path / "report.html")]


def worst(rows: Sequence[JSON], count: int = SHOWN) -> list[JSON]:
    """The questions whose right option is farthest below the chosen one, in nats a token."""
    wrong = [row for row in rows if row["answer"] is not None and row["chosen"]["token"] != row["answer"]]
    return sorted(wrong, key=_distance, reverse=True)[:count]


def _distance(row: JSON) -> float:
    means = [value / length for value, length in zip(row["logprobs"], row["tokens"], strict=True)]
    return float(max(means) - means[row["answer"]])


def _missed(row: JSON) -> JSON:
    means = [value / length for value, length in zip(row["logprobs"], row["tokens"], strict=True)]
    return {
        "question": row["question"],
        "group": row["group"],
        "distance": _distance(row),
        "options": [
            {"text": text, "mean": mean, "right": place == row["answer"], "chosen": place == row["chosen"]["token"]}
            for place, (text, mean) in enumerate(zip(row["options"], means, strict=True))
        ],
    }
