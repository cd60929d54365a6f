"""Files that say what items ask, which concepts there are, and how they hang together."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterator
from math import inf
from pathlib import Path

from luthier.errors import BadRowError, MissingFileError
from luthier.records import JSON, read_rows
from luthier.trace.answers import PROVENANCES, RELATIONS, Catalogue, Concept, Edge, Item


def read_catalogue_files(known: Catalogue, items: Path | None, concepts: Path | None, edges: Path | None) -> Catalogue:
    """What the answers know, with the texts, concepts and edges of files: `item`, `text`, `concepts`; `concept`, `text`; `source`,
    `target`, `relation`, `weight`, `provenance`, `evidence`. JSONL, JSON, Parquet or CSV.

    Raises BadRowError with file and line.
    """
    answered = {each.item: each for each in known.items}
    listed: dict[str, Item] = {}
    for number, row in _rows(items):
        name = _name(row, ("item", "question", "id"), items, number)
        _refuse_twice(name, listed, items, number)
        given = row.get("concepts", row.get("concept"))
        some = answered[name].concepts if given is None and name in answered else _names(given, items, number)
        listed[name] = Item(name, str(row.get("text") or ""), some)
    listed |= {name: each for name, each in answered.items() if name not in listed}
    titles: dict[str, Concept] = {}
    for number, row in _rows(concepts):
        name = _name(row, ("concept", "id"), concepts, number)
        _refuse_twice(name, titles, concepts, number)
        named = " ".join(str(row[key]) for key in ("name", "description") if row.get(key)) or name
        titles[name] = Concept(name, named if row.get("text") is None else str(row["text"]))
    titles |= {each.concept: each for each in known.concepts if each.concept not in titles}
    found = list(known.edges)
    for number, row in _rows(edges):
        source, target = (_name(row, keys, edges, number) for keys in (("source", "src"), ("target", "dst")))
        try:
            weight = 1.0 if row.get("weight") is None else float(row["weight"])
        except (TypeError, ValueError):
            raise BadRowError(f"weight {row['weight']!r} is not a number", edges, number) from None
        relation, provenance = str(row.get("relation") or "prerequisite"), str(row.get("provenance") or "expert")
        if not 0 <= weight < inf:
            raise BadRowError(f"the weight {weight} is not a number from 0", edges, number)
        for told, known_ones in ((relation, RELATIONS), (provenance, PROVENANCES)):
            if told not in known_ones:
                raise BadRowError(f"{told!r} is none of {', '.join(known_ones)}", edges, number)
        found.append(Edge(source, target, relation, weight, provenance, str(row.get("evidence") or "")))
    return Catalogue.of(listed.values(), titles.values(), found)


def _rows(path: Path | None) -> Iterator[tuple[int, JSON]]:
    if path is None:
        return
    if path.suffix.lower() not in (".csv", ".tsv"):
        yield from read_rows(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            for row in table:
                yield table.line_num, {key: value for key, value in row.items() if key is not None and value not in (None, "")}
    except FileNotFoundError:
        raise MissingFileError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadRowError(f"not a table ({problem})", path) from None


def _name(row: JSON, keys: tuple[str, ...], path: Path | None, number: int) -> str:
    found = next((str(row[key]) for key in keys if row.get(key) not in (None, "")), None)
    if found is None:
        raise BadRowError(f"the field {keys[0]!r} is missing; the row has {', '.join(row) or 'nothing'}", path, number)
    return found


def _refuse_twice(name: str, known: Container[str], path: Path | None, number: int) -> None:
    if name in known:
        raise BadRowError(f"{name!r} stands here for the second time", path, number)


def _names(given: object, path: Path | None, number: int) -> tuple[str, ...]:
    """Concepts as a list, or as a text with `|`, `;` or `~~` between them."""
    if given is None:
        return ()
    if isinstance(given, list):
        return tuple(dict.fromkeys(str(each) for each in given))
    if isinstance(given, str):
        for sign in ("~~", "|", ";"):
            if sign in given:
                return tuple(dict.fromkeys(part.strip() for part in given.split(sign) if part.strip()))
        return (given.strip(),)
    raise BadRowError("the concepts are neither a list nor a text", path, number)
