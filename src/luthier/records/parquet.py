"""Rows as an Arrow table for Parquet, and back, without loss.

Arrow columns have one type, rows do not: a column that would come back changed (ragged objects, mixed types, huge integers) is
stored as Arrow's JSON type, which `datasets` decodes by itself. Tools and messages with tool calls always are, because what a
tool takes differs from tool to tool. A field that some rows lack is noted in the table's metadata, so null and absent stay apart.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.lines import as_row, parse_text, to_text

if TYPE_CHECKING:
    import pyarrow as pa

_ABSENT = object()
_ABSENT_KEY = b"luthier.absent"
_BATCH = 256
_TYPED = (dt.date, dt.time, dt.timedelta, Decimal, bytes)


def to_table(rows: Iterable[JSON]) -> pa.Table:
    """A `pyarrow.Table` with one column a field, in the order the fields first appear. Holds all rows in memory."""
    import pyarrow as pa

    kept = [_checked(row, number) for number, row in enumerate(rows, 1)]
    names = list(dict.fromkeys(name for row in kept for name in row))
    if kept and not names:
        raise BadRowError("rows without any field cannot be stored in Parquet; write JSONL", line=1)
    columns = {name: [row.get(name, _ABSENT) for row in kept] for name in names}
    absent = [name for name, values in columns.items() if _ABSENT in values]
    arrays = [_array(name, values) for name, values in columns.items()]
    return pa.table(arrays, names=names, metadata={_ABSENT_KEY: json.dumps(absent).encode()})


class ColumnRow(dict[str, Any]):
    """A row out of columns, in whose objects a null may stand for nothing at all. json: the columns that hold JSON, where it does not."""

    def __init__(self, row: Mapping[str, Any], json: frozenset[str] = frozenset()) -> None:
        super().__init__(row)
        self.json = json


def table_rows(path: Path) -> Iterator[tuple[JSON, BadRowError | None]]:
    """Stream the rows of a Parquet file, whoever wrote it, each with what is wrong with the JSON in it; raises pyarrow's errors."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        encoded = {field.name: field.type for field in schema if _holds_json(field.type)}
        own = _ABSENT_KEY in (schema.metadata or {})
        absent = json.loads((schema.metadata or {}).get(_ABSENT_KEY, b"[]"))
        for batch in file.iter_batches(_BATCH):
            for row, repeated in _rows(batch):
                try:
                    made, problem = _decoded(row if own else ColumnRow(row, frozenset(encoded)), encoded, absent), repeated
                except BadRowError as error:
                    made, problem = row, error
                yield made, problem


def _rows(batch: Any) -> Iterator[tuple[JSON, BadRowError | None]]:
    """The rows of a batch; one with a map that names a key twice, which Arrow allows and no object can hold, with that as its problem."""
    try:
        yield from ((row, None) for row in batch.to_pylist(maps_as_pydicts="strict"))
    except KeyError:
        for at in range(len(batch)):
            one = batch.slice(at, 1)
            try:
                yield one.to_pylist(maps_as_pydicts="strict")[0], None
            except KeyError:
                yield one.to_pylist()[0], BadRowError("a map names one of its keys twice; keep one of its values")


def _holds_json(kind: Any) -> bool:
    """Whether Arrow's JSON type is this type, or stands anywhere in it."""
    import pyarrow as pa

    return isinstance(kind, pa.JsonType) or any(_holds_json(kind.field(at).type) for at in range(kind.num_fields))


def _parsed(value: Any, kind: Any) -> Any:
    """A value with the texts of Arrow's JSON type in it read."""
    import pyarrow as pa

    if value is None or not _holds_json(kind):
        return value
    if isinstance(kind, pa.JsonType):
        return parse_text(value)
    if isinstance(kind, pa.StructType):
        return {field.name: _parsed(value[field.name], field.type) for field in kind}
    if isinstance(kind, pa.MapType):
        return {key: _parsed(each, kind.item_type) for key, each in value.items()}
    return [_parsed(each, kind.value_type) for each in value]


def _checked(row: JSON, number: int) -> JSON:
    try:
        to_text(as_row(row), nan=True)
    except BadRowError as error:
        raise BadRowError(error.problem, line=number) from None
    return row


def _array(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    texts = [None if value is _ABSENT else to_text(value, nan=True) for value in values]
    native = None if _must_be_json(name, texts) else _native(values)
    if native is None:
        texts = [_strict(name, value, number) for number, value in enumerate(values, 1)]
    return native if native is not None else pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def _strict(name: str, value: Any, number: int) -> str | None:
    try:
        return None if value is _ABSENT else to_text(value)
    except BadRowError as error:
        raise BadRowError(f"field {name!r} {error.problem}", line=number) from None


def _must_be_json(name: str, texts: Sequence[str | None]) -> bool:
    null_and_absent = None in texts and "null" in texts
    return name == "tools" or null_and_absent or any(text is not None and '"tool_calls":' in text for text in texts)


def _native(values: Sequence[Any]) -> Any:
    """The column in the type Arrow finds for it, or None where it would not come back as it was."""
    import pyarrow as pa

    plain = [None if value is _ABSENT else value for value in values]
    try:
        array = pa.array(plain)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        return None
    if "struct<>" in str(array.type):  # Parquet has no objects without fields
        return None
    back = array.to_pylist()
    if any(isinstance(value, _TYPED) and type(value) is not type(same) for value, same in zip(back, plain, strict=True)):
        return None  # a date is no text, though it is written as one
    return array if [to_text(value, nan=True) for value in back] == [to_text(value, nan=True) for value in plain] else None


def _decoded(row: JSON, encoded: Mapping[str, Any], absent: Sequence[str]) -> JSON:
    for name in absent:
        if row[name] is None:
            del row[name]
    for name, kind in encoded.items():
        if row.get(name) is not None:
            try:
                row[name] = _parsed(row[name], kind)
            except BadRowError as error:
                raise BadRowError(f"field {name!r}: {error.problem}") from None
    return row
