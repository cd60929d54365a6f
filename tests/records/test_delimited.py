"""Separated values: what Python's own reader gives, cells of any length, and the two ways of writing tabs told apart."""

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, MissingFileError
from luthier.records.delimited import filled, inert, read_delimited, told_separator
from luthier.records.files import read_rows

cells = st.text(st.sampled_from("ab \"',;\n\r\té"), max_size=8)
without_returns = st.lists(
    st.lists(st.text(st.sampled_from("ab \"',;\n\té"), max_size=8), min_size=3, max_size=3), min_size=1, max_size=6
)  # Python's writer leaves a bare carriage return without quotes where lines end in \n
tables = st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6)


def rows(path: Path) -> list[list[str]]:
    return [row for _, row in read_delimited(path)]


@settings(max_examples=200)
@given(tables, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], quoting: int):
    sink = io.StringIO()
    csv.writer(sink, quoting=quoting).writerows([["one", "two", "three"], *table])
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_bytes(sink.getvalue().encode())
    assert rows(path) == [["one", "two", "three"], *table]


@settings(max_examples=200)
@given(without_returns, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_tabs_with_quotes_are_read_as_pandas_writes_them(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], quoting: int):
    sink = io.StringIO()
    csv.writer(sink, delimiter="\t", quoting=quoting, lineterminator="\n").writerows([["one", "two", "three"], *table])
    path = tmp_path_factory.mktemp("tsv") / "table.tsv"
    path.write_bytes(sink.getvalue().encode())
    assert rows(path) == [["one", "two", "three"], *table]


@settings(max_examples=200)
@given(st.lists(st.lists(st.text(st.sampled_from("ab \"'x"), min_size=1, max_size=6), min_size=2, max_size=2), min_size=1, max_size=6))
def test_tabs_without_quotes_keep_the_quotes_of_their_texts(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]):
    path = tmp_path_factory.mktemp("bare") / "table.tsv"
    path.write_text("\n".join("\t".join(row) for row in [['he said "no"', "b"], *table]) + "\n")
    assert rows(path)[1:] == table


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module(tmp_path: Path):
    long = "x " * 100_000
    assert len(long) > csv.field_size_limit()
    for name, text in (("a.tsv", f"id\ttext\n1\t{long}y\n"), ("a.csv", f'id,text\n1,"{long}y"\n'), ("b.csv", f"id;text\n1;{long}y\n")):
        (tmp_path / name).write_text(text)
        assert rows(tmp_path / name)[1] == ["1", f"{long}y"]
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress((tmp_path / "a.tsv").read_bytes()))
    assert rows(tmp_path / "a.tsv.gz") == rows(tmp_path / "a.tsv")


def test_rows_have_the_line_that_they_begin_on(tmp_path: Path):
    (tmp_path / "a.csv").write_text('\ufeffid,text\n1,"two\nlines"\n\n2,b')
    assert list(read_delimited(tmp_path / "a.csv")) == [(1, ["id", "text"]), (2, ["1", "two\nlines"]), (5, ["2", "b"])]
    (tmp_path / "a.txt").write_text("1 0  d1 2\r\n\r\n2\t0\td2\t1\r\n")
    assert list(read_delimited(tmp_path / "a.txt")) == [(1, ["1", "0", "d1", "2"]), (3, ["2", "0", "d2", "1"])]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", b'id,text\n1,"open\n2,b\n', r"a\.csv:2: a cell begins with a quote"),
        ("a.csv", b'id,text\n1,"a"b"\n', r"a\.csv:2: a cell begins with a quote"),
        ("a.tsv", b"id\ttext\n1\t\xff\n", r"a\.tsv:2: not UTF-8"),
        ("a.tsv.gz", b"\x1f\x8b\x08broken", "gzip data is damaged"),
    ],
)
def test_what_is_damaged_is_named(name: str, data: bytes, told: str, tmp_path: Path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRowError, match=told):
        rows(tmp_path / name)
    with pytest.raises(MissingFileError, match="cannot read"):
        rows(tmp_path / "none.tsv")


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_gets_a_quote_in_front(text):
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "a=b", "'=1", -2.5, 3, None])
def test_what_no_spreadsheet_runs_stays_as_it_is(value):
    assert inert(value) is value


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nq;answer\r\ntea, hot;four\r\n",
        "q;answer;;\ntea, hot;four;;\n;;;\n",
        '"q, asked";answer\ntea, hot;four\n',
        "q;answer\n\n;\ntea, hot;four\n;\n",
    ],
)
def test_tables_as_spreadsheets_save_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    rows = list(filled(read_delimited(path)))
    assert [cells[-2:] for _, cells in rows][1:] == [["tea, hot", "four"]]
    assert len(rows[0][1]) == 2
    assert rows[-1][0] == text.splitlines().index(next(line for line in text.splitlines() if line.startswith("tea"))) + 1


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_first_line_that_names_the_separator(first: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(f'{first}\nq;answer\n"tea; hot";four\n'.encode())
    assert list(read_delimited(tmp_path / name)) == [(2, ["q", "answer"]), (3, ["tea; hot", "four"])]


@pytest.mark.parametrize("first", ["sep=", "sep=;;", "sep=a", "separator=;", '"sep=;', ""])
def test_a_line_that_names_no_separator_is_a_row(first: str) -> None:
    assert told_separator(first) is None


def test_a_last_column_without_a_name_that_holds_something_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("q,answer,\ntea,four,\nbun,two,x\n")
    assert [cells for _, cells in filled(read_delimited(path))] == [["q", "answer", ""], ["tea", "four", ""], ["bun", "two", "x"]]


@pytest.mark.parametrize(("encoding", "advice"), [("utf-16", "iconv -f utf-16"), ("cp1252", "iconv -f cp1252")])
def test_lines_in_another_encoding_come_with_advice(encoding: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes('{"text": "Zoë"}\n'.encode(encoding))
    with pytest.raises(BadRowError, match=advice):
        list(read_rows(path))
