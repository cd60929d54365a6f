"""A small fitted tracer for the tests of its service; run as a script it serves one, to be killed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from luthier.models.embedder import unit_length
from luthier.models.embedding_cache import EmbeddingCache
from luthier.trace.answers import AnswerCollector, Catalogue, Concept, Edge, Item
from luthier.trace.settings import FitSettings, TracerSettings
from luthier.trace.tracer import Tracer

CONCEPTS = ("adding numbers", "taking away numbers", "times tables", "sharing equally", "reading a clock", "areas of shapes")
ITEMS = tuple(f"q{number}" for number in range(24))


class WordEmbedder:
    """Mean of one random vector a word: texts with common words are near each other."""

    name, max_length, fingerprint = "words", None, "words"

    def key(self, kind: str) -> str:
        return "words"

    def encode(self, texts: Sequence[str], kind: str = "document") -> np.ndarray:
        seeds = [[int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in text.split()] or [0] for text in texts]
        rows = [np.mean([np.random.default_rng(seed).normal(size=16) for seed in some], axis=0) for some in seeds]
        return unit_length(np.array(rows, dtype=np.float32).reshape(len(texts), 16))

    def token_counts(self, texts: Sequence[str], kind: str = "document") -> None:
        return None


def small_catalogue() -> Catalogue:
    items = [Item(name, f"exercise {at} on {CONCEPTS[at % 6]}", (CONCEPTS[at % 6],)) for at, name in enumerate(ITEMS)]
    return Catalogue(tuple(items), tuple(Concept(name, name) for name in CONCEPTS), (Edge(CONCEPTS[0], CONCEPTS[2]),))


def small_tracer(cache: Path, seed: int = 0) -> Tracer:
    """Fitted on 60 made learners; the same seed gives the same tracer. cache: a folder for vectors of texts."""
    random = np.random.default_rng(7)
    collector = AnswerCollector()
    for learner in range(60):
        ability = random.normal(size=6)
        for turn, item in enumerate(random.integers(0, len(ITEMS), size=15)):
            right = random.random() < 1 / (1 + np.exp(-ability[item % 6] - turn / 10))
            collector.add(f"l{learner}", ITEMS[item], float(right), float(turn))
    settings = TracerSettings(dim=16, layers=1, fit=FitSettings(epochs=1, seed=seed))
    tracer = Tracer(settings, embedder=WordEmbedder(), cache=EmbeddingCache(cache))
    tracer.fit(collector.log(small_catalogue()))
    return tracer


if __name__ == "__main__":
    from luthier.trace.service import serve

    saved, folder = (Path(word) for word in sys.argv[1:3])
    serve(Tracer.load(saved, embedder=WordEmbedder()), folder, port=0, tell=lambda line: print(line, flush=True))
