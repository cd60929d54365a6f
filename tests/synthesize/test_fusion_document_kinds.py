"""Kinds of documents that come from elsewhere: dates with times, Markdown's markup, stray quotes, columns told twice, signs in names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import BadRowError, SettingsError
from luthier.records import SkippedRows
from luthier.synthesize.fusion import FusionSuite, KnowledgeBase
from luthier.synthesize.fusion.documents import Reading, Row, Text, read_documents
from luthier.synthesize.fusion.facts import fact_id
from luthier.synthesize.fusion.splitting import split_facts
from luthier.texts.values import kind_of, mentions


def facts(folder: Path, name: str, text: str) -> dict[tuple[str, str], str]:
    (folder / name).write_text(text)
    return {(fact.subject, fact.attribute): fact.value for fact in KnowledgeBase.from_paths([folder / name]).facts}


def cells(folder: Path, name: str, text: str) -> list[dict]:
    (folder / name).write_text(text, newline="")
    return [one.cells for one in read_documents([folder / name]) if isinstance(one, Row)]


DAYS = (
    ("2024-01-01 00:00:00", "2024-02-01 00:00:00"),
    ("2024-01-01T09:30:00+02:00", "2024-02-01T09:30:00Z"),
    ("2024-01-01 17:55:24 UTC", "2024-02-01 17:55:24.123456+0000"),
    ("20240101", "20240201"),
    ("20240101T093000Z", "20240201T0930"),
    ("1704067200", "1706745600000"),
    ("Mon, 01 Jan 2024 09:30:00 GMT", "Thu, 01 Feb 2024 09:30:00 +0100"),
    ("01.01.2024 09:30", "01.02.2024 9:30"),
    ("January 1, 2024, 9:30 AM", "1 February 2024 21:30"),
    ("2024/01/01 09:30", "Thursday 1 February 2024"),
)


@pytest.mark.parametrize(("first", "second"), DAYS)
def test_a_date_with_a_time_of_day_is_a_date(tmp_path, first, second):
    rows = [{"product": "A", "price": "10", "updated": first}, {"product": "A", "price": "12", "updated": second}]
    (tmp_path / "a.json").write_text(json.dumps([*rows, {"product": "B", "price": "5", "updated": first}]))
    kb = KnowledgeBase.from_paths([tmp_path / "a.json"])
    ((old, new),) = [(one.old, one.new) for one in kb.updates]
    assert (old.value, new.value, old.date) == ("10", "12", "2024-01-01")
    assert new.date in ("2024-02-01", "2024-01-02")  # 01.02. may be either
    assert [(fact.subject, fact.value, fact.date) for fact in kb.facts] == [("B", "5", "2024-01-01")]


def test_numbers_in_a_date_column_are_read_as_they_came(tmp_path):
    rows = [{"product": "A", "price": 10, "updated": 20240101}, {"product": "A", "price": 12, "updated": 1706745600}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (update,) = KnowledgeBase.from_paths([tmp_path / "a.jsonl"]).updates
    assert (update.old.date, update.new.date) == ("2024-01-01", "2024-02-01")


@pytest.mark.parametrize("text", ["12345", "2024-13-40 09:30:00", "2024-05-17 and more", "about 2024", "99999999999999999"])
def test_what_is_no_date_stays_none(tmp_path, text):
    (tmp_path / "a.csv").write_text(f"product,price,updated\nA,10,{text}\n")
    assert [fact.date for fact in KnowledgeBase.from_paths([tmp_path / "a.csv"]).facts] in ([None], ["2024"])


def test_a_value_with_a_time_is_a_date_and_its_time_no_number():
    assert kind_of(["2024-05-17 09:30:00", "2012-10-11T17:55:24 UTC", "17 May 2024 09:30"]) == "date"
    assert mentions("It opened on 2024-05-17 09:30:00+02:00 with 12 boats.", "number") == mentions(
        "It opened on                           with 12 boats.", "number"
    )


def test_documents_in_which_every_value_changed_make_a_suite_of_conflicts(tmp_path):
    rows = [f"P{n},{10 + n * k},2024-0{k}-01" for n in range(1, 20) for k in (1, 2)]
    (tmp_path / "a.csv").write_text("\n".join(["product,price,updated", *rows]))
    kb = KnowledgeBase.from_paths([tmp_path / "a.csv"])
    assert (len(kb.facts), len(kb.updates), kb.dropped) == (0, 19, {})
    suite = FusionSuite.build(split_facts(kb))
    assert {item.scenario for item in suite.items} == {"C"}


def test_an_error_counts_what_there_is_and_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text("product,price\nA,10\nA,12\n")
    with pytest.raises(SettingsError, match=r"no facts there \(2 contradiction without an order in time\)"):
        KnowledgeBase.from_paths([tmp_path / "a.csv"])


MARKED = (
    ("[12][v12]", "12"),
    ("[8.1 - 8.4](https://example.org/12)", "8.1 - 8.4"),
    ("**11**", "11"),
    ("`>=7.4`[^1]", ">=7.4"),
    ("[v12]", "v12"),
    ("[site](<https://example.org/a b> \"title\")", "site"),
    ("![logo](a.png) Nova", "logo Nova"),
    ("*Nova* __3__ ~~old~~", "Nova 3"),
    ("***bold*** `a_b`", "bold a_b"),
    ("snake_case_name", "snake_case_name"),
    ("5 \\* 3", "5 * 3"),
    ("R&amp;D &lt;1&gt;", "R&D <1>"),
    ("x<br>y", "x y"),
    ("H<sub>2</sub>O", "H 2 O"),
    ("<https://example.org>", "https://example.org"),
    ("[a, b] and [c][nowhere]", "[a, b] and [c][nowhere]"),
    ("[**12**](x) [^note]", "12"),
    ("2 * 3 * 4", "2 * 3 * 4"),
)  # fmt: skip


@pytest.mark.parametrize(("cell", "seen"), MARKED)
def test_cells_of_markdown_are_what_a_reader_sees(tmp_path, cell, seen):
    text = f"| Name | {cell} |\n|---|---|\n| {cell} | {cell} |\n\n[v12]: https://example.org\n[^1]: note\n"
    (row,) = cells(tmp_path, "a.md", text)
    assert row == {"Name": seen, seen: seen}


def test_running_text_of_markdown_is_what_a_reader_sees(tmp_path):
    text = """# The [Nova](x)

Made by **Acme**[^1], see [here][v12].

- *one*
1. `two`

```py
a = b[0][1] * c
```

[v12]: https://example.org
[^1]: A *note*.
"""
    (tmp_path / "a.md").write_text(text)
    (told,) = [one.text for one in read_documents([tmp_path / "a.md"]) if isinstance(one, Text)]
    assert told == "# The Nova\n\nMade by Acme, see here.\n\n- one\n1. two\n\n```py\na = b[0][1] * c\n```\n\nA note."


def test_citations_in_a_page_are_no_part_of_a_cell(tmp_path):
    page = "<table><tr><th>name</th><th>area</th></tr><tr><td>Brest<sup>[1]</sup></td><td>49 km<sup>2</sup><sup>[note 2]</sup></td></tr></table>"
    assert cells(tmp_path, "a.html", page) == [{"name": "Brest", "area": "49 km 2"}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            'part\tsize\nscreen\t5 in\n"long\tq\nscrew\t12\nnail\t13\n',
            [("screen", "5 in"), ('"long', "q"), ("screw", "12"), ("nail", "13")],
        ),
        ('part\tsize\n"a ""b"" c"\t"5"\n', [('a "b" c', "5")]),
        ('part\tsize\nscreen\t5"\nsaw\t"7" blade"\n', [("screen", '5"'), ("saw", '"7" blade"')]),
        ('part\tsize\na\t""\n', [("a", "")]),
    ],
)
def test_a_quote_in_tsv_is_a_letter_like_others(tmp_path, text, rows):
    assert [tuple(row.values()) for row in cells(tmp_path, "a.tsv", text)] == rows


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('part,size\nscreen,5\n"long,q\nscrew,12\nnail,13\n', 3, "a quote opens here that is not closed"),
        ('part,size\nscreen,"5 in\nscrew,12\n', 2, "a quote opens here that is not closed"),
        ('part,size\nscreen,5\n"long,q\nscrew,12"\nnail,13\n', 3, "a quote takes 2 lines into one row of 1 cells under 2 columns"),
        ('part,size\n"a\nb",5\nc,"6\n', 4, "a quote opens here that is not closed"),
    ],
)
def test_a_quote_in_csv_that_swallows_rows_is_refused_by_line(tmp_path, text, line, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadRowError, match=message) as caught:
        list(read_documents([tmp_path / "a.csv"]))
    assert str(caught.value).startswith(f"{tmp_path / 'a.csv'}:{line}: ")
    skipped = SkippedRows(tmp_path / "aside.jsonl")
    list(read_documents([tmp_path / "a.csv"], skipped=skipped))
    assert skipped.count == 1


def test_quotes_in_csv_that_are_meant_are_read(tmp_path):
    text = 'part,size\n"a, b","5 ""in"""\n"two\nlines",6\nscreen 5",7\n'
    assert [tuple(row.values()) for row in cells(tmp_path, "a.csv", text)] == [("a, b", '5 "in"'), ("two\nlines", "6"), ('screen 5"', "7")]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.md", "a.html"])
def test_a_column_told_twice_must_say_the_same(tmp_path, name):
    table = [("part", "size", "size", "", ""), ("nail", "5", "5", "x", "y"), ("saw", "6", "7", "", ""), ("bolt", "8", "", "", "")]
    text = {
        ".csv": "\n".join(",".join(row) for row in table),
        ".tsv": "\n".join("\t".join(row) for row in table),
        ".md": "\n".join(["|" + "|".join(table[0]) + "|", "|---|---|---|---|---|", *("|" + "|".join(row) + "|" for row in table[1:])]),
        ".html": f"<table>{''.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in table)}</table>",
    }[Path(name).suffix]
    assert {key: value for key, value in facts(tmp_path, name, text).items() if key[1]} == {("nail", "size"): "5", ("bolt", "size"): "8"}
    reading = Reading()
    list(read_documents([tmp_path / name], reading))
    assert reading.repeated == 1
    assert KnowledgeBase.from_paths([tmp_path / name]).dropped["column told twice with two values"] == 1


def test_signs_tell_names_apart_and_capitals_do_not():
    apart = ("C", "C++", "C#", "S8", "S8+", "100", "100%", "!!!", "???", "$5", "€5", "A*", "किताब", "कताब", "R&D", "R D")
    assert len({fact_id(name, "x") for name in apart}) == len(apart)
    assert fact_id("Yahoo!", "x") == fact_id("yahoo", "X")
    assert fact_id("Alien: Covenant", "x") == fact_id("Alien Covenant", "x")
