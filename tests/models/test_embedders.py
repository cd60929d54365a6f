"""Embedders: poolings against their definitions, batches against single texts, folders that are refused, and a server on the loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.errors import EngineError, MissingFileError, SettingsError
from luthier.models.embedder import Embedder, unit_rows
from luthier.models.endpoint_embedder import EndpointEmbedder
from luthier.models.static_embedder import StaticEmbedder, distil, entry_weights
from luthier.models.transformer_embedder import TransformerEmbedder
from retrieval_tasks import WORDS, static_folder

TEXTS = ["read a file", "Weather in Lisbon", "", "def parse(text): return json.loads(text)", "read a file"]


@pytest.mark.parametrize("pooling", ["mean", "weighted-mean", "last", "cls"])
def test_pooling_is_its_definition_and_batches_do_not_matter(tiny_model_folder: Path, pooling: str):
    import torch

    model = TransformerEmbedder(tiny_model_folder, pooling=pooling)  # type: ignore[arg-type]
    vectors = model.encode(TEXTS)
    assert isinstance(model, Embedder)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = model.tokenizer(text)["input_ids"] or [model.tokenizer.pad_token_id]
        with torch.inference_mode():
            hidden = model.module(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        places = np.arange(1, len(ids) + 1)[:, None]
        expected = {"mean": hidden.mean(0), "weighted-mean": (hidden * places).sum(0) / places.sum(), "last": hidden[-1], "cls": hidden[0]}[
            pooling
        ]
        assert vector == pytest.approx(expected / max(np.linalg.norm(expected), 1e-9), abs=2e-5)
    assert np.linalg.norm(vectors[:2], axis=1) == pytest.approx(1, abs=1e-6)


def test_length_and_prompts_change_vectors_and_fingerprints(tiny_model_folder: Path):
    plain = TransformerEmbedder(tiny_model_folder)
    others = [
        TransformerEmbedder(tiny_model_folder, max_length=4),
        TransformerEmbedder(tiny_model_folder, prompts={"query": "query: "}),
        TransformerEmbedder(tiny_model_folder, pooling="last"),
    ]
    assert len({model.fingerprint for model in [plain, *others]}) == 4
    assert TransformerEmbedder(tiny_model_folder).fingerprint == plain.fingerprint
    long = "weather " * 50
    assert not np.allclose(plain.encode([long]), others[0].encode([long]), atol=1e-4)
    assert np.array_equal(plain.encode([long], "query"), plain.encode([long]))
    assert others[1].encode(["find"], "query") == pytest.approx(plain.encode(["query: find"]), abs=1e-5)
    assert plain.token_counts([long])[0] > 4


def test_a_folder_of_sentence_transformers_says_its_pooling(tiny_model_folder: Path, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model_folder.iterdir():
        (folder / file.name).symlink_to(file)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"idx": at, "path": path, "type": f"sentence_transformers.models.{kind}"} for at, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 7}))
    model = TransformerEmbedder(folder)
    assert (model.pooling, model.max_length) == ("last", 7)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(SettingsError, match=r"its pooling .* open it with sentence-transformers"):
        TransformerEmbedder(folder)
    (folder / "modules.json").write_text(
        json.dumps([*modules, {"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"}])
    )
    with pytest.raises(SettingsError, match="has a module Dense"):
        TransformerEmbedder(folder)


def test_folders_that_hold_no_model_are_named(tmp_path: Path, tiny_model_folder: Path):
    with pytest.raises(MissingFileError, match=r"config\.json is missing"):
        TransformerEmbedder(tmp_path)
    with pytest.raises(MissingFileError, match="no static embeddings here"):
        StaticEmbedder(tmp_path)
    with pytest.raises(SettingsError, match="pooling is 'max'"):
        TransformerEmbedder(tiny_model_folder, pooling="max")  # type: ignore[arg-type]
    folder = static_folder(tmp_path / "static")
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(EngineError, match="not a readable safetensors file"):
        StaticEmbedder(folder).encode(["read"])


def test_static_vectors_are_means_of_tokens(tmp_path: Path):
    model = StaticEmbedder(static_folder(tmp_path))
    table = model.table
    mean = table[[WORDS.index("read") + 1, WORDS.index("file") + 1]].mean(0)
    vectors = model.encode(["Read file", "", "unheard of"])
    assert vectors[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert not vectors[1:].any()
    assert model.token_counts(["read file", ""]).tolist() == [2, 0]


def test_distilling_keeps_what_is_near(tiny_model_folder: Path, tmp_path: Path):
    teacher = TransformerEmbedder(tiny_model_folder)
    student = StaticEmbedder(distil(teacher, tmp_path / "static"))
    assert student.encode(["weather"]).shape == teacher.encode(["weather"]).shape
    assert (entry_weights(["[CLS]", "(", "a", "the", "of"]) > 0).tolist() == [False, False, True, True, True]
    assert entry_weights(["the", "of"]).tolist() == pytest.approx([np.log(2), np.log(3)])


def test_vectors_that_are_not_finite_name_their_text():
    with pytest.raises(EngineError, match="the first: 'second text'"):
        unit_rows(np.array([[1.0, 2.0], [np.nan, 1.0]]), ["first", "second   text"], "model")


class EmbeddingServer:
    """Answers with (length of the text, 1); `reply` changes an answer before it is sent."""

    def __init__(self, reply: Any = lambda body: body) -> None:
        self.requests: list[dict[str, Any]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.requests.append(asked)
                rows = [
                    {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]} for at, text in enumerate(asked["input"])
                ]
                body = {"object": "list", "model": "m", "data": rows[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
                data = json.dumps(reply(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> EmbeddingServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_server_embeds_in_batches_and_in_order():
    texts = ["a", "bbb", "cc", "dddd", "e"]
    with EmbeddingServer() as server:
        model = EndpointEmbedder(server.url, "m", batch=2, prompts={"query": "? "}, dimensions=2)
        vectors = model.encode(texts)
        asked = model.encode(["a"], "query")
    assert [len(request["input"]) for request in server.requests] == [2, 2, 1, 1]
    assert server.requests[0]["dimensions"] == 2
    expected = np.array([[len(text), 1.0] for text in texts])
    assert vectors == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)
    assert asked[0] == pytest.approx(np.array([3, 1]) / np.sqrt(10), abs=1e-6)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda body: {**body, "data": body["data"][:1]}, "answers 1 vectors to 2 texts"),
        (lambda body: {**body, "data": [{**body["data"][0], "embedding": [1.0]}, body["data"][1]]}, "vectors of different lengths"),
        (lambda body: {"error": "no"}, "gives no embeddings of 'm'"),
    ],
)
def test_answers_that_do_not_fit_are_named(reply: Any, message: str):
    with EmbeddingServer(reply) as server, pytest.raises(EngineError, match=message):
        EndpointEmbedder(server.url, "m", retries=0).encode(["a", "b"])


def test_servers_that_are_not_there_are_named():
    with pytest.raises(SettingsError, match="must start with http"):
        EndpointEmbedder("localhost", "m")
    with pytest.raises(EngineError, match="check the server"):
        EndpointEmbedder("http://127.0.0.1:9/v1", "m", retries=0).encode(["a"])


@pytest.mark.weights
def test_minilm_knows_what_code_does():
    from luthier.errors import FetchError
    from luthier.models.minilm import bundled_embedder

    try:
        model = bundled_embedder()
    except FetchError as problem:
        pytest.skip(str(problem))
    vectors = model.encode(["def total(values): return sum(values)", "add up all numbers of a list", "connect to a server"])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    assert (model.pooling, model.max_length) == ("mean", 256)
