"""Predictions as a file for `kt-audit`, an independent audit of knowledge-tracing evaluations."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from luthier.records import atomic_write
from luthier.records.delimited import inert

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

COLUMNS = ("user_id", "timestamp", "split", "kc_ids", "item_id", "y_true", "y_pred", "fold")
MOST = 200_000  # rows up to which the audit computes its own baseline


def write_audit(path: Path, parts: dict[str, AnswerLog], chances: dict[str, NDArray[np.float64]], fold: str = "0") -> int:
    """Write the answers of `test`, and those of `train` and `valid` as the file has room for whole learners. Returns the rows.

    chances: of each part the chance of every answer. Where no time is known the order of the answers stands for it.
    """
    rows = 0
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name in ("test", "train", "valid"):
            part = parts[name]
            for place in range(len(part.learners)):
                some = part.of_learner(place)
                if name != "test" and rows + some.stop - some.start > MOST:
                    break
                rows += some.stop - some.start
                writer.writerows([inert(cell) for cell in row] for row in _rows(part, some, name, chances[name], fold))
    return rows


def _rows(part: AnswerLog, some: slice, name: str, chance: NDArray[np.float64], fold: str) -> list[list[object]]:
    catalogue = part.catalogue
    timed = bool((part.time[some] != 0).any())
    found: list[list[object]] = []
    for order, at in enumerate(range(some.start, some.stop)):
        item = catalogue.items[part.item[at]]
        time = int(part.time[at]) if timed else order
        concepts = "|".join(each.replace("|", "/") for each in item.concepts) or "none"
        found.append(
            [part.learners[part.learner[at]], time, name, concepts, item.item, int(part.correct[at] > 0.5), f"{chance[at]:.6f}", fold]
        )
    return found
