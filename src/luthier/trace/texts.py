"""Vectors of the texts of a graph, each distinct text encoded once for each encoder and kept (SINKT's text encoder, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luthier.models.embedder import Embedder, unit_length
from luthier.models.embedding_cache import EmbeddingCache
from luthier.trace.graph import TraceGraph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TextVectors(NamedTuple):
    """question: (nodes, d_t); concept: (concepts, d_t); float32."""

    question: NDArray[np.float32]
    concept: NDArray[np.float32]


def text_vectors(graph: TraceGraph, embedder: Embedder, cache: EmbeddingCache | None = None) -> TextVectors:
    """The vectors of all nodes; a question without text is the mean direction of its concepts. The encoder stays as it is: it gets no gradient."""
    import numpy as np

    kept = cache or EmbeddingCache()
    written = [text for text in graph.texts if text]
    vectors = kept.encode(embedder, [*graph.concept_texts, *written])
    concept, of_text = vectors[: len(graph.concept_texts)], iter(vectors[len(graph.concept_texts) :])
    question = np.zeros((graph.nodes, vectors.shape[1]), dtype=np.float32)
    for node, (text, members) in enumerate(zip(graph.texts, graph.concepts_of_node, strict=True)):
        if text:
            question[node] = next(of_text)
        elif members:
            question[node] = concept[list(members)].mean(axis=0)
    return TextVectors(unit_length(question), np.ascontiguousarray(concept))
