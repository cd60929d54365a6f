"""Embeddings on disk, found by what they are embeddings of: a text is encoded once for each model, whatever task it appears in.

One folder a model and kind, in it shards of keys (hash of the text) and vectors (float16) as safetensors. A shard appears whole or not at
all; after a kill the same call continues, and gives the same bytes: shards are cut from the texts in a fixed order, longest first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, SettingsError
from luthier.models.embedder import Embedder, Kind, unit_length
from luthier.packages import cache_folder
from luthier.records import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARD = 512  # texts: with a transformer on one core about a minute's work, which is what a kill may cost
_KEY = 16  # bytes


class EmbeddingCache:
    """The vectors of many models. folder: where they are kept, `embeddings` in the user's cache unless told otherwise."""

    def __init__(self, folder: Path | str | None = None, shard: int = SHARD) -> None:
        self.folder, self.shard = Path(folder) if folder is not None else cache_folder() / "embeddings", shard

    def encode(
        self, model: Embedder, texts: Sequence[str], kind: Kind = "document", progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors of the texts, (texts, dimensions) float32, through the cache; each distinct text once.

        progress: told of newly encoded or found texts. Raises BadRowError for a damaged shard, SettingsError where its dimensions differ.
        """
        import numpy as np

        keys = [text_key(text) for text in texts]
        distinct = dict(zip(keys, texts, strict=True))
        place = self.folder / f"{model.key(kind)}-{kind}"
        found = _Found()
        for path in sorted(place.glob("*.safetensors")):
            found.add(path, *_read_shard(path))
        missing = sorted((key for key in distinct if key not in found.rows), key=lambda key: (-len(distinct[key]), key))
        if progress is not None:
            progress(len(distinct) - len(missing))
        for chunk in _chunks(missing, self.shard):
            vectors = model.encode([distinct[key] for key in chunk], kind).astype(np.float16)
            path = place / f"{hashlib.sha256(b''.join(chunk)).hexdigest()[:16]}.safetensors"
            _write_shard(path, chunk, vectors)
            found.add(path, chunk, vectors)
            if progress is not None:
                progress(len(chunk))
        return found.vectors(keys)


class _Found:
    """Vectors by key."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.parts: list[NDArray[np.float16]] = []
        self.count = 0

    def add(self, path: Path, keys: Sequence[bytes], vectors: NDArray[np.float16]) -> None:
        if self.parts and self.parts[0].shape[1] != vectors.shape[1]:
            raise SettingsError(
                f"{path}: vectors of {vectors.shape[1]} dimensions among others of {self.parts[0].shape[1]}; delete {path.parent}"
            )
        self.rows |= {key: self.count + at for at, key in enumerate(keys)}
        self.parts.append(vectors)
        self.count += len(keys)

    def vectors(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        import numpy as np

        if not keys:
            return np.zeros((0, self.parts[0].shape[1] if self.parts else 0), dtype=np.float32)
        table = np.concatenate(self.parts)
        return unit_length(table[[self.rows[key] for key in keys]].astype(np.float32))


def text_key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY).digest()


def _chunks(keys: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _write_shard(path: Path, keys: Sequence[bytes], vectors: NDArray[np.float16]) -> None:
    import numpy as np
    from safetensors.numpy import save

    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY)
    with atomic_write(path, "wb") as stream:
        stream.write(save({"keys": np.ascontiguousarray(table), "vectors": np.ascontiguousarray(vectors)}))


def _read_shard(path: Path) -> tuple[list[bytes], Any]:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        keys, vectors = tensors["keys"], tensors["vectors"]
        if keys.ndim != 2 or keys.shape[1] != _KEY or vectors.ndim != 2 or len(keys) != len(vectors):
            raise ValueError(f"shapes {keys.shape} and {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector is not finite")
    except (SafetensorError, OSError, KeyError, ValueError) as problem:
        raise BadRowError(f"a damaged shard of embeddings ({problem}); delete the file and run again", path) from problem
    return [row.tobytes() for row in keys], vectors
