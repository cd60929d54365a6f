"""Retrieval on the command line: build, run, compare, audit, search, train, export; stopped, misused, and refused where runs do not compare."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from command import Said
from command import luthier as command
from luthier.evaluate.retrieval import load_task, save_task
from luthier.records import write_jsonl
from retrieval_tasks import WORDS, small_task, static_folder


def luthier(*words: str, ok: bool = True) -> Said:
    """`luthier evaluate retrieval WORDS`."""
    return command("evaluate", "retrieval", *words, ok=ok)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built task, a static model of its words, and a task with copies."""
    folder = tmp_path_factory.mktemp("retrieval")
    told = luthier("build", "doc2code", "json", "email", "logging", "http", "--train", "0.6", "--out", str(folder / "task")).stdout
    assert "queries (test" in told.splitlines()[0]
    assert any("fewer than 3 lines of code" in line for line in told.splitlines())
    words = sorted({word for text in load_task(folder / "task", "train").query_texts for word in text.lower().split() if word.isalpha()})
    static_folder(folder / "static", [*WORDS, *words], dimensions=48)
    save_task(small_task(documents=50, queries=30, copies=20), folder / "copies")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    out = place / "run"
    words = [
        "run",
        str(place / "task"),
        "--model",
        str(place / "static"),
        "--model",
        "bm25",
        "--fuse",
        "rrf",
        "--out",
        str(out),
        "--cache",
        str(place / "cache"),
        "--quiet",
    ]
    said = luthier(*words).stdout
    assert len(said.splitlines()) == 5
    assert "query without a judgement in the split test" in said
    before = {path.name: path.read_bytes() for path in (out / "results").iterdir()}
    record = json.loads((out / "run.json").read_text())["steps"]
    assert luthier(*words).stdout == said
    assert json.loads((out / "run.json").read_text())["steps"] == record  # kept, not scored again
    next((out / "results").glob("*bm25*.json")).unlink()
    luthier(*words)
    page = (out / "report.html").read_bytes()
    command("report", str(out))
    assert (out / "report.html").read_bytes() == page
    again = {path.name: path.read_bytes() for path in (out / "results").iterdir() if path.suffix == ".safetensors"}
    assert again == {name: data for name, data in before.items() if name.endswith(".safetensors")}
    return out


def test_a_run_tells_all_readings_and_a_page(run: Path, place: Path):
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    rows = [step["results"] for step in record["steps"].values()]
    assert [row["model"] for row in rows] == [str(place / "static"), "bm25:code", "fused:rrf"]
    for row in rows:
        ndcg = row["metrics"]["ndcg@10"]
        assert set(ndcg) == {"trec", "expected", "best", "worst", "merged"}
        assert ndcg["worst"]["mean"] <= ndcg["expected"]["mean"] <= ndcg["best"]["mean"]
        assert ndcg["expected"]["low"] < ndcg["expected"]["mean"] < ndcg["expected"]["high"]
    page = (run / "report.html").read_text()
    assert "bm25:code" in page
    assert "<script" not in page


def test_a_built_task_is_a_run_folder_too(place: Path):
    page = (place / "task" / "report.html").read_bytes()
    command("report", str(place / "task"))
    assert (place / "task" / "report.html").read_bytes() == page
    record = json.loads((place / "task" / "run.json").read_text())
    corpus = (place / "task" / "corpus.jsonl").read_bytes()
    found = record["steps"]["task"]["results"]
    assert found["counts"]["documents"] == corpus.count(b"\n")
    assert len(found["shown"]) == 10
    said = luthier("build", "ccr", "json", "--out", str(place / "task"), ok=False).stderr
    assert "holds a run of other data or settings" in said
    assert (place / "task" / "corpus.jsonl").read_bytes() == corpus


def test_what_changed_is_computed_again_and_nothing_else(place: Path, tmp_path: Path):
    task, out = tmp_path / "task", tmp_path / "run"
    save_task(load_task(place / "copies"), task)
    words = [
        "run",
        str(task),
        "--model",
        str(place / "static"),
        "--model",
        "bm25",
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "c"),
        "--quiet",
    ]
    luthier(*words)
    first = steps(out)
    assert "holds a run of other data or settings" in luthier(*words, "--b", "0.5", ok=False).stderr
    luthier(*words, "--b", "0.5", "--replace")
    second = steps(out)
    (static, bm25), (same, other) = first, second
    assert first[static] == second[same]  # taken over, seconds and all
    assert other == "small / bm25:code(k1=1.5,b=0.5)"
    assert bm25 == "small / bm25:code"
    queries = (task / "queries.jsonl").read_text()
    (task / "queries.jsonl").write_text(queries.replace('"text": "', '"text": "x', 1))
    assert f"{task / 'queries.jsonl'} has changed" in luthier(*words, "--b", "0.5", ok=False).stderr
    luthier(*words, "--b", "0.5", "--replace")
    third = steps(out)
    assert {name: step["key"] for name, step in third.items()}.keys() == second.keys()
    assert all(third[name]["key"] != second[name]["key"] for name in third)


def steps(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())["steps"]


def test_copies_lower_the_ceiling_and_the_page_says_so(place: Path, tmp_path: Path):
    said = luthier("run", str(place / "copies"), "--model", "bm25", "--out", str(tmp_path), "--quiet").stdout
    assert "ceiling" in said
    assert "A perfect retriever would get" in (tmp_path / "report.html").read_text()
    audited = luthier("audit", str(place / "copies")).stdout
    assert "documents are copies of others" in audited
    assert "NDCG@10 of a perfect retriever" in audited
    out = luthier("export", str(place / "copies"), "--merged", "--to", "mteb", "--out", str(tmp_path / "out")).stdout.strip()
    assert load_task(out).fingerprint == load_task(place / "copies").merged().fingerprint
    assert (tmp_path / "out" / "mteb_task.py").is_file()


def test_runs_are_compared_and_unlike_ones_refused(run: Path, place: Path, tmp_path: Path):
    said = luthier("compare", str(run)).stdout
    assert "p = " in said
    told = json.loads(luthier("compare", str(run), "--metric", "recall@10", "--ties", "trec", "--json").stdout)
    assert len(told["table"]) == len(told["pairs"]) == 3
    means = [row["mean"] for row in told["table"]]
    assert means == sorted(means, reverse=True)
    luthier("run", str(place / "task"), "--model", "bm25:word", "--top", "50", "--queries", "20", "--out", str(tmp_path), "--quiet")
    refused = luthier("compare", str(run), str(tmp_path), ok=False)
    assert "these results do not compare, they differ in task:" in refused.stderr
    assert "depth: 100 against 50" in refused.stderr
    allowed = luthier("compare", str(run), str(tmp_path), "--allow", "task", "--allow", "depth")
    assert "These differ in task" in allowed.stderr
    assert "p = " not in allowed.stdout


def test_a_language_model_reranks(place: Path, tiny_model_folder: Path, tmp_path: Path):
    luthier(
        "run",
        str(place / "copies"),
        "--model",
        "bm25",
        "--queries",
        "4",
        "--rerank",
        str(tiny_model_folder),
        "--rerank-top",
        "3",
        "--out",
        str(tmp_path),
        "--quiet",
    )
    from luthier.evaluate.retrieval.results import load_results

    before, after = (result.run for result in load_results(tmp_path))
    assert after.name.endswith(str(tiny_model_folder))
    for first, second, scores in zip(before.documents, after.documents, after.scores, strict=True):
        assert set(first[:3].tolist()) == set(second[:3].tolist())
        assert np.array_equal(first[3:], second[3:])
        kept = scores[second >= 0]
        assert (np.diff(kept) <= 0).all()
        assert len(kept) < 4 or kept[2] > kept[3]


def test_instructions_change_queries_alone(place: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from luthier.evaluate.retrieval import datasets

    monkeypatch.setitem(datasets.SIZES, "codetrans-dl", datasets.Size(30, 50))
    save_task(load_task(place / "copies"), tmp_path / "codetrans-dl")
    words = [
        "run",
        "coir:codetrans-dl",
        "--source",
        str(tmp_path),
        "--model",
        str(tiny_model_folder),
        "--cache",
        str(tmp_path / "cache"),
        "--quiet",
    ]
    luthier(*words, "--out", str(tmp_path / "plain"))
    luthier(*words, "--instruct", "--out", str(tmp_path / "told"))
    kinds = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "cache").iterdir())
    assert kinds == ["document", "query", "query"]  # documents were not encoded again
    scores = [json.loads((tmp_path / name / "run.json").read_text())["steps"] for name in ("plain", "told")]
    assert next(iter(scores[0].values()))["results"]["metrics"] != next(iter(scores[1].values()))["results"]["metrics"]


def test_search_finds_with_places(place: Path):
    rows = json.loads(luthier("search", str(place / "task"), "dump an object as JSON", "--model", "bm25", "--top", "3", "--json").stdout)
    assert len(rows) == 3
    assert any("json" in row["text"].lower() for row in rows)
    assert ".py:" in rows[0]["place"]


def test_training_teaches_and_says_by_how_much(place: Path, tmp_path: Path):
    draw = Random(0)  # a language of 40 words and its translation
    chosen = [draw.sample(range(40), 4) for _ in range(500)]
    write_jsonl(
        tmp_path / "rows.jsonl",
        [{"query": " ".join(f"w{n}" for n in each), "document": " ".join(f"v{n}" for n in each)} for each in chosen],
    )
    luthier("build", "pairs", str(tmp_path / "rows.jsonl"), "--train", "0.7", "--near", "keep", "--out", str(tmp_path / "task"))
    base = static_folder(tmp_path / "base", [f"{letter}{n}" for letter in "wv" for n in range(40)], dimensions=32)
    words = [
        "train",
        str(tmp_path / "task"),
        "--base",
        str(base),
        "--epochs",
        "8",
        "--batch-size",
        "64",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
    ]
    said = luthier(*words).stdout
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (test,) = record["steps"]["measure"]["results"]["tests"]
    assert test["before"]["mean"] < 0.2
    assert test["after"]["mean"] > 0.45
    assert test["change"]["p"] < 0.01
    assert f"{100 * test['before']['mean']:.2f} -> {100 * test['after']['mean']:.2f}" in said
    assert luthier(*words).stdout == said  # kept, not trained again
    page = (tmp_path / "run" / "report.html").read_bytes()
    command("report", str(tmp_path / "run"))
    assert (tmp_path / "run" / "report.html").read_bytes() == page
    record["status"], record["steps"] = "stopped", {"train": {"key": record["steps"]["train"]["key"], "files": ["model", "metrics.jsonl"]}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    (tmp_path / "run" / "model" / "checkpoints" / "checkpoint-3").mkdir(parents=True)  # as a kill leaves one that was being written
    assert luthier(*words).stdout.splitlines()[1:] == said.splitlines()[1:]
    scored = luthier(
        "run",
        str(tmp_path / "task"),
        "--model",
        str(tmp_path / "run" / "model"),
        "--out",
        str(tmp_path / "scored"),
        "--cache",
        str(place / "cache"),
        "--quiet",
    ).stdout
    assert abs(float(scored.split("NDCG@10 ")[1].split()[0]) - 100 * test["after"]["mean"]) < 0.5  # vectors are kept in half precision


def test_pairs_that_repeat_a_test_are_not_trained_on(place: Path):
    from luthier.errors import SettingsError
    from luthier.recipes.retriever import disjoint_pairs

    training, test = load_task(place / "task", "train"), load_task(place / "task")
    kept, left_out, _ = disjoint_pairs(training, [test])
    assert left_out == 0
    assert len(kept) > 50
    with pytest.raises(SettingsError, match="no training pair is left"):
        disjoint_pairs(training, [training])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere"], "nowhere: no such folder"),
        (["run", "coir:nothing", "--model", "bm25"], "unknown CoIR data set 'nothing'"),
        (["run", "{task}", "--model", "no-such-model"], "no-such-model: no such model; known: minilm, static"),
        (["run", "{task}", "--model", "bm25:morse"], "unknown tokenizer 'morse'"),
        (["run", "{task}", "--model", "bm25", "--fuse", "rrf"], "fusion needs two models"),
        (["run", "{task}", "--instruct"], "only CoIR's data sets have instructions"),
        (["run", "{task}", "--model", "vectors:{empty}"], "queries.npy: No such file"),
        (["run", "{task}", "--split", "validation", "--model", "bm25"], "no judgements of the split 'validation'"),
        (["audit", "{empty}"], "no corpus"),
        (["audit", "{task}", "--against", "{bad}"], "bad.jsonl:1: not JSON"),
        (["compare", "{empty}"], "no results of"),
        (["compare", "{broken}"], "not a result of a retrieval run"),
        (["search", "{task}", " ", "--model", "bm25"], "the query is empty"),
        (["train", "{copies}"], "no judgements of the split 'train'"),
        (["train", "{task}", "--base", "bm25"], "bm25 cannot be trained"),
        (["build", "doc2code", "{empty}", "--out", "{empty}/out"], "no Python files there"),
        (["build", "pairs", "{bad}", "--columns", "a", "--out", "{empty}/out"], "two names with a comma"),
        (["export", "{task}", "--to", "csv", "--out", "{empty}/out"], "csv"),
        (["export", "{task}", "--out", "{task}"], "is read and would be written over"),
        (["run", "{task}", "--b", "nan"], "--b is nan; give a number from 0 to 1"),
        (["run", "{task}", "--weight", "0", "--model", "bm25"], "every --weight is 0"),
        (["run", "{task}", "{task}", "--model", "bm25"], "named twice"),
        (["run", "{task}", "--model", "bm25", "--model", "bm25:code"], "two results would be called"),
        (["build", "doc2code", "json", "--train", "1", "--out", "{empty}/out"], "--train is 1.0; give a number from 0 below 1"),
        (["build", "poem", "json", "--out", "{empty}/out"], "poem"),
        (["train", "{task}", "--epochs", "inf"], "--epochs is inf"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(place: Path, tmp_path: Path, words: list[str], message: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text("{no\n")
    write_jsonl(tmp_path / "broken.jsonl", [{"model": "x"}])
    (tmp_path / "broken.jsonl").rename(tmp_path / "broken.json")
    places = {
        "task": place / "task",
        "copies": place / "copies",
        "empty": tmp_path / "empty",
        "bad": tmp_path / "bad.jsonl",
        "broken": tmp_path / "broken.json",
    }
    filled = [word.format(**places) for word in words]
    extra = ["--out", str(tmp_path / "run"), "--quiet"] if words[0] in ("run", "train") else []
    done = luthier(*filled, *extra, ok=False)
    assert done.code == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
