"""What an adapter was trained on, by name and hash, in a file beside it: elsewhere it can be told from a model that only has the same shapes."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import NamedTuple

from luthier.models.known import find_known
from luthier.records import JSON
from luthier.records.fingerprints import fingerprint

FILE = "base.json"


class Base(NamedTuple):
    """name: as it was named to the command, with the commit of the hub; origin: on the hub, "" where it is a folder; weights: SHA-256."""

    name: str
    origin: str
    revision: str
    weights: str


def weights_hash(folder: Path) -> str:
    """SHA-256 of the names and hashes of a folder's weights."""
    told = [[path.name, fingerprint(path)] for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def base_of(name: str, folder: Path) -> Base:
    """The base that a model's name and folder mean."""
    known, (repository, at, commit) = find_known(name), name.rpartition("@")
    if known is not None:
        return Base(known.name, known.origin, "", weights_hash(folder))
    hub = bool(at) and len(commit) == 40 and repository.count("/") == 1
    return Base(name, repository if hub else "", commit if hub else "", weights_hash(folder))


def write_base(made: Path, name: str, folder: Path) -> None:
    """Put the base's name and hash beside what was trained, and into an adapter's own configuration where it is one of the hub."""
    base = base_of(name.partition("+")[0], folder)
    (made / FILE).write_text(json.dumps(base._asdict(), indent=1) + "\n", encoding="utf-8")
    config = made / "adapter_config.json"
    if config.is_file() and base.origin:
        found: JSON = json.loads(config.read_text(encoding="utf-8"))
        found |= {"base_model_name_or_path": base.origin, "revision": base.revision or found.get("revision")}
        config.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_base(made: Path) -> Base | None:
    """The base of what was trained; None where nothing tells it."""
    try:
        found = json.loads((made / FILE).read_text(encoding="utf-8"))
        return Base(**{name: str(found[name]) for name in Base._fields})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_base(adapter: Path, folder: Path) -> None:
    """Say so where an adapter was trained on other weights than those of a folder."""
    base = read_base(adapter)
    if base is not None and base.weights != weights_hash(folder):
        logging.getLogger("luthier").warning(
            "%s: was trained on %s (weights %s), and these are other weights (%s); give that model",
            adapter,
            base.name,
            base.weights[:12],
            folder,
        )
