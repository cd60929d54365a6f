"""Tasks on disk: both layouts of the hub, every format, odd texts, and rows that are refused by file and line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, LuthierError, MissingFileError, SettingsError
from luthier.evaluate.retrieval import Qrels, Task, load_task, save_task
from luthier.evaluate.retrieval import datasets as coir
from luthier.evaluate.retrieval.task import Texts
from luthier.records import write_jsonl, write_parquet
from retrieval_tasks import small_task


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=6))
def test_what_is_saved_loads_equal(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("task")
    task = Task(
        "any",
        Texts([f"d{at}" for at in range(len(texts))], texts, texts[::-1]),
        Texts(["q"], [texts[0]]),
        Qrels.from_triples(1, [(0, at, at - 1) for at in range(len(texts))]),
    )
    again = load_task(save_task(task, folder))
    assert again.fingerprint == task.fingerprint
    assert list(again.documents.texts) == texts
    assert again.qrels.triples() == task.qrels.triples()
    assert load_task(folder, reading="title+text").fingerprint != task.fingerprint or not any(texts)


def test_odd_texts_survive(tmp_path: Path):
    odd = ["a\u2028b", "tab\tand \"quotes\" 'both'", "", "x" * 10**6, "line\nbreak\r\n", "\x00"]
    task = Task(
        "odd", Texts([f"d{at}" for at in range(6)], odd), Texts(["q1", "q2"], odd[:2]), Qrels.from_triples(2, [(0, 3, 1), (1, 5, 2)])
    )
    assert list(load_task(save_task(task, tmp_path)).documents.texts) == odd


def test_both_hub_layouts_and_all_formats_are_one_task(tmp_path: Path):
    task = small_task()
    corpus = [{"_id": row, "title": "", "text": text} for row, text in zip(task.documents.ids, task.documents.texts, strict=True)]
    queries = [{"_id": row, "text": text} for row, text in zip(task.queries.ids, task.queries.texts, strict=True)]
    judged = [(task.queries.ids[q], task.documents.ids[d], gain) for q, d, gain in task.qrels.triples()]
    b = tmp_path / "b"
    write_parquet(b / "corpus" / "corpus-00000-of-00001.parquet", corpus)
    write_parquet(b / "queries" / "queries-00000-of-00001.parquet", [*queries, {"_id": "unjudged", "text": "nobody answers"}])
    write_parquet(b / "default" / "test-00000-of-00001.parquet", [{"query-id": q, "corpus-id": d, "score": g} for q, d, g in judged])
    tsv = tmp_path / "tsv"
    (tsv / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        (tsv / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    (tsv / "qrels" / "test.tsv").write_text("".join(f"{q}\t0\t{d}\t{g}\n" for q, d, g in judged))  # trec_eval's columns, no header
    plain = tmp_path / "plain"
    write_jsonl(plain / "corpus.jsonl.gz", corpus)
    write_jsonl(plain / "queries.jsonl", queries)
    write_jsonl(plain / "qrels" / "test.jsonl", [{"query_id": q, "corpus_id": d, "score": float(g)} for q, d, g in judged])
    for folder in (b, tsv, plain):
        assert load_task(folder).fingerprint == task.fingerprint, folder.name


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq0\td99\t1\n",
            r"test\.tsv:2: the document 'd99' is judged but is not in the corpus",
        ),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq99\td0\t1\n",
            r"test\.tsv:2: the query 'q99' is judged but is not among the queries",
        ),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\thigh\n", r"test\.tsv:2: the score is 'high'; a whole number is expected"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\n", r"test\.tsv:2: 2 columns where 3 are expected"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", r"no query of the split 'test' has a judgement"),
        ("corpus.jsonl", "", r"corpus\.jsonl: the corpus is empty"),
        ("corpus.jsonl", '{"_id": "d0", "text": "a"}\n{"_id": "d0", "text": "b"}\n', r"corpus\.jsonl:2: the id 'd0' appears twice"),
        ("corpus.jsonl", '{"_id": "d0", "text": "a"}\n{"_id": "d1"}\n', r"corpus\.jsonl:2: a row of the corpus needs a `text`"),
        ("corpus.jsonl", '{"text": "a"}\n', r"corpus\.jsonl:1: the field `_id` is missing"),
        ("queries.jsonl", '{"_id": "q0", "text": "a"\n', r"queries\.jsonl:1: not JSON"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, file: str, text: str, message: str):
    save_task(small_task(), tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(LuthierError, match=message):
        load_task(tmp_path)


def test_missing_tables_and_splits_are_named(tmp_path: Path):
    with pytest.raises(MissingFileError, match="no such folder"):
        load_task(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match="no corpus"):
        load_task(tmp_path)
    save_task(small_task(), tmp_path)
    with pytest.raises(MissingFileError, match=r"no judgements of the split 'train' .*; there are test"):
        load_task(tmp_path, "train")
    with pytest.raises(SettingsError, match="reading is"):
        load_task(tmp_path, reading="titles")  # type: ignore[arg-type]


def test_sums_and_averages_of_the_paper():
    assert sum(coir.SIZES[name].documents for name in coir.DATASETS["CodeSearchNet-ccr"]) == 1_005_474
    assert sum(coir.SIZES[name].documents for name in coir.DATASETS["CodeSearchNet"]) == 1_003_765
    assert sum(size.documents for size in coir.SIZES.values()) == 2_389_123
    assert len(coir.DATASETS) == len(coir.INSTRUCTIONS) == 10
    for model, (scores, printed) in coir.PUBLISHED.items():
        assert sum(scores) / 10 == pytest.approx(printed, abs=0.0101), model
        by_part = {part: scores[at] for at, parts in enumerate(coir.DATASETS.values()) for part in parts}
        assert coir.macro_mean(by_part) == pytest.approx(sum(scores) / 10)
    with pytest.raises(SettingsError, match="missing: apps"):
        coir.macro_mean({})


def test_a_data_set_by_name_is_read_from_a_folder_in_either_layout_and_its_size_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task = small_task()
    monkeypatch.setitem(coir.SIZES, "codetrans-dl", coir.Size(20, 40))
    monkeypatch.setitem(coir.SIZES, "CodeSearchNet-go", coir.Size(20, 40))
    save_task(task, tmp_path / "b" / "codetrans-dl")
    assert load_task("coir:codetrans-dl", source=tmp_path / "b").fingerprint == task.fingerprint
    a = tmp_path / "a"
    save_task(task, a / "whole")
    (a / "codetrans-dl-queries-corpus").mkdir()
    (a / "codetrans-dl-qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        (a / "whole" / name).rename(a / "codetrans-dl-queries-corpus" / name)
    (a / "whole" / "qrels" / "test.tsv").rename(a / "codetrans-dl-qrels" / "test.tsv")
    assert load_task("coir:codetrans-dl", source=a).fingerprint == task.fingerprint
    save_task(task, tmp_path / "go")
    csn = tmp_path / "c" / "CodeSearchNet"
    for language in ("go", "ruby"):  # layout B: all languages in one repository
        for name, kind in (("corpus.jsonl", "corpus"), ("queries.jsonl", "queries"), ("qrels/test.tsv", "qrels")):
            target = csn / f"{language}-{kind}" / Path(name).name
            target.parent.mkdir(parents=True)
            target.write_bytes((tmp_path / "go" / name).read_bytes() if language == "go" else b'{"_id": "other", "text": "x"}\n')
    assert load_task("coir:codesearchnet-go", source=tmp_path / "c").fingerprint == task.fingerprint
    monkeypatch.setitem(coir.SIZES, "codetrans-dl", coir.Size(180, 40))
    with pytest.raises(SettingsError, match="has 20 test queries where the published data has 180"):
        load_task("coir:codetrans-dl", source=tmp_path / "b")


def test_names_that_are_unknown_or_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="unknown CoIR data set 'cosqua'"):
        load_task("coir:cosqua")
    with pytest.raises(MissingFileError, match="no folder apps"):
        load_task("coir:apps", source=tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingFileError, match="--source"):
        load_task("coir:apps")


def test_a_snapshot_in_the_hubs_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    task = small_task()
    repository = tmp_path / "datasets--CoIR-Retrieval--codetrans-dl"
    save_task(task, repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(coir.SIZES, "codetrans-dl", coir.Size(20, 40))
    loaded = load_task("coir:codetrans-dl")
    assert (loaded.fingerprint, loaded.name) == (task.fingerprint, "coir:codetrans-dl")
    assert coir.instruction("CodeSearchNet-go") == coir.INSTRUCTIONS["CodeSearchNet"]


def test_limiting_keeps_the_corpus_and_the_judgements():
    task = small_task()
    few = task.limited(5)
    assert len(few.queries) == 5
    assert few.documents == task.documents
    assert few.qrels.of(1) == task.qrels.of(4)
    assert task.limited(99) is task


def test_an_id_that_tsv_cannot_carry_is_refused(tmp_path: Path):
    task = Task("x", Texts(["a\tb"], ["t"]), Texts(["q"], ["t"]), Qrels.from_triples(1, [(0, 0, 1)]))
    with pytest.raises(SettingsError, match="cannot stand in a TSV"):
        save_task(task, tmp_path)
    assert not list(tmp_path.rglob("corpus*"))


def test_a_row_may_be_damaged_in_parquet(tmp_path: Path):
    save_task(small_task(), tmp_path)
    (tmp_path / "corpus.jsonl").rename(tmp_path / "old.txt")
    (tmp_path / "corpus.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadRowError, match="not a readable Parquet file"):
        load_task(tmp_path)


def test_meta_stays_with_the_task(tmp_path: Path):
    task = small_task()
    task.meta["recipe"] = "none"
    save_task(task, tmp_path)
    assert load_task(tmp_path).meta == {"recipe": "none"}
    assert json.loads((tmp_path / "task.json").read_text())["name"] == "small"
