"""Data sets of the Hugging Face hub by name, `ORG/NAME[@revision][:split]`, streamed row by row through `datasets`.

`HF_ENDPOINT` names another hub; offline (`HF_HUB_OFFLINE`) a data set is read from the cache, or refused. No code of a data set is run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import MissingFileError
from luthier.records.conversations import JSON
from luthier.records.parquet import ColumnRow

_NAME = re.compile(r"(?P<name>[\w-][\w.-]*+/[\w-][\w.-]*+)(?:@(?P<revision>[\w./-]++))?(?::(?P<split>[\w.\[\]%:+-]++))?")
_FILES = (".jsonl", ".json", ".ndjson", ".parquet", ".csv", ".tsv", ".gz", ".txt", ".zip", ".eval", ".yaml", ".yml", ".md", ".py")


class Named(NamedTuple):
    """A data set of the hub: its name, a branch, tag or commit, and a split."""

    name: str
    revision: str | None
    split: str | None

    def __str__(self) -> str:
        return self.name + (f"@{self.revision}" if self.revision else "") + (f":{self.split}" if self.split else "")


def dataset_named(text: str | Path) -> Named | None:
    """The data set that a name which is no file means; None where it looks like a path."""
    found = _NAME.fullmatch(str(text))
    if found is None or found["name"].lower().endswith(_FILES):
        return None
    return Named(found["name"], found["revision"], found["split"])


def commit_of(named: Named) -> str:
    """The commit that a name means now; offline, where nobody can tell, the name itself. Raises MissingFileError."""
    from datasets import config
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if config.HF_HUB_OFFLINE:
        return str(named)
    try:
        return f"{named}: {HfApi().dataset_info(named.name, revision=named.revision).sha}"
    except (HfHubHTTPError, OSError, ValueError) as problem:
        raise MissingFileError(f"{named} is no file here, and as a data set it cannot be read from the hub ({_told(problem)})") from problem


def hub_rows(named: Named) -> Iterator[tuple[int, JSON]]:
    """Stream (position from 1, row). Raises MissingFileError where the data set, its revision or split is not to be had."""
    from datasets import config

    rows = _opened(named, offline=bool(config.HF_HUB_OFFLINE))
    position = 0
    try:
        for position, row in column_rows(rows):
            yield position, row
    except (OSError, ValueError, RuntimeError) as problem:
        raise MissingFileError(f"the data set {named} breaks off after row {position} ({_told(problem)})") from problem


def column_rows(rows: Any) -> Iterator[tuple[int, JSON]]:
    """(position from 1, row) of a data set of `datasets`."""
    features = rows.features or {}
    typed = frozenset(name for name, feature in features.items() if "Json(" in repr(feature))
    for name, feature in features.items():
        if getattr(feature, "decode", False) is True:  # pictures and sound stay as they are stored: nothing here looks at them
            rows = rows.cast_column(name, dataclasses.replace(feature, decode=False))
    for position, row in enumerate(rows, 1):
        yield position, ColumnRow(row, typed)


def _opened(named: Named, *, offline: bool) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        splits = [named.split] if named.split else list(datasets.get_dataset_split_names(named.name, revision=named.revision))
        if len(splits) > 1:
            raise MissingFileError(f"{named} has the splits {', '.join(splits)}; name one of them: {named}:{splits[0]}")
        return datasets.load_dataset(named.name, revision=named.revision, split=splits[0], streaming=not offline)
    except (OSError, ValueError, RuntimeError) as problem:
        where = "is not in the cache, and nothing is fetched offline" if offline else "cannot be read from the hub"
        raise MissingFileError(f"{named} is no file here, and as a data set it {where} ({_told(problem)})") from problem


def _told(problem: Exception) -> str:
    words = " ".join(str(problem).split())
    return words if len(words) <= 200 else words[:199] + "…"
