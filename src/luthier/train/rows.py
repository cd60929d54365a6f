"""Rows of training data from files, each refused by its file and line where it cannot be trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, read_rows, to_conversation


def read_training(paths: Iterable[str | Path], convert: Callable[[JSON], Any] = to_conversation) -> Iterator[Any]:
    """What `convert` makes of the rows of files. Raises MissingFileError, BadRowError."""
    for path in paths:
        for number, row in read_rows(Path(path)):
            try:
                json.dumps(row, ensure_ascii=False).encode()
                yield convert(row)
            except UnicodeEncodeError:
                raise BadRowError("half of a surrogate pair, which is no character", path, number) from None
            except BadRowError as problem:
                raise problem.at(path, number) from None
