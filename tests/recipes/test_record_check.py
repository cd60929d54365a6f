"""`luthier records check`: what the readers make of files, and nothing else."""

import json
from pathlib import Path

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
    told = check("rows.jsonl", ok=False).stdout.splitlines()
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


def test_what_is_refused_is_told_with_its_values_and_ends_with_status_1(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("array.jsonl").write_text('[\n {"messages": []},\n {"messages": []}\n]\n')
    said = check("array.jsonl", ok=False)
    assert "not JSON: Expecting value at column 2" in said.stdout
    Path("cp.jsonl").write_bytes(b'{"messages": "\xff"}\n')
    assert (
        "not UTF-8 text at byte 15; convert the file first, where its language is a Western one with: iconv -f cp1252 -t utf-8 (1 row, the first cp.jsonl:1)"
        in check("cp.jsonl", ok=False).stdout
    )
    write_jsonl("null.jsonl", [{"messages": None}])
    assert "the row has 'messages', and null in 'messages'" in check("null.jsonl", "--as", "conversations", ok=False).stdout


def test_weights_that_training_refuses_are_refused_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl("rows.jsonl", [{**TALK, "weight": weight} for weight in (1, 0.5, -1, "much")])
    assert "by training: the row's weight is -1; give a number from 0" in check("rows.jsonl", ok=False).stdout
    write_jsonl("rows.jsonl", [{**TALK, "weight": 0.5}])
    check("rows.jsonl")


def test_rows_that_show_pictures_are_refused_and_those_that_only_have_some_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = {"messages": [{"role": "user", "content": "<image>What is this?"}, {"role": "assistant", "content": "A cat."}]}
    write_jsonl("rows.jsonl", [{**seen, "images": ["a.png"]}])
    assert "the row shows what is in 'images', which is no text" in check("rows.jsonl", "--as", "conversations", ok=False).stdout
    write_jsonl("rows.jsonl", [{**seen, "images": []}, {**TALK, "image": "a.png"}])
    check("rows.jsonl")


def test_a_table_with_a_column_for_each_option_is_one_of_choices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quiz.csv").write_text("question,A,B,C,D,E,answer\nWhich?,one,two,three,four,,B\nAnd this?,1,2,3,4,,D\n")
    assert kind_of("quiz.csv") == "choices"
    assert "2 rows" in check("quiz.csv").stdout


def test_deep_nesting_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deep.jsonl").write_text("[" * 3000 + "]" * 3000 + "\n")
    said = check("deep.jsonl", ok=False)
    assert "nested too deeply" in said.stdout + said.stderr
    assert "RecursionError" not in said.stdout + said.stderr
