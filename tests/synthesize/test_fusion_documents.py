"""Documents: every kind gives its rows and texts; the empty, broken and oversized ones are counted or refused with a clear line."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import SkippedRows
from luthier.records.account import Account
from luthier.synthesize.fusion import Columns, KnowledgeBase
from luthier.synthesize.fusion.documents import LARGEST_TEXT, Reading, Row, Text, flat_rows, read_documents

TABLE = [("Nova 3", "2025-09-19", "180 g"), ("Nova 2", "2022-03-04", "171 g"), ("Orion 7", "2025-11-30", "n/a")]


def write(folder: Path, kind: str) -> Path:
    """The same table in each layout."""
    path = folder / f"phones{kind}"
    lines = [",".join(cells) for cells in (("name", "released", "weight"), *TABLE)]
    rows = [dict(zip(("name", "released", "weight"), cells, strict=True)) for cells in TABLE]
    piped = "\n".join(["| name | released | weight |", "| --- | :---: | ---: |", *(f"| {' | '.join(cells)} |" for cells in TABLE)])
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in TABLE)
    text = {
        ".csv": "\n".join(lines),
        ".tsv": "\n".join(line.replace(",", "\t") for line in lines),
        ".jsonl": "\n".join(map(json.dumps, rows)),
        ".json": json.dumps([{"maker": "Nova Works", "phones": rows}]),
        ".md": f"# Phones\n\n{piped}\n\nMade with care.\n",
        ".html": f"<html><head><title>x</title></head><body><table><tr><th>name</th><th>released</th><th>weight</th></tr>{cells}</table></body></html>",
    }[kind.removesuffix(".gz")]
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".json", ".md", ".html", ".csv.gz", ".jsonl.gz"])
def test_the_same_table_gives_the_same_facts_in_every_layout(tmp_path: Path, kind: str):
    kb = KnowledgeBase.from_paths([write(tmp_path, kind)], Columns(("name",)))
    found = {(fact.subject, fact.attribute): (fact.value, fact.kind, fact.date) for fact in kb.facts}
    expected = {(name, "released"): (date, "date", date) for name, date, _ in TABLE}
    expected |= {(name, "weight"): (weight, "number", date) for name, date, weight in TABLE if weight != "n/a"}
    assert {place: value for place, value in found.items() if place[1] != "maker"} == expected
    assert kb.dropped["missing or empty cell"] == 1


def test_texts_come_with_their_dates_and_without_their_tables(tmp_path: Path):
    write(tmp_path, ".md")
    (tmp_path / "news-2024-05-06.txt").write_text("The Nova 3 is coming.")
    (tmp_path / "front.md").write_text("---\ntitle: x\ndate: 2023-01-02\n---\nBody.\n")
    (tmp_path / "page.html").write_text(
        '<meta property="article:published_date" content="2022-02-03"><script>no()</script><p>One.</p><p>Two &amp; three.</p>'
    )
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = {Path(one.place).name: (one.text, one.date) for one in read_documents([tmp_path]) if isinstance(one, Text)}
    assert found == {
        "phones.md": ("# Phones\n\n\nMade with care.", None),
        "news-2024-05-06.txt": ("The Nova 3 is coming.", "2024-05-06"),
        "front.md": ("Body.", "2023-01-02"),
        "page.html": ("One.\n\nTwo & three.", "2022-02-03"),
    }


def test_nested_rows_inherit_what_is_outside_them():
    row = {"product": "P", "tags": ["a"], "releases": [{"cycle": 1}, {"cycle": 2, "product": "Q"}]}
    reading = Reading()
    assert list(flat_rows(row, reading)) == [{"product": "P", "tags": ["a"], "cycle": 1}, {"product": "Q", "tags": ["a"], "cycle": 2}]
    assert reading.covered == 1  # the outer P, in the row of Q
    assert list(flat_rows({"a": 1, "b": []})) == [{"a": 1, "b": []}]


def test_objects_within_rows_are_opened():
    row = {
        "name": "Wren",
        "place": {"city": "Riga", "at": {"lat": 57}, "none": {}},
        "data": {"rows": [{"n": 1, "by": [{"who": "Ann"}]}, {"n": 2}]},
    }
    outer = {"name": "Wren", "place.city": "Riga", "place.at.lat": 57, "place.none": {}}
    assert list(flat_rows(row)) == [{**outer, "n": 1, "who": "Ann"}, {**outer, "n": 2}]


def test_what_stands_in_objects_and_lists_is_a_fact_or_told(tmp_path: Path):
    row = {
        "name": "Nova",
        "base": {"mainCity": "Riga"},
        "languages": ["French", {"odd": 1}, "Breton"],
        "at": [12.5, 41.9],
        "parts": [{"id": 7, "by": "Ann"}, {"id": 8}],
    }
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with Account() as account:
        made = KnowledgeBase.from_paths([tmp_path])
    assert {(fact.attribute, fact.value) for fact in made.facts} >= {("base main city", "Riga"), ("languages", "French"), ("by", "Ann")}
    assert next(fact.aliases for fact in made.facts if fact.attribute == "languages") == ("Breton",)
    assert made.dropped["object or list among the values of a cell"] == 2  # once for each part
    assert made.dropped["several numbers in a cell"] == 2
    assert "at" not in {fact.attribute for fact in made.facts}
    assert [entry.rows for entry in account.of("understood") if "the others are its aliases, languages" in entry.reason] == [1]


def test_empty_documents_are_counted_and_nothing_at_all_is_an_error(tmp_path: Path):
    for name in ("a.txt", "b.csv", "c.jsonl", "d.html"):
        (tmp_path / name).write_text(" \n" if name == "a.txt" else "")
    reading = Reading()
    assert list(read_documents([tmp_path], reading)) == []
    assert [Path(path).name for path in reading.empty] == ["a.txt", "b.csv", "c.jsonl", "d.html"]
    with pytest.raises(SettingsError, match=r"no facts there \(4 empty document"):
        KnowledgeBase.from_paths([tmp_path])
    write(tmp_path, ".csv")
    assert KnowledgeBase.from_paths([tmp_path]).dropped["empty document"] == 4


def test_semicolons_part_the_cells_where_commas_stand_within_numbers(tmp_path: Path):
    (tmp_path / "a.csv").write_text('name;price\nNova;"1;5"\nVega;2,50\n')
    assert [one.cells for one in read_documents([tmp_path / "a.csv"]) if isinstance(one, Row)] == [
        {"name": "Nova", "price": "1;5"},
        {"name": "Vega", "price": "2,50"},
    ]


@pytest.mark.parametrize("first", ["", "sep={sign}\n", '"sep={sign}"\r\n', "SEP={sign}\n"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_may_tell_what_stands_between_its_cells(tmp_path: Path, sign: str, first: str) -> None:
    lines = [("name", "released"), ("Nova", "2025"), ('"Vega\nII"', "2024")]
    path = tmp_path / "a.csv"
    path.write_text(first.format(sign=sign) + "\n".join(sign.join(cells) for cells in lines), newline="")
    rows = [one for one in read_documents([path]) if isinstance(one, Row)]
    assert [row.cells for row in rows] == [{"name": "Nova", "released": "2025"}, {"name": "Vega\nII", "released": "2024"}]
    assert [row.place for row in rows] == [f"{path}:{number + bool(first)}" for number in (2, 3)]
    path.write_text(path.read_text() + f"\nOrion{sign}2023{sign}extra\n")
    with pytest.raises(BadRowError, match=rf"a\.csv:{5 + bool(first)}"):
        list(read_documents([path]))


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.txt", "fine\nna\u00efve".encode("latin-1"), 2),
        ("b.csv", "name,released\nNova,2025\nNa\u00efve,2024".encode("latin-1"), 3),
        ("c.jsonl", b'{"name": "Nova"}\n{"name": "\xff"}', 2),
        ("d.csv", b"name,released\nNova,2025,extra", 2),
        ("e.jsonl", b'{"name": ', 1),
        ("f.csv", b'name,"released\nNova,2025\n', 1),
        ("g.csv", b"name;released\nNova;2025;extra", 2),
        ("h.csv", "name;released\nNova;2025".encode("utf-16"), 1),
    ],
)
def test_bad_files_are_named_by_line_or_set_aside(tmp_path: Path, name: str, data: bytes, line: int):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRowError) as caught:
        list(read_documents([tmp_path / name]))
    assert str(caught.value).startswith(f"{tmp_path / name}:{line}: ")
    skipped = SkippedRows(tmp_path / "aside" / "bad.jsonl")
    write(tmp_path, ".csv")
    assert len([one for one in read_documents([tmp_path], skipped=skipped) if isinstance(one, Row)]) >= 3
    assert skipped.count == 1


def test_a_huge_text_is_refused_and_huge_rows_are_streamed(tmp_path: Path):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(SettingsError, match="100 MiB of running text; split it into files of at most 32 MiB"):
        list(read_documents([path]))
    assert LARGEST_TEXT == 32 << 20
    rows = read_documents([write(tmp_path, ".jsonl")])
    assert isinstance(next(iter(rows)), Row)  # the first comes before the last is read


def test_what_is_not_there_or_not_a_document_is_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"gone\.csv does not exist"):
        list(read_documents([tmp_path / "gone.csv"]))
    (tmp_path / "a.exe").write_bytes(b"MZ")
    with pytest.raises(SettingsError, match=r"documents are \.txt"):
        list(read_documents([tmp_path / "a.exe"]))


def test_subjects_are_joined_without_saying_a_word_twice(tmp_path: Path):
    rows = [
        {"maker": "Motorola Mobility", "label": "", "cycle": "Motorola edge 70", "released": "2026-06-01"},
        {"maker": "Apple iPhone", "label": "17", "cycle": "x", "released": "2025-09-19"},
        {"maker": "Apple iPhone", "label": None, "cycle": "16", "released": "2024-09-19"},
        {"maker": "", "cycle": "15", "released": "2023-09-19"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kb = KnowledgeBase.from_paths([tmp_path], Columns(("maker", "label|cycle"), (("released", "release date"),), date="released"))
    assert {fact.subject for fact in kb.facts} == {"Motorola edge 70", "Apple iPhone 17", "Apple iPhone 16"}
    assert kb.dropped == {"row without a subject": 1}


def test_equal_facts_are_one_changed_ones_an_update_and_contradictions_fall_out(tmp_path: Path):
    rows = [
        {"name": "A", "date": "2024-01-01", "price": "5 USD"},
        {"name": "a", "date": "2025-01-01", "price": "$5"},
        {"name": "B", "date": "2024-01-01", "price": "5 USD"},
        {"name": "B", "date": "2025-01-01", "price": "6 USD"},
        {"name": "B", "date": "2023-01-01", "price": "4 USD"},
        {"name": "C", "date": "2024-01-01", "price": "5 USD"},
        {"name": "C", "date": "2024-01-01", "price": "6 USD"},
        {"name": "D", "price": True},
        {"name": "E", "price": "x" * 200},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kb = KnowledgeBase.from_paths([tmp_path])
    assert [(fact.subject, fact.value, fact.date) for fact in kb.facts] == [("A", "5 USD", "2024-01-01")]
    assert [(one.old.value, one.new.value) for one in kb.updates] == [("5 USD", "6 USD")]
    assert kb.dropped == {
        "contradiction without an order in time": 2,
        "fact told again": 1,
        "older than an update": 1,
        "value too long": 1,
        "yes or no, which is no value to ask for": 1,
    }


def test_a_list_holds_a_value_and_its_aliases(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([{"name": "Nova", "maker": ["Acme Corporation", "Acme"]}]))
    (fact,) = KnowledgeBase.from_paths([tmp_path]).facts
    assert (fact.value, fact.aliases) == ("Acme Corporation", ("Acme",))
    assert Counter(fact.values) == {"Acme Corporation": 1, "Acme": 1}
