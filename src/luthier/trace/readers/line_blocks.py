"""Answers in blocks of lines, one block a learner: the layouts of AKT (four lines), DKT (three) and pyKT's `data.txt` (six)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from luthier.errors import BadRowError
from luthier.records.learning import AnswerCollector, AnswerLog, Catalogue, Concept, Item


class Block(NamedTuple):
    """Lines of one learner, the number of the first, and the layout."""

    line: int
    lines: list[str]


LINES = {"akt": 4, "dkt": 3, "pykt": 6}


def guess_blocks(head: list[str]) -> str | None:
    """`akt`, `dkt` or `pykt` from the first lines of a file; None for another layout."""
    if len(head) < 3 or not head[0].strip():
        return None
    first = head[0].strip().split(",")
    width = _width(head[1])
    if len(first) == 1 and first[0].isdigit() and int(first[0]) == width and _labels(head[2]):
        return "dkt"
    if len(first) != 2 or len(head) < 4 or _width(head[2]) != width or not _labels(head[3]):
        if len(first) == 2 and len(head) >= 6 and first[1].isdigit() and _labels(head[3]):
            return "pykt"
        return None
    return "pykt" if len(head) >= 6 and first[1].isdigit() and int(first[1]) == width and _second_pykt(head) else "akt"


def read_blocks(paths: list[Path], kind: str, names: Path | None = None) -> AnswerLog:
    """The answers of files of one layout. names: JSON of concept name to number. Raises BadRowError with file and line."""
    collector = AnswerCollector()
    titles = _titles(names)
    for path in paths:
        for block in _blocks(path, LINES[kind]):
            try:
                _add(collector, block, kind)
            except BadRowError as problem:
                raise problem.at(path, problem.line or block.line) from None
    try:
        log = collector.log()
    except BadRowError as problem:
        raise problem.at(paths[0], problem.line or 1) from None
    return log if not titles else _named(log, titles)


def _add(collector: AnswerCollector, block: Block, kind: str) -> None:
    cells = [_cells(line) for line in block.lines]
    if kind == "dkt":
        learner, items, concepts, labels, times = str(block.line), cells[1], cells[1], cells[2], ["NA"]
    elif kind == "akt":
        learner, (items, concepts, labels), times = cells[0][-1], cells[1:4], ["NA"]
    else:
        learner, (items, concepts, labels, times) = cells[0][0], cells[1:5]
    items = concepts if items in (["NA"], []) else items
    concepts = items if concepts in (["NA"], []) else concepts
    if not len(items) == len(concepts) == len(labels):
        raise BadRowError(
            f"learner {learner} has {len(items)} items, {len(concepts)} concepts and {len(labels)} labels; the lines must be equally long",
            line=block.line,
        )
    timed = len(times) == len(labels) and times != ["NA"]
    for at, (item, some, label) in enumerate(zip(items, concepts, labels, strict=True)):
        try:
            right, time = float(label), float(times[at]) if timed else None
        except ValueError:
            raise BadRowError(
                f"label {label!r} of answer {at + 1} is not a number", line=block.line + (2 if kind == "dkt" else 3)
            ) from None
        many = [one for one in some.split("_") if one] if kind == "pykt" else [some]
        for concept in many:
            collector.add(learner, item, right, time, concept, block.line)


def _blocks(path: Path, lines: int) -> Iterator[Block]:
    held: list[str] = []
    start = 1
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if not held and not line.strip():
                    start = number + 1
                    continue
                held.append(line.rstrip("\r\n"))
                if len(held) == lines:
                    yield Block(start, held)
                    held, start = [], number + 1
    except UnicodeDecodeError as problem:
        raise BadRowError(f"not UTF-8 text at byte {problem.start + 1}", path) from None
    if held:
        raise BadRowError(f"a block of {len(held)} lines at the end; a learner has {lines} in this layout", path, start)


def _titles(path: Path | None) -> dict[str, str]:
    """Concept number to name."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(number): str(name) for name, number in found.items()}
    except (OSError, ValueError, AttributeError) as problem:
        raise BadRowError(f"not a JSON object of concept name to number ({problem})", path) from None


def _named(log: AnswerLog, titles: dict[str, str]) -> AnswerLog:
    """Concepts by their names; by their numbers, with the name as text, where two share one."""
    unique = len(set(titles.values())) == len(titles)
    names = {each.concept: titles.get(each.concept, each.concept) if unique else each.concept for each in log.catalogue.concepts}  # fmt: skip
    concepts = tuple(Concept(names[number], titles.get(number, number)) for number in names)
    items = tuple(Item(item, text, tuple(names[number] for number in some)) for item, text, some in log.catalogue.items)
    return replace(log, catalogue=Catalogue(items, concepts))


def _cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line.split(",")]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _width(line: str) -> int:
    return len(_cells(line))


def _labels(line: str) -> bool:
    cells = _cells(line)
    return bool(cells) and all(_is_number(cell) and 0 <= float(cell) <= 1 for cell in cells)


def _second_pykt(head: list[str]) -> bool:
    """Whether lines five and six go with the first four: times of every answer, or NA."""
    return all(_cells(line) == ["NA"] or _width(line) == _width(head[3]) for line in head[4:6])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
