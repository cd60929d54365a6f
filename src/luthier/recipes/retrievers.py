"""Opens a retriever by the name that people give it on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import MissingFileError, SettingsError

if TYPE_CHECKING:
    from luthier.models.embedder import Kind

KNOWN = ("minilm", "static", "bm25", "bm25:code", "bm25:word", "bm25:stem", "bundled", "vectors:FOLDER", "a folder")


@dataclass(frozen=True)
class ModelOptions:
    """How models are read: pooling and max_length of transformers, prompts before queries and documents, a server that embeds, BM25's k1 and b."""

    pooling: str | None = None
    max_length: int | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    endpoint: str | None = None
    dimensions: int | None = None
    k1: float = 1.5
    b: float = 0.75


def open_retriever(name: str, options: ModelOptions | None = None, api_key: str | None = None) -> Any:
    """An embedder, BM25, or vectors made elsewhere; see KNOWN. With an endpoint, every other name is that of a served model.

    Raises MissingFileError, SettingsError, FetchError.
    """
    from luthier.evaluate.retrieval.bm25 import BM25, TOKENIZERS
    from luthier.evaluate.retrieval.retrieve import Vectors

    chosen = options or ModelOptions()
    if name == "bm25" or name.startswith("bm25:"):
        tokenizer = name.partition(":")[2] or "code"
        if tokenizer not in TOKENIZERS:
            raise SettingsError(f"unknown tokenizer {tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
        return BM25(tokenizer, chosen.k1, chosen.b)
    if name.startswith("vectors:"):
        return Vectors(Path(name.removeprefix("vectors:")))
    if name == "static":
        from luthier.models.minilm import static_embedder

        return static_embedder()
    prompts: dict[Kind, str] = {}
    if chosen.query_prompt:
        prompts["query"] = chosen.query_prompt
    if chosen.document_prompt:
        prompts["document"] = chosen.document_prompt
    if name not in ("minilm", "bundled") and chosen.endpoint is not None:
        from luthier.models.endpoint_embedder import EndpointEmbedder

        return EndpointEmbedder(chosen.endpoint, name, api_key, dimensions=chosen.dimensions, prompts=prompts)
    return _folder(name, chosen, prompts)


def _folder(name: str, options: ModelOptions, prompts: dict[Kind, str]) -> Any:
    from luthier.models import bundled, minilm
    from luthier.models.sentence_transformer_embedder import SentenceTransformerEmbedder
    from luthier.models.static_embedder import StaticEmbedder
    from luthier.models.transformer_embedder import TransformerEmbedder, module_kinds

    folder = minilm.pull() if name == "minilm" else bundled.pull() if name == "bundled" else Path(name)
    if not folder.is_dir():
        raise MissingFileError(f"{name}: no such model; known: {', '.join(KNOWN)}, or a served model with --endpoint")
    kinds = set(module_kinds(folder))
    if kinds and not (kinds <= {"Transformer", "Pooling", "Normalize"} or kinds <= {"StaticEmbedding", "Normalize"}):
        return SentenceTransformerEmbedder(folder, max_length=options.max_length, name=name)
    if (folder / "config.json").is_file() and _is_transformer(folder):
        try:
            return TransformerEmbedder(
                folder,
                pooling=options.pooling,  # type: ignore[arg-type]
                max_length=options.max_length,
                prompts=prompts,
                name=_label(name, options),
            )
        except SettingsError as problem:
            if "sentence-transformers" not in str(problem) or options.pooling is not None:
                raise
            return SentenceTransformerEmbedder(folder, max_length=options.max_length, name=name)
    return StaticEmbedder(folder, name=name)


def _is_transformer(folder: Path) -> bool:
    from luthier.records.lines import parse_value

    config = parse_value((folder / "config.json").read_bytes())
    return isinstance(config, dict) and ("architectures" in config or "model_type" in config) and config.get("model_type") != "model2vec"


def _label(name: str, options: ModelOptions) -> str:
    """The name, with what makes its vectors others than usual."""
    parts = [options.pooling, f"{options.max_length} tokens" if options.max_length else None]
    told = ", ".join(part for part in parts if part)
    return f"{name} ({told})" if told else name
