"""Calibrated items on disk, so that a new model is estimated without the answers of the old ones. One safetensors file: numbers as tensors, names as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records.files import atomic_write
from luthier.trace.answers import AnswerLog, Catalogue, Item
from luthier.trace.item_response import Calibration, DifficultyPrior

if TYPE_CHECKING:
    from luthier.trace.ability import AbilityModel

NAME = "calibration.safetensors"
_TENSORS = ("difficulty", "discrimination", "difficulty_sd", "answers")
_FORMAT = "luthier calibrated items 1"


class CalibratedItems(NamedTuple):
    """Fitted items without the learners they were fitted on. spread: of a learner's abilities between concepts; inflation: of the intervals
    of new learners (`luthier.trace.new_model.interval_inflation`)."""

    calibration: Calibration
    catalogue: Catalogue
    spread: float
    inflation: float = 1.0

    def model(self) -> AbilityModel:
        import numpy as np

        none = np.zeros(0, dtype=np.int32)
        empty = AnswerLog((), self.catalogue, none, none, none.astype(np.float32), none.astype(np.float64))
        return self.calibration.model(empty, self.spread)


def write_calibrated(path: str | Path, items: CalibratedItems) -> None:
    """Write the items without their texts. Raises DiskError."""
    import numpy as np
    from safetensors.numpy import save

    told = {
        "format": _FORMAT,
        "items": [[item.item, *item.concepts] for item in items.catalogue.items],
        "sd": items.calibration.sd,
        "concepts": [concept.concept for concept in items.catalogue.concepts],
        "spread": items.spread,
        "inflation": items.inflation,
    }
    tensors = {name: np.ascontiguousarray(getattr(items.calibration, name), dtype=np.float64) for name in _TENSORS}
    with atomic_write(path, "wb") as stream:
        stream.write(save(tensors, {"luthier": json.dumps(told, ensure_ascii=False)}))


def read_calibrated(path: str | Path) -> CalibratedItems:
    """The items in a file, or in the run folder of `luthier trace models`. Raises MissingFileError or BadRowError."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    file = calibrated_file(path)
    if not file.is_file():
        raise MissingFileError(f"{file} does not exist; give a run folder of luthier trace models")
    try:
        with safe_open(file, "numpy") as opened:
            told = json.loads(opened.metadata()["luthier"])
            tensors = {name: opened.get_tensor(name) for name in _TENSORS}
        if told["format"] != _FORMAT or any(len(each) != len(told["items"]) for each in tensors.values()):
            raise ValueError("another format, or numbers of other items")
        items = [Item(name, "", tuple(concepts)) for name, *concepts in told["items"]]
        catalogue = Catalogue.of(items, Catalogue.of([Item("", "", tuple(told["concepts"]))]).concepts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise BadRowError(f"not calibrated items ({type(problem).__name__}: {problem})", file) from None
    none, prior = np.zeros(0), DifficultyPrior(tensors["difficulty"], tensors["difficulty_sd"])
    calibration = Calibration(
        tensors["difficulty"],
        tensors["discrimination"],
        tensors["difficulty_sd"],
        tensors["answers"],
        none,
        none,
        float(told["sd"]),
        prior,
        0,
    )
    return CalibratedItems(calibration, catalogue, float(told["spread"]), float(told["inflation"]))


def calibrated_file(path: str | Path) -> Path:
    """The file itself, where a run folder may stand for it."""
    return Path(path) / NAME if Path(path).is_dir() else Path(path)


def onto(log: AnswerLog, items: CalibratedItems) -> AnswerLog:
    """The answers to calibrated items only, in their catalogue; what is left out is noted. Raises SettingsError where nothing is left."""
    import numpy as np

    places = items.catalogue.item_places
    named = np.array([places.get(item.item, -1) for item in log.catalogue.items], dtype=np.int32)
    known = named[log.item] >= 0
    if not known.any():
        raise SettingsError(
            f"none of the items is calibrated; they are called {log.catalogue.items[0].item!r}, the calibrated ones {items.catalogue.items[0].item!r}"
        )
    kept = log.where(known)
    left = int((~known).sum())
    told = "1 answer to an item that is not calibrated is" if left == 1 else f"{left} answers to items that are not calibrated are"
    notes = (*log.notes, f"{told} left out") if left else log.notes
    return replace(kept, catalogue=items.catalogue, item=named[kept.item], notes=notes)
