"""Ranking metrics on arrays: NDCG, MAP, recall, precision, MRR, success and hole at any depth, as trec_eval computes them, under four readings of ties.

A run says how much it likes a document; where it likes several equally, their order is not its doing. `trec` orders them by id as
trec_eval does, `expected` is the mean over all orders in closed form (McSherry & Najork, ECIR 2008), `best` and `worst` are the bounds.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.task import Qrels, descending_places
from luthier.records.numbers import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.evaluate.retrieval.ties import Groups

Ties = Literal["trec", "expected", "best", "worst"]
TIES: tuple[str, ...] = get_args(Ties)
NAMES = ("ndcg", "map", "recall", "precision", "mrr", "success", "judged")
LARGEST_SCORE = (2 - 2**-23) * 2.0**127  # of a float of 32 bits
DEFAULT = ("ndcg@10", "map@10", "recall@10", "recall@100", "mrr@10")


@dataclass(frozen=True)
class Run:
    """What a retriever found: documents, (queries, depth) int32, best first, -1 where there are no more; scores alike, float32."""

    documents: NDArray[np.int32]
    scores: NDArray[np.float32]
    name: str = ""


@dataclass(frozen=True)
class Scores:
    """Values of each metric for each query, (queries, metrics) float64; query_ids only where the run came as a dictionary."""

    metrics: tuple[str, ...]
    values: NDArray[np.float64]
    query_ids: tuple[str, ...] = ()

    @property
    def means(self) -> dict[str, float]:
        """The mean over all judged queries, also those for which the run has nothing."""
        return dict(zip(self.metrics, self.values.mean(axis=0).tolist(), strict=True))

    def of(self, metric: str) -> NDArray[np.float64]:
        return self.values[:, self.metrics.index(metric)]


class Metric(NamedTuple):
    """A metric and its depth; None is the whole run."""

    name: str
    depth: int | None


def parse_metric(text: str) -> Metric:
    """`ndcg@10`, `map`; raises SettingsError."""
    found = re.fullmatch(r"([a-z]+)(?:@(\d+))?", text.strip().lower())
    if found is None or found[1] not in NAMES or found[2] == "0":
        raise SettingsError(f"unknown metric {text!r}; known: {', '.join(NAMES)}, each with a depth such as ndcg@10")
    return Metric(found[1], None if found[2] is None else int(found[2]))


def evaluate_run(
    run: Run | Mapping[str, Mapping[str, float]],
    qrels: Qrels | Mapping[str, Mapping[str, int]],
    metrics: Sequence[str] = DEFAULT,
    ties: Ties = "trec",
    *,
    id_order: NDArray[np.int32] | None = None,
) -> Scores:
    """Score a run against judgements; both as arrays, or both as dictionaries of ids as in pytrec_eval.

    ties: how equal scores (in single precision) are read. id_order: place of each document when ids are sorted descending (`Task.id_order`),
    for `trec` on arrays; without it the row number stands for the id. Queries that the run lacks count 0. Raises SettingsError.
    """
    if ties not in TIES:
        raise SettingsError(f"ties is {ties!r}; choose one of {', '.join(TIES)}")
    wanted = [parse_metric(metric) for metric in metrics]
    if not len(qrels):
        raise SettingsError("no query is judged; there is nothing to score")
    if isinstance(run, Run) and isinstance(qrels, Qrels):
        if len(run.documents) != len(qrels):
            raise SettingsError(f"the run has {len(run.documents)} queries, the judgements have {len(qrels)}")
        return Scores(tuple(metrics), evaluate_arrays(run, qrels, wanted, ties, id_order))
    if isinstance(run, Run) or isinstance(qrels, Qrels):
        raise SettingsError("give run and qrels both as arrays or both as dictionaries")
    arrays, judged, places = _from_dictionaries(run, qrels)
    return Scores(tuple(metrics), evaluate_arrays(arrays, judged, wanted, ties, places), tuple(qrels))


def evaluate_arrays(
    run: Run, qrels: Qrels, metrics: Sequence[Metric], ties: str, id_order: NDArray[np.int32] | None = None
) -> NDArray[np.float64]:
    """The values, (queries, metrics). Scores need not be sorted."""
    import numpy as np

    from luthier.evaluate.retrieval.ties import Ranked, ordered, tie_groups

    documents, scores = np.asarray(run.documents, dtype=np.int32), np.asarray(run.scores, dtype=np.float32)
    if documents.shape != scores.shape:
        raise SettingsError(f"documents are {documents.shape}, scores are {scores.shape}; they must be alike")
    if np.isnan(scores[documents >= 0]).any():
        raise SettingsError(f"the run {run.name or ''} has scores that are no numbers (NaN); make it again")
    _refuse_repeats(documents)
    gains, judged = gains_of(documents, qrels)
    ranked = ordered(documents, Ranked(gains, judged, scores, documents >= 0), ties, id_order)
    groups = tie_groups(ranked.scores, ranked.alive) if ties == "expected" else None
    facts = _Facts(ranked.gains, ranked.gains > 0, ranked.judged, groups, Ideal.of(qrels))
    return np.stack([_value(metric, facts) for metric in metrics], axis=1) if metrics else np.zeros((len(qrels), 0))


def _refuse_repeats(documents: NDArray[np.int32]) -> None:
    """A document found twice for a query would be counted twice."""
    import numpy as np

    ordered = np.sort(documents, axis=1)
    rows, places = np.nonzero((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
    if len(rows):
        raise SettingsError(f"query {rows[0]} of the run has document {ordered[rows[0], places[0]]} twice; a document may be found once")


def gains_of(documents: NDArray[np.int32], qrels: Qrels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Gain of every place of a run, 0 where nothing good is judged, and whether it is judged at all; both (queries, depth)."""
    import numpy as np

    gains = np.zeros(documents.shape, dtype=np.float64)
    judged = np.zeros(documents.shape, dtype=bool)
    counts = np.diff(qrels.offsets)
    if not len(qrels.documents):
        return gains, judged
    if counts.max() <= 8:  # comparing with each judgement in turn beats searching for every place
        for number in range(int(counts.max())):
            rows = np.flatnonzero(counts > number)
            at = qrels.offsets[rows] + number
            rows_hit, places = np.nonzero(documents[rows] == qrels.documents[at][:, None])
            judged[rows[rows_hit], places] = True
            gains[rows[rows_hit], places] = np.maximum(qrels.gains[at][rows_hit], 0)
        return gains, judged
    span = int(max(qrels.documents.max(), documents.max(initial=0))) + 1
    keys = qrels.rows * span + qrels.documents
    order = np.argsort(keys)
    asked = np.arange(len(documents))[:, None] * span + documents
    found = np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)
    judged = (keys[order][found] == asked) & (documents >= 0)
    gains[judged] = np.maximum(qrels.gains[order][found[judged]], 0)
    return gains, judged


@dataclass(frozen=True)
class Ideal:
    """Of each query: its gains sorted descending, (queries, most), 0 where there are fewer, and the number of relevant documents, (queries,)."""

    gains: NDArray[np.float64]
    relevant: NDArray[np.int64]

    @staticmethod
    def of(qrels: Qrels) -> Ideal:
        import numpy as np

        positive = np.maximum(qrels.gains, 0)
        counts = np.diff(qrels.offsets)
        table = np.zeros((len(qrels), max(1, int(counts.max(initial=0)))), dtype=np.float64)
        order = np.lexsort((-positive, qrels.rows))
        places = np.arange(len(positive)) - np.repeat(qrels.offsets[:-1], counts)
        table[qrels.rows, places] = positive[order]
        return Ideal(table, (table > 0).sum(axis=1))


@dataclass(frozen=True)
class _Facts:
    """What metrics are computed from, in the order of the ranking, (queries, depth); groups where orders of ties are averaged."""

    gains: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    groups: Groups | None
    ideal: Ideal

    def mean(self, values: NDArray[Any], depth: int) -> NDArray[Any]:
        """The first columns of what a metric is linear in, tied places with their mean."""
        from luthier.evaluate.retrieval.ties import group_means

        return values[:, :depth] if self.groups is None else group_means(values, self.groups)[:, :depth]


def _value(metric: Metric, facts: _Facts) -> NDArray[np.float64]:
    import numpy as np

    queries, width = facts.gains.shape
    depth = width if metric.depth is None else min(metric.depth, width)
    places = np.full(queries, metric.depth or max(1, width), dtype=np.float64)
    if metric.name == "ndcg":
        return _ndcg(facts.mean(facts.gains, depth), facts.ideal.gains[:, : metric.depth])
    if metric.name == "recall":
        return _ratio(facts.mean(facts.relevant, depth).sum(axis=1), facts.ideal.relevant)
    if metric.name == "precision":
        return _ratio(facts.mean(facts.relevant, depth).sum(axis=1), places)
    if metric.name == "judged":
        return _ratio(facts.mean(facts.judged, depth).sum(axis=1), places)
    if metric.name == "map":
        return _ratio(_precision_sum(facts, depth), facts.ideal.relevant)
    return _first_hit(facts, depth, reciprocal=metric.name == "mrr")


def _ndcg(gains: NDArray[np.float64], ideal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear gain over log2(rank + 1), over that of the best order, as trec_eval has it."""
    return _ratio(gains @ discounts(gains.shape[1]), ideal @ discounts(ideal.shape[1]))


def _precision_sum(facts: _Facts, depth: int) -> NDArray[np.float64]:
    """Sum over the ranks of relevant documents of the precision there, (queries,)."""
    import numpy as np

    from luthier.evaluate.retrieval.ties import expected_precision_sum

    if facts.groups is not None:
        return expected_precision_sum(facts.relevant, facts.groups, depth)
    relevant = facts.relevant[:, :depth]
    hits = np.cumsum(relevant, axis=1) / np.arange(1, depth + 1)
    return np.asarray((hits * relevant).sum(axis=1), dtype=np.float64)


def _first_hit(facts: _Facts, depth: int, *, reciprocal: bool) -> NDArray[np.float64]:
    """1 / rank of the first relevant document, or 1, where there is one within the depth, (queries,)."""
    import numpy as np

    from luthier.evaluate.retrieval.ties import expected_first_hit

    if facts.groups is not None:
        return expected_first_hit(facts.relevant, facts.groups, depth, reciprocal=reciprocal)
    relevant = facts.relevant[:, :depth]
    if not depth:
        return np.zeros(len(relevant))
    worth = 1.0 / (relevant.argmax(axis=1) + 1) if reciprocal else 1.0
    return np.where(relevant.any(axis=1), worth, 0.0)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, 0 where the whole is 0."""
    import numpy as np

    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
    return ratio


def discounts(depth: int) -> NDArray[np.float64]:
    """1 / log2(rank + 1) for ranks from 1."""
    import numpy as np

    return 1.0 / np.log2(np.arange(2, depth + 2, dtype=np.float64))


def _from_dictionaries(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]]
) -> tuple[Run, Qrels, NDArray[np.int32]]:
    import numpy as np

    _check_ids(qrels)
    _check_ids(run)
    gains = {query: {name: _grade(query, name, gain) for name, gain in judged.items()} for query, judged in qrels.items()}
    results = {query: _numbers(query, found) for query, found in run.items()}
    if results and not results.keys() & gains.keys():
        examples = f"{next(iter(results))!r} in the run, {next(iter(gains))!r} in the judgements"
        raise SettingsError(f"the run has none of the judged queries ({examples}); give both the same ids")
    names = list(dict.fromkeys(name for query in gains for name in (*gains[query], *results.get(query, {}))))
    place = {name: at for at, name in enumerate(names)}
    depth = max((len(results.get(query, {})) for query in gains), default=0)
    documents = np.full((len(gains), depth), -1, dtype=np.int32)
    scores = np.full((len(gains), depth), -np.inf, dtype=np.float32)
    for row, query in enumerate(gains):
        found = results.get(query, {})
        documents[row, : len(found)] = [place[name] for name in found]
        scores[row, : len(found)] = list(found.values())
    triples = [(row, place[name], gain) for row, query in enumerate(gains) for name, gain in gains[query].items()]
    return Run(documents, scores), Qrels.from_triples(len(gains), triples), descending_places(names)


def _check_ids(table: Mapping[str, Mapping[str, Any]]) -> None:
    """A number and the text of it would never meet."""
    for query, values in table.items():
        if not isinstance(query, str):
            raise SettingsError(f"the query id {query!r} is no text; make the ids of run and judgements texts, with str() for example")
        if not isinstance(values, dict | Mapping):
            raise SettingsError(f"query {query!r}: a dictionary of document ids is expected, not {type(values).__name__}")
        if not set(map(type, values)) <= {str} and (strange := [name for name in values if not isinstance(name, str)]):
            raise SettingsError(f"query {query!r}: the document id {strange[0]!r} is no text; make all ids texts, with str() for example")


def _grade(query: str, name: str, value: Any) -> int:
    """A grade that is a whole number, of any type of number."""
    try:
        number = float(value) if isinstance(value, int | float | numbers.Real) else 0.5
    except OverflowError:
        number = math.inf
    if math.isfinite(number) and number.is_integer() and abs(number) < 2**31:
        return int(number)
    raise SettingsError(f"query {query!r}, document {name!r}: the grade is {shown(value)}; a whole number is expected")


def _numbers(query: str, found: Mapping[str, Any]) -> Mapping[str, float]:
    """The scores as they are, each of which a float of 32 bits holds: beyond, all would be one infinity."""
    if not set(map(type, found.values())) <= {int, float}:
        for name, value in found.items():
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise SettingsError(f"query {query!r}, document {name!r}: the score {value!r} is no number")
    for name, value in found.items():
        if LARGEST_SCORE < abs(value) != math.inf:
            raise SettingsError(f"query {query!r}, document {name!r}: the score {shown(value)} is larger than a float of 32 bits holds")
    return found
