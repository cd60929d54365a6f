"""Code retrieval beside its peers: scoring a run, ranking metrics, exact search, BM25; and a task of the standard library with three models on it.

The scheme of the reference (`coir-eval`) is written out here as its own code does it: a score matrix for each 50,000 documents, the 1,000 best of each
query pushed one by one on a heap, dictionaries of ids, trec_eval. Same vectors, same metrics, one thread, CPU-seconds; arms take turns, and a round
is compared with itself. `--parts training` trains a static model on installed packages, less what repeats the test, and measures it again.
"""

from __future__ import annotations

import heapq
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from harness import benchmark

CHUNK, TOP = 50_000, 1000
CUTS = (1, 3, 5, 10, 100, 1000)
PACKAGES = (
    "torch",
    "transformers",
    "sympy",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "networkx",
    "ray",
    "datasets",
    "huggingface_hub",
    "peft",
    "trl",
    "accelerate",
    "joblib",
    "hypothesis",
    "mypy",
    "pip",
    "pydantic",
    "rich",
    "jinja2",
    "pyarrow",
    "openai",
)


def measure(quick: bool, parts: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        arms: dict[str, Callable[[], dict[str, Any]]] = {
            "models": lambda: _models(folder),
            "stage": lambda: _stage(rounds, documents=3_800, queries=500 if quick else 2_000),
            "larger_stage": lambda: _stage(rounds, documents=3_800 if quick else 50_000, queries=200 if quick else 1_000),
            "metrics": lambda: _metrics(rounds, queries=1_000 if quick else 5_000),
            "search": lambda: _search(rounds, documents=20_000 if quick else 100_000),
            "bm25": lambda: _bm25(folder, queries=5 if quick else 40),
            "training": lambda: _training(folder),
        }
        figures: dict[str, Any] = {"build": _build(folder)}
        print(f"build: {figures['build']}", flush=True)
        for name in parts.split(","):
            figures[name] = arms[name]()
            print(f"{name}: {figures[name]}", flush=True)
    return figures


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _build(folder: Path) -> dict[str, Any]:
    from luthier.evaluate.retrieval.audit import audit
    from luthier.evaluate.retrieval.build import building
    from luthier.evaluate.retrieval.formats import load_task
    from luthier.evaluate.retrieval.settings import BuildSettings

    wall = time.perf_counter()
    cpu, made = _cpu(lambda: building.run(BuildSettings("doc2code", ("stdlib",)), folder / "stdlib"))
    wall = time.perf_counter() - wall
    seconds, audited = _cpu(lambda: audit(load_task(folder / "stdlib")))
    counts = made.results("task")["counts"]
    return {
        "pairs": counts["pairs"],
        "queries": counts["queries"],
        "documents": counts["documents"],
        "cpu": round(cpu, 2),
        "wall": round(wall, 2),
        "audit_cpu": round(seconds, 2),
        "findings": list(audited.findings),
        "leaks": audited.leaks.found,
    }


def _models(folder: Path) -> dict[str, Any]:
    from luthier.evaluate.retrieval.formats import load_task
    from luthier.evaluate.retrieval.opening import open_retriever
    from luthier.evaluate.retrieval.retrieve import retrieve
    from luthier.evaluate.retrieval.scoring import score
    from luthier.models.embedding_cache import EmbeddingCache

    task, found = load_task(folder / "stdlib"), {}
    for name in ("bm25:code", "bm25:word", "static"):
        cpu, result = _cpu(lambda name=name: retrieve(task, open_retriever(name), cache=EmbeddingCache(folder / "cache")))
        row = score(task, result.run, ("ndcg@10",)).to_row()["ndcg@10"]["expected"]
        found[name] = {"ndcg@10": [round(100 * row[key], 2) for key in ("mean", "low", "high")], "cpu": round(cpu, 1)}
    return found


def _random_vectors(count: int, dimensions: int, seed: int) -> Any:
    import numpy as np

    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _stage(rounds: int, documents: int, queries: int) -> dict[str, Any]:
    """Search and scoring with the vectors given: the reference's scheme against ours, all of its metrics on both sides."""
    import numpy as np

    from luthier.evaluate.retrieval import Qrels, evaluate_run
    from luthier.evaluate.retrieval.search import search

    right, left = _random_vectors(documents, 384, 0), _random_vectors(queries, 384, 1)
    gold = np.random.default_rng(2).integers(0, documents, queries)
    left = 0.2 * left + 0.1 * right[gold] * np.random.default_rng(3).random((queries, 1)).astype(np.float32)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    names = [f"d{at}" for at in range(documents)]
    qrels = Qrels.from_triples(queries, [(at, int(document), 1) for at, document in enumerate(gold)])
    judged = {f"q{at}": {names[document]: 1} for at, document in enumerate(gold)}
    wanted = [f"{name}@{cut}" for name in ("ndcg", "map", "recall", "precision") for cut in CUTS]

    def ours(top: int = TOP) -> dict[str, float]:
        return evaluate_run(search(left, right, top), qrels, wanted, "trec").means

    seconds: dict[str, list[float]] = {"reference": [], "ours": []}
    means: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, work in (("reference", lambda: _reference(left, right, names, judged)), ("ours", ours)):
            spent, means[name] = _cpu(work)
            seconds[name].append(spent)
    memory = {name: _peak(work) for name, work in (("reference", lambda: _reference(left, right, names, judged)), ("ours", ours))}
    return {
        "documents": documents,
        "queries": queries,
        "cpu": {name: round(median(values), 3) for name, values in seconds.items()},
        "ratio": round(median(a / b for a, b in zip(seconds["reference"], seconds["ours"], strict=True)), 1),
        "largest_difference": max(abs(means["ours"][name] - means["reference"][name]) for name in wanted),
        "ndcg@10": means["ours"]["ndcg@10"],
        "memory_mib": memory,
    }


def _reference(left: Any, right: Any, names: list[str], judged: dict[str, dict[str, int]]) -> dict[str, float]:
    """Cosines of whole chunks, NaN set to -1, the best of a chunk pushed one by one; then dictionaries, without equal ids, through trec_eval."""
    import pytrec_eval
    import torch

    queries = list(judged)[: len(left)]
    heaps: dict[str, list[tuple[float, str]]] = {query: [] for query in queries}
    for start in range(0, len(right), CHUNK):
        sides = [torch.nn.functional.normalize(torch.from_numpy(side), dim=1) for side in (left, right[start : start + CHUNK])]
        scores = torch.mm(sides[0], sides[1].T)
        scores[torch.isnan(scores)] = -1
        values, places = torch.topk(scores, min(TOP + 1, scores.shape[1]), dim=1, largest=True, sorted=False)
        rows, ids = values.tolist(), places.tolist()
        for at, query in enumerate(queries):
            for place, value in zip(ids[at], rows[at], strict=True):
                name = names[start + place]
                if name != query:
                    if len(heaps[query]) < TOP:
                        heapq.heappush(heaps[query], (value, name))
                    else:
                        heapq.heappushpop(heaps[query], (value, name))
    results = {query: {name: value for value, name in heap} for query, heap in heaps.items()}
    for query, found in results.items():
        found.pop(query, None)
    cuts = ",".join(map(str, CUTS))
    measures = {f"ndcg_cut.{cuts}", f"map_cut.{cuts}", f"recall.{cuts}", f"P.{cuts}"}
    told = pytrec_eval.RelevanceEvaluator({query: judged[query] for query in queries}, measures).evaluate(results)
    short = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
    return {
        f"{name}@{cut}": sum(row[f"{theirs}_{cut}"] for row in told.values()) / len(told) for name, theirs in short.items() for cut in CUTS
    }


def _peak(work: Callable[[], Any]) -> float:
    """Largest memory that Python and NumPy held, MiB; torch's own blocks are not in it."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 1)


def _metrics(rounds: int, queries: int) -> dict[str, Any]:
    """Graded judgements, three a query, runs of 100 with ties in ten of them: arrays against trec_eval with the dictionaries that it needs."""
    import numpy as np
    import pytrec_eval

    from luthier.evaluate.retrieval import Qrels, evaluate_run
    from luthier.evaluate.retrieval.metrics import Run

    draw = np.random.default_rng(0)
    documents = np.stack([draw.choice(20_000, 100, replace=False) for _ in range(queries)]).astype(np.int32)
    scores = np.round(draw.random((queries, 100)), 1).astype(np.float32)
    triples = [
        (at, int(documents[at, place]), int(draw.integers(1, 4))) for at in range(queries) for place in draw.choice(100, 3, replace=False)
    ]
    qrels, names = Qrels.from_triples(queries, triples), [f"d{at}" for at in range(20_000)]
    order = np.empty(20_000, dtype=np.int32)
    order[sorted(range(20_000), key=lambda at: names[at], reverse=True)] = np.arange(20_000)
    wanted = [f"{name}@{cut}" for name in ("ndcg", "map", "recall", "precision") for cut in (1, 3, 5, 10, 100)]
    measures = {f"{name}.1,3,5,10,100" for name in ("ndcg_cut", "map_cut", "recall", "P")}
    short = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
    judged: dict[str, dict[str, int]] = {f"q{at}": {} for at in range(queries)}
    for at, document, gain in triples:
        judged[f"q{at}"][names[document]] = gain
    evaluator = pytrec_eval.RelevanceEvaluator(judged, measures)
    spent: dict[str, list[float]] = {"dictionaries": [], "trec": [], "ours": []}
    for _ in range(rounds):
        seconds, run = _cpu(
            lambda: {
                f"q{at}": {names[d]: float(s) for d, s in zip(documents[at].tolist(), scores[at].tolist(), strict=True)}
                for at in range(queries)
            }
        )
        spent["dictionaries"].append(seconds)
        seconds, told = _cpu(lambda run=run: evaluator.evaluate(run))
        spent["trec"].append(seconds)
        seconds, ours = _cpu(lambda: evaluate_run(Run(documents, scores), qrels, wanted, "trec", id_order=order))
        spent["ours"].append(seconds)
    theirs = np.array([[told[f"q{at}"][f"{short[name.split('@')[0]]}_{name.split('@')[1]}"] for name in wanted] for at in range(queries)])
    return {
        "queries": queries,
        "cpu": {name: round(median(values), 4) for name, values in spent.items()},
        "ratio": round(median((a + b) / c for a, b, c in zip(*spent.values(), strict=True)), 1),
        "ratio_without_dictionaries": round(median(b / c for _, b, c in zip(*spent.values(), strict=True)), 1),
        "largest_difference": float(np.abs(theirs - ours.values).max()),
    }


def _search(rounds: int, documents: int) -> dict[str, Any]:
    """Exact search against the products alone, of the same blocks, and against FAISS; the products are timed before and after."""
    import torch

    from luthier.evaluate.retrieval.search import BLOCK, search

    right, left = _random_vectors(documents, 384, 0), _random_vectors(512, 384, 1)
    buffer = torch.empty(512 * min(BLOCK[1], documents))

    def products() -> None:
        queries = torch.from_numpy(left)
        for start in range(0, documents, BLOCK[1]):
            part = torch.from_numpy(right[start : start + BLOCK[1]])
            torch.mm(queries, part.T, out=buffer[: 512 * len(part)].view(512, len(part)))

    spent: dict[str, list[float]] = {"products": [], "ours": [], "torch": [], "faiss": []}
    for number in range(3 * rounds + 1):
        before, _ = _cpu(products)
        ours, run = _cpu(lambda: search(left, right, 100))
        after, _ = _cpu(products)
        torch_s, plain = _cpu(lambda: search(left, right, 100, backend="torch"))
        theirs, other = _cpu(lambda: _faiss(left, right))
        if number:  # the first warms up
            for name, value in (("products", (before + after) / 2), ("ours", ours), ("torch", torch_s), ("faiss", theirs)):
                spent[name].append(value)
    work = 2 * documents * 512 * 384 / 1e9
    same = other is None or all(set(a) == set(b) for a, b in zip(run.documents.tolist(), other.tolist(), strict=True))
    return {
        "documents": documents,
        "gflops": {name: round(work / median(values), 1) for name, values in spent.items() if median(values)},
        "share_of_products": round(median(a / b for a, b in zip(spent["products"], spent["ours"], strict=True)), 3),
        "torch_share_of_products": round(median(a / b for a, b in zip(spent["products"], spent["torch"], strict=True)), 3),
        "same_sets_as_faiss": same,
        "same_order_as_torch": bool((run.documents == plain.documents).all()),
    }


def _faiss(left: Any, right: Any) -> Any:
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(right.shape[1])
    index.add(right)
    return index.search(left, 100)[1]


def _bm25(folder: Path, queries: int) -> dict[str, Any]:
    """Queries on all functions of the standard library, documented or not, index built: milliseconds a query, tokens given."""
    import bm25s
    from rank_bm25 import BM25Okapi

    from luthier.evaluate.retrieval.bm25 import _best, code_tokens
    from luthier.evaluate.retrieval.build.sources import read_functions
    from luthier.evaluate.retrieval.formats import load_task

    task = load_task(folder / "stdlib").limited(1000)
    corpus = [code_tokens(function.code) for function in read_functions("stdlib")]
    asked = [code_tokens(text) for text in task.query_texts]
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(corpus, show_progress=False)
    peer = BM25Okapi(corpus)
    known = [[token for token in tokens if token in index.vocab_dict] for tokens in asked]
    ours, _ = _cpu(lambda: [_best(index.get_scores(tokens), 100) for tokens in known if tokens])
    theirs, _ = _cpu(lambda: [peer.get_scores(tokens).argsort()[::-1][:100] for tokens in asked[:queries]])
    mine, peers = 1000 * ours / len(asked), 1000 * theirs / queries
    return {"documents": len(corpus), "ms": {"ours": round(mine, 4), "rank_bm25": round(peers, 3)}, "ratio": round(peers / mine, 1)}


def _training(folder: Path) -> dict[str, Any]:
    import importlib.util

    from luthier.evaluate.retrieval.build import building
    from luthier.evaluate.retrieval.settings import BuildSettings
    from luthier.recipes import retriever

    there = tuple(name for name in PACKAGES if importlib.util.find_spec(name) is not None)
    made = building.run(BuildSettings("doc2code", there, train=0.95, exclude=(str(folder / "stdlib"),)), folder / "packages")
    settings = retriever.RetrieverTrainingSettings(str(folder / "packages"), tests=(str(folder / "stdlib"),), epochs=3)
    run = retriever.run(settings, folder / "trained")
    trained, (test,) = run.results("train"), run.results("measure")["tests"]
    return {
        "packages": len(there),
        "excluded": {key: value for key, value in made.results("task")["dropped"].items() if "excluded" in key},
        "pairs": trained["pairs"],
        "left_out": trained["left_out"],
        "cpu": trained["cpu_seconds"],
        "before": round(100 * test["before"]["mean"], 2),
        "after": round(100 * test["after"]["mean"], 2),
        "change": [round(100 * test["change"][key], 2) for key in ("mean", "low", "high")],
        "p": test["change"]["p"],
    }


def _line(figures: dict[str, Any]) -> str:
    told = {
        "build": lambda f: f"{f['pairs']:,} pairs in {f['wall']} s",
        "models": lambda f: ", ".join(f"{name} {row['ndcg@10'][0]}" for name, row in f.items()),
        "stage": lambda f: f"stage {f['ratio']}x",
        "larger_stage": lambda f: f"at {f['documents']:,} documents {f['ratio']}x",
        "metrics": lambda f: f"metrics {f['ratio']}x",
        "search": lambda f: f"search {100 * f['share_of_products']:.0f} % of the products",
        "bm25": lambda f: f"BM25 {f['ratio']}x rank_bm25",
        "training": lambda f: f"training {f['change'][0]:+.1f} points in {f['cpu']} CPU-s",
    }
    return ", ".join(told[name](row) for name, row in figures.items())


if __name__ == "__main__":
    benchmark("retrieval", measure, _line, __doc__, parts="models,stage,larger_stage,metrics,search,bm25")
