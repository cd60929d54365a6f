"""Keeps the rounds of a long selection on disk, so that the same call continues a stopped one to the same picks."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.records import atomic_write
from luthier.select.budget import Pick
from luthier.select.long_window import LongZip
from luthier.select.settings import SelectSettings
from luthier.select.zip import Zip

STATE = "selection.state"


def kept_rounds(search: Zip | LongZip, run: Path | None, settings: SelectSettings) -> Iterator[list[Pick]]:
    """The rounds of the search; with `run`, those of an earlier call first, as one, and each new one written when it is done.

    Raises SettingsError where the folder holds a selection of other rows or settings.
    """
    if run is None:
        yield from search.rounds()
        return
    path = run / STATE
    key = _key(search, settings)
    if path.is_file():
        head, states = _read(path)
        if head["key"] != key:
            raise SettingsError(f"{path}: a selection of another pool or with other settings; choose another run folder")
        picks = [Pick(index, score, number) for index, score, number in head["picks"]]
        search.allowance.capped_rows.update(head["capped"])
        search.resume(picks, *states)  # type: ignore[arg-type]  # the arrays that this very search wrote
        yield picks
        if head["done"]:
            return
    for new in search.rounds():
        _write(path, _head(search, key), _states(search))
        yield new
    _write(path, _head(search, key, done=True), _states(search))


def _head(search: Zip | LongZip, key: str, *, done: bool = False) -> dict[str, Any]:
    return {"key": key, "picks": search.picks, "capped": sorted(search.allowance.capped_rows.items()), "done": done}


def _states(search: Zip | LongZip) -> list[array[Any]]:
    return [search.raw, search.packed] if isinstance(search, Zip) else [search.bounds]


def _key(search: Zip | LongZip, settings: SelectSettings) -> str:
    told = {one.name: getattr(settings, one.name) for one in fields(SelectSettings)}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for row in search.rows:
        digest.update(len(row).to_bytes(8))
        digest.update(row)
    return digest.hexdigest()


def _write(path: Path, head: dict[str, Any], states: list[array[Any]]) -> None:
    """One line of JSON, then the arrays' bytes, in the machine's own order."""
    with atomic_write(path, "wb") as stream:
        sizes = [(state.typecode, len(state)) for state in states]
        stream.write(json.dumps({**head, "states": sizes}).encode() + b"\n")
        for state in states:
            state.tofile(stream)


def _read(path: Path) -> tuple[dict[str, Any], list[array[Any]]]:
    with path.open("rb") as stream:
        head = json.loads(stream.readline())
        states = [array(kind) for kind, _ in head["states"]]
        for state, (_, length) in zip(states, head["states"], strict=True):
            state.fromfile(stream, length)
    return head, states
