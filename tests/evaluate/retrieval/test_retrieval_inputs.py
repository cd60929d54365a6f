"""Tasks as people have them: other layouts, names of columns, ids and grades of other types, judgements of what is not there, queries that
are documents. Each is understood, counted, or refused by file, line and name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import luthier
from luthier.errors import BadRowError, LuthierError, MissingFileError, SettingsError
from luthier.evaluate.retrieval import BM25, Qrels, Task, evaluate_run, load_task, retrieve, save_task, score
from luthier.evaluate.retrieval.audit import audit
from luthier.evaluate.retrieval.scoring import ceiling
from luthier.evaluate.retrieval.task import Texts
from luthier.records import write_jsonl, write_parquet
from retrieval_tasks import HashEmbedder, small_task

CORPUS = [{"_id": f"d{at}", "title": "", "text": f"text {word}"} for at, word in enumerate(("sort", "read", "hash"))]
QUERIES = [{"_id": "q0", "text": "sort"}, {"_id": "q1", "text": "hash"}]
JUDGED = [("q0", "d0", 2), ("q0", "d1", 0), ("q1", "d2", 1)]
GRADED = [(0, 0, 2), (0, 1, 0), (1, 2, 1)]


def written(folder: Path, qrels: str | None = None, name: str = "qrels/test.tsv", corpus: Any = None, queries: Any = None) -> Path:
    """A task of three documents; parts of it in other words."""
    write_jsonl(folder / "corpus.jsonl", corpus or CORPUS)
    write_jsonl(folder / "queries.jsonl", queries or QUERIES)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    usual = "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{g}\n" for q, d, g in JUDGED)
    (folder / name).write_text(usual if qrels is None else qrels)
    return folder


def table(folder: Path, place: str, rows: list[dict[str, Any]]) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    if place.endswith(".parquet"):
        write_parquet(folder / place, rows)
    else:
        write_jsonl(folder / place, rows)


# --- layouts -----------------------------------------------------------------------------------------------------------------------

PART = "-00000-of-00001.parquet"
JUDGEMENTS = [{"query-id": q, "corpus-id": d, "score": g} for q, d, g in JUDGED]


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels"),
    [
        (f"corpus/test{PART}", f"queries/test{PART}", f"qrels/test{PART}"),  # as mteb 2 pushes it
        (f"corpus/corpus{PART}", f"queries/queries{PART}", f"default/test{PART}"),
        (f"corpus/train{PART}", f"queries/train{PART}", f"default/test{PART}"),  # as `datasets` names what has no split
        (f"en-corpus/test{PART}", f"en-queries/test{PART}", f"en-qrels/test{PART}"),
        ("test/corpus.jsonl", "test/queries.jsonl", "test/qrels.jsonl"),
        ("data/corpus.jsonl", "data/queries.test.jsonl", "data/qrels.test.jsonl"),
        (f"corpus/data/test{PART}", f"queries/data/test{PART}", f"qrels/data/test{PART}"),
        ("documents.jsonl", "topics.jsonl", "qrels.jsonl"),
        ("corpus.jsonl", "queries.jsonl", "test.jsonl"),
    ],
)
def test_hub_layouts_are_one_task(corpus: str, queries: str, qrels: str, tmp_path: Path):
    for place, rows in ((corpus, CORPUS), (queries, QUERIES), (qrels, JUDGEMENTS)):
        table(tmp_path, place, rows)
    task = load_task(tmp_path)
    assert task.fingerprint == load_task(written(tmp_path / "usual")).fingerprint
    assert task.account == {}


def test_hub_layout_with_texts_of_each_split(tmp_path: Path):
    for split, mark in (("dev", "x"), ("test", "")):
        table(tmp_path, f"corpus/{split}{PART}", [{**row, "text": row["text"] + mark} for row in CORPUS])
        table(tmp_path, f"queries/{split}{PART}", QUERIES)
        table(tmp_path, f"qrels/{split}{PART}", JUDGEMENTS)
        table(tmp_path, f"top_ranked/{split}{PART}", [{"query-id": "q0", "corpus-ids": "d0"}])
    assert load_task(tmp_path).document_texts == [row["text"] for row in CORPUS]
    assert load_task(tmp_path, "validation").document_texts[0] == "text sortx"
    assert load_task(tmp_path).account == {"a table in top_ranked/, which is none of a task": 2}
    with pytest.raises(MissingFileError, match=r"no corpus of the split 'train'; there are dev, test"):
        load_task(tmp_path, "train")


def test_hub_layout_of_several_subsets_is_not_mixed(tmp_path: Path):
    for language in ("de", "en"):
        table(tmp_path, f"{language}-corpus/test{PART}", [{**row, "_id": row["_id"]} for row in CORPUS])
        table(tmp_path, f"{language}-queries/test{PART}", [{**row, "text": language} for row in QUERIES])
        table(tmp_path, f"{language}-qrels/test{PART}", JUDGEMENTS)
    with pytest.raises(MissingFileError, match="holds the subsets de, en; name one with --subset"):
        load_task(tmp_path)
    assert load_task(tmp_path, subset="de").query_texts == ["de", "de"]
    with pytest.raises(MissingFileError, match="no subset 'fr'"):
        load_task(tmp_path, subset="fr")


def test_hub_layout_of_collections_without_headers(tmp_path: Path):
    (tmp_path / "collection.tsv").write_text("".join(f"{row['_id']}\t{row['text']}\n" for row in CORPUS))
    (tmp_path / "queries.dev.tsv").write_text("".join(f"{row['_id']}\t{row['text']}\n" for row in QUERIES))
    (tmp_path / "qrels.dev.tsv").write_text("".join(f"{q}\t0\t{d}\t{g}\n" for q, d, g in JUDGED))
    task = load_task(tmp_path, "dev")
    assert task.document_texts == [row["text"] for row in CORPUS]
    assert task.qrels.triples() == GRADED


def test_hub_layout_of_whole_tables_in_one_object(tmp_path: Path):
    (tmp_path / "corpus.json").write_text(json.dumps({row["_id"]: {"title": "", "text": row["text"]} for row in CORPUS}))
    (tmp_path / "queries.json").write_text(json.dumps({row["_id"]: row["text"] for row in QUERIES}))
    (tmp_path / "qrels.json").write_text(json.dumps({"q0": {"d0": 2, "d1": 0}, "q1": {"d2": 1}}))
    assert load_task(tmp_path).fingerprint == load_task(written(tmp_path / "usual")).fingerprint


def test_what_lies_beside_the_tables_is_none_of_them(tmp_path: Path):
    """Runs kept within the task's folder, notes, and folders whose names could be tables where there are others."""
    folder = written(tmp_path)
    usual = load_task(folder).fingerprint
    write_jsonl(folder / "runs" / "one" / "results" / "my-corpus--bm25.jsonl", [{"model": "x"}])
    (folder / "runs" / "one" / "run.json").write_text("{}")
    (folder / "docs").mkdir()
    write_jsonl(folder / "docs" / "meta.jsonl", [{"about": "this"}])
    (folder / "questions.txt").write_text("what is it\n")
    (folder / "my-test-notes.json").write_text("{}")
    assert load_task(folder).fingerprint == usual
    assert load_task(folder).account == {}


# --- columns, ids, grades ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["score", "grade", "relevance", "rel", "label", "gain", "Judgement", "judgment", "RATING"])
@pytest.mark.parametrize("ids", [("query-id", "corpus-id"), ("qid", "docid"), ("query_id", "doc_id"), ("Query-ID", "docno")])
def test_grade_columns_under_the_names_in_use(name: str, ids: tuple[str, str], tmp_path: Path):
    rows = "".join(f"{q}\t{d}\t{g}\n" for q, d, g in JUDGED)
    task = load_task(written(tmp_path, f"{ids[0]}\t{ids[1]}\t{name}\n{rows}"))
    assert task.qrels.triples() == GRADED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\t2.0\nq0\td1\t0.0\nq1\td2\t1.0\n"),
        ("qrels/test.tsv", "q0\td0\t2\nq0\td1\t0\nq1\td2\t1\n"),
        ("qrels/test.csv", '"query-id","corpus-id","score"\n"q0","d0",2\n"q0","d1",0\n"q1","d2",1\n'),
        ("qrels/test.csv", "query-id;corpus-id;score\nq0;d0;2\nq0;d1;0\nq1;d2;1\n"),
        ("qrels/test.txt", "q0 0 d0 2\nq0 Q0 d1 0\nq1 0 d2 1\n"),
        ("2019qrels-pass.txt", "q0 Q0 d0 2\nq0 Q0 d1 0\nq1 Q0 d2 1\n"),
        ("qrels.txt", "q0\t0\td0\t2\r\nq0\t0\td1\t0\r\nq1\t0\td2\t1\r\n"),
        ("qrels/test.jsonl", "".join(json.dumps({"query_id": q, "doc_id": d, "relevance": float(g)}) + "\n" for q, d, g in JUDGED)),
    ],
)
def test_grades_of_any_form_are_whole_numbers(name: str, text: str, tmp_path: Path):
    assert load_task(written(tmp_path, text, name)).qrels.triples() == GRADED


def test_grades_may_be_yes_and_no_or_absent(tmp_path: Path):
    text = "query-id\tcorpus-id\tlabel\nq0\td0\tTrue\nq0\td1\tFalse\nq1\td2\ttrue\n"
    assert load_task(written(tmp_path / "a", text)).qrels.gains.tolist() == [1, 0, 1]
    assert load_task(written(tmp_path / "b", "query-id\tcorpus-id\nq0\td0\nq1\td2\n")).qrels.gains.tolist() == [1, 1]
    assert load_task(written(tmp_path / "c", "q0\td0\nq1\td2\n")).qrels.gains.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query-id\tcorpus-id\tstars\nq0\td0\t2\n", r"test\.tsv:2: no column of grades \(columns: query-id, corpus-id, stars\)"),
        ("query-id\tcorpus-id\trelevance\nq0\td0\t1.5\n", r"test\.tsv:2: the relevance is '1.5'; a whole number"),
        ("query-id\tcorpus-id\tscore\nq0\td0\t\n", r"test\.tsv:2: the score is ''; a whole number"),
        ("query-id\tcorpus-id\tscore\nq0\td0\tnan\n", r"test\.tsv:2: the score is 'nan'"),
        ("query-id\tcorpus-id\tscore\tlabel\nq0\td0\t1\t2\n", r"test\.tsv:2: the columns score, label give different grades"),
        ("query-id\titem\tscore\nq0\td0\t1\n", r"test\.tsv:2: the field `corpus-id` is missing \(columns: query-id, item, score\)"),
        ("topic_name\tthing\tvalue\nq0\td0\t1\n", r"test\.tsv:1: the score is 'value'"),
        ("query-id\tcorpus-id\tcorpus_id\nq0\td0\t1\n", r"test\.tsv:1: two columns have the same name"),
        ("a\tb\tc\td\te\nq0\td0\t1\t1\t1\n", r"test\.tsv:1: no column of ids is named"),
    ],
)
def test_grade_columns_that_are_not_clear_are_refused(text: str, told: str, tmp_path: Path):
    with pytest.raises(BadRowError, match=told):
        load_task(written(tmp_path, text))


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels"),
    [
        ([0, 1, 2], [7, 8], "7\t0\t2\n7\t1\t0\n8\t2\t1\n"),
        ([0, 1, 2], [7, 8], "7.0\t0.0\t2\n7.0\t1.0\t0\n8.0\t2.0\t1\n"),
        ([0.0, 1.0, 2.0], ["7", "8"], "7\t0\t2\n7\t1\t0\n8\t2\t1\n"),
        (["0.0", "1.0", "2.0"], [7.0, 8.0], "7\t0\t2\n7\t1\t0\n8\t2\t1\n"),
        (["0", "1", "2"], ["7", "8"], " 7\t0 \t2\n7\t1\t0\n8\t2\t1\n"),
    ],
)
def test_ids_that_are_numbers_meet(corpus: list[Any], queries: list[Any], qrels: str, tmp_path: Path):
    documents = [{**row, "_id": name} for row, name in zip(CORPUS, corpus, strict=True)]
    asked = [{**row, "_id": name} for row, name in zip(QUERIES, queries, strict=True)]
    task = load_task(written(tmp_path, f"query-id\tcorpus-id\tscore\n{qrels}", corpus=documents, queries=asked))
    assert task.qrels.triples() == GRADED


@pytest.mark.parametrize("value", [None, True, 1.5, ["d0"], ""])
def test_ids_that_are_none_are_refused(value: Any, tmp_path: Path):
    with pytest.raises(BadRowError, match=r"corpus\.jsonl:1: the field `_id` is .*; an id is a text or a whole number"):
        load_task(written(tmp_path, corpus=[{"_id": value, "text": "x"}, *CORPUS]))


def test_columns_of_numbers_with_gaps_as_pandas_writes_them(tmp_path: Path):
    written(tmp_path)
    pd.DataFrame({"query-id": ["q0", "q1"], "corpus-id": ["d0", "d2"], "score": [2.0, 1.0], "comment": ["a\tb", None]}).to_csv(
        tmp_path / "qrels" / "test.tsv", sep="\t", index=False
    )
    task = load_task(tmp_path)
    assert task.qrels.triples() == [(0, 0, 2), (1, 2, 1)]
    assert task.account == {"qrels: the column `comment` is not read": 1}


def test_rows_of_other_splits_within_a_table_are_counted(tmp_path: Path):
    task = load_task(written(tmp_path, "query-id\tcorpus-id\tscore\tsplit\nq0\td0\t2\ttest\nq0\td1\t1\ttrain\nq1\td2\t1\ttest\n"))
    assert task.qrels.triples() == [(0, 0, 2), (1, 2, 1)]
    assert task.account == {"judgement of the split train": 1}


def test_pairs_that_are_judged_twice_are_counted(tmp_path: Path):
    task = load_task(written(tmp_path, "query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td0\t2\nq1\td2\t1\nq1\td2\t1\n"))
    assert task.qrels.triples() == [(0, 0, 2), (1, 2, 1)]
    assert task.account == {
        "judgement of a pair that is judged twice, with another grade: the greatest counts": 1,
        "judgement of a pair that is judged twice": 1,
    }


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["corpus", "queries", "qrels"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
    st.one_of(st.text(min_size=1, max_size=9), st.integers(), st.lists(st.integers(), min_size=1, max_size=2), st.booleans()),
)
def test_a_field_added_anywhere_is_read_counted_or_refused(tmp_path_factory: pytest.TempPathFactory, kind: str, name: str, value: Any):
    folder = tmp_path_factory.mktemp("task")
    rows = {"corpus": CORPUS, "queries": QUERIES, "qrels": JUDGEMENTS}
    rows[kind] = [{name: value, **rows[kind][0]}, *rows[kind][1:]]
    for place, each in rows.items():
        table(folder, "qrels/test.jsonl" if place == "qrels" else f"{place}.jsonl", each)
    try:
        task = load_task(folder)
    except LuthierError as problem:
        assert ".jsonl:1: " in str(problem)
        return
    usual = load_task(written(tmp_path_factory.mktemp("usual")))
    known = name in rows[kind][1] or name.strip().lower() in ("iteration", "iter", "q0")
    assert known or any(f"`{name}`" in reason for reason in task.account) or task.fingerprint != usual.fingerprint


# --- what is not there ---------------------------------------------------------------------------------------------------------------


def test_judgements_of_what_is_not_there_are_refused_or_counted(tmp_path: Path):
    text = "query-id\tcorpus-id\tscore\nq0\td0\t2\nq0\td9\t1\nq9\td0\t1\nq1\td2\t1\n"
    folder = written(tmp_path / "task", text)
    with pytest.raises(BadRowError, match=r"test\.tsv:3: the document 'd9' is judged but is not in the corpus; --dangling leave-out"):
        load_task(folder)
    task = load_task(folder, dangling="leave-out")
    assert task.qrels.triples() == [(0, 0, 2), (1, 2, 1)]
    assert task.account == {"judgement of a document that is not in the corpus": 1, "judgement of a query that is not among the queries": 1}
    out = tmp_path / "run"
    words = ("evaluate", "retrieval", "run", folder, "--model", "bm25", "--out", out, "--quiet")
    assert "is judged but is not" in luthier(*words, ok=False).stderr
    assert "left out: 1  judgement of a document that is not in the corpus" in luthier(*words, "--dangling", "leave-out").stdout
    record = json.loads((out / "run.json").read_text())
    assert next(iter(record["steps"].values()))["results"]["account"] == task.account
    assert "judgement of a query that is not among the queries" in (out / "report.html").read_text()


def test_all_judgements_of_what_is_not_there_leave_no_task(tmp_path: Path):
    with pytest.raises(SettingsError, match="no query of the split 'test' has a judgement"):
        load_task(written(tmp_path, "query-id\tcorpus-id\tscore\nq0\td9\t2\n"), dangling="leave-out")


# --- queries that are documents ------------------------------------------------------------------------------------------------------


def own_task(folder: Path) -> Path:
    documents = [("x1", "sort a list"), ("y1", "sort a list quickly"), ("z", "read file")]
    write_jsonl(folder / "corpus.jsonl", [{"_id": name, "text": text} for name, text in documents])
    write_jsonl(folder / "queries.jsonl", [{"_id": "x1", "text": "sort a list"}])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nx1\ty1\t1\n")
    return folder


def test_queries_that_are_documents_may_be_kept_from_finding_themselves(tmp_path: Path):
    folder = own_task(tmp_path)
    words = ("evaluate", "retrieval", "run", folder, "--model", "bm25")
    found = luthier(*words, "--out", tmp_path / "found")
    assert "NDCG@10 63.09" in found.stdout
    assert "1 of 1 queries are documents of the corpus and find themselves; --without-own leaves them out" in found.stderr
    apart = luthier(*words, "--out", tmp_path / "apart", "--without-own")
    assert "NDCG@10 100.00" in apart.stdout
    assert "--without-own" not in apart.stderr
    assert "they differ in task" in luthier("evaluate", "retrieval", "compare", tmp_path / "found", tmp_path / "apart", ok=False).stderr
    assert "1 queries are documents of the corpus" in luthier("evaluate", "retrieval", "audit", folder).stdout
    assert "are documents of the corpus" not in luthier("evaluate", "retrieval", "audit", folder, "--without-own").stdout
    luthier("evaluate", "retrieval", "export", folder, "--without-own", "--to", "mteb", "--out", tmp_path / "mteb")
    assert "ignore_identical_ids = True" in (tmp_path / "mteb" / "mteb_task.py").read_text()


@pytest.mark.parametrize("retriever", [BM25("word"), HashEmbedder()])
@pytest.mark.parametrize("copies", [0, 15])
def test_leaving_own_documents_out_equals_taking_them_from_the_ranking(retriever: Any, copies: int):
    """The oracle: the full ranking as dictionaries, each query's own document popped, scored as trec_eval does."""
    task = small_task(documents=40, queries=20, copies=copies)
    same = replace(task, queries=replace(task.queries, ids=[task.documents.ids[at * 2] for at in range(20)]))
    apart = replace(same, without_own=True)
    everything = retrieve(same, retriever, 40).run
    ids, members = same.documents.ids, [np.flatnonzero(same.copies == number).tolist() for number in range(int(same.copies.max()) + 1)]
    run, qrels = {}, {}
    for row, query in enumerate(same.queries.ids):
        scores = {
            ids[document]: float(value)
            for number, value in zip(everything.documents[row].tolist(), everything.scores[row].tolist(), strict=True)
            if number >= 0
            for document in members[number]
        }
        scores.pop(query, None)
        run[query] = scores
        qrels[query] = {ids[document]: gain for document, gain in same.qrels.of(row).items()}
    for ties in ("trec", "expected", "best", "worst"):
        ours = score(apart, retrieve(apart, retriever, 40).run, ("ndcg@10", "recall@10")).by_reading[ties]
        assert ours.values == pytest.approx(evaluate_run(run, qrels, ("ndcg@10", "recall@10"), ties).values, abs=1e-9)


def test_an_own_document_that_is_the_answer_cannot_be_found():
    texts = Texts(["a", "b"], ["one thing", "another thing"])
    task = Task("own", texts, Texts(["a"], ["one thing"]), Qrels.from_triples(1, [(0, 0, 1)]), without_own=True)
    assert ceiling(task)["expected"]["ndcg@10"] == 0
    assert ceiling(replace(task, without_own=False))["expected"]["ndcg@10"] == 1
    assert audit(replace(task, without_own=False)).own == 1


# --- long and quoted cells -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "separator"), [("corpus.tsv", "\t"), ("corpus.csv", ",")])
@pytest.mark.parametrize("text", ["x " * 70_000 + "sort", 'a "quoted"\tsort, and\nlines', '"sort"', "sort\r\nmore", 'say ""sort""'])
def test_documents_in_tables_are_whole_whatever_they_hold(name: str, separator: str, text: str, tmp_path: Path):
    written(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    rows = [{**CORPUS[0], "text": text}, *CORPUS[1:]]
    pd.DataFrame(rows).to_csv(tmp_path / name, sep=separator, index=False)
    task = load_task(tmp_path)
    assert task.documents.texts[0] == text
    assert task.qrels.triples() == GRADED


def test_tables_of_tabs_without_quotes_keep_them(tmp_path: Path):
    written(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    texts = ['he said "sort" twice', '"whole"', "'single' x"]
    (tmp_path / "corpus.tsv").write_text("_id\ttext\n" + "".join(f"d{at}\t{text}\n" for at, text in enumerate(texts)))
    assert list(load_task(tmp_path).documents.texts) == texts
    save_task(load_task(tmp_path), tmp_path / "again")
    assert list(load_task(tmp_path / "again").documents.texts) == texts


# --- runs and judgements as dictionaries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "qrels", "told"),
    [
        ({"q": {"d": 0.5}}, {"q": {"d": 0.5}}, "query 'q', document 'd': the grade is 0.5; a whole number is expected"),
        ({"q": {"a": 0.5, "b": 0.4}}, {"q": {"a": 1, "b": 1.9}}, "document 'b': the grade is 1.9"),
        ({"q": {"d": 0.5}}, {"q": {"d": float("nan")}}, "the grade is nan"),
        ({"q": {"d": 0.5}}, {"q": {"d": "1"}}, "the grade is '1'"),
        ({"q": {"d": 0.5}}, {"q": {"d": None}}, "the grade is None"),
        ({"q": {"d": 0.5}}, {"q": {"d": 2**40}}, "the grade is 1099511627776"),
        ({"1": {"d": 0.5}}, {1: {"d": 1}}, "the query id 1 is no text"),
        ({1: {"d": 0.5}}, {"1": {"d": 1}}, "the query id 1 is no text"),
        ({"q": {1: 0.5, 2: 0.4}}, {"q": {2: 1}}, "query 'q': the document id 2 is no text"),
        ({"q": {"1": 0.5, 2: 0.4}}, {"q": {"2": 1}}, "query 'q': the document id 2 is no text"),
        ({"q": {"d": "high"}}, {"q": {"d": 1}}, "the score 'high' is no number"),
        ({"q": {"d": None}}, {"q": {"d": 1}}, "the score None is no number"),
        ({"q": ["d"]}, {"q": {"d": 1}}, "a dictionary of document ids is expected, not list"),
        ({"Q": {"d": 0.5}}, {"q": {"d": 1}}, "none of the judged queries"),
    ],
)
def test_run_dictionaries_that_pytrec_eval_refuses_are_refused(run: Any, qrels: Any, told: str):
    with pytest.raises(SettingsError, match=told):
        evaluate_run(run, qrels)


def test_run_dictionaries_take_whole_numbers_of_any_type():
    usual = evaluate_run({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1, "b": 2}}).values
    for kind in (float, np.int64, np.float32):
        qrels = {"q": {"a": kind(1), "b": kind(2)}}
        assert evaluate_run({"q": {"a": kind(2), "b": kind(1)}}, qrels).values == pytest.approx(usual)
    assert evaluate_run({"q": {"a": 1}}, {"q": {"a": True}}).means["ndcg@10"] == 1
