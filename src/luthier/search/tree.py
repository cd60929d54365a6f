"""The tree of thoughts, and the rule by which it is walked: P-UCB with the maximum return (RethinkMCTS, arXiv 2409.09584, sec. 3.2).

Pure data: nothing here knows a model, a program or a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.records import JSON

C_BASE, C = 10.0, 4.0


@dataclass
class Edge:
    """A thought that may be followed. returns: how many came back through it; best: the highest, 0 where none came.

    in_flight: rollouts that are on their way through it. former: the thoughts that stood here before rethinking.
    """

    thought: str
    prior: float
    returns: int = 0
    best: float = 0.0
    in_flight: int = 0
    node: Node | None = None
    former: list[str] = field(default_factory=list)


@dataclass
class Node:
    """A state: the problem and the thoughts on the way to it. visits: 1, and one more for each rollout through it or to it.

    candidates: numbers of the programs that were written here; feedback: what was said of the last one that failed.
    """

    number: int
    above: Node | None = None
    edge: Edge | None = None
    visits: int = 1
    edges: list[Edge] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)
    feedback: str = ""
    rethought: int = 0

    @property
    def path(self) -> list[Node]:
        """From the root to here."""
        return [*(self.above.path if self.above else []), self]

    @property
    def thoughts(self) -> tuple[str, ...]:
        return tuple(node.edge.thought for node in self.path if node.edge)

    @property
    def depth(self) -> int:
        return len(self.path) - 1

    def below(self) -> Iterator[Node]:
        """This node and all below it, a parent before its children."""
        yield self
        for edge in self.edges:
            if edge.node is not None:
                yield from edge.node.below()


def exploration(visits: int, c_base: float = C_BASE, c: float = C) -> float:
    """beta(s) = ln((N(s) + c_base + 1) / c_base) + c."""
    return math.log((visits + c_base + 1) / c_base) + c


def p_ucb(node: Node, edge: Edge, c_base: float = C_BASE, c: float = C) -> float:
    """U(s, a) = Q(s, a) + beta(s) p(a|s) sqrt(ln N(s)) / (1 + n(a)); a rollout on its way counts as a return one lower than the best."""
    bonus = exploration(node.visits, c_base, c) * edge.prior * math.sqrt(math.log(node.visits)) / (1 + edge.returns + edge.in_flight)
    return edge.best - edge.in_flight + bonus


def select(root: Node, *, by_prior: bool, c_base: float = C_BASE, c: float = C) -> tuple[Node, Edge] | None:
    """From the root along the highest P-UCB to an edge with no node behind it; None where every way ends at a node without edges.

    by_prior: equal values are told apart by the prior, then by their order; else by their order alone, as the reference does.
    """
    node = root
    while True:
        ranked = sorted(
            (edge for edge in node.edges if _is_open(edge)),
            key=lambda edge: (-p_ucb(node, edge, c_base, c), -edge.prior if by_prior else 0.0),
        )
        if not ranked:
            return None
        if ranked[0].node is None:
            return node, ranked[0]
        node = ranked[0].node


def _is_open(edge: Edge) -> bool:
    """Whether a rollout can go through: to a node that is still to be made, and that no other rollout is making."""
    if edge.node is None:
        return not edge.in_flight
    return any(_is_open(each) for each in edge.node.edges)


def depart(path: Sequence[Edge]) -> None:
    """A rollout sets out along these edges."""
    for edge in path:
        edge.in_flight += 1


def arrive(path: Sequence[Edge]) -> None:
    """It is back, with a return or without."""
    for edge in path:
        edge.in_flight -= 1


def back_up(node: Node, value: float, gamma: float = 1.0) -> None:
    """Record a return on every edge and node of the path to `node`. gamma: what is left of it after each edge on the way up."""
    for place in reversed(node.path):
        place.visits += 1
        if place.edge is not None:
            value *= gamma
            place.edge.returns += 1
            place.edge.best = max(place.edge.best, value)


def edges_to(node: Node) -> list[Edge]:
    return [place.edge for place in node.path if place.edge is not None]


def tree_row(root: Node) -> JSON:
    """The tree as JSON: nodes in their order of making, each with its edges."""
    nodes = sorted(root.below(), key=lambda node: node.number)
    return {"nodes": [_node_row(node) for node in nodes]}


def _node_row(node: Node) -> JSON:
    row: dict[str, Any] = {
        "number": node.number,
        "above": node.above.number if node.above else None,
        "visits": node.visits,
        "candidates": node.candidates,
        "feedback": node.feedback,
    }
    return row | {"edges": [_edge_row(edge) for edge in node.edges]}


def _edge_row(edge: Edge) -> JSON:
    return {
        "thought": edge.thought,
        "former": edge.former,
        "prior": edge.prior,
        "returns": edge.returns,
        "best": edge.best,
        "node": edge.node.number if edge.node else None,
    }
