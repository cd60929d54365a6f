"""Rows as Python code holds them: files, lists of objects or of typed rows, data sets of `datasets`, data frames of pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from luthier.errors import BadRowError, SettingsError
from luthier.records.conversations import JSON, Conversation, PreferencePair
from luthier.records.files import finite_rows, is_nan, read_rows
from luthier.records.hub import column_rows

T = TypeVar("T")
Source = str | Path | Iterable[Any]
TAKEN = "a file, rows as dictionaries, a Dataset of datasets, or a DataFrame"


def rows_in(source: Source) -> Iterator[tuple[int, JSON]]:
    """(line or position from 1, row). NaN of a data frame is null. Raises SettingsError for anything else, and what reading files raises."""
    if isinstance(source, str | Path):
        yield from read_rows(source)
    elif isinstance(source, Mapping) and hasattr(source, "column_names"):
        raise SettingsError(f"these are the splits {', '.join(map(str, source))} of a data set; give one of them")
    elif hasattr(source, "column_names") and hasattr(source, "features"):
        yield from finite_rows(column_rows(source), "the rows", None)
    elif hasattr(source, "to_dict") and hasattr(source, "columns"):
        for number, row in enumerate(source.to_dict("records"), 1):
            yield number, {str(name): None if is_nan(value) else value for name, value in row.items()}
    elif isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise SettingsError(f"rows cannot be read from {type(source).__name__}; give {TAKEN}")
    else:
        for number, row in enumerate(source, 1):
            if isinstance(row, Conversation | PreferencePair):
                yield number, row.to_row()
            elif isinstance(row, Mapping):
                yield number, dict(row)
            else:
                raise SettingsError(f"row {number} is {type(row).__name__}; give {TAKEN}")


def typed(source: Source, kind: type[T], convert: Callable[[JSON], T]) -> list[T]:
    """What `convert` makes of rows from anywhere; those that are of the kind already stay. Raises SettingsError, MissingFileError, and BadRowError
    with file and line, or position."""
    if isinstance(source, list | tuple) and all(isinstance(row, kind) for row in source):
        return list(source)
    made: list[T] = []
    for number, row in rows_in(source):
        try:
            made.append(convert(row))
        except BadRowError as problem:
            raise problem.at(source if isinstance(source, str | Path) else "the rows", number) from None
    return made
