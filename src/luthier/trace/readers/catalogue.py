"""Files that say what items ask, which concepts there are, and how they hang together."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

from luthier.errors import BadRowError, MissingFileError
from luthier.records import JSON, read_rows
from luthier.records.numbers import shown
from luthier.trace.answers import PROVENANCES, RELATIONS, AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.readers.columns import KEY, NAMES, Left, concept_name, plain, split_concepts
from luthier.trace.readers.places import header_of, is_table, records_of
from luthier.trace.writings import name_of, whole_names

ITEM = (*NAMES["item"], "id", "name")
CONCEPT = (*NAMES["concept"], "id")
SOURCE, TARGET = ("source", "src", "from"), ("target", "dst", "to")
EDGE = frozenset({*SOURCE, *TARGET, "relation", "weight", "provenance", "evidence"})


def read_catalogue_files(
    known: Catalogue, items: Path | None, concepts: Path | None, edges: Path | None, left: Left | None = None
) -> Catalogue:
    """What the answers know, with the texts, concepts and edges of files: `item`, `text`, `concepts`; `concept`, `text`; `source`,
    `target`, `relation`, `weight`, `provenance`, `evidence`, or other names in use. JSONL, JSON, Parquet, CSV or TSV.

    left: takes the names of columns that are not read. Raises BadRowError with file and line.
    """
    left = left or Left()
    listed = _items(known, items, left)
    titles = _concepts(known, concepts, left)
    found = [*known.edges, *_edges(edges, left)]
    return Catalogue.of(listed.values(), titles.values(), found)


def _items(known: Catalogue, path: Path | None, left: Left) -> dict[str, Item]:
    answered = {each.item: each for each in known.items}
    found: dict[str, Item] = {}
    rows = [(number, row, _name(row, ITEM, "item", path, number)) for number, row in _rows(path)]
    whole = dict(zip((name for _, _, name in rows), whole_names([name for _, _, name in rows]), strict=True))
    for number, row, given in rows:
        name = given if given in answered else whole[given]
        _refuse_twice(name, found, path, number)
        told, key = answered.get(name), next((key for key in NAMES["concept"] if key in row), None)
        some = told.concepts if key is None and told is not None else _names(row.get(key or ""), path, number)
        text = next((str(row[key]) for key in NAMES["text"] if row.get(key)), told.text if told is not None else "")
        found[name] = Item(name, text, some)
        _leave(row, {next(key for key in ITEM if row.get(key) not in (None, "")), key, *NAMES["text"], *KEY}, left)
    return found | {name: each for name, each in answered.items() if name not in found}


def _concepts(known: Catalogue, path: Path | None, left: Left) -> dict[str, Concept]:
    found: dict[str, Concept] = {}
    for number, row in _rows(path):
        name = concept_name(_name(row, CONCEPT, "concept", path, number))
        _refuse_twice(name, found, path, number)
        named = " ".join(str(row[key]) for key in ("name", "description") if row.get(key)) or name
        found[name] = Concept(name, named if row.get("text") is None else str(row["text"]))
        _leave(row, {next(key for key in CONCEPT if row.get(key) not in (None, "")), "name", "description", "text"}, left)
    return found | {each.concept: each for each in known.concepts if each.concept not in found}


def _edges(path: Path | None, left: Left) -> Iterator[Edge]:
    for number, row in _rows(path):
        source, target = (concept_name(_name(row, keys, keys[0], path, number)) for keys in (SOURCE, TARGET))
        try:
            weight = 1.0 if row.get("weight") is None else float(row["weight"])
        except (TypeError, ValueError, OverflowError):
            raise BadRowError(f"weight {shown(row['weight'])} is not a number", path, number) from None
        relation, provenance = str(row.get("relation") or "prerequisite"), str(row.get("provenance") or "expert")
        if not 0 <= weight < inf:
            raise BadRowError(f"the weight {weight} is not a number from 0", path, number)
        for told, known_ones in ((relation, RELATIONS), (provenance, PROVENANCES)):
            if told not in known_ones:
                raise BadRowError(f"{told!r} is none of {', '.join(known_ones)}", path, number)
        _leave(row, EDGE, left)
        yield Edge(source, target, relation, weight, provenance, str(row.get("evidence") or ""))


def _leave(row: JSON, read: Container[str | None], left: Left) -> None:
    left.columns |= dict.fromkeys(name for name in row if name not in read)


def named_concepts(log: AnswerLog, path: Path) -> AnswerLog:
    """Concepts by the names that a JSON file gives their numbers; numbers without one stay. Raises BadRowError, also where none is named."""
    titles = _titles(path)
    if not any(each.concept in titles for each in log.catalogue.concepts):
        some = ", ".join(each.concept for each in log.catalogue.concepts[:6]) or "none"
        raise BadRowError(f"names none of the concepts of the answers ({some})", path)
    return _named(log, titles)


def _titles(path: Path) -> dict[str, str]:
    """Concept number to name; in pyKT's keyid2idx.json under `concepts`. Raises BadRowError, also for a number with two names."""
    titles: dict[str, str] = {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told = told["concepts"] if isinstance(told, dict) and isinstance(told.get("concepts"), dict) else told
        for name, number in told.items():
            if titles.setdefault(str(number), name) != name:
                raise BadRowError(f"the number {number} has two names: {titles[str(number)]!r} and {name!r}", path)
    except (OSError, ValueError, AttributeError) as problem:
        raise BadRowError(f"not a JSON object of concept name to number ({problem})", path) from None
    return titles


def _named(log: AnswerLog, titles: dict[str, str]) -> AnswerLog:
    """Concepts by their names; numbers without one stay."""
    names = {each.concept: titles.get(each.concept, each.concept) for each in log.catalogue.concepts}
    concepts = tuple(Concept(name, name) for name in names.values())
    items = tuple(Item(item, text, tuple(names[number] for number in some)) for item, text, some in log.catalogue.items)
    return replace(log, catalogue=Catalogue(items, concepts))


def _rows(path: Path | None) -> Iterator[tuple[int, JSON]]:
    """Rows with their fields by plain names; of a table without its empty cells."""
    if path is None:
        return
    if not is_table(path):
        for number, row in read_rows(path):
            yield number, {plain(name) or name: value for name, value in row.items()}
        return
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist")
    names = header_of(path)
    for number, cells in records_of(path):
        if len(cells) != len(names):
            raise BadRowError(f"the row has {len(cells)} cells and the header {len(names)}", path, number)
        yield number, {plain(name) or name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _name(row: JSON, keys: tuple[str, ...], what: str, path: Path | None, number: int) -> str:
    found = next((name_of(row[key]) for key in keys if row.get(key) is not None and str(row[key]).strip()), None)
    if found is None:
        raise BadRowError(f"the field {what!r} is missing; the row has {', '.join(row) or 'nothing'}", path, number)
    return found


def _refuse_twice(name: str, known: Container[str], path: Path | None, number: int) -> None:
    if name in known:
        raise BadRowError(f"{name!r} stands here for the second time", path, number)


def _names(given: object, path: Path | None, number: int) -> tuple[str, ...]:
    """Concepts as a list, or as a text with `~~`, `|` or `;` between them."""
    if given is None or isinstance(given, list | str | int | float):
        return tuple(split_concepts(given, True))
    raise BadRowError("the concepts are neither a list nor a text", path, number)
