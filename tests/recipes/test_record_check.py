"""`luthier records check`: what the readers make of files, and nothing else."""

import json

import pytest

from command import luthier
from luthier.recipes.record_check import kind_of
from luthier.records import write_jsonl

TALK = {"messages": [{"role": "user", "content": "Riga?"}, {"role": "assistant", "content": "Rain.", "mood": "grey"}], "id": 7}
PAIR = {"prompt": "Q", "chosen": "A", "rejected": "B"}
CHOICE = {"question": "Red?", "options": ["Mars", "Venus"], "answer": "A"}
SCORED = {"learner": "a", "item": "x", "correct": 1}


def check(*words, ok=True):
    return luthier("records", "check", *map(str, words), ok=ok)


@pytest.mark.parametrize(
    ("row", "kind"), [(TALK, "conversations"), (PAIR, "pairs"), (CHOICE, "choices"), (SCORED, "results"), ({"text": "x"}, "rows")]
)
def test_the_kind_of_a_file_is_found(tmp_path, row, kind):
    write_jsonl(tmp_path / "rows.jsonl", [row])
    assert kind_of(str(tmp_path / "rows.jsonl")) == kind


def test_the_account_is_printed_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl("rows.jsonl", [TALK, TALK, {"foo": 1}])
    told = check("rows.jsonl").stdout.splitlines()
    assert told == [
        "rows.jsonl: conversations",
        "  read: rows of the layout messages (2 rows)",
        "  carried along: field 'id' (2 rows, the first rows.jsonl:1); field 'mood' of a message (2 rows, the first rows.jsonl:1)",
        told[3],
    ]
    assert told[3].startswith("  refused: no known layout")
    assert told[3].endswith("(1 row, the first rows.jsonl:3)")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_for_machines_by_other_names_and_with_bad_rows_set_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl("rows.jsonl", [{"ask": "Q", "say": "A"}, {"ask": 5, "say": "A"}])
    told = json.loads(
        check(
            "rows.jsonl", "--map", "question=ask", "--map", "answer=say", "--as", "conversations", "--skip-bad", "bad.jsonl", "--json"
        ).stdout
    )
    entries = told["rows.jsonl"]["account"]
    assert [(entry["fate"], entry["rows"]) for entry in entries] == [("understood", 1), ("refused", 1)]
    assert "`question` is int, not text" in json.loads((tmp_path / "bad.jsonl").read_text())["problem"]


def test_tasks_and_folders_of_results(tmp_path):
    write_jsonl(tmp_path / "task" / "corpus.jsonl", [{"_id": "d", "text": "x", "zz": 1}])
    write_jsonl(tmp_path / "task" / "queries.jsonl", [{"_id": "q", "text": "y"}])
    (tmp_path / "task" / "qrels").mkdir()
    (tmp_path / "task" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    write_jsonl(tmp_path / "logs" / "scores.jsonl", [SCORED])
    told = check(tmp_path / "task", tmp_path / "logs").stdout
    assert "documents (1 row); queries (1 row)" in told
    assert "zz" in told
    assert "answers of a table (1 row)" in told


@pytest.mark.parametrize(
    ("words", "problem"), [(["none.jsonl"], "does not exist"), (["rows.jsonl", "--map", "x"], "write it as FIELD=COLUMN"), ([], "FILES")]
)
def test_what_cannot_be_read_is_one_line(tmp_path, monkeypatch, words, problem):
    monkeypatch.chdir(tmp_path)
    write_jsonl("rows.jsonl", [TALK])
    told = check(*words, ok=False)
    assert told.code == 2
    assert problem.lower() in told.stderr.lower()
    assert len(told.stderr.strip().splitlines()) == 1
