"""Tables inside documents: the grid of an HTML table, what GitHub takes for a table of Markdown, quotes of TSV, and cells that may say nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linear_time import LARGE, SMALL, superlinear
from luthier.errors import BadRowError
from luthier.records import SkippedRows
from luthier.records.account import Account
from luthier.synthesize.fusion import Columns, KnowledgeBase
from luthier.synthesize.fusion.documents import Reading, Row, Text, read_documents
from luthier.synthesize.fusion.markup import is_note, tables_of
from luthier.synthesize.fusion.pages import MOST_COLUMNS, HtmlPage


def rows(path: Path, reading: Reading | None = None) -> list[tuple[str, ...]]:
    return [tuple(one.cells.values()) for one in read_documents([path], reading) if isinstance(one, Row)]


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / name


@pytest.mark.parametrize(
    ("table", "grid"),
    [
        ("<tr><td rowspan=2>France<td>Paris<tr><td>Lyon<tr><td>Peru<td>Lima", [["France", "Paris"], ["France", "Lyon"], ["Peru", "Lima"]]),
        ("<tr><td>a<td colspan=2>b<tr><td>c<td>d<td>e", [["a", "b", "b"], ["c", "d", "e"]]),
        ("<tr><td rowspan=2 colspan=2>a<td>b<tr><td>c<tr><td>d<td>e<td>f", [["a", "a", "b"], ["a", "a", "c"], ["d", "e", "f"]]),
        ("<tr><td>a<td rowspan=2>b<td>c<tr><td>d<td>e", [["a", "b", "c"], ["d", "b", "e"]]),
        ("<tbody><tr><td rowspan=0>a<td>b<tr><td>c</tbody><tbody><tr><td>d<td>e", [["a", "b"], ["a", "c"], ["d", "e"]]),
        ("<thead><tr><th rowspan=3>a<th>b</thead><tbody><tr><td>c<td>d", [["a", "b"], ["c", "d"]]),
        ("<tr><td rowspan=9>a<td>b<tr><td>c", [["a", "b"], ["a", "c"]]),
        ("<tr><td rowspan=x>a<td colspan=0>b<tr><td>c<td>d", [["a", "b"], ["c", "d"]]),
        ("<td>a<td>b<tr><td>c<td>d", [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_cell_stands_in_every_row_and_column_that_it_spans(table: str, grid: list[list[str]]):
    assert HtmlPage(f"<table>{table}</table>").tables == [grid]


def test_spans_beyond_all_measure_cost_no_memory():
    page = HtmlPage("<table>" + "<tr>" + "<td colspan=1000 rowspan=65534>a" * 50 + "<tr><td>b</table>")
    assert [len(row) for row in page.tables[0]] == [MOST_COLUMNS, MOST_COLUMNS]


@pytest.mark.parametrize(
    ("before", "raised", "note"),
    [
        ("Price ", "1", True), ("Price", "1", True), ("Lyon", "a", True), ("5 €", "2", True), ("Peru", "*", True), ("Peru", "[note 2]", True),
        ("Area (km", "2", False), ("10", "3", False), ("x", "n", False), ("(a+b)", "2", False), ("19", "th", False), ("", "14", False), ("feet", "2", False),
        ("Peru", "1, 2", True), ("5", "†", True),
    ],
)  # fmt: skip
def test_a_raised_sign_is_a_note_unless_it_is_an_exponent(before: str, raised: str, note: bool):
    assert is_note(before, raised) is note


@pytest.mark.parametrize("kind", [".html", ".md"])
def test_notes_and_struck_out_text_are_left_out_and_counted(tmp_path: Path, kind: str):
    table = [
        ("Name", "Price <sup>1</sup>", "Area (km<sup>2</sup>)"),
        ("Pin", "<s>5</s> 6", "7"),
        ("Rod<sup>a</sup>", "<del>8</del> 9", "<strike>1</strike> 2"),
    ]
    if kind == ".html":
        text = (
            "<p>Was <s>Lima</s> Rome.</p><table>"
            + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in table)
            + "</table>"
        )
    else:
        head, *body = ("|" + "|".join(row) + "|" for row in table)
        text = "\n".join(["Was ~~Lima~~ Rome.", "", head, "|-|-|-|", *body])
    kb = KnowledgeBase.from_paths([written(tmp_path, f"a{kind}", text)])
    assert {(fact.subject, fact.attribute): fact.value for fact in kb.facts} == {
        ("Pin", "price"): "6", ("Pin", "area (km 2 )"): "7", ("Rod", "price"): "9", ("Rod", "area (km 2 )"): "2",
    }  # fmt: skip
    assert [" ".join(one.text.split()) for one in kb.texts] == ["Was Rome."]
    assert kb.dropped == {"raised sign of a note": 2, "text that is struck out": 4}


GHOST = "| Name | Price |\n|---|---|\n| Ghost | 9 |"


@pytest.mark.parametrize(
    "text",
    [
        f"```\n{GHOST}\n```", f"~~~md\n{GHOST}\n~~~", f"<!--\n{GHOST}\n-->", f"<!-- {GHOST} -->", GHOST.replace("| ", "    | ").replace("|-", "    |-"),
        "\t" + GHOST.replace("\n", "\n\t"), f"<pre>\n{GHOST}\n</pre>", "Name | Price\n--- \nGhost | 9", "| Name | Price |\n|---|\n| Ghost | 9 |",
    ],
)  # fmt: skip
def test_what_is_no_table_gives_no_facts(text: str):
    assert tables_of(text).tables == []


@pytest.mark.parametrize("text", [f"a\n<!--\n{GHOST}\n-->\nb", f"a\n<!-- {GHOST} -->\nb"])
def test_comments_are_no_text_of_markdown_and_a_text_of_others(tmp_path: Path, text: str):
    told = [[one.text for one in read_documents([written(tmp_path, name, text)]) if isinstance(one, Text)] for name in ("a.md", "a.txt")]
    assert told == [["a\nb"], [text]]


@pytest.mark.parametrize("rule", [":-: | -", "-|-", "| - | - |", "|:-|-:|", "--- | ---", "| :---: | -------: |"])
def test_every_rule_of_a_table_is_seen(rule: str):
    assert tables_of(f"Name | Price\n{rule}\nTight | 9").tables == [[["Name", "Price"], ["Tight", "9"]]]


def test_tables_in_quotes_and_lists_are_tables():
    text = "> | Name | Price |\n> |---|---|\n> | Quote | 9 |\n\n- item\n\n  | Name | Price |\n  |---|---|\n  | Inlist | 8 |\n"
    found = tables_of(text)
    assert found.tables == [[["Name", "Price"], ["Quote", "9"]], [["Name", "Price"], ["Inlist", "8"]]]
    assert found.text.split() == ["-", "item"]
    assert found.beyond == 0


def test_rows_are_as_long_as_the_header_and_what_is_beyond_is_counted(tmp_path: Path):
    text = "|Name|Price|\n|-|-|\n|Short|\nbare\n|Long|1|2|3|\n|a \\| b|5|\n\nAfter | 8"
    found = tables_of(text)
    assert found.tables == [[["Name", "Price"], ["Short", ""], ["bare", ""], ["Long", "1"], ["a | b", "5"]]]
    assert (found.text, found.beyond) == ("\nAfter | 8", 2)
    kb = KnowledgeBase.from_paths([written(tmp_path, "a.md", text)])
    assert kb.dropped == {"cell beyond the columns of its table": 2, "missing or empty cell": 2}


def test_cells_beyond_the_columns_of_a_page_are_counted(tmp_path: Path):
    reading = Reading()
    page = "<table><tr><td>a<td>b<tr><td>c<tr><td>d<td>e<td>f<td></table>"
    assert rows(written(tmp_path, "a.html", page), reading) == [("c", ""), ("d", "e")]
    assert reading.beyond == 1


@pytest.mark.parametrize("piece", ["|", "-", "|-", "| - | ", "<!--\n", "<!-- ", "> ", "> |-"])
def test_looking_for_tables_takes_time_as_the_text_grows(piece: str):
    small, large = (piece * (size // len(piece)) for size in (SMALL, LARGE))
    assert not superlinear(lambda text: tables_of(text, comments=False), small, large)


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", exclude_categories=("Cs",)), max_size=8
)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tsv_is_read_as_pandas_and_excel_write_it(tmp_path: Path, table: list[tuple[str, str]]):
    frame = pd.DataFrame([("first", 'a\tb\n"c"'), *table], columns=["name", "note"])
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert rows(tmp_path / "a.tsv") == [tuple(row) for row in frame.itertuples(index=False)]


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])
def test_a_cell_of_tsv_in_quotes_may_hold_tabs_and_line_ends(tmp_path: Path, quoting: int):
    told = io.StringIO()
    csv.writer(told, "excel-tab", quoting=quoting).writerows(
        [("name", "size", "note"), ("screw", "5", "long\nline"), ("bolt", "6", "a\tb")]
    )
    path = written(tmp_path, "a.tsv", told.getvalue())
    assert rows(path) == [("screw", "5", "long\nline"), ("bolt", "6", "a\tb")]
    assert [one.place for one in read_documents([path]) if isinstance(one, Row)] == [f"{path}:2", f"{path}:4"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "name\tprice\tnote\nbolt\t1\nnut\n"),
        ("a.csv", "name,price,note\nbolt,1\nnut\n"),
        ("a.md", "|name|price|note|\n|-|-|-|\n|bolt|1|\n|nut|\n"),
    ],
)
def test_cells_that_a_short_row_lacks_are_counted(tmp_path: Path, name: str, text: str):
    kb = KnowledgeBase.from_paths([written(tmp_path, name, text)])
    assert [(fact.subject, fact.attribute, fact.value) for fact in kb.facts] == [("bolt", "price", "1")]
    assert kb.dropped == {"missing or empty cell": 3}


def test_rows_of_tsv_that_do_not_fit_are_set_aside_by_their_line(tmp_path: Path):
    path = written(tmp_path, "a.tsv", 'name\tnote\nbolt\t"x\ny"\nnut\t1\t2\n"a\nb"\n')
    with pytest.raises(BadRowError, match=r"a\.tsv:4: 3 cells under 2 columns"):
        rows(path)
    skipped = SkippedRows(tmp_path / "aside.jsonl")
    assert len(list(read_documents([path], skipped=skipped))) == 1
    assert skipped.count == 2  # the last one begins in quotes that take a line


@pytest.mark.parametrize(
    ("table", "subjects"),
    [
        ("code,capital\nFR,Paris\nNO,Oslo\nNA,Windhoek\nDE,Berlin\n", {"FR", "NO", "NA", "DE"}),
        ("code,capital\nFRA,Paris\nNA,Windhoek\nDEU,Berlin\n", {"FRA", "DEU"}),
        ("code,year\nFR,1\nNA,2\nDE,3\nNA,4\nNA,5\n", {"FR", "DE"}),
        (
            "film,year\nNo,2012\nYes,2004\nTrue,2001\nUnknown,2011\nShrek,2003\nAlien,1979\n",
            {"No", "Yes", "True", "Unknown", "Shrek", "Alien"},
        ),
        ("film,year\nUnknown,2012\nunknown,2004\nUnknown,2011\nShrek,2003\nAlien,1979\n", {"Shrek", "Alien"}),
        ("film,year\nNone,1\nNull,2\nNaN,3\n-,4\nn/a,5\nNA,6\nShrek,7\n", {"Shrek"}),
        ("id,year\nunknown,2\n17,3\n18,4\n", {"17", "18"}),
    ],
)
def test_a_subject_is_judged_by_its_column(tmp_path: Path, table: str, subjects: set[str]):
    path = written(tmp_path, "a.csv", table)
    with Account() as account:
        kb = KnowledgeBase.from_paths([path])
    assert {fact.subject for fact in kb.facts} == subjects
    assert kb.dropped.get("row without a subject", 0) == table.count("\n") - 1 - len(subjects)
    for lost, line in (
        (each.split(",")[0], at) for at, each in enumerate(table.splitlines(), 1) if each.split(",")[0] not in subjects and at > 1
    ):
        (entry,) = [entry for entry in account.of("left out") if entry.reason == f"row without a subject: {lost!r}"]
        assert int(entry.first.rpartition(":")[2]) <= line


def test_a_value_is_a_code_among_codes_and_a_flag_among_others(tmp_path: Path):
    path = written(tmp_path, "a.csv", "person,country,vegan\nAnn,NO,Yes\nBob,FR,No\nCai,DE,Maybe\n")
    with Account() as account:
        kb = KnowledgeBase.from_paths([path], Columns())
    assert {(fact.subject, fact.attribute): fact.value for fact in kb.facts} == {
        ("Ann", "country"): "NO", ("Bob", "country"): "FR", ("Cai", "country"): "DE", ("Cai", "vegan"): "Maybe",
    }  # fmt: skip
    assert [(entry.reason, entry.first) for entry in account.of("left out")] == [
        ("yes or no, which is no value to ask for, vegan: 'Yes'", f"{path}:2"), ("yes or no, which is no value to ask for, vegan: 'No'", f"{path}:3"),
    ]  # fmt: skip
