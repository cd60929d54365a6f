"""Programs mended by what their tests say: one in a row (reflexion, arXiv 2303.11366; ldb, arXiv 2402.16906), or a tree of them (lats,
arXiv 2310.04406)."""

from __future__ import annotations

from luthier.search import prompts
from luthier.search.reward import Candidate
from luthier.search.steps import REPAIRED, Search, draw_many, explained, judge_all, repaired
from luthier.search.tree import Edge, Node, back_up, p_ucb
from luthier.search.wants import Steps

LESSONS = 3  # reflections that are told again


def reflexion(search: Search) -> Steps[None]:
    """Reflect on the failures and write again, with the last reflections in mind, until a program passes."""
    return (yield from _in_a_row(search, by_block=False))


def ldb(search: Search) -> Steps[None]:
    """Debug block by block and write again, until a program passes."""
    return (yield from _in_a_row(search, by_block=True))


def _in_a_row(search: Search, *, by_block: bool) -> Steps[None]:
    (candidate,) = yield from draw_many(search, 1, -1)
    lessons: tuple[str, ...] = ()
    for _ in range(search.settings.iterations):
        if candidate.passes:
            break
        told = yield from _told(search, candidate, by_block=by_block)
        if not by_block:
            lessons = (*lessons, (yield from _lesson(search, candidate, told)))
        candidate = yield from repaired(search, candidate.program, told, search.root, lessons=lessons[-LESSONS:])
    search.finished = "passes" if candidate.passes else "iterations"


def _told(search: Search, candidate: Candidate, *, by_block: bool) -> Steps[str]:
    assert candidate.tried is not None  # noqa: S101  # every program here was run
    return (yield from explained(search, (), candidate.program, candidate.tried, by_block=by_block))


def _lesson(search: Search, candidate: Candidate, told: str) -> Steps[str]:
    answer = yield search.say("reflect", prompts.reflect(told), candidate.program)
    return " ".join(answer.text.split())[:400]


def lats(search: Search) -> Steps[None]:
    """Each step takes the most promising program that fails, reflects on it, and writes k others with the reflections on the way to it."""
    yield from draw_many(search, 1, -1)
    lessons: dict[int, tuple[str, ...]] = {search.root.number: ()}
    while not search.is_done and not _is_closed(search, search.root):
        node = search.root
        while node.edges:
            node = _best_below(search, node)
        candidate = _latest(search, node)
        told = yield from _told(search, candidate, by_block=False)
        learned = (*lessons[node.number], (yield from _lesson(search, candidate, told)))
        prompt = prompts.repair(told, search.problem, learned[-LESSONS:])
        heat, count = search.settings.draw_temperature, search.settings.thoughts
        answers = yield tuple(search.say("repair", prompt, candidate.program, temperature=heat, draw=place) for place in range(count))
        for answer in answers:
            if answer is not None:
                edge = Edge(learned[-1], 1 / count)
                node.edges.append(edge)
                edge.node = search.node(node, edge)
                lessons[edge.node.number] = learned
                (made,) = yield from judge_all(search, [search.problem.program_in(answer.text)], edge.node, REPAIRED)
                back_up(edge.node, made.reward)
    search.finished = "passes" if search.is_done else "tree"


def _latest(search: Search, node: Node) -> Candidate:
    return search.candidates[node.candidates[-1]]


def _is_closed(search: Search, node: Node) -> bool:
    """A program that passes is not mended."""
    if not node.edges:
        return _latest(search, node).passes
    return all(_is_closed(search, edge.node) for edge in node.edges if edge.node is not None)


def _best_below(search: Search, node: Node) -> Node:
    ranked = sorted(node.edges, key=lambda edge: -p_ucb(node, edge, search.settings.c_base, search.settings.c))
    return next(edge.node for edge in ranked if edge.node is not None and not _is_closed(search, edge.node))
