"""What to know of a task before trusting a score on it: sizes, copies, ceilings, twins among queries, leaks, lengths, baselines.

A finding is a plain sentence with its number; `findings` lists those that change what a score means.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from luthier.evaluate.retrieval.bm25 import BM25
from luthier.evaluate.retrieval.build.building import contaminated
from luthier.evaluate.retrieval.build.pairs import leaks
from luthier.evaluate.retrieval.metrics import Ideal, discounts
from luthier.evaluate.retrieval.retrieve import retrieve, truncation
from luthier.evaluate.retrieval.scoring import ceiling, score
from luthier.evaluate.retrieval.task import Task
from luthier.records import JSON
from luthier.statistics.resampling import bootstrap

SATURATED, HOPELESS = 0.90, 0.02  # NDCG@10 of BM25 beyond which a task tells models apart badly
SAMPLE = 2000  # queries looked through for leaks, evenly spaced


def audit(task: Task, *, model: Any = None, training: Sequence[str] = (), tokenizer: str = "code", seed: int = 0) -> JSON:
    """Everything below in one object. model: an embedder, for the share of texts it does not read to the end; training: texts it was trained on."""
    report: JSON = {
        "task": {"name": task.name, "split": task.split, "reading": task.reading, "fingerprint": task.fingerprint},
        "sizes": _sizes(task),
        "copies": copies(task),
        "queries": query_twins(task),
        "leaks": _leaks(task),
        "ceiling": ceiling(task, ("ndcg@10", "recall@10")),
        "baselines": baselines(task, tokenizer, seed),
    }
    if model is not None:
        report["truncation"] = {
            "model": model.name,
            "queries": truncation(task, model, task.query_texts, "query"),
            "documents": truncation(task, model, task.document_texts, "document"),
        }
    if training:
        report["contamination"] = contamination(task, training)
    report["findings"] = findings(report)
    return report


def _sizes(task: Task) -> JSON:
    per_query = [int((task.qrels.gains[task.qrels.offsets[q] : task.qrels.offsets[q + 1]] > 0).sum()) for q in range(len(task.queries))]
    return {
        "queries": len(task.queries),
        "documents": len(task.documents),
        "judgements": len(task.qrels.documents),
        "answers_per_query": statistics.mean(per_query),
        "queries_without_answer": sum(1 for count in per_query if not count),
        "query_characters": _lengths(task.query_texts),
        "document_characters": _lengths(task.document_texts),
        "empty_queries": sum(1 for text in task.query_texts if not text.strip()),
        "empty_documents": sum(1 for text in task.document_texts if not text.strip()),
    }


def _lengths(texts: Sequence[str]) -> JSON:
    sizes = [len(text) for text in texts]
    return {"mean": round(statistics.mean(sizes), 2), "median": statistics.median(sizes), "most": max(sizes)}


def copies(task: Task) -> JSON:
    """Documents that are byte-identical as the task reads them, and queries whose answer has a copy that is not judged one."""
    import numpy as np

    counts = np.bincount(task.copies)
    good = task.qrels.gains > 0
    answers: dict[int, set[int]] = defaultdict(set)
    for query, document in zip(task.qrels.rows[good].tolist(), task.qrels.documents[good].tolist(), strict=True):
        answers[query].add(document)
    judged = {query: defaultdict(int) for query in answers}  # type: ignore[var-annotated]
    for query, documents in answers.items():
        for document in documents:
            judged[query][int(task.copies[document])] += 1
    hit = sum(1 for numbers in judged.values() if any(counts[number] > there for number, there in numbers.items()))
    return {
        "distinct_documents": len(counts),
        "share_distinct": len(counts) / len(task.documents),
        "largest_group": int(counts.max()),
        "queries_with_unjudged_copies": hit,
    }


def query_twins(task: Task) -> JSON:
    """Queries of identical text, and those among them whose answers differ: no retriever can serve both."""
    groups: dict[int, list[frozenset[int]]] = defaultdict(list)
    for query, cluster in enumerate(task.query_clusters.tolist()):
        answers = frozenset(int(task.copies[document]) for document, gain in task.qrels.of(query).items() if gain > 0)
        groups[cluster].append(answers)
    twins = [answers for answers in groups.values() if len(answers) > 1]
    return {
        "distinct": len(groups),
        "in_twins": sum(len(answers) for answers in twins),
        "twins_with_different_answers": sum(len(answers) for answers in twins if len(set(answers)) > 1),
    }


def _leaks(task: Task) -> JSON:
    """Queries of which 60 % stand, in one piece, in an answer."""
    step = max(1, len(task.queries) // SAMPLE)
    looked = range(0, len(task.queries), step)
    found = 0
    for query in looked:
        answers = [document for document, gain in task.qrels.of(query).items() if gain > 0]
        found += any(leaks(task.query_texts[query], task.document_texts[document]) for document in answers)
    return {"looked_at": len(looked), "found": found, "share": found / len(looked)}


def baselines(task: Task, tokenizer: str = "code", seed: int = 0) -> JSON:
    """NDCG@10 of BM25 with its 95 % interval, and of documents in random order, in expectation; `judged` is the share of BM25's first ten that is judged."""
    found = retrieve(task, BM25(tokenizer), 100)
    scored = score(task, found.run, ("ndcg@10", "recall@100", "judged@10"))
    values = scored.by_reading["expected"]
    interval = bootstrap(values.of("ndcg@10"), task.query_clusters, seed)
    return {
        "bm25": {
            "tokenizer": tokenizer,
            "ndcg@10": asdict(interval),
            "recall@100": values.means["recall@100"],
            "judged@10": values.means["judged@10"],
            "half_width": (interval.high - interval.low) / 2,
        },
        "random": random_ndcg(task),
    }


def random_ndcg(task: Task, depth: int = 10) -> float:
    """NDCG of documents in random order, in closed form: every place holds the mean gain of the corpus."""
    import numpy as np

    ideal = Ideal.of(task.qrels).gains
    total = ideal.sum(axis=1)
    best = ideal[:, :depth] @ discounts(min(depth, ideal.shape[1]))
    reached = total / len(task.documents) * discounts(min(depth, len(task.documents))).sum()
    return float(np.divide(reached, best, out=np.zeros(len(best)), where=best > 0).mean())


def contamination(task: Task, training: Sequence[str]) -> JSON:
    """Shares of the task's queries and of its answers that repeat, or nearly repeat, a training text."""
    answers = sorted({int(document) for document in task.qrels.documents[task.qrels.gains > 0]})
    seen_answers = contaminated([task.document_texts[document] for document in answers], training)
    seen_queries = contaminated(task.query_texts, training)
    return {
        "training_texts": len(training),
        "queries": len(seen_queries) / len(task.queries),
        "answers": len(seen_answers) / max(1, len(answers)),
    }


def findings(report: JSON) -> list[str]:
    """What changes the meaning of a score, in sentences."""
    sizes, doubled, asked, bm25 = report["sizes"], report["copies"], report["queries"], report["baselines"]["bm25"]
    told = []
    if doubled["share_distinct"] < 1:
        told.append(
            f"{sizes['documents'] - doubled['distinct_documents']:,} of {sizes['documents']:,} documents are copies of others; "
            f"{doubled['queries_with_unjudged_copies']:,} queries have an answer with a copy that does not count"
        )
    expected, worst = (report["ceiling"][ties]["ndcg@10"] for ties in ("expected", "worst"))
    if expected < 0.999:
        told.append(
            f"a perfect retriever gets NDCG@10 {expected:.3f} in expectation and {worst:.3f} at worst; judge scores by that or by the merged reading"
        )
    if asked["twins_with_different_answers"]:
        told.append(
            f"{asked['twins_with_different_answers']:,} queries share their text with others that have other answers; only {asked['distinct']:,} are distinct"
        )
    if sizes["empty_documents"] or sizes["empty_queries"]:
        told.append(f"{sizes['empty_queries']:,} queries and {sizes['empty_documents']:,} documents are empty")
    if report["leaks"]["share"] > 0.01:
        told.append(f"{report['leaks']['share']:.1%} of the queries stand word for word in their answer")
    value = bm25["ndcg@10"]["mean"]
    if value > SATURATED:
        told.append(f"BM25 reaches {value:.3f}: the task is solved by matching words and tells models apart badly")
    if value < HOPELESS:
        told.append(f"BM25 reaches {value:.3f} only: words do not help; check that queries and answers belong together")
    if bm25["half_width"] > 0.04:
        told.append(f"{sizes['queries']:,} queries leave an interval of ±{bm25['half_width']:.3f}: smaller differences are noise")
    for side in ("queries", "documents"):
        cut = (report.get("truncation") or {}).get(side)
        if cut and cut["cut"] > 0.05:
            told.append(
                f"{cut['cut']:.0%} of the {side} are longer than the {cut['max_length']} tokens that {report['truncation']['model']} reads"
            )
    if (seen := report.get("contamination")) and (seen["queries"] or seen["answers"]):
        told.append(f"{seen['queries']:.1%} of the queries and {seen['answers']:.1%} of the answers repeat training texts")
    return told
