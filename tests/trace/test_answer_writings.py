"""Names, lists, times and dates that programs write in different ways: the same answers in each, and what is open is refused by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import luthier
from luthier.errors import BadRowError
from luthier.records import SkippedRows, write_jsonl, write_parquet
from luthier.trace.answers import AnswerLog
from luthier.trace.readers import read_answers
from luthier.trace.readers.columns import split_concepts
from luthier.trace.writings import in_seconds, whole_names

HEAD = "learner,item,correct"


def said(log: AnswerLog) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], float(row["correct"])) for row in log.rows()]


def csv(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


# --- names --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["1", "2.0"], ["1", "2"]),
        (["1", "1.0"], ["1", "1"]),
        (["1.0", "1.1"], ["1.0", "1.1"]),
        (["a", "2.0"], ["a", "2"]),
        (["-1.0", "1.00"], ["-1.0", "1.00"]),
        ([], []),
    ],
)
def test_whole_numbers_are_names_without_a_point(names: list[str], whole: list[str]) -> None:
    assert whole_names(names) == whole


@pytest.mark.parametrize("concept", [False, True])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_files_with_and_without_points_are_of_the_same_learners(tmp_path: Path, concept: bool, kind: str) -> None:
    one = csv(
        tmp_path / "a.csv", *(f"{row},s" if concept else row for row in ("1,10,1", "2,20,0")), head=f"{HEAD},skill" if concept else HEAD
    )
    rows: list[dict[str, Any]] = [{"learner": 1.0, "item": 20.0, "correct": 1.0}, {"learner": 3.0, "item": 10.0, "correct": 0.0}]
    rows = [{**row, "skill": "s"} for row in rows] if concept else rows
    other = tmp_path / f"b.{kind}"
    if kind == "csv":
        csv(other, *(",".join(map(str, row.values())) for row in rows), head=",".join(rows[0]))
    else:
        (write_jsonl if kind == "jsonl" else write_parquet)(other, rows)
    log = read_answers([one, other])
    assert said(log) == [("1", "10", 1.0), ("1", "20", 1.0), ("2", "20", 0.0), ("3", "10", 0.0)]
    assert [item.item for item in log.catalogue.items] == ["10", "20"]
    assert any("such as 1.0 are read as 1" in note for note in log.notes) == (kind == "csv")


def test_chapters_keep_their_points(tmp_path: Path) -> None:
    log = read_answers([csv(tmp_path / "a.csv", "a,1.0,1", "a,1.1,0", "a,1,1")])
    assert [item.item for item in log.catalogue.items] == ["1.0", "1.1", "1"]
    assert log.notes == ()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_blanks_around_names_are_none_of_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        csv(path, "a ,x,1", "a, x ,0", " a,y\t,1")
    else:
        write_jsonl(path, [{"learner": a, "item": b, "correct": c} for a, b, c in (("a ", "x", 1), ("a", " x ", 0), (" a", "y\t", 1))])
    assert said(read_answers([path])) == [("a", "x", 1.0), ("a", "x", 0.0), ("a", "y", 1.0)]


@pytest.mark.parametrize("row", [" ,x,1", "a,  ,1"])
def test_a_name_of_blanks_is_missing(tmp_path: Path, row: str) -> None:
    with pytest.raises(BadRowError, match=r"a.csv:3: the (learner|item) is missing"):
        read_answers([csv(tmp_path / "a.csv", "a,x,1", row)])


def test_catalogues_know_items_and_concepts_in_both_writings(tmp_path: Path) -> None:
    answers = csv(tmp_path / "a.csv", "a,1,1,5", "a,2,0,6", head=f"{HEAD},skill")
    items = csv(tmp_path / "items.csv", "1.0,one,5.0", " 2.0 ,two,6", "3.0,three,", head="item,text,skill")
    concepts = csv(tmp_path / "concepts.csv", "5.0,Adding", "6,Taking", head="concept,text")
    edges = csv(tmp_path / "edges.csv", "5.0,6", head="source,target")
    found = read_answers([answers], items=items, concepts=concepts, edges=edges).catalogue
    assert [tuple(item) for item in found.items] == [("1", "one", ("5",)), ("2", "two", ("6",)), ("3", "three", ())]
    assert [tuple(concept) for concept in found.concepts] == [("5", "Adding"), ("6", "Taking")]
    assert [edge[:2] for edge in found.edges] == [("5", "6")]


# --- lists --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "concepts"),
    [
        ('["Addition, Subtraction","Fractions"]', ["Addition, Subtraction", "Fractions"]),
        ("['Addition, Subtraction', 'Fractions']", ["Addition, Subtraction", "Fractions"]),
        ('["Don\'t know", "Sets [finite]"]', ["Don't know", "Sets [finite]"]),
        ("['Addition' 'Fractions']", ["Addition", "Fractions"]),
        ("['a; b', 'c|d']", ["a; b", "c|d"]),
        ("[1, 2.0, 3]", ["1", "2", "3"]),
        ("[algebra, fractions]", ["algebra", "fractions"]),
        ("[nan, 4]", ["4"]),
        ("['']", []),
        ("[]", []),
        ("[[[", ["[[["]),
    ],
)
def test_a_list_in_a_cell_is_a_list(cell: str, concepts: list[str]) -> None:
    assert split_concepts(cell, True) == concepts


def test_a_list_names_its_concepts_in_a_column_of_one_too(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", 'a,x,1,"[""Addition, Subtraction"",""Fractions""]"', head=f"{HEAD},skill")
    assert read_answers([path]).catalogue.items[0].concepts == ("Addition, Subtraction", "Fractions")


def test_deep_and_long_lists_are_texts() -> None:
    for cell in ("[" * 5000 + "]" * 5000, "['" + "a" * 200_000 + "']"):
        assert len(split_concepts(cell, False)) == 1


# --- times --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "seconds", "changed"),
    [
        ([1.6e9, 1.6e12 + 1000], [1.6e9, 1.6e9 + 1], 1),
        ([1.6e9, 1.6e15, 1.6e18], [1.6e9, 1.6e9, 1.6e9], 2),
        ([1.6e12, 1.7e12], [1.6e12, 1.7e12], 0),
        ([0.0, 1.6e9, 1.6e12], [0.0, 1.6e9, 1.6e9], 1),
        ([5.0, 1.6e9, 1.6e12], [5.0, 1.6e9, 1.6e12], 0),  # a counter
        ([1e9, 1e10, 1e11, 1e12], [1e9, 1e10, 1e11, 1e12], 0),
        ([], [], 0),
    ],
)
def test_units_are_told_apart_by_size(times: list[float], seconds: list[float], changed: int) -> None:
    found, count = in_seconds(np.array(times))
    assert (found.tolist(), count) == (pytest.approx(seconds), changed)


def test_milliseconds_among_seconds_are_sorted_with_them(tmp_path: Path) -> None:
    head = f"{HEAD},timestamp"
    one = csv(tmp_path / "a.csv", "a,x,1,1577869200", "a,y,1,1577869100000", "a,z,0,1577869150", head=head)
    other = csv(tmp_path / "b.csv", "a,w,0,2020-01-01T08:59:05Z", head=head)
    log = read_answers([one, other])
    assert [row[1] for row in said(log)] == ["y", "w", "z", "x"]
    assert "times of several units are told apart by their size and brought to seconds, 1 of them" in log.notes


@pytest.mark.parametrize(("text", "seconds"), [("1577869200,5", 1577869200.5), ("0,125", 0.125), (" 12 ", 12.0), ("1.500", 1.5)])
def test_decimal_commas_of_times(tmp_path: Path, text: str, seconds: float) -> None:
    log = read_answers([csv(tmp_path / "a.csv", f"a;x;1;{text}", head=f"{HEAD},timestamp".replace(",", ";"))])
    assert log.time.tolist() == [seconds]


def test_a_comma_before_three_digits_may_part_thousands(tmp_path: Path) -> None:
    with pytest.raises(BadRowError, match=r"a.csv:2: the time '12,345' is neither"):
        read_answers([csv(tmp_path / "a.csv", "a;x;1;12,345", head=f"{HEAD},timestamp".replace(",", ";"))])


DATES = ["13/01/2020 09:00", "1/2/2020 10:06", "12/01/2020 23:59"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_date_of_the_column_shows_what_stands_first(tmp_path: Path, kind: str) -> None:
    rows = [{"learner": "a", "item": f"i{at}", "correct": 1, "date": date} for at, date in enumerate(DATES)]
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        csv(path, *(",".join(map(str, row.values())) for row in rows), head=f"{HEAD},date")
    else:
        write_jsonl(path, rows)
    log = read_answers([path])
    assert [row[1] for row in said(log)] == ["i2", "i0", "i1"]
    assert log.time.tolist() == [1578873540.0, 1578906000.0, 1580551560.0]


def test_an_open_date_is_refused_with_its_line_or_read_as_told(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "a,x,1,3/3/2020", "a,y,1,1/2/2020 10:06", head=f"{HEAD},date")
    with pytest.raises(BadRowError, match=r"a.csv:3: the time '1/2/2020 10:06' may be day or month first") as raised:
        read_answers([path])
    assert "--dates day-first" in str(raised.value)
    assert [row[1] for row in said(read_answers([path], dates="day-first"))] == ["y", "x"]
    assert read_answers([path], dates="month-first").time[0] == 1577959560.0
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert [row[1] for row in said(read_answers([path], skipped=skipped))] == ["x"]
    luthier("trace", "import", path, "--dates", "month-first", "--out", tmp_path / "out", "--quiet")
    first = json.loads((tmp_path / "out" / "events.jsonl").read_text().splitlines()[0])
    assert (first["item"], first["timestamp"]) == ("y", 1577959560.0)


def test_dates_that_contradict_each_other_leave_open_ones_open(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "a,x,1,13/01/2020", "a,y,1,01/13/2020", "a,z,1,1/2/2020", head=f"{HEAD},date")
    with pytest.raises(BadRowError, match=r"a.csv:4: the time '1/2/2020'"):
        read_answers([path])
    csv(path, "a,x,1,13/01/2020", "a,y,1,01/13/2020", "a,z,1,40/40/2020", head=f"{HEAD},date")
    with pytest.raises(BadRowError, match=r"a.csv:4: the time '40/40/2020' is neither a number nor a date"):
        read_answers([path])
