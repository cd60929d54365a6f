"""Programs drawn without looking at what went wrong: one, many, and a tree of thoughts of which each level keeps the best."""

from __future__ import annotations

from luthier.search.reward import Candidate
from luthier.search.steps import WRITTEN, Search, draw_many, judge_all, writing
from luthier.search.thoughts import expand
from luthier.search.tree import Node, back_up
from luthier.search.wants import Steps

BREADTH = 2  # states that tot keeps


def single(search: Search) -> Steps[None]:
    """One program at temperature 0."""
    yield from draw_many(search, 1, -1)
    search.finished = "one program"


def best_of_n(search: Search) -> Steps[None]:
    """Programs drawn `parallel` at a time; the answer passes most public tests, the earliest of equals."""
    samples, drawn = search.settings.samples, 0
    while not search.is_done and (samples is None or drawn < samples):
        count = search.settings.parallel if samples is None else min(search.settings.parallel, samples - drawn)
        yield from draw_many(search, count, drawn)
        drawn += count
    search.finished = "passes" if search.is_done else "samples"


def tot(search: Search) -> Steps[None]:
    """Tree of thoughts, breadth first (arXiv 2305.10601): each level keeps the two states whose programs pass most public tests."""
    states = [search.root]
    while states and not search.is_done:
        made: list[tuple[Candidate, Node]] = []
        for state in states:
            if not search.is_done:
                yield from expand(search, state, "")
                made += yield from _children(search, state)
        states = [node for _, node in sorted(made, key=lambda pair: -pair[0].reward)[:BREADTH]]
    search.finished = "passes" if search.is_done else "tree"


def _children(search: Search, state: Node) -> Steps[list[tuple[Candidate, Node]]]:
    """A program for each thought after a state."""
    nodes = []
    for edge in state.edges:
        edge.node = search.node(state, edge)
        nodes.append(edge.node)
    made: list[tuple[Candidate, Node]] = []
    if not nodes:
        return made
    answers = yield tuple(writing(search, node.thoughts) for node in nodes)
    for node, answer in zip(nodes, answers, strict=True):
        if answer is not None:
            made += [(one, node) for one in (yield from judge_all(search, [search.problem.program_in(answer.text)], node, WRITTEN))]
            back_up(node, made[-1][0].reward)
    return made
