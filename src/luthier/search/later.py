"""Two strategies that came after the paper: adaptive branching (AB-MCTS-A, arXiv 2503.04412) and S* (arXiv 2502.14382)."""

from __future__ import annotations

import random
from collections import defaultdict

from luthier.search import prompts, replies
from luthier.search.inputs import varied
from luthier.search.reward import Candidate
from luthier.search.steps import DRAWN, REPAIRED, Search, draw_many, explained, repaired, vote
from luthier.search.tree import Edge, Node, back_up
from luthier.search.wants import Behave, Behaviour, Steps, Tried

PRIOR = (0.5, 0.5)  # of the Beta distributions that rewards are drawn from
ROUNDS = 2  # repairs of each program of S*
DRAWS = 4  # programs of a wave of S*
WRITTEN_INPUTS = 5


def ab_mcts(search: Search) -> Steps[None]:
    """Wider or deeper: at each node one draws, from what was seen below, whether to write a new program there or to go on with one of its
    children. A new one at the root is drawn, below it is mended after what the tests said; its worth is the share of public tests."""
    draw = random.Random(f"{search.settings.seed} {search.problem.task}")
    made: dict[int, list[float]] = defaultdict(list)  # by node: worth of programs written right below it
    below: dict[int, list[float]] = defaultdict(list)  # by node: its own worth and that of all below it
    while not search.is_done:
        node = search.root
        while (child := _wider_or_deeper(search, node, made, below, draw)) is not None:
            node = child
        number = len(node.edges)
        edge = Edge(f"{DRAWN if node is search.root else REPAIRED} {number + 1}", 1.0)
        below_it = search.node(node, edge)
        if node is search.root:
            (candidate,) = yield from draw_many(search, 1, number - 1, below_it)
        else:
            above = search.candidates[node.candidates[0]]
            told = yield from explained(search, (), above.program, _tried(above), by_block=False)
            candidate = yield from repaired(search, above.program, told, below_it, draw=number)
        edge.node, worth = below_it, candidate.reward
        node.edges.append(edge)
        made[node.number].append(worth)
        for place in below_it.path:
            below[place.number].append(worth)
        back_up(below_it, worth)
    search.finished = "passes"


def _wider_or_deeper(
    search: Search, node: Node, made: dict[int, list[float]], below: dict[int, list[float]], draw: random.Random
) -> Node | None:
    """The child to go on with, None for a new program here; a program that passes is not mended."""
    children = [edge.node for edge in node.edges if edge.node is not None and not search.candidates[edge.node.candidates[0]].passes]
    if not children:
        return None
    wider = _drawn(made[node.number], draw)
    deeper = _drawn([worth for child in children for worth in below[child.number]], draw)
    if wider >= deeper:
        return None
    return max(children, key=lambda child: _drawn(below[child.number], draw))


def _tried(candidate: Candidate) -> Tried:
    assert candidate.tried is not None  # noqa: S101  # every program here was run
    return candidate.tried


def _drawn(worths: list[float], draw: random.Random) -> float:
    return draw.betavariate(PRIOR[0] + sum(worths), PRIOR[1] + sum(1 - worth for worth in worths))


def s_star(search: Search) -> Steps[None]:
    """Waves of programs, each mended where it fails, until what is left is needed to tell those apart that pass: by inputs on which they
    differ, which the model writes, and what they give for them."""
    samples, drawn = search.settings.samples, 0
    while search.ledger.has_room(3) and (samples is None or drawn < samples) and not search.is_done:
        count = min(DRAWS, samples - drawn) if samples else DRAWS
        wave = yield from draw_many(search, count, drawn - 1)
        drawn += count
        for candidate in wave:
            latest = candidate
            for turn in range(ROUNDS):
                if latest.passes or not search.ledger.has_room(3):
                    break
                told = yield from explained(search, (), latest.program, _tried(latest), by_block=False)
                latest = yield from repaired(search, latest.program, told, search.root, draw=turn)
    yield from tell_apart(search)
    search.finished = search.finished or "told apart"


def tell_apart(search: Search) -> Steps[None]:
    """Choose among the programs that pass: the model writes inputs on which the two groups with most programs may differ."""
    passing = list(dict.fromkeys(one.program for one in search.candidates if one.passes))
    given = varied(search.problem)
    if len(passing) < 2 or not search.problem.entry_point:
        return
    behaviours: tuple[Behaviour, ...] = yield tuple(Behave(program, tuple(given)) for program in passing)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for program, behaviour in zip(passing, behaviours, strict=True):
        groups[behaviour.values].append(program)
    if len(groups) > 1:
        first, second = sorted(groups.values(), key=len, reverse=True)[:2]
        answer = yield search.say("inputs", prompts.inputs(search.problem, first[0], second[0], WRITTEN_INPUTS), first[0], second[0])
        given = [*replies.calls_in(answer.text, search.problem.entry_point, search.counts), *given]
    yield from vote(search, given)
