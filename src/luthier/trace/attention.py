"""What the graph attention looks at: the weight of each edge between concepts in the first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from luthier.trace.answers import RELATIONS

if TYPE_CHECKING:
    from luthier.trace.tracer import Tracer


class AttendedEdge(NamedTuple):
    """An edge by places of concepts, with its share of what the target reads by that relation."""

    relation: str
    source: int
    target: int
    weight: float


def relation_attention(tracer: Tracer) -> list[AttendedEdge]:
    """Every edge between concepts that the graph was made with; shares into one concept sum to 1. Empty without graph layers."""
    module = tracer.module
    found = []
    if not len(module.sinkt.encoder.layers):
        return []
    first = module.sinkt.encoder.layers[0]
    with torch.inference_mode():
        for relation in RELATIONS:
            edges = module.edges[relation]
            if len(edges.source):
                weights = first.reads[relation].attention(module.concept_texts, module.concept_texts, edges)
                found += [
                    AttendedEdge(relation, *pair)
                    for pair in zip(edges.source.tolist(), edges.target.tolist(), weights.tolist(), strict=True)
                ]
    return found
