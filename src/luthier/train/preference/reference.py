"""Log-probabilities of a reference model by token, kept on disk: one pass serves every loss, beta, delta and run over the same pairs.

A folder of safetensors shards, each written whole, so a stopped pass continues. They belong to one model, named by the hash of its weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.records.files import atomic_write
from luthier.train.preference.forward import SIDES, answer_logps
from luthier.train.preference.pairs import EncodedPair

if TYPE_CHECKING:
    import numpy as np

SHARD = 256  # pairs: what a kill can lose
MODEL = "model"
SHARD_NAME = re.compile(r"[0-9a-f]{16}\.safetensors")


class ReferenceCache:
    """What the reference says of each pair, by the pair's key.

    model: hash of the reference's weights; folder: None keeps it in memory. Raises SettingsError where the folder belongs to another model, or holds
    something else.
    """

    def __init__(self, model: str, folder: Path | None) -> None:
        self.model, self.folder = model, folder
        self.known: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        self.load()

    def load(self) -> None:
        """Read every shard, also those of other processes."""
        if self.folder is None or not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise _no_cache(self.folder)
        held = [path for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")]  # as what a kill leaves does
        shards = [path for path in held if SHARD_NAME.fullmatch(path.name)]
        others = [path for path in held if path not in shards]
        weights = [path for path in others if path.suffix == ".safetensors"]
        if weights or (others and not shards):
            raise _no_cache((weights or others)[0])
        for path in shards:
            self.known |= self._read(path)

    def missing(self, pairs: Iterable[EncodedPair]) -> list[EncodedPair]:
        """Pairs of which nothing is known, each once, long ones first."""
        left = {pair["key"]: pair for pair in pairs if pair["key"] not in self.known}
        return sorted(left.values(), key=_length, reverse=True)

    def add(self, pairs: Sequence[EncodedPair], logps: Sequence[tuple[Any, Any]], name: str) -> None:
        """Keep (chosen, rejected) log-probabilities of the pairs, as shard `name`."""
        new = {pair["key"]: both for pair, both in zip(pairs, logps, strict=True)}
        self.known |= new
        if self.folder is not None and new:
            self._write(self.folder / f"{name}.safetensors", new)

    def share(self) -> None:
        """Give every process what each of them knows."""
        from accelerate.utils import gather_object

        for known in gather_object([self.known]):
            self.known |= known

    def columns(self, pair: EncodedPair) -> dict[str, list[float]]:
        """`chosen_reference` and `rejected_reference` of a pair."""
        return {f"{side}_reference": values.tolist() for side, values in zip(SIDES, self.known[pair["key"]], strict=True)}

    def _write(self, path: Path, rows: dict[str, tuple[Any, Any]]) -> None:
        import numpy as np
        from safetensors.numpy import save

        flat = [np.asarray(values, dtype=np.float32) for both in rows.values() for values in both]
        tensors = {
            "keys": np.frombuffer(bytes.fromhex("".join(rows)), dtype=np.uint8).copy(),
            "lengths": np.array([len(values) for values in flat], dtype=np.int32),
            "logps": np.concatenate(flat),
        }
        with atomic_write(path, "wb") as stream:
            stream.write(save(tensors, metadata={MODEL: self.model}))

    def _read(self, path: Path) -> dict[str, tuple[Any, Any]]:
        import numpy as np
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as shard:
                if (owner := (shard.metadata() or {}).get(MODEL)) is None:
                    raise _no_cache(path)
                keys, lengths, logps = (shard.get_tensor(name) for name in ("keys", "lengths", "logps"))
        except (OSError, SafetensorError) as problem:
            raise SettingsError(
                f"{path}: a damaged part of a cache of reference log-probabilities ({str(problem).splitlines()[0]});"
                " delete that file, it is made again, or name another place with --reference-cache"
            ) from problem
        if owner != self.model:
            raise SettingsError(
                f"{path.parent}: these reference log-probabilities are of another model ({owner}, not {self.model});"
                " delete the folder or name another"
            )
        names = [keys[at : at + 16].tobytes().hex() for at in range(0, len(keys), 16)]
        parts = np.split(logps, np.cumsum(lengths)[:-1])
        return {name: (parts[2 * at], parts[2 * at + 1]) for at, name in enumerate(names)}


def fill(
    cache: ReferenceCache,
    pairs: Sequence[EncodedPair],
    model: Any,
    collate: Callable[[Sequence[EncodedPair]], dict[str, Any]],
    *,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Let the reference read what the cache lacks, this process its share: every process does equally many batches, as sharded models need.

    model: in evaluation mode; the caller sees to the precision of training; collate gives batches on its device.
    """
    import torch

    missing = cache.missing(pairs)
    batches = [missing[at : at + batch_size] for at in range(0, len(missing), batch_size)]
    while len(batches) % world:
        batches.append(batches[-1])
    mine = batches[rank::world]
    done: list[EncodedPair] = []
    logps: list[tuple[Any, Any]] = []
    with torch.no_grad():
        for number, batch in enumerate(mine, 1):
            chosen, rejected = answer_logps(model, collate(batch))
            for at, pair in enumerate(batch):
                lengths = (len(pair["chosen_ids"]), len(pair["rejected_ids"]))
                done.append(pair)
                logps.append(
                    tuple(side[at, :count].float().cpu().numpy() for side, count in zip((chosen, rejected), lengths, strict=True))  # type: ignore[arg-type]
                )
            if len(done) >= SHARD or number == len(mine):
                cache.add(done, logps, _shard_name(done))
                done, logps = [], []
            if progress is not None:
                progress(number, len(mine))


def fingerprint(model: Any, precision: str | None = None, *, without_adapter: bool = False) -> str:
    """Hash of what a model computes with: its weights (names, types and bytes), its configuration, its adapters and the precision.

    without_adapter: of what it is when its PEFT adapters are switched off.
    """
    import torch

    prefix = getattr(getattr(model, "base_model", None), "prefix", None) if without_adapter else None
    digest = hashlib.blake2b(json.dumps([precision, *_configurations(model, without_adapter)]).encode(), digest_size=16)
    for name, weight in model.state_dict().items():
        if not isinstance(weight, torch.Tensor) or (prefix and prefix in name):
            continue
        if prefix:
            name = name.removeprefix("base_model.model.").replace(".base_layer", "")  # noqa: PLW2901  as before it was adapted
        digest.update(json.dumps([name, str(weight.dtype), list(weight.shape)]).encode())
        flat = weight.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return digest.hexdigest()


def _configurations(model: Any, without_adapter: bool) -> list[Any]:
    """The settings that shape a model's outputs, as JSON; where it was loaded from and by which version is not among them."""
    passing = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation", "use_cache")
    own = {name: value for name, value in model.config.to_dict().items() if name not in passing}
    shaping = ("peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "alpha_pattern", "rank_pattern")
    adapters = (
        []
        if without_adapter
        else [{name: str(getattr(config, name, None)) for name in shaping} for config in getattr(model, "peft_config", {}).values()]
    )
    return [json.loads(json.dumps(own, default=str, sort_keys=True)), adapters]


def _no_cache(path: Path) -> SettingsError:
    """Of a place that may hold anything, a model even: nobody is told to delete it."""
    return SettingsError(f"{path}: not a cache of reference log-probabilities; name another place with --reference-cache")


def _length(pair: EncodedPair) -> int:
    return len(pair["prompt_ids"]) + len(pair["chosen_ids"]) + len(pair["rejected_ids"])


def _shard_name(pairs: Sequence[EncodedPair]) -> str:
    """The same pairs have the same name, so that two processes never write one file with different rows."""
    return hashlib.blake2b("".join(pair["key"] for pair in pairs).encode(), digest_size=8).hexdigest()
