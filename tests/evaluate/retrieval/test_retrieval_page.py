"""The page of retrieval runs: models in order, ceilings told, names escaped, nothing loaded."""

from __future__ import annotations

from pathlib import Path

from luthier.evaluate.retrieval import page
from luthier.evaluate.retrieval.build import page as build_page
from luthier.recipes import retriever_page
from run_folders import drawn, run_folder


def row(model: str, mean: float, task: str = "<task>") -> dict:
    score = {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}
    readings = dict.fromkeys(("trec", "expected", "best", "worst", "merged"), score)
    return {
        "model": model,
        "metrics": {"ndcg@10": readings, "recall@10": readings},
        "ceiling": {ties: {"ndcg@10": 0.8} for ties in readings},
        "costs": {"encode_cpu_seconds": 1.25, "truncation": {"documents": {"cut": 0.25}}},
        "distinct_documents": 900,
        "distinct_queries": 10,
        "settings": {"name": task, "queries": 10, "documents": 1200, "split": "test", "reading": "text", "max_length": 256},
    }


def shown(tmp_path: Path, rows: list[dict], means: list[dict]) -> str:
    run = run_folder(tmp_path, "evaluate retrieval run", {f"step {at}": one for at, one in enumerate(rows)}, means=means)
    return drawn(run, page.draw)


def test_models_stand_in_order_with_ceiling_and_costs(tmp_path: Path):
    text = shown(tmp_path, [row("weak & small", 0.2), row("<strong>", 0.6)], [])
    assert text.index("&lt;strong&gt;") < text.index("weak &amp; small")
    assert "1,200 documents (900 distinct)" in text
    assert "would get 80.0 in expectation" in text
    assert "25&#8239;% at 256 tokens" in text
    assert "<task>" not in text
    assert "<script" not in text
    assert "://" not in text


def test_several_tasks_have_a_mean(tmp_path: Path):
    rows = [row("m", 0.2, "one"), row("m", 0.4, "two")]
    text = shown(tmp_path, rows, [{"model": "m", "tasks": 2, "mean": 0.3, "coir": None}])
    assert "2 retrieval tasks" in text
    assert "30.00" in text


def test_a_run_that_has_not_begun_to_score_has_a_page(tmp_path: Path):
    text = shown(tmp_path, [], [])
    assert "The record" in text
    assert "NDCG" not in text


def test_a_built_task_shows_what_was_left_out_and_some_pairs(tmp_path: Path):
    counts = {
        "pairs": 1200,
        "documents": 1100,
        "queries": 1000,
        "copies_merged": 7,
        "queries_merged": 3,
        "near_copies": 5,
        "near": "mark",
        "splits": {"test": 400, "train": 600},
    }
    pair = {"query": "sum <b> up", "document": "def f(): pass", "source": {"file": "a.py", "line": 3}}
    found = {"name": "mine", "counts": counts, "dropped": {"dunder": 11}, "shown": [pair]}
    settings = {"recipe": "doc2code", "sources": ["<here>"]}
    text = drawn(run_folder(tmp_path, "evaluate retrieval build", {"task": found}, settings), build_page.draw)
    for part in ("1,000", "&lt;here&gt;", "left out: dunder", ">11<", "sum &lt;b&gt; up", "a.py:3", "answers too"):
        assert part in text


def test_a_trained_retriever_shows_its_change_and_its_curve(tmp_path: Path):
    score = {"mean": 0.2, "low": 0.1, "high": 0.3}
    test = {
        "task": "<t>",
        "before": score,
        "after": {**score, "mean": 0.25},
        "change": {"mean": 0.05, "low": 0.01, "high": 0.09, "p": 0.01},
    }
    trained = {"pairs": 90, "left_out": 4, "steps": 8, "cpu_seconds": 2.0, "base": "static", "accounts": {}}
    losses = [{"step": at, "loss": 2.0 - at / 10} for at in range(5)]
    run = run_folder(
        tmp_path, "evaluate retrieval train", {"train": trained, "measure": {"tests": [test]}}, {"task": "x/y"}, {"metrics.jsonl": losses}
    )
    text = drawn(run, retriever_page.draw)
    assert "20.0 → 25.0" in text
    assert "+5.00 (+1.00 to +9.00, p = 0.0100)" in text
    assert "&lt;t&gt;" in text
    assert 'id="loss"' in text
