"""The graph of questions and concepts that a knowledge tracer reads (SINKT, arXiv 2407.01245, section 3.2), as lists of edges.

Questions without a text of their own and with the same concepts are one node: nothing in the graph tells them apart, so collapsing them
changes no vector. Edges between concepts carry where they come from; none is made of test answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import SettingsError
from luthier.trace.answers import RELATIONS, AnswerLog, Catalogue, Edge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 10
MASTERED = 0.6  # mastery of a prerequisite from which on it holds nobody back


class EdgeList(NamedTuple):
    """Edges source -> target with the logarithm of their weight, (edges,) each, ordered by target."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    log_weight: NDArray[np.float32]


@dataclass(frozen=True)
class TraceGraph:
    """Nodes and typed edges. node_of_item: (items,) the question node of each item; concepts_of_node: each node's concepts.

    edges: by type, `cq` concepts to questions, `qc` back, and each relation between concepts.
    """

    texts: tuple[str, ...]
    concept_texts: tuple[str, ...]
    node_of_item: NDArray[np.int64]
    concepts_of_node: tuple[tuple[int, ...], ...]
    edges: dict[str, EdgeList]

    @property
    def nodes(self) -> int:
        return len(self.concepts_of_node)


def build_graph(catalogue: Catalogue, *, collapse: bool = True, question_edges: bool = True) -> TraceGraph:
    """The graph of a catalogue. question_edges: whether concepts read their questions (q -> c).

    The weight of an edge q -> c is the number of items behind q, so that collapsed and full graphs agree.
    """
    import numpy as np

    numbers: dict[tuple[str, tuple[int, ...], int], int] = {}
    place = np.zeros(len(catalogue.items), dtype=np.int64)
    for at, (item, concepts) in enumerate(zip(catalogue.items, catalogue.concepts_of, strict=True)):
        key = (item.text, concepts, -1 if collapse else at)
        place[at] = numbers.setdefault(key, len(numbers))
    keys = list(numbers)
    behind = np.bincount(place, minlength=len(keys)).astype(np.float64)
    sources = [concept for key in keys for concept in key[1]]
    targets = [node for node, key in enumerate(keys) for _ in key[1]]
    edges = {"cq": edge_list(sources, targets, np.ones(len(sources)))}
    edges["qc"] = edge_list(targets, sources, behind[targets]) if question_edges else edge_list([], [], np.ones(0))
    names = catalogue.concept_places
    for relation in RELATIONS:
        some = [edge for edge in catalogue.edges if edge.relation == relation and edge.weight > 0]
        edges[relation] = edge_list(
            [names[edge.source] for edge in some], [names[edge.target] for edge in some], np.array([edge.weight for edge in some])
        )
    return TraceGraph(
        tuple(key[0] for key in keys),
        tuple(concept.text or concept.concept for concept in catalogue.concepts),
        place,
        tuple(key[1] for key in keys),
        edges,
    )


def edge_list(sources: Sequence[int], targets: Sequence[int], weights: NDArray[np.float64]) -> EdgeList:
    import numpy as np

    source, target = np.array(sources, dtype=np.int64), np.array(targets, dtype=np.int64)
    order = np.lexsort((source, target))
    return EdgeList(source[order], target[order], np.log(weights[order]).astype(np.float32))


def nearest_relations(catalogue: Catalogue, vectors: NDArray[np.float32], k: int = NEIGHBOURS) -> list[Edge]:
    """Edges from the k nearest concepts by cosine, marked `knn`: no new information, but candidates for a judge. vectors: (concepts, d), unit rows."""
    import numpy as np

    names = [concept.concept for concept in catalogue.concepts]
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2.0)
    k = min(k, len(names) - 1)
    found = []
    for target, row in enumerate(likeness):
        for source in np.argsort(-row, kind="stable")[:k]:
            found.append(Edge(names[source], names[target], "related", 1.0, "knn", f"cosine {row[source]:.2f}"))
    return found


def transition_relations(log: AnswerLog, least: int = 5, share: float = 0.05) -> list[Edge]:
    """Edges between concepts that follow each other in the answers of training learners, marked `train`; forbidden where concepts are held out."""
    import numpy as np

    first = [concepts[0] if concepts else -1 for concepts in log.catalogue.concepts_of]
    concept = np.array(first, dtype=np.int64)[log.item]
    follows = (log.learner[1:] == log.learner[:-1]) & (concept[1:] != concept[:-1]) & (concept[1:] >= 0) & (concept[:-1] >= 0)
    many = len(log.catalogue.concepts)
    counts = np.bincount(concept[:-1][follows] * many + concept[1:][follows], minlength=many * many).reshape(many, many)
    shares = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    names = [each.concept for each in log.catalogue.concepts]
    return [
        Edge(names[a], names[b], "related", float(shares[a, b]), "train", f"{counts[a, b]} times")
        for a, b in np.argwhere((counts >= least) & (shares >= share))
    ]


def check_prerequisites(edges: Sequence[Edge]) -> None:
    """Raises SettingsError with the concepts of a cycle where prerequisites lead back to themselves."""
    before: dict[str, set[str]] = {}
    for edge in edges:
        if edge.relation == "prerequisite":
            before.setdefault(edge.target, set()).add(edge.source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as problem:
        around = " -> ".join(problem.args[1])
        raise SettingsError(f"prerequisites go round in a circle: {around}; remove one of these edges") from None


def waiting(edges: Sequence[Edge], mastery: Mapping[str, float]) -> dict[str, tuple[str, ...]]:
    """Concepts that wait for a prerequisite which is mastered less than `MASTERED`, and those they wait for.

    mastery: at least of every concept that is a prerequisite.
    """
    found: dict[str, tuple[str, ...]] = {}
    for edge in edges:
        if edge.relation == "prerequisite" and mastery[edge.source] < MASTERED:
            found[edge.target] = (*found.get(edge.target, ()), edge.source)
    return found


class RelationScores(NamedTuple):
    """How edges lie beside an expert's: how many there are of each and of both, precision and recall."""

    found: int
    expert: int
    both: int
    precision: float
    recall: float


def score_relations(found: Sequence[Edge], expert: Sequence[Edge]) -> RelationScores:
    """Precision and recall of edges against an expert's, by source and target whatever the relation."""
    ours, theirs = ({(edge.source, edge.target) for edge in edges} for edges in (found, expert))
    both = len(ours & theirs)
    precision, recall = (both / len(some) if some else 0.0 for some in (ours, theirs))
    return RelationScores(len(ours), len(theirs), both, precision, recall)
