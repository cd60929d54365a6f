"""Readers of answers: every layout as its producer writes it, what they merge and sort, and what they refuse with file and line."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, LuthierError, MissingFileError, SettingsError
from luthier.records import SkippedRows, write_jsonl, write_parquet
from luthier.records.account import Account
from luthier.trace.answers import AnswerLog, Concept
from luthier.trace.readers import FORMATS, read_answers
from luthier.trace.readers.reading import guess_layout

# What every layout below says: two learners, three items, the second of two concepts. Where a layout knows no time, the order is the same.
SAID = [("7", "q1", 1.0), ("7", "q2", 0.0), ("7", "q1", 1.0), ("8", "q3", 0.0)]
MEMBERS = {"q1": ("a",), "q2": ("a", "b"), "q3": ("c",)}


def rows_of(log: AnswerLog) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], float(row["correct"])) for row in log.rows()]


def members_of(log: AnswerLog) -> dict[str, tuple[str, ...]]:
    return {item.item: item.concepts for item in log.catalogue.items}


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


LONG = "learner,item,correct,timestamp,concept\n7,q1,1,10,a\n7,q2,0,20,a~~b\n7,q1,1,30,a\n8,q3,0,5,c\n"
TABLES = {
    "long.csv": ("long", LONG),
    "rows.csv": (
        "long",
        "user_id,question_id,is_correct,time,skill\n8,q3,false,5,c\n7,q1,true,10,a\n7,q2,false,20,a\n7,q2,false,20,b\n7,q1,true,30,a\n",
    ),
    "long.tsv": ("long", LONG.replace(",", "\t")),
    "excel.csv": ("long", "sep=;\n" + LONG.replace(",", ";")),
    "excel.tsv": ("long", "sep=\t\n" + LONG.replace(",", "\t")),
    "dates.csv": (
        "long",
        LONG.replace(",10,", ",2024-05-17T09:30:00Z,")
        .replace(",20,", ",2024-05-17 09:31:00,")
        .replace(",30,", ",2024-05-17 11:32:00.5+02:00,")
        .replace(",5,", ",2024-05-16,"),
    ),
    "skill_builder.csv": (
        "assistments",
        "order_id,assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,skill_id,skill_name\n"
        "20,1,7,1,q1,1,1,1,1,a\n21,1,7,1,q2,1,0,1,1,a\n21,1,7,1,q2,1,0,1,2,b\n22,1,7,1,q1,1,1,1,1,a\n23,1,8,1,q3,1,0,1,3,c\n",
    ),
    "student_step.txt": (
        "datashop",
        "Row\tSample\tAnon Student Id\tProblem Name\tProblem View\tStep Name\tFirst Transaction Time\tFirst Attempt\tIncorrects\tKC (Default)\tOpportunity (Default)\n"
        "1\tAll\t7\tp\t1\tq1\t2005-09-09 12:24:35.0\tcorrect\t0\ta\t1\n2\tAll\t7\tp\t1\tq2\t2005-09-09 12:25:35.0\thint\t0\ta~~b\t1~~1\n"
        "3\tAll\t7\tp\t2\tq1\t2005-09-09 12:26:35.0\tcorrect\t0\ta\t2\n4\tAll\t8\tp\t1\tq3\t2005-09-09 12:20:35.0\tincorrect\t1\tc\t1\n",
    ),
    "data.txt": ("pykt", "7,4\nq1,q2,q2,q1\na,a,b,a\n1,0,0,1\nNA\nNA\n8,1\nq3\nc\n0\nNA\nNA\n"),
    "joined.txt": ("pykt", "7,3\nq1,q2,q1\na,a_b,a\n1,0,1\n1000,2000,3000\n10,10,10\n8,1\nq3\nc\n0\n5\n10\n"),
    "akt.csv": ("akt", "1,7\nq1,q2,q2,q1\na,a,b,a\n1,0,0,1\n2,8\nq3\nc\n0\n"),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("dress", ["plain", "crlf", "bom", "gz"])
def test_every_layout_says_the_same(tmp_path: Path, name: str, dress: str) -> None:
    layout, text = TABLES[name]
    data = text.encode()
    data = {"plain": data, "crlf": data.replace(b"\n", b"\r\n"), "bom": b"\xef\xbb\xbf" + data, "gz": gzip.compress(data)}[dress]
    path = written(tmp_path, f"{name}.gz" if dress == "gz" else name, data)
    assert guess_layout(path) == layout
    log = read_answers([path])
    prefix = "p / " if layout == "datashop" else ""
    assert sorted(rows_of(log), key=lambda row: row[0]) == [(who, prefix + item, right) for who, item, right in SAID]
    assert {item.removeprefix(prefix): some for item, some in members_of(log).items()} == MEMBERS
    assert {concept.concept for concept in log.catalogue.concepts} == {"a", "b", "c"}
    assert log.merged == 1
    assert log.moved == 0


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.jsonl.gz", "rows.parquet"])
def test_rows_say_the_same(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, Any]] = [
        {"learner": who, "item": item, "correct": right, "timestamp": float(at), "concepts": list(MEMBERS[item])}
        for at, (who, item, right) in enumerate(SAID)
    ]
    path = tmp_path / name
    if name.endswith(".parquet"):
        write_parquet(path, rows)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        write_jsonl(path, rows)
    log = read_answers([path])
    assert (guess_layout(path), rows_of(log), members_of(log), log.merged) == ("long", SAID, MEMBERS, 1)


def test_student_steps_need_no_other_part_of_arrow(tmp_path: Path) -> None:
    path = written(tmp_path, "student_step.txt", TABLES["student_step.txt"][1])
    code = "import sys; from luthier.trace.readers import read_answers; print(len(read_answers(sys.argv[1:])))"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout == "4\n"


def test_dkt_blocks_name_learners_by_place_also_over_files(tmp_path: Path) -> None:
    one = written(tmp_path, "train.csv", "3\n1,2,1,\n1,0,1,\n1\n3\n0\n")
    two = written(tmp_path, "test.csv", "2\n1,2\n0,1\n")
    log = read_answers([one])
    assert guess_layout(one) == "dkt"
    assert rows_of(log) == [("1", "1", 1), ("1", "2", 0), ("1", "1", 1), ("4", "3", 0)]
    assert members_of(log) == {"1": ("1",), "2": ("2",), "3": ("3",)}
    assert len(read_answers([one, two]).learners) == 3


def test_names_of_concepts_come_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "akt.csv", "1,7\nq1,q2\n5,6\n1,0\n")
    log = read_answers([path], names=written(tmp_path, "skill.json", '{"Addition": 5, "Area": 6}'))
    assert members_of(log) == {"q1": ("Addition",), "q2": ("Area",)}
    some = read_answers([path], names=written(tmp_path, "skill.json", '{"Addition": 5}'))
    assert some.catalogue.concepts == (Concept("Addition", "Addition"), Concept("6", "6"))
    with pytest.raises(BadRowError, match="the number 5 has two names: 'Addition' and 'Plus'"):
        read_answers([path], names=written(tmp_path, "skill.json", '{"Addition": 5, "Plus": 5}'))
    with pytest.raises(BadRowError, match="JSON object of concept name to number"):
        read_answers([path], names=written(tmp_path, "skill.json", "[1]"))


def test_pykt_names_are_as_they_were(tmp_path: Path) -> None:
    path = written(tmp_path, "data.txt", "('stu',),2\nx####1,x####2\nadd@@@@carry,y####z_add@@@@carry\n1,0\nNA\nNA\n")
    log = read_answers([path])
    assert rows_of(log) == [("stu", "x_1", 1), ("stu", "x_2", 0)]
    assert members_of(log) == {"x_1": ("add,carry",), "x_2": ("y_z", "add,carry")}


@pytest.mark.parametrize("data", ["\0\n\0", "fold,questions,responses\n0,1,1\n"])
def test_sequences_without_learners_are_refused(tmp_path: Path, data: str) -> None:
    with pytest.raises(BadRowError, match=r"t\.csv:1: no column uid, which names the learner; the columns are '"):
        read_answers([written(tmp_path, "t.csv", data)], layout="pykt-sequences")


def test_answers_of_ednet_without_their_columns_are_refused(tmp_path: Path) -> None:
    questions = written(tmp_path, "questions.csv", "question_id,correct_answer\nq1,a\n")
    with pytest.raises(BadRowError, match=r"u1\.csv:1: no column question_id, user_answer; the columns are 'timestamp, answer'"):
        read_answers([written(tmp_path, "u1.csv", "timestamp,answer\n1,a\n")], layout="ednet", items=questions)


def statement(who: Any, verb: str, item: str, result: dict[str, Any] | None, at: str | None) -> dict[str, Any]:
    row = {"actor": who, "verb": {"id": f"http://adlnet.gov/expapi/verbs/{verb}"}, "object": {"id": item}}
    some = {"contextActivities": {"grouping": [{"id": name} for name in MEMBERS.get(item, ())]}}
    return row | {"context": some} | ({"result": result} if result else {}) | ({"timestamp": at} if at else {})


ANN, BOB = {"mbox": "mailto:ann@school.example"}, {"account": {"homePage": "https://school.example", "name": "bob"}}
STATEMENTS = [
    statement(ANN, "answered", "q1", {"success": True}, "2024-05-17T09:30:00Z"),
    statement(ANN, "experienced", "a page", None, "2024-05-17T09:30:30Z"),
    statement(ANN, "attempted", "q2", {"score": {"scaled": -0.5}}, "2024-05-17T09:31:00.250Z"),
    statement(ANN, "passed", "q1", None, "2024-05-17T12:32:00+02:00"),
    statement(BOB, "completed", "q3", {"success": False, "score": {"raw": 3}}, "2024-05-17T09:00:00Z"),
]


@pytest.mark.parametrize("form", ["lines", "list", "store"])
def test_xapi_statements_become_answers_without_names(tmp_path: Path, form: str) -> None:
    whole: Any = {"statements": STATEMENTS, "more": ""} if form == "store" else STATEMENTS
    text = "\n".join(json.dumps(each) for each in STATEMENTS) if form == "lines" else json.dumps(whole)
    path = written(tmp_path, "statements.jsonl" if form == "lines" else "statements.json", text)
    log = read_answers([path])
    assert guess_layout(path) == "xapi"
    assert [row[1:] for row in rows_of(log)] == [row[1:] for row in SAID]
    assert (members_of(log), log.merged, log.notes) == (MEMBERS, 1, ("1 statements are no answers",))
    assert not any("ann" in name or "bob" in name for name in log.learners)


@pytest.mark.parametrize(
    ("result", "share"),
    [
        ({"score": {"raw": 3, "max": 4}}, 0.75),
        ({"score": {"raw": 3, "min": 2, "max": 4}}, 0.5),
        ({"score": {"raw": -1.5, "min": -2, "max": 0}}, 0.25),
        ({"score": {"raw": 3, "max": 4, "scaled": 0.5}}, 0.5),
        ({"score": {"raw": 3, "max": 4}, "success": True}, 0.75),
        ({"score": {"raw": 3}, "success": True}, 1.0),
        ({"score": {"raw": 4, "min": None, "max": 4}}, 1.0),
        ({"score": {"max": 4}, "success": False}, 0.0),
    ],
)
def test_a_raw_score_is_a_share_of_its_most(tmp_path: Path, result: dict[str, Any], share: float) -> None:
    path = written(tmp_path, "s.jsonl", json.dumps(statement(ANN, "answered", "q1", result, "2024-05-17T09:30:00Z")))
    with Account() as account:
        assert [row[2] for row in rows_of(read_answers([path]))] == [pytest.approx(share)]
    assert account.of("left out") == []


def test_a_score_without_its_max_is_counted_for_itself(tmp_path: Path) -> None:
    path = written(
        tmp_path, "s.json", json.dumps([*STATEMENTS, statement(ANN, "answered", "q9", {"score": {"raw": 3}}, "2024-05-17T09:30:00Z")])
    )
    assert read_answers([path]).notes == ("1 statements are no answers", "1 statements have a score without its max")


@pytest.mark.parametrize("at", ["2024-05-17 09:30:00 UTC", "2024-05-17T09:30:00.000 GMT", "2024-05-17 11:30:00 +02:00"])
def test_statements_of_tables_name_their_zone(tmp_path: Path, at: str) -> None:
    path = written(tmp_path, "s.jsonl", json.dumps(statement(ANN, "answered", "q1", {"success": True}, at)))
    assert read_answers([path]).time.tolist() == [datetime.fromisoformat("2024-05-17T09:30:00+00:00").timestamp()]


@pytest.mark.parametrize("zone", [" UTC", " GMT", "Z", "+00:00", " +0000", ".250 UTC"])
def test_times_of_a_warehouse_are_read(tmp_path: Path, zone: str) -> None:
    path = written(
        tmp_path,
        "a.csv",
        f"timestamp_TW,uuid,ucid,upid,is_correct\n2018-08-01 00:15:00{zone},a,c,p,True\n2018-08-01 00:00:00{zone},a,c,q,False\n",
    )
    log = read_answers([path])
    assert [row[1:] for row in rows_of(log)] == [("q", 0), ("p", 1)]
    assert log.time[1] == datetime.fromisoformat("2018-08-01T00:15:00+00:00").timestamp() + (0.25 if "." in zone else 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"result": {"score": {"raw": 5, "max": 4}}}, "the raw score 5 does not lie between 0 and 4"),
        ({"result": {"score": {"raw": 0, "max": 0}}}, "the raw score 0 does not lie between 0 and 0"),
        ({"result": {"score": {"raw": "3", "max": 4}}}, "raw, min and max of the score must be numbers"),
        ({"result": {"score": {"raw": 10**400, "max": 4}}}, "raw, min and max of the score must be numbers"),
        ({"actor": {}}, "names no actor"),
        ({"actor": "ann"}, "actor is not an object"),
        ({"object": {}}, "no id"),
        ({"object": "q1"}, "object is not an object"),
        ({"timestamp": "yesterday"}, "ISO 8601"),
        ({"timestamp": None}, "time is missing"),
        ({"result": "good"}, "result is not an object"),
        ({"verb": "answered"}, "verb is not an object"),
        ({"context": [1]}, "context is not"),
    ],
)
def test_bad_statements_are_named_and_may_be_set_aside(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    rows = [*STATEMENTS, STATEMENTS[0] | change]
    path = written(tmp_path, "statements.jsonl", "\n".join(json.dumps(each) for each in rows))
    with pytest.raises(BadRowError, match=rf"statements\.jsonl:6: .*{words}"):
        read_answers([path])
    skipped = SkippedRows()
    assert rows_of(read_answers([path], skipped=skipped)) == rows_of(read_answers([written(tmp_path, "good.json", json.dumps(STATEMENTS))]))
    assert skipped.count == 1


@given(
    answers=st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("pq"), st.sampled_from([0, 1]), st.integers(1, 3)), min_size=1, max_size=12
    )
)
def test_rows_in_are_answers_out_and_rows_merged(tmp_path_factory: pytest.TempPathFactory, answers: list[Any]) -> None:
    lines = [f"{who},{item},{right},{at},c{concept}" for at, (who, item, right, many) in enumerate(answers) for concept in range(many)]
    path = written(tmp_path_factory.mktemp("rows"), "rows.csv", "\n".join(["learner,item,correct,timestamp,concept", *lines]))
    log = read_answers([path])
    assert len(log) == len(answers)
    assert len(log) + log.merged == len(lines)
    assert sorted(rows_of(log)) == sorted((who, item, float(right)) for who, item, right, _ in answers)


def test_the_same_concept_again_is_another_attempt_but_not_within_a_cell(tmp_path: Path) -> None:
    log = read_answers([written(tmp_path, "t.csv", "learner,item,correct,concept\n1,q,0,a\n1,q,1,a\n1,r,1,a~~a\n")])
    assert rows_of(log) == [("1", "q", 0), ("1", "q", 1), ("1", "r", 1)]
    block = written(tmp_path, "data.txt", "1,2\nq,r\n5_5,5\n1,0\nNA\nNA\n")
    assert rows_of(read_answers([block], "pykt")) == [("1", "q", 1), ("1", "r", 0)]


def test_answers_out_of_order_are_counted_and_sorted(tmp_path: Path) -> None:
    text = "learner,item,correct,timestamp\n1,a,1,3\n1,b,0,1\n2,c,1,9\n1,d,1,2\n2,e,0,10\n"
    log = read_answers([written(tmp_path, "t.csv", text)])
    assert rows_of(log) == [("1", "b", 0), ("1", "d", 1), ("1", "a", 1), ("2", "c", 1), ("2", "e", 0)]
    assert log.moved == 1  # b after a; d follows b


CONFLICT = 'learner,item,correct,timestamp,concept\n1,q,1,1,"a\nb"\n\n1,q,1,2,a\n1,q,0,2,b\n'


def test_an_answer_with_two_labels_is_refused_where_it_stands(tmp_path: Path) -> None:
    good = written(tmp_path, "good.csv", "learner,item,correct,timestamp,concept\n9,q,1,1,a\n")
    bad = written(tmp_path, "bad.csv", CONFLICT)
    with pytest.raises(BadRowError, match=r"bad\.csv:6: one answer has two labels"):
        read_answers([good, bad])
    rows = [{"learner": "1", "item": "q", "correct": right, "timestamp": 1, "concept": name} for right, name in ((1, "a"), (0, "b"))]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(BadRowError, match=r"rows\.jsonl:2: one answer has two labels"):
        read_answers([good, tmp_path / "rows.jsonl"])
    block = written(tmp_path, "data.txt", "\n7,1\nq\na\n1\nNA\nNA\n8,2\nq,q\na,b\n0,1\nNA\nNA\n")
    with pytest.raises(BadRowError, match=r"data\.txt:8: one answer has two labels"):
        read_answers([block], "pykt")


HEADER = "learner,item,correct,timestamp,concept\n"
BAD_ROWS = {
    "1,q,2,1,a": "must lie between|neither 0, 1",
    "1,q,maybe,1,a": "'maybe' is neither",
    "1,q,,1,a": "the correct is missing",
    ",q,1,1,a": "the learner is missing",
    "1,,1,1,a": "the item is missing",
    "1,q,1,soon,a": "'soon' is neither a number nor a date",
    "1,q,1,nan,a": "time",
    "1,q,1,inf,a": "the time inf is no moment",
    "1,q,1,,a": "the time is missing",
    "1,q,1": "3 cells and the header 5",
    "1,q,1,1,a,more": "6 cells and the header 5",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_named_or_set_aside(tmp_path: Path, row: str) -> None:
    path = written(tmp_path, "t.csv", HEADER + '1,"q, with ""quotes""\nand a line",1,1,a\n\n' + row + "\n1,r,0,2,b\n")
    with pytest.raises(BadRowError, match=rf"t\.csv:5: .*({BAD_ROWS[row]})"):
        read_answers([path])
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    log = read_answers([path], skipped=skipped)
    assert rows_of(log) == [("1", 'q, with "quotes"\nand a line', 1), ("1", "r", 0)]
    assert (skipped.count, json.loads((tmp_path / "bad.jsonl").read_text())["line"]) == (1, 5)


def test_a_bad_row_is_named_by_its_line_behind_one_that_names_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", 'sep=;\r\nlearner;item;correct\r\n1;"q; of\r\ntwo lines";1\r\n1;r;2\r\n1;s;0\r\n1;t\r\n')
    with pytest.raises(BadRowError, match=r"t\.csv:7: the row has 2 cells and the header 3"):
        read_answers([path])
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert [item for _, item, _ in rows_of(read_answers([path], skipped=skipped))] == ["q; of\r\ntwo lines", "s"]
    assert [json.loads(line)["line"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()] == [5, 7]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"item": "q", "correct": 1}, "no column learner or .*--map learner=COLUMN"),
        ({"learner": "1", "item": "q", "correct": 3}, "between 0 and 1"),
        ({"learner": "1", "item": "q", "correct": 1, "timestamp": "nan"}, "is no moment"),
        ({"learner": "1", "item": "q", "correct": 1, "timestamp": [1]}, "neither a number"),
        ({"learner": "1", "item": "q", "correct": 1}, "the time is missing"),
    ],
)
def test_a_bad_json_row_is_named_or_set_aside(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    good = {"learner": "1", "item": "q", "correct": 1, "timestamp": 1}
    write_jsonl(tmp_path / "t.jsonl", [good, row, good | {"timestamp": 2}])
    with pytest.raises(BadRowError, match=rf"t\.jsonl:2: .*{words}"):
        read_answers([tmp_path / "t.jsonl"])
    skipped = SkippedRows()
    assert len(read_answers([tmp_path / "t.jsonl"], skipped=skipped)) == 2
    assert skipped.count == 1


BLOCKS = {
    "7,2\nq1,q2\na,b\n1\nNA\nNA": r":7: learner 7 has 2 items, 2 concepts, 1 labels",
    "7,3\nq1,q2\na,b\n1,0\nNA\nNA": r":7: the block announces 3 answers and has 2",
    "7,2\nq1,q2\na,b\n1,good\nNA\nNA": r":10: the label 'good' is not a number",
    "7,2\nq1,q2\na,b\n1,2\nNA\nNA": r":10: a label does not lie between 0 and 1",
    "7,2\nq1,q2\na,b\n1,0\n5\nNA": r":7: .*1 times",
    "7,2\nq1,q2\na,b\n1,0\n5,late\nNA": r":11: the time 'late' is not a number",
    "7,3\nq1,,q2\na,b,c\n1,0,1\nNA\nNA": r":8: an item or a concept has no name",
    ",2\nq1,q2\na,b\n1,0\nNA\nNA": r":7: the block's first line names no learner",
    "7,2\nq1,q2\na,b\n1,0": r":7: a block of 4 lines at the end",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_bad_block_is_named_or_set_aside(tmp_path: Path, block: str) -> None:
    path = written(tmp_path, "data.txt", "1,1\nq\na\n1\nNA\nNA\n" + block + "\n")
    with pytest.raises(BadRowError, match=r"data\.txt" + BLOCKS[block]):
        read_answers([path])
    skipped = SkippedRows()
    assert rows_of(read_answers([path], skipped=skipped)) == [("1", "q", 1)]
    assert skipped.count == 1


PACKED = gzip.compress(b"learner,item,correct\n" + b"".join(b"%d,%d,1\n" % (at * 7919 % 99991, at) for at in range(20_000)))
DAMAGED = PACKED[: len(PACKED) // 2] + bytes(9) + PACKED[len(PACKED) // 2 + 9 :]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"", "layout of the answers is not clear"),
        ("t.csv", b"learner,item,correct\n", "there is no answer"),
        ("t.csv", b"learner,item,correct", "there is no answer"),
        ("t.csv", b"learner,item,correct\n\n\n", "there is no answer"),
        ("t.csv", b"one,two\n1,2\n", "layout of the answers is not clear"),
        ("t.csv", b"learner,item,correct\n1,q,1\nJos\xe9,q,1\n", r"t\.csv:3: not UTF-8 text; convert the file"),
        ("t.csv", b"learner,item,correct\r1,q,1\r", "not clear|line feed"),
        ("t.csv", b"learner,item,correct\n1,q\xff,r,1\n", r"t\.csv:2: not UTF-8"),
        ("t.csv.gz", gzip.compress(b"learner,item,correct\n" + os.urandom(999).hex().encode() + b",q,1\n")[:-60], "damaged or cut off"),
        ("t.csv.gz", b"no gzip data", "damaged or cut off"),
        ("t.csv.gz", DAMAGED, r"t\.csv\.gz:\d+: the file is damaged or cut off"),
        ("t.txt", b"1,2\nq,r\na,b\n1,0\nNA\nNA\n\xff,1\nq\na\n1\nNA\nNA\n", r"t\.txt:7: not UTF-8"),
        ("t.jsonl", b"", "there is no answer"),
        ("t.jsonl", b"{\n", r"t\.jsonl:1: not JSON"),
        ("t.json", b"[]", "there is no answer"),
        ("t.parquet", b"PAR1 no", "not a readable Parquet"),
    ],
)
def test_files_without_answers_and_damaged_ones(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = written(tmp_path, name, data)
    for skipped in (None, SkippedRows()):
        if name != "t.jsonl" or skipped is None:  # a row of JSON that is cut off may be set aside
            with pytest.raises(BadRowError, match=words):
                read_answers([path], skipped=skipped)


@pytest.mark.parametrize("layout", [each for each in FORMATS if each != "auto"])
def test_an_empty_file_of_a_named_layout_is_refused(tmp_path: Path, layout: str) -> None:
    path = written(tmp_path, "t.jsonl" if layout == "xapi" else "t.csv", b"")
    with pytest.raises(BadRowError, match=r"no answer|no header"):
        read_answers([path], layout)


def test_a_quote_that_is_not_closed_takes_the_rest_with_it(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", 'learner,item,correct\n1,p,1\n1,"q,1\n2,r,0\n')
    with pytest.raises(BadRowError, match=r"t\.csv:3: the row has 2 cells and the header 3"):
        read_answers([path])
    skipped = SkippedRows()
    assert rows_of(read_answers([path], skipped=skipped)) == [("1", "p", 1)]
    assert skipped.count == 1


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "learner,question,verdict\n1,q,1\n")
    with pytest.raises(
        BadRowError,
        match=r"t\.csv:1: no column correct or .*; the columns are learner, question, verdict; name it with --map correct=COLUMN",
    ):
        read_answers([path], "long")
    with pytest.raises(SettingsError, match="no layout 'cvs'"):
        read_answers([path], "cvs")
    with pytest.raises(MissingFileError, match="does not exist"):
        read_answers([tmp_path / "none.csv"])
    with pytest.raises(MissingFileError, match=r"events\.jsonl does not exist"):
        read_answers([tmp_path])


def test_a_name_that_stands_in_the_header_twice_is_its_first_column(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", 'learner,"item",correct,item\n1,q,1,no\n')
    assert rows_of(read_answers([path])) == [("1", "q", 1)]


@given(
    data=st.binary(max_size=60), name=st.sampled_from(["t.csv", "t.jsonl", "t.txt", "t.json", "t.csv.gz"]), layout=st.sampled_from(FORMATS)
)
def test_noise_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str, layout: str) -> None:
    path = written(tmp_path_factory.getbasetemp(), name, data)
    try:
        read_answers([path], layout)
    except LuthierError as problem:
        assert str(path) in str(problem)


DATA = Path(os.environ.get("LUTHIER_TRACE_DATA", "/nonexistent"))


@pytest.mark.skipif(not (DATA / "assist09").is_dir(), reason="no assist09 in the folder LUTHIER_TRACE_DATA")
def test_assist09_counts() -> None:
    folds = sorted((DATA / "assist09").glob("fold*.csv"))
    log = read_answers(folds, names=DATA / "assist09" / "skill.json")
    assert len(log) + log.merged == 325_589
    assert (len(log), len(log.catalogue.items), len(log.catalogue.concepts)) == (274_561, 16_891, 110)


@pytest.mark.skipif(not (DATA / "zeroeval").is_dir(), reason="no zeroeval in the folder LUTHIER_TRACE_DATA")
def test_zeroeval_reads_as_a_long_table() -> None:
    log = read_answers([DATA / "zeroeval" / "events.csv.gz"], items=DATA / "zeroeval" / "items.jsonl.gz")
    with gzip.open(DATA / "zeroeval" / "events.csv.gz", "rt") as stream:
        assert len(log) == sum(1 for _ in stream) - 1
    assert all(item.text for item in log.catalogue.items)
    assert np.isin(log.correct, (0, 1)).all()
