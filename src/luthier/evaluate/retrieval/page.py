"""What a retrieval run shows: each task's models with their intervals, ties and duplicates told apart, and what each model cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from luthier.evaluate.retrieval.results import METRIC, RetrievalRow
from luthier.evaluate.retrieval.settings import ReadingOfTies
from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.page import Page
from luthier.report.wording import number
from luthier.run.record import RunRecord

TITLE = "Retrieval"


def rows(run: RunRecord) -> list[RetrievalRow]:
    """What the finished steps measured."""
    return [RetrievalRow(**step["results"]) for step in run.steps.values() if "results" in step]


def draw(run: RunRecord) -> Page:
    """The page of a run of `luthier evaluate retrieval run`; of the models that are done, its shell where none is."""
    found = rows(run)
    if not found:
        return Page(TITLE)
    tasks = [_task([row for row in found if row.task == name]) for name in dict.fromkeys(row.task for row in found)]
    queries, documents = (sum(task["settings"][side] for task in tasks) for side in ("queries", "documents"))
    journey = (
        (str(len(tasks)), "task" if len(tasks) == 1 else "tasks"),
        (number(queries), "queries"),
        (number(documents), "documents"),
        (str(max(len(task["models"]) for task in tasks)), "runs each"),
    )
    values = {"tasks": tasks, "means": run.record.get("means", []), "told": get_args(ReadingOfTies)}
    return Page(TITLE, "evaluate/retrieval/page.html.j2", values, journey=journey)


def lines(run: RunRecord) -> list[str]:
    """What the command says when it is done."""
    said = []
    for name, account in {row.task: row.account for row in rows(run)}.items():
        said += [f"{name:24} left out: {count:,}  {reason}" for reason, count in account.items()]
    for row in rows(run):
        ndcg, ceiling = row.metrics[METRIC], row.ceiling["expected"][METRIC]
        told = "" if ceiling > 0.9995 else f"  merged {100 * ndcg['merged']['mean']:.2f}  ceiling {100 * ceiling:.2f}"
        said.append(f"{row.task:24} {row.model:20} NDCG@10 {score_words(ndcg['expected'])}{told}")
    for mean in run.record.get("means", []):
        coir = "" if mean["coir"] is None else f"  CoIR mean {100 * mean['coir']:.2f}"
        said.append(f"mean of {mean['tasks']} tasks  {mean['model']:20} NDCG@10 {100 * mean['mean']:.2f}{coir}")
    return [*said, str(run.path / "report.html")]


def score_words(score: Mapping[str, Any]) -> str:
    """A score in percent with its interval, `54.46 (53.17-55.78)`."""
    return f"{100 * score['mean']:.2f} ({100 * score['low']:.2f}-{100 * score['high']:.2f})"


def _task(found: Sequence[RetrievalRow]) -> JSON:
    ranked = sorted(found, key=lambda row: -row.metrics[METRIC]["expected"]["mean"])
    first = ranked[0]
    return {
        "name": first.task,
        "settings": first.settings,
        "distinct_documents": first.distinct_documents,
        "distinct_queries": first.distinct_queries,
        "account": first.account,
        "ceiling": {ties: values[METRIC] for ties, values in first.ceiling.items()},
        "models": [_model(row) for row in ranked],
    }


def _model(row: RetrievalRow) -> JSON:
    score = row.metrics[METRIC]["expected"]
    bar = {"rate": score["mean"], "low": score["low"], "high": score["high"]}
    cut = (row.costs.get("truncation") or {}).get("documents")
    return {
        "name": row.model,
        "score": score,
        "bar": interval_bars([("after", bar)]),
        "readings": row.metrics[METRIC],
        "others": {metric: values["expected"] for metric, values in row.metrics.items() if metric != METRIC},
        "costs": row.costs,
        "cut": None if cut is None else cut["cut"],
        "max_length": row.settings["max_length"],
    }
