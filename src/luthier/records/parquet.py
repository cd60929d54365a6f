"""Rows as an Arrow table for Parquet, and back, without loss.

Arrow columns have one type, rows do not: a column that would come back changed (ragged objects, mixed types, huge integers) is
stored as Arrow's JSON type, which `datasets` decodes by itself. Tools and messages with tool calls always are, because what a
tool takes differs from tool to tool. A field that some rows lack is noted in the table's metadata, so null and absent stay apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.lines import as_row, to_text

_ABSENT = object()
_ABSENT_KEY = b"luthier.absent"
_BATCH = 256


def to_table(rows: Iterable[JSON]) -> Any:
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


def table_rows(path: Path) -> Iterator[JSON]:
    """Stream the rows of a Parquet file, whoever wrote it; raises pyarrow's errors."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        encoded = [field.name for field in schema if isinstance(field.type, pa.JsonType)]
        absent = json.loads((schema.metadata or {}).get(_ABSENT_KEY, b"[]"))
        for batch in file.iter_batches(_BATCH):
            for row in batch.to_pylist():
                yield _decoded(row, encoded, absent)


def _checked(row: JSON, number: int) -> JSON:
    try:
        to_text(as_row(row))
    except BadRowError as error:
        raise BadRowError(error.problem, line=number) from None
    return row


def _array(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    texts = [None if value is _ABSENT else to_text(value) for value in values]
    native = None if _must_be_json(name, texts) else _native(values)
    return native if native is not None else pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


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
    return array if [to_text(value) for value in array.to_pylist()] == [to_text(value) for value in plain] else None


def _decoded(row: JSON, encoded: Sequence[str], absent: Sequence[str]) -> JSON:
    for name in absent:
        if row[name] is None:
            del row[name]
    for name in encoded:
        if row.get(name) is not None:
            row[name] = json.loads(row[name])
    return row
