"""The page of retrieval runs: models in order, ceilings told, names escaped, nothing loaded."""

from __future__ import annotations

from pathlib import Path

from luthier.report.retrieval_page import write_retrieval_page


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


def test_models_stand_in_order_with_ceiling_and_costs(tmp_path: Path):
    write_retrieval_page([row("weak & small", 0.2), row("<strong>", 0.6)], [], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.index("&lt;strong&gt;") < text.index("weak &amp; small")
    assert "1,200 documents (900 distinct)" in text
    assert "would get 80.0 in expectation" in text
    assert "25&#8239;% at 256 tokens" in text
    assert "<task>" not in text
    assert "<script" not in text
    assert "://" not in text


def test_several_tasks_have_a_mean(tmp_path: Path):
    rows = [row("m", 0.2, "one"), row("m", 0.4, "two")]
    write_retrieval_page(rows, [{"model": "m", "tasks": 2, "mean": 0.3, "coir": None}], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "2 retrieval tasks" in text
    assert "30.00" in text
