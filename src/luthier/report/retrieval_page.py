"""The page of a retrieval run: each task's models with their intervals, ties and duplicates told apart, and what each model cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.templating import write_page

TOLD = ("trec", "expected", "best", "worst", "merged")
METRIC = "ndcg@10"


def write_retrieval_page(rows: Sequence[JSON], means: Sequence[JSON], path: Path) -> None:
    """One HTML file on the results of `luthier.recipes.retrieval`. Raises DiskError."""
    tasks = []
    for name in dict.fromkeys(row["settings"]["name"] for row in rows):
        chosen = sorted((row for row in rows if row["settings"]["name"] == name), key=lambda row: -_score(row)["mean"])
        tasks.append(
            {
                "name": name,
                "settings": chosen[0]["settings"],
                "distinct_documents": chosen[0]["distinct_documents"],
                "distinct_queries": chosen[0]["distinct_queries"],
                "ceiling": {ties: values[METRIC] for ties, values in chosen[0]["ceiling"].items()},
                "models": [_told(row) for row in chosen],
            }
        )
    write_page("retrieval_page.html.j2", path, tasks=tasks, means=means, told=TOLD)


def _score(row: JSON) -> JSON:
    score: JSON = row["metrics"][METRIC]["expected"]
    return score


def _told(row: JSON) -> JSON:
    score = _score(row)
    bar = {"rate": score["mean"], "low": score["low"], "high": score["high"]}
    cut = (row["costs"].get("truncation") or {}).get("documents")
    return {
        "name": row["model"],
        "score": score,
        "bar": interval_bars([("after", bar)]),
        "readings": {ties: row["metrics"][METRIC][ties] for ties in TOLD},
        "others": {metric: values["expected"] for metric, values in row["metrics"].items() if metric != METRIC},
        "costs": row["costs"],
        "cut": None if cut is None else cut["cut"],
        "max_length": row["settings"]["max_length"],
    }
