"""Ranking metrics against trec_eval, worked examples, enumeration of all orders, and the bounds of ties."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.evaluate.retrieval import Qrels, Task, evaluate_run
from luthier.evaluate.retrieval.metrics import Run
from luthier.evaluate.retrieval.retrieve import expand
from luthier.evaluate.retrieval.scoring import ceiling, perfect_run, score
from luthier.evaluate.retrieval.task import Texts
from retrieval_tasks import small_task

OURS = {
    "ndcg@1": "ndcg_cut_1",
    "ndcg@3": "ndcg_cut_3",
    "ndcg@10": "ndcg_cut_10",
    "ndcg": "ndcg",
    "map@5": "map_cut_5",
    "map": "map",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "precision@10": "P_10",
    "mrr": "recip_rank",
    "success@5": "success_5",
}
THEIRS = {"ndcg_cut.1,3,10", "ndcg", "map_cut.5", "map", "recall.5,100", "P.10", "recip_rank", "success.5"}
DOCUMENTS = [f"d{number}" for number in range(14)]  # d9 and d10 sort as texts, not as numbers

gains = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1, max_size=8)
# Few values make many ties; 0.1 and its neighbour tie in single precision only.
found = st.dictionaries(st.sampled_from(DOCUMENTS), st.sampled_from([0.1, 0.1 + 1e-12, 0.1 + 1e-7, 0.5, -1.0, 0.0, 2.0]), max_size=14)


@settings(max_examples=150)
@given(st.lists(st.tuples(gains, found), min_size=1, max_size=4))
def test_values_equal_trec_eval(rows):
    qrels = {f"q{at}": judged for at, (judged, _) in enumerate(rows)}
    run = {f"q{at}": result for at, (_, result) in enumerate(rows) if result}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, THEIRS).evaluate(run)
    ours = evaluate_run(run, qrels, tuple(OURS))
    for at, query in enumerate(ours.query_ids):
        expected = [theirs.get(query, {}).get(name, 0.0) for name in OURS.values()]
        assert ours.values[at] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100)
@given(gains, found, st.randoms(use_true_random=False))
def test_bounds_and_permutations(judged, result, draw):
    ours = {ties: evaluate_run({"q": result}, {"q": judged}, tuple(OURS), ties).values for ties in ("best", "expected", "worst", "trec")}
    assert (ours["best"] >= ours["expected"] - 1e-12).all()
    assert (ours["expected"] >= ours["worst"] - 1e-12).all()
    shuffled = dict(draw.sample(list(result.items()), len(result)))
    for ties, values in ours.items():
        assert evaluate_run({"q": shuffled}, {"q": judged}, tuple(OURS), ties).values == pytest.approx(values, abs=1e-12)
    if len(set(np.array(list(result.values()), dtype=np.float32).tolist())) == len(result):
        assert ours["best"] == pytest.approx(ours["worst"], abs=1e-12)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2), min_size=5, max_size=5), st.lists(st.sampled_from([1.0, 2.0]), min_size=5, max_size=5))
def test_expectation_is_the_mean_over_all_orders(relevance, scores):
    names = DOCUMENTS[:5]
    judged = {"q": dict(zip(names, relevance, strict=True))}
    orders = list(itertools.permutations(range(5)))
    qrels = {f"q{at}": judged["q"] for at in range(len(orders))}
    runs = {
        f"q{at}": {name: score + 1e-3 * order[place] for place, (name, score) in enumerate(zip(names, scores, strict=True))}
        for at, order in enumerate(orders)
    }
    mean = evaluate_run(runs, qrels, tuple(OURS)).values.mean(axis=0)
    expected = evaluate_run({"q": dict(zip(names, scores, strict=True))}, judged, tuple(OURS), "expected").values[0]
    assert expected == pytest.approx(mean, abs=1e-12)


def test_worked_example():
    qrels = {"q1": {"a": 3, "b": 2, "c": 1, "z": 0}, "q2": {"x": 1}}
    run = {"q1": {"b": 5.0, "n1": 4.0, "a": 3.0, "n2": 2.0, "c": 1.0}, "q2": {"y": 2.0, "x": 1.0}}
    names = ("ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10", "map@1", "map@3", "map@5", "recall@3", "precision@3", "precision@10", "mrr")
    values = evaluate_run(run, qrels, names).values
    first = [0.666667, 0.735007, 0.816247, 0.816247, 0.333333, 0.555556, 0.755556, 0.666667, 0.666667, 0.3, 1]
    assert values[0] == pytest.approx(first, abs=1e-6)
    assert values[1] == pytest.approx([0, 0.630930, 0.630930, 0.630930, 0, 0.5, 0.5, 1, 1 / 3, 0.1, 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("copies", "expected", "worst"),
    [
        (1, 1, 1),
        (2, 0.8155, 0.6309),
        (3, 0.7103, 0.5),
        (4, 0.6404, 0.4307),
        (5, 0.5897, 0.3869),
        (6, 0.5508, 0.3562),
        (10, 0.4544, 0.2891),
        (20, 0.2272, 0),
    ],
)
def test_ceiling_of_an_answer_with_copies(copies: int, expected: float, worst: float):
    documents = Texts([f"d{at}" for at in range(copies + 5)], ["same"] * copies + [f"other {at}" for at in range(5)])
    task = Task("copies", documents, Texts(["q"], ["ask"]), Qrels.from_triples(1, [(0, 0, 1)]))
    limits = ceiling(task)
    assert limits["expected"]["ndcg@10"] == pytest.approx(expected, abs=5e-5)
    assert limits["worst"]["ndcg@10"] == pytest.approx(worst, abs=5e-5)
    assert limits["best"]["ndcg@10"] == 1


def test_merging_copies_gives_the_score_of_the_distinct_task_and_a_perfect_one_gets_1():
    task = small_task(documents=40, copies=15)
    merged = task.merged()
    distinct_run = perfect_run(merged)
    scored = score(task, distinct_run, ("ndcg@10", "recall@10"))
    assert scored.by_reading["merged"].values == pytest.approx(1)
    alone = evaluate_run(distinct_run, merged.qrels, ("ndcg@10",), "expected").values
    assert scored.by_reading["merged"].of("ndcg@10")[:, None] == pytest.approx(alone)
    assert scored.by_reading["worst"].of("ndcg@10").mean() < 1


def test_expanding_keeps_all_copies_of_a_document_side_by_side():
    task = small_task(documents=30, copies=12)
    distinct = Run(np.arange(6, dtype=np.int32)[None].repeat(20, 0), np.linspace(1, 0, 6, dtype=np.float32)[None].repeat(20, 0))
    whole = expand(distinct, task)
    for row, scores in zip(whole.documents, whole.scores, strict=True):
        kept = row[row >= 0]
        assert len(set(kept.tolist())) == len(kept) >= 6
        assert all(scores[at] == distinct.scores[0][task.copies[document]] for at, document in enumerate(kept))
        members = {number: (task.copies == number).sum() for number in set(task.copies[kept].tolist())}
        assert len(kept) == sum(members.values())


def test_arrays_of_many_judgements_equal_dictionaries():
    task = small_task(documents=200, queries=30)
    draw = np.random.default_rng(0)
    triples = [
        (q, int(d), int(g)) for q in range(30) for d, g in zip(draw.choice(200, 20, replace=False), draw.integers(0, 3, 20), strict=True)
    ]
    qrels = Qrels.from_triples(30, triples)
    documents = np.array([draw.choice(200, 25, replace=False) for _ in range(30)], dtype=np.int32)
    scores = draw.choice([0.1, 0.2, 0.3], size=documents.shape).astype(np.float32)
    documents[3, 10:] = -1
    arrays = evaluate_run(Run(documents, scores), qrels, ("ndcg@10", "map", "judged@10"), id_order=task.id_order)
    names = task.documents.ids
    run = {f"q{q}": {names[d]: float(s) for d, s in zip(documents[q], scores[q], strict=True) if d >= 0} for q in range(30)}
    judged = {f"q{q}": {names[d]: gain for d, gain in qrels.of(q).items()} for q in range(30)}
    assert arrays.values == pytest.approx(evaluate_run(run, judged, ("ndcg@10", "map", "judged@10")).values, abs=1e-12)


def test_a_negative_gain_counts_as_none():
    for ties in ("trec", "expected"):
        values = evaluate_run({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": -2, "b": 1}}, ("ndcg@10", "recall@1"), ties).values
        assert values[0] == pytest.approx([1 / math.log2(3), 0])


@pytest.mark.parametrize(
    ("metrics", "ties", "message"),
    [(("ndgc@10",), "trec", "unknown metric 'ndgc@10'"), (("ndcg@0",), "trec", "unknown metric"), (("ndcg@10",), "luck", "ties is 'luck'")],
)
def test_unknown_names_are_named(metrics, ties, message):
    with pytest.raises(SettingsError, match=message):
        evaluate_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, metrics, ties)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(SettingsError, match="no numbers"):
        evaluate_run({"q": {"a": math.nan}}, {"q": {"a": 1}})


@pytest.mark.parametrize("score", [10**400, -(10**400), Fraction(10**400, 3), 1e39, 10**39, -1e300])
def test_scores_beyond_what_a_run_holds_are_refused_by_name(score):
    with pytest.raises(SettingsError, match=r"query 'q', document 'b': the score .* is larger than a float of 32 bits holds"):
        evaluate_run({"q": {"a": 1, "b": score}}, {"q": {"a": 1}})


@pytest.mark.parametrize("score", [10**38, -3.4e38, math.inf, -math.inf, 0])
def test_scores_that_a_run_holds_are_read(score):
    assert evaluate_run({"q": {"a": 1, "b": score}}, {"q": {"a": 1}}, ("recall@2",)).values.tolist() == [[1.0]]


def test_repeats_and_empty_judgements_are_refused():
    twice = Run(np.array([[3, 1, 3, -1, -1]], dtype=np.int32), np.zeros((1, 5), dtype=np.float32))
    with pytest.raises(SettingsError, match="query 0 of the run has document 3 twice"):
        evaluate_run(twice, Qrels.from_triples(1, [(0, 3, 1)]))
    with pytest.raises(SettingsError, match="no query is judged"):
        evaluate_run({"q": {"a": 1.0}}, {})
    with pytest.raises(SettingsError, match="both as arrays or both as dictionaries"):
        evaluate_run(twice, {"q": {"a": 1}})
