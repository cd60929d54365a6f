"""Answers in blocks of lines, one block a learner: the layouts of AKT (four lines, three where it knows no problems), DKT (three, its first
line counts) and pyKT's `data.txt` (six)."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from luthier.errors import BadRowError
from luthier.records import SkippedRows
from luthier.records.files import set_aside
from luthier.trace.answers import AnswerCollector, AnswerLog
from luthier.trace.readers.places import lines_of, located, place_of


class Block(NamedTuple):
    """Lines of one learner, the number of the first, and the layout."""

    line: int
    lines: list[str]


LINES = {"akt": 4, "akt3": 3, "dkt": 3, "pykt": 6}


def guess_blocks(head: list[str]) -> str | None:
    """`akt`, `akt3`, `dkt` or `pykt` from the first lines of a file; None for another layout."""
    if len(head) < 3 or not head[0].strip():
        return None
    first = head[0].strip().split(",")
    if head[0].startswith("('"):
        first = [_pykt_name(head[0]), first[-1]]
    width = _width(head[1])
    if len(first) == 1 and first[0].isdecimal() and int(first[0]) == width and _labels(head[2]):
        return "dkt"
    if len(first) in (1, 2) and _is_akt3(head):
        return "akt3"
    if len(first) != 2 or len(head) < 4 or _width(head[2]) != width or not _labels(head[3]):
        if len(first) == 2 and len(head) >= 6 and first[1].isdecimal() and _labels(head[3]):
            return "pykt"
        return None
    return "pykt" if len(head) >= 6 and first[1].isdecimal() and int(first[1]) == width and _second_pykt(head) else "akt"


def _is_akt3(head: list[str]) -> bool:
    """Blocks of three lines whose first names a learner; where it is one cell, so that it might be a count, two blocks must look alike."""
    blocks = [head[at : at + 3] for at in range(0, len(head) - 2, 3)]
    single = len(blocks[0][0].strip().split(",")) == 1
    fits = [
        len(block[0].strip().split(",")) == (1 if single else 2) and _width(block[1]) == _width(block[2]) > 0 and _labels(block[2])
        for block in blocks
    ]
    four = len(head) > 3 and _width(head[2]) == _width(head[3]) and _labels(head[3])
    return all(fits) and (len(blocks) > 1 if single else not four)


def read_blocks(paths: list[Path], kind: str, skipped: SkippedRows | None = None) -> AnswerLog:
    """The answers of files of one layout. Raises BadRowError with file and line, or leaves bad blocks to `skipped`."""
    collector = AnswerCollector()
    for file, path in enumerate(paths):
        for block in _blocks(path, LINES[kind], skipped):
            try:
                answers = _answers(block, kind, f"{file + 1}." if len(paths) > 1 else "")
            except BadRowError as problem:
                set_aside(problem.at(path, problem.line or block.line), "\n".join(block.lines), skipped)
                continue
            for learner, item, right, time, concepts in answers:
                tags: list[str | None] = [*concepts]
                for concept in tags:
                    collector.add(learner, item, right, time, concept, place_of(file, block.line))
    try:
        return collector.log(notes=collector.settle(), once=True)
    except BadRowError as problem:
        raise located(problem, paths, tables=False) from None


def _answers(block: Block, kind: str, file: str) -> list[tuple[str, str, float, float | None, list[str]]]:
    """Learner, item, share right, time and concepts of each answer. file: what tells nameless learners of several files apart."""
    cells = [_cells(line) for line in block.lines]
    count = cells[0][-1] if cells[0] else ""
    times = ["NA"]
    if kind == "dkt":
        learner, items, concepts, labels = f"{file}{block.line}", cells[1], cells[1], cells[2]
    elif kind == "akt3":
        learner, items, concepts, labels, count = count, cells[1], cells[1], cells[2], ""
    elif kind == "akt":
        learner, (items, concepts, labels), count = count, cells[1:4], ""
    else:
        learner, (items, concepts, labels, times) = _pykt_name(block.lines[0]), cells[1:5]
    if not learner:
        raise BadRowError("the block's first line names no learner")
    items = concepts if items in (["NA"], []) else items
    concepts = items if concepts in (["NA"], []) else concepts
    timed = times not in (["NA"], [])
    if not len(items) == len(concepts) == len(labels) or (timed and len(times) != len(labels)):
        also = f" and {len(times)} times" if timed else ""
        raise BadRowError(
            f"learner {learner} has {len(items)} items, {len(concepts)} concepts, {len(labels)} labels{also}; the lines must be equally long"
        )
    if count.isdecimal() and int(count) != len(labels):
        raise BadRowError(f"the block announces {count} answers and has {len(labels)}")
    labelled = 2 if LINES[kind] == 3 else 3
    rights = [_number(label, "label", block.line + labelled) for label in labels]
    moments = [_number(time, "time", block.line + 4) for time in times] if timed else [None] * len(labels)
    if not all(0 <= right <= 1 for right in rights):
        raise BadRowError("a label does not lie between 0 and 1", line=block.line + labelled)
    some = [list(dict.fromkeys(part for part in each.split("_") if part)) if kind == "pykt" else [each] for each in concepts]
    if not all(items) or not all(all(each) and each for each in some):
        raise BadRowError("an item or a concept has no name", line=block.line + 1)
    return [
        (learner, _pykt_text(item) if kind == "pykt" else item, right, time, [_pykt_text(one) for one in each] if kind == "pykt" else each)
        for item, right, time, each in zip(items, rights, moments, some, strict=True)
    ]


def _pykt_name(line: str) -> str:
    """The learner of a first line `name,count`; newer versions of pandas make pyKT write the name as a tuple."""
    name = line.rpartition(",")[0].strip()
    return name.removeprefix("('").removesuffix("',)") if name.startswith("('") else name


def _pykt_text(name: str) -> str:
    """pyKT writes `####` for `_` and `@@@@` for a comma within a name."""
    return name.replace("####", "_").replace("@@@@", ",")


def _number(text: str, what: str, line: int) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise BadRowError(f"the {what} {text[:40]!r} is not a number", line=line)
    return found


def _blocks(path: Path, lines: int, skipped: SkippedRows | None) -> Iterator[Block]:
    held: list[str] = []
    start = 1
    for number, line in lines_of(path):
        if not held and not line.strip():
            start = number + 1
            continue
        held.append(line)
        if len(held) == lines:
            yield Block(start, held)
            held, start = [], number + 1
    if held:
        problem = BadRowError(f"a block of {len(held)} lines at the end; a learner has {lines} in this layout", path, start)
        set_aside(problem, "\n".join(held), skipped)


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
