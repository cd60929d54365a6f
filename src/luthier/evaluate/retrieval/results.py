"""What one model got on one task, in memory, in `run.json` and in `results/NAME.json` with its arrays in `NAME.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, MissingFileError
from luthier.evaluate.retrieval.metrics import Run
from luthier.records import JSON, atomic_write
from luthier.records.lines import parse_value, to_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESULTS = "results"
METRIC = "ndcg@10"  # that stands for a row where one figure must do


@dataclass(frozen=True)
class RetrievalRow:
    """metrics: metric -> reading of ties -> mean with its interval. ceiling: reading -> metric -> what a perfect retriever gets.

    settings: of the task and the model, by which rows compare; costs: CPU-seconds and sizes, as far as they are known;
    account: what was left out when the task was read, by reason.
    """

    model: str
    settings: JSON
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    ceiling: Mapping[str, Mapping[str, float]]
    costs: JSON
    distinct_documents: int
    distinct_queries: int
    account: Mapping[str, int] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return str(self.settings["name"])

    def to_row(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class Result:
    """A row with what it was computed from. values: (queries,) of each metric and reading, as `metric/reading`; clusters: (queries,)."""

    row: RetrievalRow
    values: dict[str, NDArray[np.float64]]
    clusters: NDArray[np.int32]
    run: Run


@dataclass(frozen=True)
class Mean:
    """A model's mean over tasks; coir: CoIR's own, where all its data sets are there."""

    model: str
    tasks: int
    mean: float
    coir: float | None


def means(rows: Sequence[RetrievalRow], metric: str = METRIC) -> list[Mean]:
    """Of each model that saw all of several tasks."""
    from luthier.evaluate.retrieval.datasets import DATASETS, macro_mean

    tasks = {row.task for row in rows}
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        scores.setdefault(row.model, {})[row.task] = row.metrics[metric]["trec"]["mean"]
    found = []
    for model, values in scores.items():
        if len(tasks) > 1 and len(values) == len(tasks):
            coir = {name.removeprefix("coir:"): value for name, value in values.items() if name.startswith("coir:")}
            whole = all(part in coir for parts in DATASETS.values() for part in parts)
            found.append(Mean(model, len(tasks), sum(values.values()) / len(values), macro_mean(coir) if whole else None))
    return found


def save_result(place: Path, result: Result) -> None:
    """Write `PLACE.json` and `PLACE.safetensors` (the run and the values of each query)."""
    import numpy as np
    from safetensors.numpy import save

    arrays: dict[str, Any] = {f"values/{key}": values for key, values in result.values.items()}
    arrays |= {"clusters": result.clusters, "run/documents": result.run.documents, "run/scores": result.run.scores}
    with atomic_write(place.with_name(f"{place.name}.safetensors"), "wb") as stream:
        stream.write(save({key: np.ascontiguousarray(value) for key, value in arrays.items()}))
    with atomic_write(place.with_name(f"{place.name}.json")) as stream:
        stream.write(to_text(result.row.to_row()) + "\n")


def load_results(path: Path) -> list[Result]:
    """The results of a run folder, or of one `NAME.json` in it. Raises MissingFileError, BadRowError."""
    files = [path] if path.suffix == ".json" else sorted((path / RESULTS).glob("*.json"))
    if not files or not all(file.is_file() for file in files):
        raise MissingFileError(f"{path}: no results of `luthier evaluate retrieval run` there")
    return [load_result(file) for file in files]


def load_result(path: Path) -> Result:
    """Raises BadRowError where the file or its arrays are no result."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        row = RetrievalRow(**parse_value(path.read_bytes()))
        arrays = load_file(path.with_name(path.name.removesuffix(".json") + ".safetensors"))
        values = {key.removeprefix("values/"): array for key, array in arrays.items() if key.startswith("values/")}
        return Result(row, values, arrays["clusters"], Run(arrays["run/documents"], arrays["run/scores"], row.model))
    except (SafetensorError, KeyError, TypeError, OSError) as problem:
        raise BadRowError(f"not a result of a retrieval run ({problem}); run it again", path) from problem
    except BadRowError as problem:
        raise problem.at(path, problem.line or 1) from problem


def file_name(model: str) -> str:
    """The model's name as a file's."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in model).strip("._") or "model"
