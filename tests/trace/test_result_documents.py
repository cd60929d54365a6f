"""Samples of one number that are of two documents: paired by their hash, or not at all, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.records import write_jsonl
from luthier.records.files import read_rows
from luthier.trace.results import read_results


def samples(folder: Path, documents: list[str], scores: list[float] | None = None, *, hashed: bool = True) -> Path:
    """A file of samples of these documents, numbered in their order."""
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for at, (document, score) in enumerate(zip(documents, scores or [1.0] * len(documents), strict=True)):
        row = {
            "doc_id": at,
            "doc": {"question": document},
            "metrics": ["acc"],
            "acc": score,
            "filtered_resps": [f"{folder.name} {document}"],
        }
        rows.append({**row, "doc_hash": f"{document}{'0' * 40}"} if hashed else row)
    write_jsonl(folder / "samples_arc_2026-01-01T00-00-00.0.jsonl", rows)
    return folder


def items(*folders: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The items of each learner, in its file's order, and what is said."""
    log = read_results([f"{folder.name}={folder}" for folder in folders])
    found: dict[str, list[str]] = {}
    for row in log.rows():
        found.setdefault(row["learner"], []).append(row["item"])
    return found, [note for note in log.notes if "doc_hash" in note]


def test_numbers_pair_where_the_hashes_agree_or_are_not_there(tmp_path: Path) -> None:
    one = samples(tmp_path / "one", ["a", "b", "b"])
    for other in (samples(tmp_path / "two", ["a", "b", "b"]), samples(tmp_path / "three", ["x", "y", "z"], hashed=False)):
        assert items(one, other) == ({"one": ["arc/0", "arc/1", "arc/2"], other.name: ["arc/0", "arc/1", "arc/2"]}, [])
    more = samples(tmp_path / "more", ["a", "b", "b", "a", "c"])
    assert items(one, more) == ({"one": ["arc/0", "arc/1", "arc/2"], "more": [f"arc/{at}" for at in range(5)]}, [])


def test_another_order_is_paired_by_hash(tmp_path: Path) -> None:
    found, told = items(samples(tmp_path / "one", ["a", "b", "c", "d"]), samples(tmp_path / "two", ["a", "c", "b", "e"]))
    assert found["two"] == ["arc/0", "arc/2", "arc/1", "arc/3#e00000000000"]
    assert "2 of 4 documents are paired by doc_hash" in told[0]
    assert "1 of 4 documents are items of their own" in told[1]


def test_a_third_meets_the_second_where_the_first_has_another_document(tmp_path: Path) -> None:
    found, _ = items(*(samples(tmp_path / name, [*"ab", last]) for name, last in (("one", "c"), ("two", "d"), ("three", "d"))))
    assert found["two"] == found["three"] == ["arc/0", "arc/1", "arc/2#d00000000000"]


def test_documents_that_stand_twice_are_not_paired_across_numbers(tmp_path: Path) -> None:
    found, told = items(samples(tmp_path / "one", ["a", "b", "b"]), samples(tmp_path / "two", ["b", "b", "a"]))
    assert found["two"] == ["arc/0#b00000000000", "arc/1", "arc/0"]
    assert [text.partition(": ")[2][:6] for text in told] == ["1 of 3", "1 of 3"]


def test_the_command_compares_documents_and_says_so(tmp_path: Path) -> None:
    one = samples(tmp_path / "one", ["a", "b", "c"], [1.0, 0.0, 1.0])
    two = samples(tmp_path / "two", ["b", "a", "d"], [1.0, 1.0, 1.0])
    said = luthier("compare", one, two, "--out", tmp_path / "run").stdout
    assert "of 2 items that both answered" in said
    assert "2 of 3 documents are paired by doc_hash" in " ".join(said.split())
    (flip,) = (row for _, row in read_rows(tmp_path / "run" / "flips.jsonl"))
    assert (flip["question"], flip["said_before"], flip["said_after"]) == ("b", "one b", "two b")


def test_nothing_in_common_names_the_hashes(tmp_path: Path) -> None:
    one, two = samples(tmp_path / "one", ["a"]), samples(tmp_path / "two", ["b"])
    said = luthier("compare", one, two, "--out", tmp_path / "run", ok=False).stderr
    assert "no item that both" in said
    assert "their doc_hash is new" in " ".join(said.split())


@pytest.mark.parametrize("documents", ["ab", "ba"])
def test_several_filters_of_a_document_are_one_item(tmp_path: Path, documents: str) -> None:
    one = samples(tmp_path / "one", ["a", "b"])
    two = samples(tmp_path / "two", list(documents))
    (file,) = two.iterdir()
    rows = [row for _, row in read_rows(file)]
    write_jsonl(file, [{**row, "filter": name} for row in rows for name in ("none", "other")])
    assert sorted(items(one, two)[0]["two"]) == ["arc/0", "arc/1"]
