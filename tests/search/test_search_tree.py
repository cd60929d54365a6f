"""The tree and its rule: the values of the specification, what a return changes, who is told apart from whom."""

from __future__ import annotations

import math

import pytest

from luthier.search.tree import Edge, Node, arrive, back_up, depart, edges_to, exploration, p_ucb, select, tree_row


def node_with(*edges: Edge, visits: int = 1) -> Node:
    return Node(0, visits=visits, edges=list(edges))


def test_the_values_of_the_specification() -> None:
    edge = Edge("z", 0.3, returns=1, best=0.5)
    assert exploration(4) == pytest.approx(4.405465, abs=1e-6)
    assert math.sqrt(math.log(4)) == pytest.approx(1.177410, abs=1e-6)
    assert p_ucb(node_with(edge, visits=4), edge) == pytest.approx(1.278056, abs=1e-6)


def test_at_the_first_visit_exploration_is_nothing_and_priors_break_the_tie() -> None:
    first, second = Edge("a", 0.2), Edge("b", 0.8)
    root = node_with(first, second)
    assert p_ucb(root, second) == 0.0
    assert select(root, by_prior=True) == (root, second)
    assert select(root, by_prior=False) == (root, first)


def test_a_return_goes_up_the_whole_path_and_the_best_is_kept() -> None:
    edge = Edge("a", 1.0)
    root = node_with(edge)
    edge.node = Node(1, root, edge)
    lower = Edge("b", 1.0)
    edge.node.edges = [lower]
    lower.node = Node(2, edge.node, lower)
    back_up(lower.node, 0.5)
    back_up(edge.node, 0.25)
    assert (root.visits, edge.node.visits, lower.node.visits) == (3, 3, 2)
    assert (edge.returns, edge.best, lower.returns, lower.best) == (2, 0.5, 1, 0.5)


def test_the_reference_discounts_once_an_edge_the_first_one_included() -> None:
    edge = Edge("a", 1.0)
    root = node_with(edge)
    edge.node = Node(1, root, edge)
    lower = Edge("b", 1.0)
    edge.node.edges = [lower]
    lower.node = Node(2, edge.node, lower)
    back_up(lower.node, 1.0, gamma=0.9)
    assert lower.best == pytest.approx(0.9)
    assert edge.best == pytest.approx(0.81)


def test_a_rollout_on_its_way_sends_the_next_one_elsewhere() -> None:
    first, second = Edge("a", 0.6), Edge("b", 0.4)
    root = node_with(first, second, visits=3)
    first.node = Node(1, root, first)
    path = edges_to(first.node)
    depart(path)
    assert select(root, by_prior=True) == (root, second)
    second.node = Node(2, root, second)
    depart(edges_to(second.node))
    assert select(root, by_prior=True) is None
    arrive(path)
    first.node.edges = [Edge("c", 1.0)]
    assert select(root, by_prior=True) == (first.node, first.node.edges[0])


def test_a_tree_is_told_in_the_order_of_its_nodes() -> None:
    edge = Edge("a", 1.0, former=["old"])
    root = node_with(edge)
    edge.node = Node(1, root, edge)
    row = tree_row(root)
    assert [node["number"] for node in row["nodes"]] == [0, 1]
    assert row["nodes"][1]["above"] == 0
    assert row["nodes"][0]["edges"][0]["former"] == ["old"]
    assert edge.node.thoughts == ("a",)
