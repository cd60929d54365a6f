"""Answers as the world writes them: names of columns, component models, quotes, repeated rows, sequences, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, SettingsError
from luthier.records import SkippedRows, write_jsonl
from luthier.trace.answers import DAYS, AnswerLog
from luthier.trace.readers import read_answers
from luthier.trace.readers.columns import NAMES, plain
from luthier.trace.readers.reading import guess_layout


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def rows_of(log: AnswerLog) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], float(row["correct"])) for row in log.rows()]


def members_of(log: AnswerLog) -> dict[str, tuple[str, ...]]:
    return {item.item: item.concepts for item in log.catalogue.items}


# --- names of columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "user_id,item_id,timestamp,correct,skill_id",
        "student,item,order,correct,kc",
        "Student_ID,Question ID,Time,Is Correct,Skill Name",
        "stu_id,exer_id,start_time,score,knowledge_concept",
        "uuid,upid,timestamp_TW,is_correct,ucid",
        "learner,problem,datetime,outcome,topic",
        "UserId,QuestionId,DateAnswered,IsCorrect,SubjectId",
        "sid,qid,date,label,tags",
        "pupil,task,order_id,answered_correctly,concepts",
    ],
)
@pytest.mark.parametrize("sign", [",", "\t", ";"])
def test_columns_have_the_names_in_use(tmp_path: Path, header: str, sign: str):
    text = "\n".join([header, "7,q1,1,1,3", "7,q2,2,0,4", "8,q1,1,1,3"]).replace(",", sign)
    log = read_answers([written(tmp_path, "answers.csv", text + "\n")])
    assert rows_of(log) == [("7", "q1", 1), ("7", "q2", 0), ("8", "q1", 1)]
    assert members_of(log) == {"q1": ("3",), "q2": ("4",)}
    assert log.notes == ()
    names = header.split(",")
    rows = [dict(zip(names, cells.split(","), strict=True)) for cells in ("7,q1,1,1,3", "7,q2,2,0,4", "8,q1,1,1,3")]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    again = read_answers([tmp_path / "answers.jsonl"])
    assert (rows_of(again), members_of(again), again.notes) == (rows_of(log), members_of(log), ())


@given(name=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12), place=st.integers(0, 3))
def test_a_column_that_no_reader_knows_is_named(tmp_path_factory: pytest.TempPathFactory, name: str, place: int):
    known = {each for some in NAMES.values() for each in some} | {"contenttypeid"}
    if plain(name) in known:
        return
    folder = tmp_path_factory.mktemp("answers")
    rows = [["learner", "item", "correct"], ["7", "q", "1"]]
    for row, cell in zip(rows, (name, "x"), strict=True):
        row.insert(place, cell)
    log = read_answers([written(folder, "t.csv", "\n".join(",".join(row) for row in rows) + "\n")])
    assert log.notes == (f"columns that are not read: {name}",)
    write_jsonl(folder / "t.jsonl", [dict(zip(*rows, strict=True))])
    assert read_answers([folder / "t.jsonl"]).notes == log.notes


def test_a_column_is_what_the_user_says(tmp_path: Path):
    path = written(tmp_path, "t.csv", "who,what,verdict,area,user,when,said\n7,q,1,a~~b,x,5,why?\n7,r,0,c,x,6,how?\n")
    given_names = {"learner": "who", "item": "what", "correct": "verdict", "concept": "area", "timestamp": "when", "text": "said"}
    log = read_answers([path], columns=given_names)
    assert rows_of(log) == [("7", "q", 1), ("7", "r", 0)]
    assert members_of(log) == {"q": ("a", "b"), "r": ("c",)}
    assert [item.text for item in log.catalogue.items] == ["why?", "how?"]
    assert log.time.tolist() == [5, 6]
    assert log.notes == ("columns that are not read: user",)
    with pytest.raises(BadRowError, match=r"t\.csv:1: no column 'nothing' for item; the columns are who, what"):
        read_answers([path], columns=given_names | {"item": "nothing"})
    with pytest.raises(SettingsError, match="no field 'grade' of answers; choose learner, item"):
        read_answers([path], columns={"grade": "verdict"})
    with pytest.raises(SettingsError, match="--map names columns of tables"):
        read_answers([written(tmp_path, "b.txt", "2\n1,2\n0,1\n")], columns={"learner": "x"})


def test_a_skill_stands_for_an_item_where_none_is_named(tmp_path: Path):
    log = read_answers([written(tmp_path, "t.csv", "user_id,skill_name,correct\n1,Mean,1\n1,Mean,0\n1,Mode,1\n")])
    assert rows_of(log) == [("1", "Mean", 1), ("1", "Mean", 0), ("1", "Mode", 1)]
    assert members_of(log) == {"Mean": ("Mean",), "Mode": ("Mode",)}
    assert log.notes == ("no column names items, so skill_name stands for them",)


@pytest.mark.parametrize(
    ("column", "cell", "concepts"),
    [
        ("skill", "a~~b", ("a", "b")),
        ("skill", "Area; of circles", ("Area; of circles",)),
        ("skills", "a;b", ("a", "b")),
        ("tags", "1;2;179", ("1", "2", "179")),
        ("skill_id", '"12,34"', ("12", "34")),
        ("skill_id", "10_13", ("10", "13")),
        ("skill_id", "277.0", ("277",)),
        ("SubjectId", '"[3, 71, 98]"', ("3", "71", "98")),
        ("tags", "168 54 38", ("168", "54", "38")),
        ("skill", "168 54", ("168 54",)),
        ("concepts", "[1 2 3]", ("1", "2", "3")),
        ("concepts", "[1. 2.5]", ("1", "2.5")),
        ("concepts", "[]", ()),
        ("concepts", "\"{'x', 'y'}\"", ("x", "y")),
        ("concepts", "\"('x', 'y')\"", ("x", "y")),
        ("skill", "(a + b)", ("(a + b)",)),
        ("skill", "{set}", ("{set}",)),
        ("concept", "-1", ()),
        ("concept", "nan", ()),
        ("concept", "", ()),
    ],
)
def test_a_cell_may_name_several_concepts_or_none(tmp_path: Path, column: str, cell: str, concepts: tuple[str, ...]):
    log = read_answers([written(tmp_path, "t.csv", f"user,item,correct,{column}\n1,q,1,{cell}\n")])
    assert members_of(log) == {"q": concepts}


# --- DataShop and the KDD Cup ---------------------------------------------------------------------------------------------------

STEP = "Anon Student Id\tProblem Name\tStep Name\tFirst Transaction Time\tCorrect First Attempt"


@pytest.mark.parametrize("name", ["KC(Default)", "KC (F2011)", "kc(SubSkills)", "KC  (x)", "Kc (KTracedSkills)"])
def test_components_are_read_in_every_spelling(tmp_path: Path, name: str):
    text = f"{STEP}\t{name}\ns1\tP1\tx=1\t2005-09-09 12:24:35.0\t1\tAdd~~Solve\ns1\tP1\tx=2\t2005-09-09 12:25:35.0\t0\tSolve; [it]\n"
    log = read_answers([path := written(tmp_path, "kdd.txt", text)])
    assert guess_layout(path) == "datashop"
    assert members_of(log) == {"P1 / x=1": ("Add", "Solve"), "P1 / x=2": ("Solve; [it]",)}


def test_the_first_component_model_is_read_and_the_others_are_named(tmp_path: Path):
    text = f"{STEP}\tKC (A)\tOpportunity (A)\tKC (B)\ns1\tP1\tx=1\t1\t1\ta\t1\tb\n"
    path = written(tmp_path, "two.txt", text)
    log = read_answers([path])
    assert members_of(log) == {"P1 / x=1": ("a",)}
    assert log.notes == ("columns that are not read: Opportunity (A), KC (B)",)
    assert members_of(read_answers([path], columns={"concept": "KC (B)"})) == {"P1 / x=1": ("b",)}


def test_transactions_name_components_in_several_columns_and_some_have_no_outcome(tmp_path: Path):
    text = (
        "Anon Student Id\tTime\tProblem Name\tStep Name\tOutcome\tKC (M)\tKC (M)\n"
        "s1\t5\tP\ta\tCORRECT\tk1\tk2\ns1\t6\tP\tb\t\tk1\t\ns1\t7\tP\tb\tHINT\tk1\t\ns2\t7\tP\tb\tINCORRECT\t\tk2\n"
    )
    log = read_answers([written(tmp_path, "transactions.txt", text)])
    assert rows_of(log) == [("s1", "P / a", 1), ("s1", "P / b", 0), ("s2", "P / b", 0)]
    assert members_of(log) == {"P / a": ("k1", "k2"), "P / b": ("k1", "k2")}
    assert log.notes == ("1 transactions without an outcome are no answers",)


@pytest.mark.parametrize(
    "step", ['"5 in', 'other "6 in" one', '12"', '"', 'a "b', '""'], ids=["opens", "encloses", "closes", "alone", "within", "empty"]
)
def test_quotes_mean_nothing_between_tabs(tmp_path: Path, step: str):
    lines = [STEP, f"s1\tp\t{step}\t1\t1", "s1\tp\tsecond\t2\t0", "s2\tp\tthird\t3\t1"]
    log = read_answers([written(tmp_path, "steps.txt", "\n".join(lines) + "\n")])
    assert rows_of(log) == [("s1", f"p / {step}", 1), ("s1", "p / second", 0), ("s2", "p / third", 1)]


def test_a_header_in_quotes_says_that_the_rest_is_quoted_too(tmp_path: Path):
    text = '"learner"\t"item"\t"correct"\n"s 1"\t"a ""b""\tc"\t1\n"s 2"\t"d"\t0\n'
    assert rows_of(read_answers([written(tmp_path, "r.tsv", text)])) == [("s 1", 'a "b"\tc', 1), ("s 2", "d", 0)]


def test_a_tab_too_many_is_named_by_its_line(tmp_path: Path):
    path = written(tmp_path, "steps.txt", f'{STEP}\ns1\tp\t"a\t1\t1\ns1\tp\t"b\tc"\t2\t0\n')
    with pytest.raises(BadRowError, match=r"steps\.txt:3: the row has 6 cells and the header 5"):
        read_answers([path])
    skipped = SkippedRows()
    assert rows_of(read_answers([path], skipped=skipped)) == [("s1", 'p / "a', 1)]
    assert skipped.count == 1


# --- rows of one answer ---------------------------------------------------------------------------------------------------------

ONCE = {
    "the same row again": ("1,a,1,5,A\n1,a,1,5,A\n", 1, 1, 1),
    "a row a skill, each said twice": ("1,a,0,2,M\n1,a,0,2,M\n1,a,0,2,N\n1,a,0,2,N\n", 1, 3, 2),
    "a bundle sorted by skill": ("1,a,1,5,A\n1,b,0,5,A\n1,a,1,5,B\n1,b,0,5,B\n", 2, 2, 0),
    "a bundle of three, in any order": ("1,c,1,5,C\n1,a,1,5,A\n1,b,0,5,A\n1,a,1,5,B\n1,c,1,5,A\n1,b,0,5,B\n", 3, 3, 0),
    "without skills": ("1,a,1,5,\n1,a,1,5,\n1,a,1,6,\n", 2, 1, 1),
    "two attempts at one moment": ("1,a,0,5,A\n1,a,1,5,A\n", 2, 0, 0),
    "two attempts, sorted by skill": ("1,a,0,5,A\n1,a,1,5,A\n1,a,0,5,B\n1,a,1,5,B\n", 2, 2, 0),
    "the same again later": ("1,a,1,5,A\n1,a,1,6,A\n", 2, 0, 0),
    "other learners": ("1,a,1,5,A\n2,a,1,5,A\n", 2, 0, 0),
    "days only": ("1,a,1,2024-05-17,A\n1,a,1,2024-05-17,A\n1,a,1,2024-05-18,A\n", 3, 0, 0),
    "no times at all": ("1,a,1,0,A\n1,a,1,0,A\n1,a,1,0,B\n", 2, 1, 0),
}


@pytest.mark.parametrize("kind", ONCE)
def test_one_answer_stands_once(tmp_path: Path, kind: str):
    rows, answers, merged, repeated = ONCE[kind]
    log = read_answers([written(tmp_path, "t.csv", "learner,item,correct,timestamp,skill\n" + rows)])
    assert (len(log), log.merged, log.repeated) == (answers, merged, repeated)
    assert (DAYS in log.notes) is (kind == "days only")
    assert ("further attempts of one learner at one item and moment: 1" in log.notes) is kind.startswith("two attempts")


@pytest.mark.parametrize("name", [{"id": 1}, [1, 2], {}, []])
@pytest.mark.parametrize("column", ["learner", "item"])
def test_an_object_is_no_name(tmp_path: Path, column: str, name: object):
    row = {"learner": "1", "item": "a", "correct": 1}
    write_jsonl(tmp_path / "a.jsonl", [row, {**row, column: name}])
    with pytest.raises(BadRowError, match=r"a\.jsonl:2: "):
        read_answers([tmp_path / "a.jsonl"])


def test_one_answer_with_two_labels_is_still_refused(tmp_path: Path):
    path = written(tmp_path, "t.csv", "learner,item,correct,timestamp,skill\n1,a,1,5,A\n1,b,1,5,A\n1,a,0,5,B\n")
    with pytest.raises(BadRowError, match=r"t\.csv:4: one answer has two labels"):
        read_answers([path])


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("pq"), st.integers(0, 1), st.integers(1, 3)), min_size=1, max_size=9))
def test_saying_everything_twice_changes_nothing(tmp_path_factory: pytest.TempPathFactory, answers: list[Any]):
    distinct = {(who, item, at): right for who, item, right, at in answers}
    lines = [f"{who},{item},{right},{at},s" for (who, item, at), right in distinct.items()]
    folder, header = tmp_path_factory.mktemp("twice"), "learner,item,correct,timestamp,skill\n"
    once = read_answers([written(folder, "once.csv", header + "\n".join(lines) + "\n")])
    twice = read_answers([written(folder, "twice.csv", header + "\n".join([*lines, *reversed(lines)]) + "\n")])
    assert sorted(rows_of(once)) == sorted(rows_of(twice))
    assert (len(twice), twice.repeated) == (len(lines), len(lines))


# --- blocks and sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "layout", "learners"),
    [
        ("0,61\n1,2,1\n1,0,1\n1,62\n3\n0\n", "akt3", ["61", "62"]),
        ("61\n1,2,1\n1,0,1\n62\n3\n0\n", "akt3", ["61", "62"]),
        ("0,s1\nadd,sub,add\n1,0,1\n1,s2\nmul\n0\n", "akt3", ["s1", "s2"]),
        ("0,61\n1,0,1\n1,0,1\n1,62\n1\n0\n", "akt3", ["61", "62"]),
        ("3\n1,2,1\n1,0,1\n1\n3\n0\n", "dkt", ["1", "4"]),
    ],
)
def test_blocks_of_three_lines_name_or_count(tmp_path: Path, text: str, layout: str, learners: list[str]):
    path = written(tmp_path, "train.csv", text)
    assert guess_layout(path) == layout
    log = read_answers([path])
    assert list(log.learners) == learners
    assert log.correct.tolist() == [1, 0, 1, 0]
    if layout == "akt3":
        assert rows_of(read_answers([path], "akt")) == rows_of(log)


def test_a_bad_block_of_three_lines_is_named(tmp_path: Path):
    path = written(tmp_path, "train.csv", "0,61\n1,2,1\n1,0,1\n1,62\n3,4\n0\n")
    with pytest.raises(BadRowError, match=r"train\.csv:4: learner 62 has 2 items, 2 concepts, 1 labels"):
        read_answers([path], "akt3")


SEQUENCES = {
    "padded": ('fold,uid,concepts,responses,selectmasks\n0,7,"5,5,6,-1","1,0,1,-1","1,1,1,-1"\n', [("5", 1), ("5", 0), ("6", 1)]),
    "questions and times": (
        'fold,uid,questions,concepts,responses,timestamps,selectmasks\n0,7,"q1,q2,-1","5,6_7,-1","1,0,-1","10,20,-1","1,1,-1"\n',
        [("q1", 1), ("q2", 0)],
    ),
    "a row for each concept": (
        'uid,questions,concepts,responses,selectmasks,is_repeat\n7,"q1,q1,q1","5,6,5","1,1,0","1,1,1","0,1,0"\n',
        [("q1", 1), ("q1", 0)],
    ),
    "sliding windows": (
        'uid,concepts,responses,selectmasks\n7,"1,2,3","1,0,1","1,1,1"\n7,"2,3,4","0,1,0","-1,-1,1"\n',
        [("1", 1), ("2", 0), ("3", 1), ("4", 0)],
    ),
    "parts of a long history": (
        'uid,concepts,responses,selectmasks\n7,"1,2","1,0","1,1"\n7,"3,-1","1,-1","1,-1"\n',
        [("1", 1), ("2", 0), ("3", 1)],
    ),
    "no mask": ('uid,concepts,responses\n7,"1,2","1,0"\n', [("1", 1), ("2", 0)]),
    "no questions known": ('uid,questions,concepts,responses\n7,"-1,-1","1,2","1,0"\n', [("1", 1), ("2", 0)]),
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_are_the_answers_that_their_mask_chooses(tmp_path: Path, kind: str):
    text, answers = SEQUENCES[kind]
    path = written(tmp_path, "train_valid_sequences.csv", text)
    assert guess_layout(path) == "pykt-sequences"
    log = read_answers([path])
    assert [row[1:] for row in rows_of(log)] == answers
    if kind == "questions and times":
        assert members_of(log) == {"q1": ("5",), "q2": ("6", "7")}
        assert log.time.tolist() == [10, 20]
    if kind == "a row for each concept":
        assert members_of(log)["q1"] == ("5", "6")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('7,"1,2","1"', "concepts has 2 parts and responses 1"),
        (',"1","1"', "the learner is missing"),
        ('7,"1","maybe"', "the label 'maybe'"),
        ('7,"-1","-1"', "no responses"),
        ("7,1", "2 cells and the header 3"),
    ],
)
def test_a_bad_sequence_is_named_or_set_aside(tmp_path: Path, row: str, words: str):
    path = written(tmp_path, "s.csv", f'uid,concepts,responses\n6,"1","1"\n{row}\n')
    with pytest.raises(BadRowError, match=rf"s\.csv:3: .*{words}"):
        read_answers([path])
    skipped = SkippedRows()
    assert rows_of(read_answers([path], skipped=skipped)) == [("6", "1", 1)]
    assert skipped.count == 1


# --- producers ------------------------------------------------------------------------------------------------------------------


def test_assistments_of_2012_2015_and_2017(tmp_path: Path):
    text = (
        "problem_log_id,skill,problem_id,user_id,assignment_id,start_time,end_time,correct,hint_count\n"
        "1,Rounding,10,7,1,2012-09-28 15:11:27,x,1,0\n2,,11,7,1,2012-09-28 15:12:27.5,x,0.25,2\n"
    )
    log = read_answers([path := written(tmp_path, "2012.csv", text)])
    assert guess_layout(path) == "assistments"
    assert (rows_of(log), members_of(log)) == ([("7", "10", 1), ("7", "11", 0.25)], {"10": ("Rounding",), "11": ()})
    assert log.notes == ("columns that are not read: problem_log_id, assignment_id, end_time, hint_count",)
    text = "user_id,log_id,sequence_id,correct\n5,167478035,7014,0\n5,167478043,7014,0.25\n5,167478040,7015,1\n"
    log = read_answers([written(tmp_path, "2015.csv", text)])
    assert (log.correct.tolist(), members_of(log)) == ([0, 1, 0.25], {"7014": ("7014",), "7015": ("7015",)})
    text = "studentId,MiddleSchoolId,skill,problemId,startTime,correct\n8,2,noskill,p9,1096470301,1\n8,2,area,p9,1096470350,0\n"
    log = read_answers([written(tmp_path, "2017.csv", text)])
    assert (rows_of(log), log.notes) == ([("8", "p9", 1), ("8", "p9", 0)], ("columns that are not read: MiddleSchoolId",))


def test_a_folder_of_ednet_is_judged_by_its_questions(tmp_path: Path):
    folder, head = tmp_path / "KT1", "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
    written(folder, "u10.csv", head + "1565096190868,1,q1,b,38000\n1565096221062,2,q2,c,24000\n")
    written(folder, "u2.csv", head + "1565096190868,1,q1,A,38000\n")
    questions = written(
        tmp_path,
        "questions.csv",
        "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\nq1,b1,e1,b,1,1;2;179,0\nq2,b2,e2,a,1,-1,0\n",
    )
    log = read_answers([folder], items=questions)
    assert rows_of(log) == [("u2", "q1", 0), ("u10", "q1", 1), ("u10", "q2", 0)]
    assert members_of(log) == {"q1": ("1", "2", "179"), "q2": ()}
    assert any("solving_id" in note for note in log.notes)
    assert any("bundleid" in note for note in log.notes)
    with pytest.raises(SettingsError, match="do not say what is right; give the table of questions"):
        read_answers([folder])
    written(folder, "u2.csv", head + "1565096190868,1,q9,a,38000\n")
    with pytest.raises(BadRowError, match=r"u2\.csv:2: the question 'q9' is not in questions\.csv"):
        read_answers([folder], items=questions)


def test_lectures_of_riiid_are_no_answers(tmp_path: Path):
    text = (
        "row_id,timestamp,user_id,content_id,content_type_id,task_container_id,user_answer,answered_correctly\n"
        "0,0,115,5692,0,1,3,1\n1,56943,115,5716,0,2,2,0\n2,60000,115,89,1,3,-1,-1\n"
    )
    log = read_answers([written(tmp_path, "train.csv", text)])
    assert rows_of(log) == [("115", "5692", 1), ("115", "5716", 0)]
    assert log.notes[0] == "1 rows are lectures and no answers"
    rows = [{"user_id": 1, "content_id": 2, "content_type_id": kind, "answered_correctly": right} for kind, right in ((0, 1), (1, -1))]
    write_jsonl(tmp_path / "train.jsonl", rows)
    assert rows_of(read_answers([tmp_path / "train.jsonl"])) == [("1", "2", 1)]


def test_questions_of_eedi_list_their_subjects(tmp_path: Path):
    answers = written(tmp_path, "train.csv", "QuestionId,UserId,AnswerId,IsCorrect,CorrectAnswer,AnswerValue\n16997,65967,511952,1,1,1\n")
    questions = written(tmp_path, "question_metadata.csv", 'QuestionId,SubjectId\n16997,"[3, 71, 98, 209]"\n')
    subjects = written(tmp_path, "subject_metadata.csv", "SubjectId,Name,ParentId,Level\n3,Maths,NULL,0\n71,Number,3,1\n")
    log = read_answers([answers], items=questions, concepts=subjects)
    assert members_of(log) == {"16997": ("3", "71", "98", "209")}
    assert [concept.text for concept in log.catalogue.concepts] == ["Maths", "Number", "98", "209"]
    assert log.notes == ("columns that are not read: AnswerId, CorrectAnswer, AnswerValue", "columns that are not read: parentid, level")


def test_exercises_of_junyi_are_concepts_unless_a_table_says_more(tmp_path: Path):
    text = "user_id,exercise,problem_type,time_done,correct\n12884,clock,a,1419990593006938,true\n12884,clock,b,1419990593006999,false\n"
    path = written(tmp_path, "log.csv", text)
    log = read_answers([path])
    assert (rows_of(log), members_of(log)) == ([("12884", "clock", 1), ("12884", "clock", 0)], {"clock": ("clock",)})
    assert log.notes == ("each exercise is a concept of its own", "columns that are not read: problem_type")
    table = written(tmp_path, "exercises.csv", "name,prerequisites,topic,area\nclock,counting,telling-time,arithmetic\n")
    assert members_of(read_answers([path], items=table)) == {"clock": ("telling-time",)}


def test_names_of_numbers_hold_for_tables_too_and_none_may_be_lost(tmp_path: Path):
    path = written(tmp_path, "t.csv", "user,item,correct,skill_id\n1,q,1,5\n1,r,1,6\n")
    names = written(tmp_path, "skill.json", json.dumps({"Addition": 5, "Area": 6}))
    assert members_of(read_answers([path], names=names)) == {"q": ("Addition",), "r": ("Area",)}
    ids = written(tmp_path, "keyid2idx.json", json.dumps({"questions": {"q": 0}, "concepts": {"Addition": 5, "Area": 6}}))
    assert members_of(read_answers([path], names=ids)) == {"q": ("Addition",), "r": ("Area",)}
    with pytest.raises(BadRowError, match=r"other\.json: names none of the concepts of the answers \(5, 6\)"):
        read_answers([path], names=written(tmp_path, "other.json", json.dumps({"Addition": 1})))


@pytest.mark.parametrize("name", ["items.csv", "items.tsv", "items.csv.gz"])
def test_tables_of_items_have_the_names_in_use_too(tmp_path: Path, name: str):
    import gzip

    path = written(tmp_path, "t.csv", "user,item,correct\n1,q,1\n")
    text = 'Question_ID,Question Text,Skills,grade\nq,"How ""many""?",a|b,5\n'
    text = text.replace(",", "\t").replace('"How ""many""?"', 'How "many"?') if name.endswith(".tsv") else text
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    log = read_answers([path], items=tmp_path / name)
    assert log.catalogue.items[0] == ("q", 'How "many"?', ("a", "b"))
    assert log.notes == ("columns that are not read: grade",)
    written(tmp_path, "short.csv", "item,text\nq\n")
    with pytest.raises(BadRowError, match=r"short\.csv:2: the row has 1 cells and the header 2"):
        read_answers([path], items=tmp_path / "short.csv")


def test_two_texts_of_an_item_are_counted(tmp_path: Path):
    rows = [{"user": "1", "item": "q", "correct": 1, "text": text} for text in ("one", "two", "one")]
    write_jsonl(tmp_path / "t.jsonl", rows)
    log = read_answers([tmp_path / "t.jsonl"])
    assert (log.catalogue.items[0].text, log.notes) == ("one", ("1 further texts of an item are left out",))
