"""What a run is worth, told whole: every metric under four readings of ties and with duplicates merged, its interval, and the ceiling.

The ceiling is what a perfect retriever would get: where a corpus holds copies of an answer of which one counts, it is below 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.evaluate.retrieval.metrics import DEFAULT, TIES, Run, Scores, evaluate_run
from luthier.evaluate.retrieval.retrieve import expand, leave_out
from luthier.evaluate.retrieval.task import Task
from luthier.records import JSON
from luthier.statistics.resampling import intervals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scored:
    """Scores under each reading of ties, and `merged`: the task with every document once, ties in expectation."""

    by_reading: dict[str, Scores]
    clusters: NDArray[np.int32]

    def to_row(self, seed: int = 0) -> JSON:
        """metric -> reading -> mean with its 95 % interval over clusters of identical queries."""
        import numpy as np

        keys = [(metric, reading) for reading, scores in self.by_reading.items() for metric in scores.metrics]
        table = np.concatenate([scores.values for scores in self.by_reading.values()], axis=1)
        row: dict[str, JSON] = {}
        for (metric, reading), interval in zip(keys, intervals(table, self.clusters, seed), strict=True):
            row.setdefault(metric, {})[reading] = interval.to_row()
        return row


def score(task: Task, run: Run, metrics: Sequence[str] = DEFAULT) -> Scored:
    """Score a run over the distinct documents of the task, as `retrieve` returns it."""
    whole = expand(run, task)
    by_reading = {
        ties: evaluate_run(whole, task.qrels, metrics, ties, id_order=task.id_order)  # type: ignore[arg-type]
        for ties in TIES
    }
    by_reading["merged"] = evaluate_run(run, task.merged().qrels, metrics, "expected")
    return Scored(by_reading, task.query_clusters)


def ceiling(task: Task, metrics: Sequence[str] = ("ndcg@10",)) -> dict[str, dict[str, float]]:
    """What a perfect retriever gets, metric -> reading: each text is scored by the best gain of its copies, and copies tie."""
    run = perfect_run(task)
    return {
        ties: evaluate_run(run, task.qrels, metrics, ties, id_order=task.id_order).means  # type: ignore[arg-type]
        for ties in TIES
    }


def perfect_run(task: Task) -> Run:
    """All copies of every query's answers, the best first."""
    import numpy as np

    members: dict[int, list[int]] = {}
    for row, number in enumerate(task.copies.tolist()):
        members.setdefault(number, []).append(row)
    rows: list[dict[int, int]] = []
    for query in range(len(task.queries)):
        best: dict[int, int] = {}
        for document, gain in task.qrels.of(query).items():
            number = int(task.copies[document])
            best[number] = max(gain, best.get(number, 0))
        rows.append({document: gain for number, gain in best.items() if gain > 0 for document in members[number]})
    width = max((len(found) for found in rows), default=0)
    documents = np.full((len(rows), width), -1, dtype=np.int32)
    scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for at, found in enumerate(rows):
        documents[at, : len(found)], scores[at, : len(found)] = list(found), list(found.values())
    return leave_out(Run(documents, scores, "perfect"), task.own if task.without_own else None)
