"""Tables of results in the forms in which people keep them: the same answers, whatever stands between and around them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.errors import BadRowError, MissingFileError
from luthier.records import SkippedRows, write_parquet
from luthier.records.account import Account
from luthier.trace.results import read_results

ROWS = [("x", "1", 1.0), ("x", "2", 0.0), ("y", "1", 0.5), ("y", "2", 1.0)]


def told(path: Path, **options: Any) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], float(row["correct"])) for row in read_results([path], **options).rows()]


def separated(sign: str, one: str = "{:g}") -> str:
    return sign.join(("learner", "item", "correct")) + "\n" + "".join(sign.join((a, b, one.format(c))) + "\n" for a, b, c in ROWS)


def rows(kind: type = str) -> list[dict[str, Any]]:
    return [{"learner": a, "item": kind(b), "correct": c} for a, b, c in ROWS]


@pytest.mark.parametrize("name", ["base.csv", "base.csv.gz", "base.jsonl", "base.json", "base.parquet"])
def test_a_table_without_learners_is_of_the_one_it_is_named_after(tmp_path: Path, name: str) -> None:
    bare = [{"item": b, "correct": c} for a, b, c in ROWS if a == "x"]
    if name.endswith(".parquet"):
        write_parquet(tmp_path / name, bare)
    else:
        lines = [json.dumps(row) for row in bare]
        text = "item,correct\n" + "".join(f"{row['item']},{row['correct']:g}\n" for row in bare) if "csv" in name else "\n".join(lines)
        text = f"[{','.join(lines)}]" if name.endswith(".json") else text
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert told(tmp_path / name) == [("base", "1", 1.0), ("base", "2", 0.0)]
    named = read_results([f"tuned={tmp_path / name}"])
    assert list(named.learners) == ["tuned"]
    with pytest.raises(MissingFileError, match="no evaluation results there"):  # in a folder it may be a table of anything
        read_results([tmp_path])
    with pytest.raises(BadRowError, match="not a layout of evaluation results"):
        read_results([tmp_path / name], columns={"learner": "model"})


def test_a_table_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("item,correct\n1,1\n".encode("utf-16"))
    with pytest.raises(BadRowError, match="iconv -f utf-16"):
        read_results([tmp_path / "t.csv"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", separated(",")),
        ("t.csv", separated(";")),
        ("t.csv", separated(";", "{:g}").replace("0.5", "0,5")),
        ("t.csv", separated("\t")),
        ("t.tsv", separated("\t")),
        ("t.csv", "sep=;\n" + separated(";")),
        ("t.csv", '"sep=;"\r\n' + separated(";").replace("0.5", "0,5")),
        ("t.tsv", "sep=\t\n" + separated("\t")),
        ("t.txt", separated("\t")),
        ("t.csv", separated(";").replace("learner;", '"learner";').replace("correct", '"correct"')),
        ("t.csv", separated(",").replace("x,", " x ,").replace(",2,", ", 2,")),
        ("t.csv", separated(",").replace(",1,", ",1.0,").replace(",2,", ",2.0,")),
        ("t.csv", separated(",").replace("y,1,", "y,1.0,").replace("y,2,", "y,2.0,")),
        ("t.json", json.dumps(rows())),
        ("t.json", json.dumps(rows(int), indent=2)),
        ("t.json", json.dumps(rows(float))),
        ("t.jsonl", "".join(json.dumps(row) + "\n" for row in [*rows(int)[:2], *rows(float)[2:]])),
        ("t.json", "".join(json.dumps(row) + "\n" for row in rows())),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_answers_in_any_form(tmp_path: Path, name: str, text: str, packed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert told(path) == ROWS
    assert told(tmp_path) == ROWS


@pytest.mark.parametrize(
    ("right", "wrong"), [("yes", "no"), ("Correct", "Incorrect"), ("TRUE", "FALSE"), ("pass", "fail"), ("right", "wrong"), ("1,0", "0,0")]
)
def test_words_for_right_and_wrong(tmp_path: Path, right: str, wrong: str) -> None:
    (tmp_path / "t.csv").write_text(f"learner;item;correct\na;x;{right}\na;y;{wrong}\n")
    (tmp_path / "t.json").write_text(
        json.dumps([{"learner": "a", "item": one, "correct": word} for one, word in (("x", right), ("y", wrong))])
    )
    assert told(tmp_path / "t.csv") == told(tmp_path / "t.json") == [("a", "x", 1.0), ("a", "y", 0.0)]


def test_chapters_are_not_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("learner,item,correct\na,1.0,1\na,1.1,1\na,1,0\n")
    assert [row[1] for row in told(tmp_path / "t.csv")] == ["1.0", "1.1", "1"]


def test_numbers_of_parquet_meet_those_of_text(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", rows(float)[:2])
    (tmp_path / "b.csv").write_text("learner,item,correct\ny,1,0.5\ny,2,1\n")
    said = luthier("compare", tmp_path / "a.parquet", tmp_path / "b.csv", "--out", tmp_path / "run", "--quiet").stdout
    assert "50 % → 75 % of 2 items that both answered" in said


def test_items_of_numbers_get_their_texts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(separated(","))
    (tmp_path / "items.json").write_text(json.dumps([{"item": 1, "text": "one"}, {"item": 2.0, "text": "two"}]))
    (tmp_path / "items.csv").write_text("item,text\n1.0,one\n2.0,two\n")
    for name in ("items.json", "items.csv"):
        assert [item.text for item in read_results([tmp_path / "t.csv"], tmp_path / name).catalogue.items] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.csv", "learner;item;correct\na;x;7\n", "t.csv:2: correct is '7'"),
        ("t.csv", "learner;item;correct\na; ;1\n", "t.csv:2: the item is empty"),
        ("t.csv", "learner,item,correct,correct\na,x,1,1\n", "t.csv:1: two columns are called 'correct'"),
        ("t.csv", "sep=;\nlearner;item;correct\na;x;7\n", "t.csv:3: correct is '7'"),
        ("t.csv", "sep=;\nlearner;item;correct;correct\na;x;1;1\n", "t.csv:2: two columns are called 'correct'"),
        ("t.csv", "sep=;\nlearner;item;correct\na;x;1\nb;y\n", "t.csv:4: "),
        ("t.json", '[{"learner": "a", "item": " ", "correct": 1}]', "t.json:1: the row has no item"),
        ("t.json", '[{"learner": "a", "item": "x", "correct": "75%"}]', "t.json:1: correct is '75%'"),
        ("t.json", '{"learner": 1, "item": 2}', "not a layout of evaluation results"),
    ],
)
def test_what_is_no_answer_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadRowError) as raised:
        told(tmp_path / name)
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_times_are_numbers_or_dates(tmp_path: Path, name: str) -> None:
    times = ["2020-01-13T09:00:00", "13/01/2020 08:00", "1578906060"]
    table = [{"learner": "a", "item": str(at), "correct": 1, "timestamp": time} for at, time in enumerate(times)]
    text = "learner,item,correct,timestamp\n" + "".join(",".join(map(str, row.values())) + "\n" for row in table)
    (tmp_path / name).write_text(text if name == "t.csv" else json.dumps(table))
    assert read_results([tmp_path / name]).time.tolist() == [1578902400.0, 1578906000.0, 1578906060.0]


def dated(path: Path, *times: str) -> Path:
    table = [{"learner": "a", "item": str(at), "correct": 1, "timestamp": time} for at, time in enumerate(times)]
    if path.suffix == ".parquet":
        write_parquet(path, table)
    elif path.suffix == ".csv":
        path.write_text("learner,item,correct,timestamp\n" + "".join(",".join(map(str, row.values())) + "\n" for row in table))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet"])
def test_a_date_of_the_column_shows_what_stands_first(tmp_path: Path, name: str) -> None:
    assert read_results([dated(tmp_path / name, "01/02/2024", "25/12/2024")]).time.tolist() == [1706745600.0, 1735084800.0]
    assert read_results([dated(tmp_path / name, "01/02/2024", "12/25/2024")]).time.tolist() == [1704153600.0, 1735084800.0]
    with pytest.raises(
        BadRowError, match=rf"{name}:[12]: timestamp is '01/02/2024'; it may be day or month first, and the others of its column"
    ):
        read_results([dated(tmp_path / name, "01/02/2024", "03/02/2024")])


def test_rows_that_are_read_again_for_their_dates_are_counted_once(tmp_path: Path) -> None:
    path = dated(tmp_path / "t.jsonl", "01/02/2024", "25/12/2024", "02/02/2024")
    path.write_text(
        path.read_text() + '{"learner": "a"}\n{"learner": "a", "item": "y", "correct": 1, "timestamp": "05/02/2024", "more": 1}\n'
    )
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    with Account() as account:
        assert len(read_results([path], skipped=skipped)) == 4
    assert skipped.count == 1
    assert sorted((entry.fate, entry.rows) for entry in account.entries) == [("left out", 1), ("refused", 1), ("understood", 4)]


def test_a_learner_of_refused_rows_alone_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("learner,item,correct\na,x,1\nb,y,7\n")
    log = read_results([tmp_path / "t.csv"], skipped=SkippedRows(tmp_path / "bad.jsonl"))
    assert (log.learners, [item.item for item in log.catalogue.items]) == (("a",), ["x"])
