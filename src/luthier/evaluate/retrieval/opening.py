"""Opens a retriever by the name that people give it: BM25, vectors made elsewhere, or whatever embeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.settings import OpeningSettings
from luthier.models.opening import embedder_reads, open_embedder

if TYPE_CHECKING:
    from luthier.evaluate.retrieval.retrieve import Retriever

VECTORS = "vectors:"


def open_retriever(name: str, settings: OpeningSettings | None = None) -> Retriever:
    """BM25 (`bm25`, `bm25:word`, `bm25:stem`), the vectors of `vectors:FOLDER`, or an embedder as `open_embedder` knows it.

    Raises MissingFileError, SettingsError, EngineError, FetchError.
    """
    from luthier.evaluate.retrieval.bm25 import BM25, TOKENIZERS
    from luthier.evaluate.retrieval.retrieve import Vectors

    chosen = settings or OpeningSettings()
    if is_bm25(name):
        tokenizer = name.partition(":")[2] or "code"
        if tokenizer not in TOKENIZERS:
            raise SettingsError(f"unknown tokenizer {tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
        return BM25(tokenizer, chosen.k1, chosen.b)
    if name.startswith(VECTORS):
        return Vectors(Path(name.removeprefix(VECTORS)))
    return open_embedder(name, chosen.embedder)


def is_bm25(name: str) -> bool:
    return name == "bm25" or name.startswith("bm25:")


def retriever_reads(name: str, settings: OpeningSettings) -> list[tuple[str, Path]]:
    """What of a retriever is on disk, for a run's record."""
    if is_bm25(name):
        return []
    if name.startswith(VECTORS):
        folder = Path(name.removeprefix(VECTORS))
        return [(f"{name}/{part}.npy", folder / f"{part}.npy") for part in ("queries", "documents")]
    return embedder_reads(name, endpoint=settings.embedder.endpoint)
