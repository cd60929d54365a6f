"""Monte Carlo tree search over thoughts, with a rethink of the thought whose program fails (RethinkMCTS, arXiv 2409.09584, alg. 1).

A rollout: select, make the node, write and run a program; where it fails, say why and put a better thought in the place of the last one,
once; expand; back up one return. `thought-mcts` is the same without feedback and rethink, `rap` without running anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.search import prompts, replies
from luthier.search.reward import Candidate
from luthier.search.steps import RETHOUGHT, WRITTEN, Search, draw_many, estimated, evaluate, explained, together, write
from luthier.search.tree import Edge, Node, arrive, back_up, depart, edges_to, select
from luthier.search.wants import Steps

AGAIN = 0.7  # temperature at which a state is expanded a second time


@dataclass
class _Ways:
    """The leaves that rollouts are on their way to."""

    search: Search
    left: int | None


def thought_search(search: Search) -> Steps[None]:
    """Grow the tree until the budget, the rollouts or the tree is at an end, or a program is good enough."""
    settings = search.settings
    if settings.drawn_first:
        yield from draw_many(search, settings.drawn_first, -1)
        if search.is_done:
            return
    yield from expand(search, search.root, "")
    ways = _Ways(search, settings.rollouts)
    yield from together(lambda: _next(ways), settings.parallel)
    search.finished = search.finished or ("rollouts" if ways.left == 0 else "tree")


def _next(ways: _Ways) -> Steps[None] | None:
    search, settings = ways.search, ways.search.settings
    if ways.left == 0 or search.is_done:
        search.finished = "passes" if search.is_done else search.finished
        return None
    found = select(search.root, by_prior=settings.rules.by_prior, c_base=settings.c_base, c=settings.c)
    if found is None:
        return None
    if ways.left is not None:
        ways.left -= 1
    node, edge = found
    edge.node = search.node(node, edge)
    path = edges_to(edge.node)
    depart(path)
    return _rollout(search, edge.node, path)


def _rollout(search: Search, node: Node, path: list[Edge]) -> Steps[None]:
    rules, settings = search.settings.rules, search.settings
    try:
        if settings.strategy == "rap":
            rewards = [(yield from _imagined(search, node)).reward]
        elif rules.expand_first:
            rewards = yield from _as_in_paper(search, node)
        else:
            rewards = yield from _evaluated(search, node)
    finally:
        arrive(path)
    search.rollouts += 1
    back_up(node, max(rewards) if rules.best_of_rollout else rewards[-1], rules.gamma)


def _evaluated(search: Search, node: Node) -> Steps[list[float]]:
    """Evaluate, rethink and evaluate again, then expand: the rewards in their order."""
    candidate = yield from evaluate(search, node, WRITTEN)
    rewards, told = [candidate.reward], ""
    if not candidate.passes:
        told = yield from _told(search, node, candidate)
        for _ in range(_rethinks(search)):
            if not (yield from rethink(search, node, told)):
                break
            candidate = yield from evaluate(search, node, RETHOUGHT)
            rewards.append(candidate.reward)
            told = "" if candidate.passes else (yield from _told(search, node, candidate))
            if candidate.passes:
                break
    node.feedback = told if search.settings.feedback else ""
    if not search.is_done:
        yield from expand(search, node, node.feedback)
    return rewards


def _as_in_paper(search: Search, node: Node) -> Steps[list[float]]:
    """Expand, evaluate; what a rethink leads to joins the candidates, and its thoughts the tree, and is not backed up."""
    yield from expand(search, node, "")
    candidate = yield from evaluate(search, node, WRITTEN)
    first = candidate.reward
    if not candidate.passes:
        told = node.feedback = yield from _told(search, node, candidate)
        if _rethinks(search) and (yield from rethink(search, node, told)):
            yield from expand(search, node, told, again=True)
            yield from evaluate(search, node, RETHOUGHT)
    return [first]


def _imagined(search: Search, node: Node) -> Steps[Candidate]:
    """A program that is written and never run: its worth is the model's own estimate, from 0 to 1."""
    program = yield from write(search, node.thoughts)
    told = yield from estimated(search, node.thoughts, program)
    made = search.keep(program, None, ((told or 0.0) + 1) / 2, node=node, how=WRITTEN, estimate=told)
    yield from expand(search, node, "")
    return made


def _rethinks(search: Search) -> int:
    return search.settings.rethinks if search.settings.strategy == "rethink" else 0


def _told(search: Search, node: Node, candidate: Candidate) -> Steps[str]:
    wanted = search.settings.feedback or _rethinks(search)
    if candidate.tried is None or not wanted:
        return ""
    return (yield from explained(search, node.thoughts, candidate.program, candidate.tried))


def rethink(search: Search, node: Node, told: str) -> Steps[bool]:
    """Put a better thought in the place of the one that led to a wrong program; whether there was one. Nodes above stay as they are.

    Where the model is asked which thought is to blame, another than the last is told in the words of the last one's place: those above
    carry returns of their own.
    """
    assert node.edge is not None and node.above is not None  # noqa: S101, PT018  # the root is never rethought
    edge = node.edge
    blamed = edge.thought
    if search.settings.blame == "model" and node.depth > 1:
        answer = yield search.say("blame", prompts.blame(told, node.thoughts), *node.thoughts)
        blamed = node.thoughts[replies.place_of(answer.text, node.depth, search.counts)]
    answer = yield search.say("rethink", prompts.rethink(told, blamed), *node.thoughts, _program(search, node))
    new = replies.thought(answer.text, search.counts)
    if not new:
        return False
    standing = {replies.normal(each.thought) for each in node.above.edges} | {replies.normal(each) for each in edge.former}
    if replies.normal(new) in standing:
        search.counts["rethink: repeated"] += 1
        return False
    edge.former.append(edge.thought)
    edge.thought = new
    edge.returns, edge.best = 0, 0.0
    prior = search.settings.rules.rethink_prior
    edge.prior = edge.prior if prior is None else prior
    node.rethought += 1
    return True


def _program(search: Search, node: Node) -> str:
    return search.candidates[node.candidates[-1]].program if node.candidates else ""


def expand(search: Search, node: Node, told: str, *, again: bool = False) -> Steps[None]:
    """Up to k new thoughts after a node; asked once more where there are fewer. again: those of before that nobody followed go."""
    settings, rules = search.settings, search.settings.rules
    kept = [edge for edge in node.edges if edge.node is not None] if again else []
    found: list[replies.Thought] = []
    for attempt in range(2):
        prompt = prompts.expand(search.problem, node.thoughts, settings.thoughts, told, constrained=settings.constrained)
        heat = AGAIN if attempt or again else None
        about = (*node.thoughts, _program(search, node)) if told else node.thoughts
        answer = yield search.say("expand with feedback" if told else "expand", prompt, *about, temperature=heat, draw=attempt)
        read = replies.thoughts(answer.text, search.counts, merge=rules.merge, scale=False)
        known = {replies.normal(thought.text) for thought in found} | {replies.normal(edge.thought) for edge in kept}
        found += [thought for thought in read if not rules.merge or replies.normal(thought.text) not in known]
        if len(found) >= settings.thoughts:
            break
        search.counts["thoughts: fewer than asked"] += 1
    node.edges = kept + [Edge(thought.text, thought.prior) for thought in found[: settings.thoughts]]
    if rules.normalise:
        total = sum(edge.prior for edge in node.edges)
        for edge in node.edges:
            edge.prior = edge.prior / total if total else 1 / len(node.edges)
