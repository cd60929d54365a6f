"""The page of a multiple-choice evaluation: accuracy by file and way of counting, and the questions that were missed by most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luthier.records import JSON
from luthier.records.choices import LETTERS
from luthier.report.charts import interval_bars
from luthier.report.templating import write_page
from luthier.report.wording import percent, percent_range

WAYS = (("none", "whole log-probability"), ("token", "mean of the tokens"), ("byte", "mean of the bytes"))
SHOWN = 10


def write_choice_page(path: Path, results: JSON, rows: Sequence[JSON], *, settings: JSON) -> None:
    """One HTML file on a run of `luthier evaluate choice`. Raises DiskError.

    results: accuracies by group and of all; rows: of scores.jsonl.
    """
    ways = WAYS[:1] if settings["by"] == "letters" else WAYS
    groups = results["groups"] if len(results["groups"]) == 1 else {**results["groups"], "all": results["all"]}
    blocks = [
        {
            "name": name,
            "questions": one["known"],
            "chance": percent(round(one["chance"], 2)),
            "ways": [
                {
                    "title": title,
                    "bar": interval_bars([("after", one[way])]),
                    "rate": percent(round(one[way]["rate"], 3)),
                    "range": percent_range(round(one[way]["low"], 2), round(one[way]["high"], 2)),
                }
                for way, title in ways
            ],
        }
        for name, one in groups.items()
    ]
    write_page("choice_page.html.j2", path, blocks=blocks, missed=[_missed(row) for row in worst(rows)], settings=settings, letters=LETTERS)


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
