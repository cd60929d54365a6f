"""What a row of a run is a picture of: a search is its tree, a probed chain its heat-map, a dialogue is talk.

A run's own page draws some of its searches and chains; in `luthier view` each of them is drawn where its row is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.probe import page as probe_page
from luthier.records import JSON
from luthier.report.talk import dialogue
from luthier.run import RunRecord
from luthier.search import page as search_page
from luthier.synthesize.tools import page as tools_page

Kind = Literal["tree", "heat", "talk"]
# The files of a run whose rows are pictures: what each row is, and what the list calls them. Rows of other files are talk where they have messages.
FILES: dict[str, tuple[Kind, str]] = {
    search_page.SEARCHES: ("tree", "trees"),
    probe_page.TRACES: ("heat", "heat-maps"),
    tools_page.DIALOGUES: ("talk", "dialogues"),
    tools_page.CHECKED: ("talk", "checked dialogues"),
}


@dataclass(frozen=True)
class Picture:
    """What a template draws; value: as `search.page.shown`, `probe.page.HeatMap` or `report.talk.dialogue` give it."""

    kind: Kind
    value: Any


def drawn_files(folder: Path) -> tuple[tuple[str, str], ...]:
    """(what its rows are, file) for the files of a run that are shown as pictures."""
    return tuple((label, name) for name, (_, label) in FILES.items() if (folder / name).is_file())


def pictures(run: RunRecord, file: str, rows: Sequence[JSON], first: int) -> list[Picture | None]:
    """A picture for each row, None where a row is not one, or is another version's. first: how many rows stand before these in the file."""
    kind, _ = FILES.get(file, ("talk", ""))
    if kind == "tree":
        return _each(rows, _trees(run, rows))
    if kind == "heat":
        numbers = {id(row): number for number, row in enumerate(rows, first + 1)}
        return _each(rows, lambda row: Picture("heat", probe_page.heat_row(row, numbers[id(row)])))
    return _each(rows, _talk)


def _each(rows: Sequence[JSON], draw: Callable[[JSON], Picture | None]) -> list[Picture | None]:
    found = []
    for row in rows:
        try:
            found.append(draw(row))
        except Exception:  # a row of another version, or damaged: it is shown as it is stored
            found.append(None)
    return found


def _trees(run: RunRecord, rows: Sequence[JSON]) -> Callable[[JSON], Picture]:
    """Draws a search, with its programs and its score, which stand in files of their own."""
    wanted = {row.get("task") for row in rows}
    programs: dict[Any, list[JSON]] = {}
    for one in run.rows(search_page.PROGRAMS):
        if one.get("task") in wanted:
            programs.setdefault(one["task"], []).append(one)
    scores = {one.get("task"): one for one in run.rows(search_page.SCORES) if one.get("task") in wanted}
    return lambda row: Picture("tree", search_page.shown(row, programs.get(row["task"], []), scores.get(row["task"])))


def _talk(row: JSON) -> Picture | None:
    return Picture("talk", dialogue(row)) if isinstance(row.get("messages"), list) else None
