"""Small tasks and models for the tests of retrieval."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from luthier.evaluate.retrieval.task import Qrels, Task, Texts

WORDS = [
    "read",
    "write",
    "file",
    "socket",
    "parse",
    "date",
    "json",
    "sort",
    "list",
    "hash",
    "token",
    "thread",
    "lock",
    "path",
    "copy",
    "merge",
]


def small_task(seed: int = 0, documents: int = 40, queries: int = 20, copies: int = 0) -> Task:
    """Random texts; each query has one to three judged documents; `copies` documents repeat others word for word."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=8)) + f" n{number}" for number in range(documents - copies)]
    texts += [draw.choice(texts) for _ in range(copies)]
    draw.shuffle(texts)
    triples = [
        (query, document, draw.choice([1, 1, 2, 3]))
        for query in range(queries)
        for document in draw.sample(range(documents), draw.randint(1, 3))
    ]
    asked = [" ".join(texts[next(d for q, d, _ in triples if q == query)].split()[:4]) + f" q{query}" for query in range(queries)]
    return Task(
        "small",
        Texts([f"d{n}" for n in range(documents)], texts),
        Texts([f"q{n}" for n in range(queries)], asked),
        Qrels.from_triples(queries, triples),
    )


class HashEmbedder:
    """Unit vectors out of the words of a text: no model, but vectors all the same."""

    name, max_length = "hash", None

    def __init__(self, fingerprint: str = "hash-1", dimensions: int = 32) -> None:
        self.fingerprint, self.dimensions = fingerprint, dimensions
        self.seen: list[str] = []

    def key(self, kind):
        return self.fingerprint

    def encode(self, texts, kind="document"):
        self.seen += texts
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[:] = row + np.random.default_rng(sum(map(ord, word)) + len(word) * 1000).normal(size=self.dimensions)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def token_counts(self, texts, kind="document"):
        return None


def static_folder(folder: Path, words: list[str] = WORDS, dimensions: int = 16) -> Path:
    """A folder of random static embeddings of these words."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(len(words) + 1, dimensions)).astype(np.float32)
    table[0] = 0
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    return folder
