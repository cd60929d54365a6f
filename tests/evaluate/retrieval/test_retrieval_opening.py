"""A name or a folder becomes the right kind of retriever, and what is none is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from luthier.errors import LuthierError, MissingFileError
from luthier.evaluate.retrieval import BM25
from luthier.evaluate.retrieval.opening import open_retriever
from luthier.evaluate.retrieval.retrieve import Vectors
from luthier.evaluate.retrieval.settings import OpeningSettings
from luthier.models.endpoint_embedder import EndpointEmbedder
from luthier.models.opening import EmbedderSettings
from luthier.models.sentence_transformer_embedder import SentenceTransformerEmbedder
from luthier.models.static_embedder import StaticEmbedder
from luthier.models.transformer_embedder import TransformerEmbedder
from retrieval_tasks import WORDS, static_folder


def test_names_and_folders(tmp_path: Path, tiny_model_folder: Path):
    assert open_retriever("bm25").name == "bm25:code"
    assert open_retriever("bm25:word", OpeningSettings(k1=1.2)).name == "bm25:word(k1=1.2,b=0.75)"
    assert isinstance(open_retriever("bm25"), BM25)
    assert isinstance(open_retriever("vectors:some/where"), Vectors)
    assert isinstance(open_retriever(str(static_folder(tmp_path / "static"))), StaticEmbedder)
    served = open_retriever("my-model", OpeningSettings(embedder=EmbedderSettings(endpoint="http://127.0.0.1:1/v1", query_prompt="q: ")))
    assert isinstance(served, EndpointEmbedder)
    assert served.key("document") != served.key("query")
    read = open_retriever(str(tiny_model_folder), OpeningSettings(embedder=EmbedderSettings(pooling="last", max_length=9)))
    assert isinstance(read, TransformerEmbedder)
    assert read.name.endswith("(last, 9 tokens)")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="no static embeddings here"):
        open_retriever(str(tmp_path / "empty"))
    (tmp_path / "empty" / "config.json").write_text("[1]")
    with pytest.raises(LuthierError):
        open_retriever(str(tmp_path / "empty"))


def test_other_modules_are_run_by_their_library(tmp_path: Path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, StaticEmbedding

    static = StaticEmbedder(static_folder(tmp_path / "static"))
    both = SentenceTransformer(modules=[StaticEmbedding(static.tokenizer, embedding_weights=static.table), Dense(16, 4)], device="cpu")
    both.save(str(tmp_path / "both"), create_model_card=False)
    model = open_retriever(str(tmp_path / "both"))
    assert isinstance(model, SentenceTransformerEmbedder)
    vectors = model.encode(WORDS[:3])
    expected = both.encode(WORDS[:3])
    assert vectors == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)
    assert model.key("query") == model.fingerprint
    alone = SentenceTransformer(modules=[StaticEmbedding(static.tokenizer, embedding_weights=static.table)], device="cpu")
    alone.save(str(tmp_path / "alone"), create_model_card=False)
    again = open_retriever(str(tmp_path / "alone"))
    assert isinstance(again, StaticEmbedder)
    assert again.encode(WORDS) == pytest.approx(static.encode(WORDS), abs=1e-6)
