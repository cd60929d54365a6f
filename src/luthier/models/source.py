"""What a run, an adapter or a model is made of: the base and its hash, an adapter of it, the run that trained it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from luthier.errors import LuthierError, MissingFileError
from luthier.models.adapter_parts import has_tokenizer
from luthier.models.base_model import Base, base_of, read_base
from luthier.models.hub import hub_named
from luthier.models.known import find_known
from luthier.models.opening import adapter_folder, hub_label, model_folder
from luthier.records.fingerprints import fingerprint
from luthier.run.record import RECORD, RunRecord


class Source(NamedTuple):
    """What is exported: the base's folder and what is known of it, an adapter of it, the run that made it."""

    folder: Path
    base: Base
    adapter: Path | None
    run: RunRecord | None

    @property
    def tokenizer(self) -> Path:
        """Where the tokenizer's files lie: with the adapter where it has them. What of them is another's than the base's `adapter_parts` tells."""
        return self.adapter if self.adapter is not None and has_tokenizer(self.adapter) else self.folder

    @property
    def data(self) -> list[Path]:
        """The rows that it was trained on, those that are still there as they were: of the run that made the adapter, which may be a part of a flow.

        Names that are relative to where the command ran are sought above the run's folder too.
        """
        within = None if self.adapter is None else self.adapter.parent
        run = RunRecord.read(within) if within is not None and (within / RECORD).is_file() else self.run
        if run is None:
            return []
        hashes = run.record.get("inputs", {})
        found = []
        for name in run.settings.get("data") or ():
            places = [Path(name), *(above / name for above in run.path.resolve().parents)]
            same = (place for place in places if place.is_file() and hashes.get(name) in (None, fingerprint(place)))
            found += [place for place in [next(same, None)] if place is not None]
        return found


def find_source(source: str, model: str | None = None) -> Source:
    """The base, the adapter and the run that a name means. model: the base, where nothing tells it. Raises MissingFileError where the base is not told or not to be had."""
    place = Path(source)
    run = RunRecord.read(place) if (place / RECORD).is_file() else None
    made = _made(place) if run is not None else None
    if made is None and run is not None:
        raise MissingFileError(f"{place}: the run has made no adapter and no model yet")
    if made is None:
        named = hub_named(source)
        found = place if named is None else adapter_folder(source)
        made = found if (found / "adapter_config.json").is_file() else None
    if made is not None and (made / "adapter_config.json").is_file():
        name = model or _base_name(made, run)
        try:
            folder = model_folder(name)
        except LuthierError as problem:
            raise MissingFileError(
                f"{made}: is an adapter of {name}, which is not to be had ({problem}); give it with --model"
            ) from problem
        return Source(folder, base_of(hub_label(name), folder), made, run)
    folder = made or model_folder(source)
    return Source(folder, read_base(folder) or base_of(hub_label(source), folder), None, run)


def _made(run: Path) -> Path | None:
    """The newest adapter or model below a run's folder."""
    found = [run / name for name in ("adapter", "model")] + [
        path for name in ("adapter", "model") for path in run.glob(f"*/{name}") if path.parent.name != "checkpoints"
    ]
    kept = [path for path in found if (path / "adapter_config.json").is_file() or (path / "config.json").is_file()]
    return max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)


def _base_name(adapter: Path, run: RunRecord | None) -> str:
    base = read_base(adapter)
    if base is not None:
        return (
            base.name
            if Path(base.name).is_dir() or find_known(base.name)
            else (f"{base.origin}@{base.revision}" if base.revision else base.origin or base.name)
        )
    if run is not None and run.settings.get("model"):
        return str(run.settings["model"])
    try:
        found = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError):
        found = None
    if not found:
        raise MissingFileError(f"{adapter}: does not tell its base; give it with --model")
    return str(found)
