"""Exact search against the whole matrix, BM25 against its formula, fusion, and the cache of embeddings."""

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, SettingsError
from luthier.evaluate.retrieval import BM25, retrieve
from luthier.evaluate.retrieval.bm25 import code_tokens, tokenizer
from luthier.evaluate.retrieval.metrics import Run
from luthier.evaluate.retrieval.rank_fusion import fuse
from luthier.evaluate.retrieval.retrieve import Vectors, adjust
from luthier.evaluate.retrieval.search import merge_runs, search
from luthier.models.embedding_cache import EmbeddingCache
from retrieval_tasks import WORDS, HashEmbedder, small_task


def whole(queries, documents, k):
    """Ids and scores out of the full matrix: greatest score first, then the lower row."""
    scores = queries @ documents.T
    order = np.lexsort((np.arange(len(documents))[None].repeat(len(queries), 0), -scores), axis=1)[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 320), st.integers(1, 9), st.integers(1, 70), st.integers(0, 10**6))
def test_blocks_give_what_the_whole_matrix_gives(queries, documents, k, rows, columns, seed):
    draw = np.random.default_rng(seed)
    # Small whole numbers: products are exact, and ties are everywhere.
    left, right = (draw.integers(-2, 3, size=(count, 4)).astype(np.float32) for count in (queries, documents))
    run = search(left, right, k, block=(rows, columns), backend="torch")
    ids, scores = whole(left, right, k)
    there = min(k, documents)
    assert np.array_equal(run.documents[:, :there], ids)
    assert np.array_equal(run.scores[:, :there], scores)
    assert (run.documents[:, there:] == -1).all()


def test_real_vectors_and_parts_of_the_corpus():
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(33, 24)).astype(np.float32), draw.normal(size=(5000, 24)).astype(np.float32)
    right[1000:1010] = right[0]
    run = search(left, right, 20, block=(16, 700), backend="torch")
    ids, scores = whole(left, right, 20)
    assert run.scores == pytest.approx(scores, abs=1e-5)
    assert all(set(a) == set(b) for a, b in zip(run.documents.tolist(), ids.tolist(), strict=True))
    cuts = [0, 1234, 3000, 5000]
    parts = [search(left, right[a:b], 20, block=(16, 700), backend="torch") for a, b in pairwise(cuts)]
    merged = merge_runs(parts, cuts[:-1], 20)
    assert np.array_equal(merged.documents, run.documents)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 320), st.integers(0, 10**6))
def test_faiss_gives_the_same_in_the_same_order_ties_and_all(queries, documents, k, seed):
    pytest.importorskip("faiss")
    draw = np.random.default_rng(seed)
    # Small whole numbers: products are exact, and ties are everywhere, over the edge of the k best too.
    left, right = (draw.integers(-2, 3, size=(count, 4)).astype(np.float32) for count in (queries, documents))
    run, ours = search(left, right, k, backend="faiss"), search(left, right, k, backend="torch")
    assert np.array_equal(run.documents, ours.documents)
    assert np.array_equal(run.scores, ours.scores)


def test_faiss_and_torch_agree_on_real_vectors_and_copies():
    pytest.importorskip("faiss")
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(33, 64)).astype(np.float32), draw.normal(size=(3000, 64)).astype(np.float32)
    right[1000:1040] = right[0]  # more copies than FAISS is asked for beyond k
    left[0] = right[0]
    run, ours = search(left, right, 20, backend="faiss"), search(left, right, 20, backend="torch")
    assert np.array_equal(run.documents, ours.documents)
    assert run.documents[0].tolist() == [0, *range(1000, 1019)]
    assert run.scores == pytest.approx(ours.scores, rel=1e-5, abs=1e-4)


def test_faiss_is_taken_where_it_is_and_only_there(monkeypatch):
    pytest.importorskip("faiss")
    import faiss

    asked = []
    real = faiss.knn
    monkeypatch.setattr(faiss, "knn", lambda *given, **named: asked.append(1) or real(*given, **named))
    left, right = np.eye(3, 200, dtype=np.float32), np.eye(200, dtype=np.float32)
    before = faiss.omp_get_max_threads()
    assert search(left, right, 2).documents[:, 0].tolist() == [0, 1, 2]
    assert (len(asked), faiss.omp_get_max_threads()) == (1, before)
    search(left, right, 4)  # too many of too few for it to be faster
    assert len(asked) == 1
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert search(left, right, 2).documents[:, 0].tolist() == [0, 1, 2]
    assert len(asked) == 1
    with pytest.raises(SettingsError, match=r"pip install 'luthier\[faiss\]'"):
        search(left, right, backend="faiss")
    with pytest.raises(SettingsError, match="choose one of auto, torch, faiss"):
        search(left, right, backend="annoy")


@pytest.mark.parametrize(
    ("queries", "documents", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), "queries have 3 dimensions, documents 5"),
        (np.ones((2, 3)), np.array([[1, 2, 3], [1, np.nan, 2]]), "row 1 of the documents is not finite"),
        (np.array([[np.inf, 0, 0]]), np.ones((4, 3)), "row 0 of the queries"),
        (np.ones((2, 3)), np.zeros((0, 3)), "no documents"),
        (np.ones(3), np.ones((4, 3)), "have the shape"),
    ],
)
def test_vectors_that_cannot_be_searched_are_named(queries, documents, message):
    with pytest.raises(SettingsError, match=message):
        search(queries.astype(np.float32), documents.astype(np.float32))


def test_bm25_is_its_formula():
    task = small_task()
    run = BM25("word").search(task.query_texts, task.document_texts, 40)
    corpus = [tokenizer("word")(text) for text in task.document_texts]
    mean = sum(map(len, corpus)) / len(corpus)
    counts = [Counter(tokens) for tokens in corpus]

    def value(query: str, document: int) -> float:
        total = 0.0
        for token in tokenizer("word")(query):
            having = sum(token in count for count in counts)
            if having:
                idf = math.log(1 + (len(corpus) - having + 0.5) / (having + 0.5))
                often = counts[document][token]
                total += idf * often / (often + 1.5 * (1 - 0.75 + 0.75 * len(corpus[document]) / mean))
        return total

    for query, (documents, scores) in enumerate(zip(run.documents, run.scores, strict=True)):
        for document, score in zip(documents[documents >= 0], scores, strict=False):
            assert score == pytest.approx(value(task.query_texts[query], document), rel=1e-5)
        assert sum(value(task.query_texts[query], document) > 0 for document in range(40)) == (documents >= 0).sum()


def test_code_tokens_split_identifiers():
    assert code_tokens("readHTTPHeader_v2(fileName)") == ["read", "http", "header", "v", "2", "file", "name"]
    assert code_tokens("parsing_files") == code_tokens("ParseFile")
    assert "".join(code_tokens("größe")) == "größe"


@pytest.mark.parametrize("texts", [["", ""], ["!!", "??"]])
def test_bm25_of_a_corpus_without_words_finds_nothing(texts):
    assert (BM25("word").search(["word"], texts, 2).documents == -1).all()


def test_fusion_adds_ranks_and_scores():
    a = Run(np.array([[0, 1, 2]], dtype=np.int32), np.array([[3.0, 2.0, 1.0]], dtype=np.float32))
    b = Run(np.array([[2, 1, -1]], dtype=np.int32), np.array([[9.0, 8.0, -np.inf]], dtype=np.float32))
    ranked = fuse([a, b], "rrf")
    assert ranked.documents.tolist() == [[2, 1, 0]]
    assert ranked.scores[0] == pytest.approx([1 / 63 + 1 / 61, 2 / 62, 1 / 61])
    scaled = fuse([a, b], "minmax", weights=[1, 0.25])
    assert scaled.documents.tolist() == [[0, 1, 2]]
    assert scaled.scores[0] == pytest.approx([1, 0.5, 0.25])
    with pytest.raises(SettingsError, match="1 weights"):
        fuse([a, b], weights=[1])


def test_the_cache_encodes_each_text_once_and_gives_equal_bytes(tmp_path: Path):
    model, cache = HashEmbedder(), EmbeddingCache(tmp_path, shard=4)
    texts = [f"{word} one" for word in WORDS] + ["read one"] * 3
    told: list[int] = []
    first = cache.encode(model, texts, progress=told.append)
    assert sorted(model.seen) == sorted(set(texts))
    assert sum(told) == len(set(texts))
    assert first == pytest.approx(HashEmbedder().encode(texts), abs=2e-3)
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(cache.encode(model, texts[::-1])[::-1], first)
    assert len(model.seen) == len(set(texts))
    cache.encode(HashEmbedder("hash-2"), texts[:1])
    cache.encode(model, texts[:1], "query")
    assert {path.name for path in tmp_path.iterdir()} == {"hash-1-document", "hash-2-document", "hash-1-query"}


def test_damaged_shards_and_other_dimensions_are_named(tmp_path: Path):
    cache = EmbeddingCache(tmp_path, shard=4)
    cache.encode(HashEmbedder(), WORDS)
    with pytest.raises(SettingsError, match="vectors of 8 dimensions among others of 32"):
        cache.encode(HashEmbedder(dimensions=8), ["new text"])
    shard = sorted(tmp_path.glob("*/*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(BadRowError, match=rf"{shard.name}: a damaged shard .* delete the file"):
        EmbeddingCache(tmp_path).encode(HashEmbedder(), WORDS)


KILLED = """
import os, signal, sys
from pathlib import Path
from luthier.models.embedding_cache import EmbeddingCache
from retrieval_tasks import HashEmbedder
texts = [f"text number {n} " + "word " * (n % 7) for n in range(60)]
left = [int(sys.argv[2])]
def count(done):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
EmbeddingCache(sys.argv[1], shard=8).encode(HashEmbedder(), texts, progress=count)
"""


def test_a_killed_encoding_continues_to_the_same_bytes(tmp_path: Path):
    def run(name: str, steps: int) -> int:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
        return subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name), str(steps)], env=env, check=False).returncode

    assert run("whole", 0) == 0
    assert run("cut", 5) == -signal.SIGKILL
    assert 0 < len(list((tmp_path / "cut").glob("*/*.safetensors"))) < 8
    assert run("cut", 0) == 0
    shards = [{path.name: path.read_bytes() for path in (tmp_path / name).glob("*/*.safetensors")} for name in ("whole", "cut")]
    assert shards[0] == shards[1]


def test_retrieving_copies_ties_them_and_order_does_not_matter(tmp_path: Path):
    from dataclasses import replace

    from luthier.evaluate.retrieval import Qrels, score
    from luthier.evaluate.retrieval.task import Texts

    task = small_task(documents=60, copies=25)
    model = HashEmbedder()
    before = score(task, retrieve(task, model).run)
    assert before.by_reading["best"].means["ndcg@10"] > before.by_reading["worst"].means["ndcg@10"]
    order = np.random.default_rng(0).permutation(60)
    place = np.argsort(order)
    documents = Texts([task.documents.ids[at] for at in order], [task.documents.texts[at] for at in order])
    moved = replace(task, documents=documents, qrels=Qrels.from_triples(20, [(q, int(place[d]), g) for q, d, g in task.qrels.triples()]))
    after = score(moved, retrieve(moved, model).run)
    assert moved.fingerprint == task.fingerprint
    for reading, scores in before.by_reading.items():
        assert after.by_reading[reading].values == pytest.approx(scores.values, abs=1e-9), reading


def test_vectors_made_elsewhere_must_fit(tmp_path: Path):
    task, model = small_task(), HashEmbedder()
    np.save(tmp_path / "queries.npy", model.encode(task.query_texts))
    np.save(tmp_path / "documents.npy", model.encode(task.document_texts))
    assert np.array_equal(retrieve(task, Vectors(tmp_path), 5).run.documents, retrieve(task, model, 5).run.documents)
    np.save(tmp_path / "documents.npy", np.full((40, 32), np.nan))
    with pytest.raises(SettingsError, match="row 0 is not finite"):
        retrieve(task, Vectors(tmp_path))
    np.save(tmp_path / "documents.npy", np.ones((39, 32)))
    with pytest.raises(SettingsError, match=r"has the shape \(39, 32\); \(40, dimensions\)"):
        retrieve(task, Vectors(tmp_path))
    np.save(tmp_path / "documents.npy", np.array(["a"], dtype=object), allow_pickle=True)
    with pytest.raises(SettingsError, match="not an array of numbers"):
        retrieve(task, Vectors(tmp_path))


def test_whitening_takes_away_a_common_direction():
    draw = np.random.default_rng(0)
    documents = draw.normal(size=(200, 12)).astype(np.float32) + 50 * np.eye(12, dtype=np.float32)[0]
    whitened, asked = adjust(documents, documents[:5], "whiten")
    assert np.abs(whitened.mean(axis=0)).max() < 0.05
    assert asked == pytest.approx(whitened[:5], abs=1e-5)
    assert np.array_equal(adjust(documents, documents, "none")[0], documents)
