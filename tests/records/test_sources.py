"""Rows from wherever Python code holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier.errors import SettingsError
from luthier.records import Conversation, Message, write_jsonl
from luthier.records.sources import rows_in
from luthier.train.rows import conversations_in, pairs_in

ROW = {"instruction": "tea?", "input": None, "output": "four"}
READ = (Message("user", "tea?"), Message("assistant", "four"))


def sources(folder: Path) -> list[Any]:
    import datasets
    import pandas as pd

    write_jsonl(folder / "rows.jsonl", [ROW])
    frame = pd.DataFrame([ROW, {"instruction": "bun?", "output": "two"}]).iloc[:1].copy()
    frame["input"] = float("nan")
    return [
        folder / "rows.jsonl",
        str(folder / "rows.jsonl"),
        [ROW],
        (row for row in [ROW]),
        datasets.Dataset.from_list([ROW]),
        datasets.Dataset.from_list([ROW]).to_iterable_dataset(),
        frame,
        [Conversation(READ)],
    ]


def test_one_row_from_anywhere(tmp_path: Path) -> None:
    for source in sources(tmp_path):
        (read,) = conversations_in(source)
        assert read.messages == READ, source


def test_pairs_from_anywhere(tmp_path: Path) -> None:
    import pandas as pd

    row = {"prompt": "tea?", "chosen": "four", "rejected": "ten"}
    write_jsonl(tmp_path / "pairs.jsonl", [row])
    for source in ([row], pd.DataFrame([row]), tmp_path / "pairs.jsonl", pairs_in([row])):
        (pair,) = pairs_in(source)
        assert pair.chosen[0].content == "four"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (5, "rows cannot be read from int; give a file, rows as dictionaries"),
        ({"text": ["a"]}, "rows cannot be read from dict"),
        (["a"], "row 1 is str"),
        ([ROW, None], "row 2 is NoneType"),
    ],
)
def test_what_holds_no_rows_is_named(source: Any, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        list(rows_in(source))


def test_splits_are_named() -> None:
    import datasets

    splits = datasets.DatasetDict({"train": datasets.Dataset.from_list([ROW]), "test": datasets.Dataset.from_list([ROW])})
    with pytest.raises(SettingsError, match="the splits train, test of a data set; give one of them"):
        list(rows_in(splits))
