"""A tracer on disk: settings, items and concepts as JSON, numbers as safetensors. What is read and written is a plain value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import atomic_write, read_rows, write_jsonl
from luthier.trace.answers import Catalogue, Concept, Edge, Item
from luthier.trace.calibration import Platt
from luthier.trace.settings import FitSettings, TracerSettings
from luthier.trace.sinkt import SinktSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
RECORD, NUMBERS = "tracer.json", "tracer.safetensors"
ITEMS, CONCEPTS, EDGES = "items.jsonl", "concepts.jsonl", "edges.jsonl"


class Encoded(NamedTuple):
    """How many of the items, concepts and edges the graph was encoded with; the others were added later."""

    items: int
    concepts: int
    edges: int


@dataclass(frozen=True)
class SavedTracer:
    """A fitted tracer as values. shapes: of its module; attached: items and concepts that were added later; tensors: everything else by name."""

    settings: TracerSettings
    shapes: SinktSettings
    platt: tuple[Platt, Platt]
    spreads: list[float]
    version: str
    attached: int
    encoded: Encoded
    catalogue: Catalogue
    tensors: Mapping[str, NDArray[Any]]


def write_tracer(saved: SavedTracer, folder: str | Path) -> Path:
    """Write a fitted tracer, `tracer.json` last. Raises DiskError, and SettingsError for numbers that are not finite."""
    import numpy as np
    from safetensors.numpy import save

    folder, known = Path(folder), saved.catalogue
    broken = _not_finite(saved)
    if broken:
        raise SettingsError(
            f"{folder}: {broken} of the tracer holds numbers that are not finite; fit it again with a smaller learning rate"
        )
    write_jsonl(folder / ITEMS, (each._asdict() | {"concepts": list(each.concepts)} for each in known.items))
    write_jsonl(folder / CONCEPTS, (each._asdict() for each in known.concepts))
    write_jsonl(folder / EDGES, (each._asdict() for each in known.edges))
    with atomic_write(folder / NUMBERS, "wb") as stream:
        stream.write(save({name: np.ascontiguousarray(each) for name, each in saved.tensors.items()}))
    record = {
        "format": FORMAT,
        "settings": asdict(saved.settings),
        "shapes": asdict(saved.shapes),
        "platt": saved.platt,
        "spreads": saved.spreads,
        "version": saved.version,
        "attached": saved.attached,
        "encoded": saved.encoded._asdict(),
    }
    with atomic_write(folder / RECORD) as stream:
        json.dump(record, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    return folder


def read_tracer(folder: str | Path) -> SavedTracer:
    """What `write_tracer` wrote. Raises MissingFileError or BadRowError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise MissingFileError(f"{folder}: no {RECORD} in it; fit a tracer there first")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        told = record["settings"]
        settings = TracerSettings(**told | {"fit": FitSettings(**told["fit"]), "graph": tuple(told["graph"])})
        saved = SavedTracer(
            settings,
            SinktSettings(**record["shapes"]),
            (Platt(*record["platt"][0]), Platt(*record["platt"][1])),
            list(record["spreads"]),
            str(record["version"]),
            int(record["attached"]),
            Encoded(**record["encoded"]),
            read_catalogue(folder),
            load_file(folder / NUMBERS),
        )
        if broken := _not_finite(saved):
            raise ValueError(f"{broken} holds numbers that are not finite")
    except (ValueError, KeyError, TypeError, OSError, SafetensorError, SettingsError) as problem:
        raise not_a_tracer(folder, problem) from None
    return saved


def not_a_tracer(folder: str | Path, problem: Exception) -> BadRowError:
    """The error that names a damaged tracer."""
    return BadRowError(f"not a tracer ({type(problem).__name__}: {problem})", Path(folder) / RECORD)


def read_catalogue(folder: Path) -> Catalogue:
    """The items, concepts and edges of a folder. Raises BadRowError."""
    items = [Item(row["item"], row["text"], tuple(row["concepts"])) for _, row in read_rows(folder / ITEMS)]
    concepts = [Concept(**row) for _, row in read_rows(folder / CONCEPTS)]
    return Catalogue(tuple(items), tuple(concepts), tuple(Edge(**row) for _, row in read_rows(folder / EDGES)))


def _not_finite(saved: SavedTracer) -> str:
    """The first part that holds a number which is not finite; empty where there is none."""
    import numpy as np

    numbers = {"platt": np.array(saved.platt), "spreads": np.array(saved.spreads), **saved.tensors}
    return next((name for name, each in numbers.items() if not np.isfinite(each).all()), "")
