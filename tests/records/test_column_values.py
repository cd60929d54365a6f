"""Values of columns that JSON has no form for, wherever they stand in a row: numbers that are none, dates, decimals, bytes, nulls that Arrow filled in."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luthier.errors import BadRowError
from luthier.records import (
    JSON,
    Account,
    SkippedRows,
    read_conversations,
    read_pairs,
    read_rows,
    to_conversation,
    write_jsonl,
    write_parquet,
)
from luthier.records.sources import rows_in
from luthier.select.raw import raw_lines, write_rows
from luthier.select.rows import read_pool, row_text
from luthier.synthesize.tools.export import FORMATS, Format, exported

ASKED = {"role": "user", "content": "Tide at Brest?"}


def called(**arguments: Any) -> JSON:
    function = {"name": "tide", "arguments": arguments}
    said = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    return {"messages": [ASKED, said]}


def as_parquet(tmp_path: Path, rows: list[JSON]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def as_folder(tmp_path: Path, rows: list[JSON]) -> Path:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset(pa.Table.from_pylist(rows)).save_to_disk(tmp_path / "folder")
    return tmp_path / "folder"


def as_rows(value: float) -> dict[str, list[JSON]]:
    answered = {"instruction": "a", "output": "x"}
    return {
        "arguments": [called(x=value), called(x=2.0)],
        "message": [{"messages": [{**ASKED, "score": value}]}, {"messages": [{**ASKED, "score": 1.0}]}],
        "carried": [{**answered, "scores": [{"a": value}]}, {**answered, "scores": [{"a": 1.0}]}],
    }


@pytest.mark.parametrize("store", [as_parquet, as_folder])
@pytest.mark.parametrize("place", ["arguments", "message", "carried"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_sets_its_row_aside(tmp_path: Path, store: Any, place: str, value: float) -> None:
    source = store(tmp_path, as_rows(value)[place])
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert write_jsonl(tmp_path / "out.jsonl", (row.to_row() for row in read_conversations(source, skipped=skipped))) == 1
    assert skipped.problems == [
        f"{source}:1: field '{'scores' if place == 'carried' else 'messages'}' holds NaN or infinity, which is no JSON number"
    ]
    assert [number for number, _ in raw_lines(source)] == [2]
    with pytest.raises(BadRowError, match=":1: field "):
        list(read_conversations(source))


def test_rows_in_memory_are_set_aside_too() -> None:
    skipped = SkippedRows()
    assert [row.number for row in read_pool(as_rows(math.nan)["carried"], skipped=skipped)] == [2]
    assert skipped.count == 1
    with pytest.raises(BadRowError, match="the arguments of 'tide' cannot be written as JSON"):
        to_conversation(called(x=math.nan))


def test_a_data_set_in_memory_is_refused_by_its_row() -> None:
    datasets = pytest.importorskip("datasets")
    with pytest.raises(BadRowError, match=r"the rows:1: field 'messages' holds NaN"):
        list(rows_in(datasets.Dataset(pa.Table.from_pylist(as_rows(math.nan)["arguments"]))))


@pytest.mark.parametrize("store", [as_parquet, as_folder])
def test_infinity_in_a_column_of_its_own_is_no_number_and_nan_there_is_no_value(tmp_path: Path, store: Any) -> None:
    rows = [{"instruction": "a", "output": "x", "score": score} for score in (math.nan, math.inf, 1.0)]
    source, skipped = store(tmp_path, rows), SkippedRows()
    with Account() as account:
        found = [row.to_row() for row in read_conversations(source, skipped=skipped)]
    assert [row["score"] for row in found] == [None, 1.0]
    assert ("NaN in column 'score' as no value", 1) in [(entry.reason, entry.rows) for entry in account.of("understood")]
    assert skipped.count == 1
    assert [json.loads(line)["score"] for _, line in raw_lines(source)] == [None, 1.0]


def test_nan_beside_a_pair_is_no_value(tmp_path: Path) -> None:
    (pair,) = read_pairs(as_parquet(tmp_path, [{"prompt": "q", "chosen": "a", "rejected": "b", "margin": math.nan}]))
    assert write_jsonl(tmp_path / "out.jsonl", [pair.to_row()]) == 1


@pytest.mark.parametrize("text", ['{"s": NaN}', '{"s": 1e999}', "{", "[" * 300 + "]" * 300])
def test_json_columns_that_hold_none_set_their_row_aside(tmp_path: Path, text: str) -> None:
    meta = pa.ExtensionArray.from_storage(pa.json_(), pa.array([text, '{"s": 1}']))
    pq.write_table(pa.table({"instruction": ["a", "b"], "output": ["x", "y"], "meta": meta}), tmp_path / "in.parquet")
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert [row.extra["meta"] for row in read_conversations(tmp_path / "in.parquet", skipped=skipped)] == [{"s": 1}]
    assert skipped.problems[0].startswith(f"{tmp_path / 'in.parquet'}:1: field 'meta': not")
    assert json.loads((tmp_path / "bad.jsonl").read_text())["raw"].startswith('{"instruction": "a"')
    with pytest.raises(BadRowError, match=r"in\.parquet:1: field 'meta'"):
        list(read_rows(tmp_path / "in.parquet"))


TYPED = {
    "day": dt.date(2024, 1, 2),
    "moment": dt.datetime(2024, 1, 2, 3, 4, 5),
    "hour": dt.time(3, 4, 5),
    "price": Decimal("12.50"),
    "raw": b"\x00\xff",
    "nested": {"days": [dt.date(2024, 1, 3)]},
}
PLAIN = {
    "day": "2024-01-02",
    "moment": "2024-01-02T03:04:05",
    "hour": "03:04:05",
    "price": "12.50",
    "raw": "AP8=",
    "nested": {"days": ["2024-01-03"]},
}


@pytest.mark.parametrize("store", [as_parquet, as_folder])
def test_dates_decimals_and_bytes_among_arguments_are_the_text_that_json_gets(tmp_path: Path, store: Any) -> None:
    arguments = {name: value for name, value in TYPED.items() if store is as_parquet or name not in ("price", "hour")}
    expected = {name: value for name, value in PLAIN.items() if name in arguments}
    source = store(tmp_path, [called(**arguments)])
    (read,) = read_conversations(source)
    assert read.messages[1].tool_calls[0].arguments == expected
    (row,) = read_pool(source)
    assert json.dumps(expected) in row.text


def test_tools_with_dates_are_plain_too(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "default": dt.date(2024, 1, 2)}}}
    (read,) = read_conversations(as_parquet(tmp_path, [called(day="x") | {"tools": [{"name": "tide", "parameters": schema}]}]))
    assert read.tools[0].parameters["properties"]["day"]["default"] == "2024-01-02"


@pytest.mark.parametrize("layout", FORMATS)
def test_every_layout_writes_them(tmp_path: Path, layout: Format) -> None:
    tools = [{"name": "tide", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}}}]
    (read,) = read_conversations(as_parquet(tmp_path, [called(day=dt.date(2024, 1, 2)) | {"tools": tools}]))
    assert "2024-01-02" in json.dumps(exported(read, layout))


@pytest.mark.parametrize("out", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_a_selection_says_no_argument_that_arrow_filled_in(tmp_path: Path, out: str) -> None:
    source = as_parquet(tmp_path, [called(harbour="Brest"), called(amount=2.0), called(harbour=None, amount=1.0)])
    write_rows(source, [2, 1], tmp_path / out)
    with Account() as account:
        found = [row.messages[1].tool_calls[0].arguments for row in read_conversations(tmp_path / out)]
    assert found == [{"amount": 2.0}, {"harbour": "Brest"}]
    assert not account.of("left out")


def test_a_selection_in_parquet_keeps_dates_and_nulls_that_are_carried_along(tmp_path: Path) -> None:
    rows = [called(harbour="Brest") | {"at": dt.date(2024, 1, 2), "place": {"lat": 1.5, "lon": None}}, called(amount=2.0)]
    write_rows(as_parquet(tmp_path, rows), [1], tmp_path / "out.parquet")
    ((_, row),) = read_rows(tmp_path / "out.parquet")
    assert (row["at"], row["place"]) == (dt.date(2024, 1, 2), {"lat": 1.5, "lon": None})


def test_parquet_that_luthier_wrote_sets_rows_aside_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "own.parquet", [{"instruction": "a", "output": "x", "s": {"a": value}} for value in (math.nan, 1.0)])
    skipped = SkippedRows()
    assert len(list(read_conversations(tmp_path / "own.parquet", skipped=skipped))) == 1
    assert row_text({"instruction": "a", "output": "x"}) == "user: a\nassistant: x\n"
