"""Scores of several runs side by side, with paired tests, and a refusal where they do not compare.

NDCG moves by twenty points with the size of the corpus alone, so runs of other texts, other readings or other depths never share a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.evaluate.retrieval.metrics import Run
from luthier.records import JSON, atomic_write
from luthier.records.lines import parse_value, to_text
from luthier.statistics.resampling import paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS = ("task", "split", "reading", "depth")  # what must be alike
LENGTH = "max_length"  # alike among the models that have one, unless allowed


@dataclass(frozen=True)
class Result:
    """One model on one task. values: (queries,) of each metric and reading, as `metric/reading`; clusters: (queries,)."""

    model: str
    settings: JSON
    values: dict[str, NDArray[np.float64]]
    clusters: NDArray[np.int32]
    row: JSON


def save_result(place: Path, result: Result, run: Run) -> None:
    """Write `PLACE.json` and `PLACE.safetensors` (the run and the values of each query)."""
    import numpy as np
    from safetensors.numpy import save

    arrays: dict[str, Any] = {f"values/{key}": np.ascontiguousarray(values) for key, values in result.values.items()}
    arrays |= {"clusters": result.clusters, "run/documents": run.documents, "run/scores": run.scores}
    with atomic_write(place.with_name(f"{place.name}.safetensors"), "wb") as stream:
        stream.write(save({key: np.ascontiguousarray(value) for key, value in arrays.items()}))
    with atomic_write(place.with_name(f"{place.name}.json")) as stream:
        stream.write(to_text({"model": result.model, "settings": result.settings, **result.row}) + "\n")


def load_results(path: Path) -> list[tuple[Result, Run]]:
    """The results of a run folder, or of one `NAME.json` in it. Raises MissingFileError, BadRowError."""
    files = [path] if path.suffix == ".json" else sorted((path / "results").glob("*.json"))
    if not files or not all(file.is_file() for file in files):
        raise MissingFileError(f"{path}: no results of `luthier evaluate retrieval run` there")
    return [_load(file) for file in files]


def _load(path: Path) -> tuple[Result, Run]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        row = parse_value(path.read_bytes())
        arrays = load_file(path.with_name(path.name.removesuffix(".json") + ".safetensors"))
        values = {key.removeprefix("values/"): array for key, array in arrays.items() if key.startswith("values/")}
        result = Result(row["model"], row["settings"], values, arrays["clusters"], row)
        return result, Run(arrays["run/documents"], arrays["run/scores"], row["model"])
    except (SafetensorError, KeyError, TypeError, OSError) as problem:
        raise BadRowError(f"not a result of a retrieval run ({problem}); run it again", path) from problem
    except BadRowError as problem:
        raise problem.at(path, problem.line or 1) from problem


def compare(
    results: Sequence[Result], *, metric: str = "ndcg@10", ties: str = "expected", allow: Sequence[str] = (), seed: int = 0
) -> JSON:
    """A table of the results, best first, and the paired difference of every two.

    allow: settings that may differ all the same; the table then says so. Raises SettingsError where another setting differs.
    """
    if len(results) < 2:
        raise SettingsError("one result compares with nothing; name two runs, or a run of two models")
    differing = unlike(results)
    refused = [name for name in differing if name not in allow]
    if refused:
        told = "; ".join(f"{name}: {' against '.join(str(value) for value in differing[name])}" for name in refused)
        raise SettingsError(f"these results do not compare, they differ in {told} (run them alike, or name the setting with --allow)")
    key = f"{metric}/{ties}"
    for result in results:
        if key not in result.values:
            raise SettingsError(f"{result.model} has no {metric} under {ties!r}; it has {', '.join(sorted(result.values))}")
    ranked = sorted(results, key=lambda result: -float(result.values[key].mean()))
    pairs = []
    if "task" not in differing and "split" not in differing:
        for better, worse in combinations(ranked, 2):
            pairs.append(
                {
                    "better": better.model,
                    "worse": worse.model,
                    **paired(worse.values[key], better.values[key], better.clusters, seed).to_row(),
                }
            )
    table = [{"model": result.model, **result.row["metrics"][metric][ties], "settings": result.settings} for result in ranked]
    return {
        "metric": metric,
        "ties": ties,
        "table": table,
        "pairs": pairs,
        "differ": {name: list(values) for name, values in differing.items()},
    }


def unlike(results: Sequence[Result]) -> dict[str, list[Any]]:
    """The settings that differ, with their values."""
    found = {}
    for name in (*SETTINGS, LENGTH):
        values = list(dict.fromkeys(_shown(result.settings.get(name)) for result in results))
        if name == LENGTH:
            values = [value for value in values if value is not None]
        if len(values) > 1:
            found[name] = values
    return found


def file_name(model: str) -> str:
    """The model's name as a file's."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in model).strip("._") or "model"


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float | type(None)) else to_text(value)
