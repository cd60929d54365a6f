"""The strategies in a world without a model: what each invariant of the tree says, calls a rollout, determinism, gains that grow with what
feedback tells."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.models.protocol import Completion
from luthier.search import replies
from luthier.search.settings import PRESETS, PresetName, SearchSettings, Strategy
from luthier.search.simulated import World, WorldSettings
from luthier.search.solving import Solved, search_all
from luthier.search.strategies import STRATEGIES
from luthier.search.tree import Node
from luthier.search.wants import Say, Tested, Timed, Trials, Tried, Try

TREES = ("rethink", "thought-mcts", "rap")


def searched(settings: SearchSettings, count: int = 1, world: World | None = None) -> list[Solved]:
    world = world or World()
    return search_all([world.problem(n) for n in range(count)], settings, world.ask, world.run)


def nodes(solved: Solved) -> Iterator[Node]:
    yield from solved.tree.below()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("strategy", TREES)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 50))
def test_what_holds_of_every_tree_of_thoughts(strategy: Strategy, preset: PresetName, rollouts: int, width: int, seed: int) -> None:
    world = World(WorldSettings(seed=seed))
    settings = SearchSettings(strategy=strategy, preset=preset, budget="2000 calls", rollouts=rollouts, parallel=width, stop="never")
    (solved,) = searched(settings, world=world)
    root, everyone = solved.tree, list(nodes(solved))
    assert root.visits == 1 + rollouts
    assert len(everyone) == 1 + rollouts  # each rollout evaluates exactly one new node
    assert sorted(node.number for node in everyone) == list(range(1 + rollouts))
    assert not root.candidates
    for node in everyone:
        if node.edges:
            told = [replies.normal(edge.thought) for edge in node.edges]
            assert all(told)
            assert len(set(told)) == len(told)
            if preset != "reference":
                assert sum(edge.prior for edge in node.edges) == pytest.approx(1)
        for edge in node.edges:
            assert edge.in_flight == 0
            if edge.node is not None:
                assert edge.node.above is node
                assert edge.returns == edge.node.visits - 1
                assert 0 <= edge.best <= 1
        if node is not root:
            assert len(node.candidates) == 1 + node.rethought  # what was before a rethink stays


def test_the_best_return_of_the_reference_is_discounted_by_depth() -> None:
    (solved,) = searched(SearchSettings(preset="reference", budget="2000 calls", rollouts=9, stop="never"))
    by_number = {one.number: one for one in solved.candidates}
    for node in nodes(solved):
        if node.edge is None:
            continue
        below = [(by_number[each.candidates[-1]].reward, each.depth - node.depth + 1) for each in node.below()]
        assert node.edge.best == pytest.approx(max(worth * 0.9**steps for worth, steps in below))


class Scripted:
    """A model whose programs pass, fail, or fail until they are rethought, and that answers in the form that is asked."""

    def __init__(self, way: str) -> None:
        self.way, self.count, self.last = way, 0, ""

    def ask(self, says: list[Say]) -> list[Timed]:
        return [Timed(Completion(self.said(say), "stop", 1, 1), 0.0) for say in says]

    def said(self, say: Say) -> str:
        self.count += 1
        if say.kind.startswith("expand"):
            return json.dumps([{"thought": f"thought {self.count} {n}", "score": 0.3} for n in range(3)])
        if say.kind == "rethink":
            return f"better thought {self.count}"
        if say.kind == "estimate":
            return '{"score": 0.5}'
        if say.kind == "analysis":
            return '[{"name": "BLOCK-1", "correct": false, "explanation": "wrong"}]'
        mended = any(thought.startswith("better") for thought in say.about[-1:])
        return f"def f(x):\n    return {self.way == 'passes' or (self.way == 'mended' and mended)}"

    def run(self, wanted: list[Trials]) -> list[list[Timed]]:
        told = World().run(wanted)
        for place, each in enumerate(wanted):
            for at, want in enumerate(each.wants):
                if isinstance(want, Try):
                    kind = "passed" if "True" in want.program else "wrong_answer"
                    told[place][at] = Timed(Tried((Tested(kind, "", ""),) * 4), 0.0)
        return told


@pytest.mark.parametrize(("way", "calls"), [("passes", 3), ("fails", 6), ("mended", 6)])
@pytest.mark.parametrize("rollouts", [1, 4, 16])
@pytest.mark.parametrize("preset", ["fixed", "reference"])
def test_a_rollout_is_exactly_three_calls_or_six(preset: PresetName, way: str, calls: int, rollouts: int) -> None:
    model, problem = Scripted(way), World().problem(0)
    settings = SearchSettings(preset=preset, budget="1000 calls", rollouts=rollouts, stop="never")
    (solved,) = search_all([problem], settings, model.ask, model.run)
    assert solved.spent.calls == 1 + rollouts * calls


def test_an_estimate_is_asked_only_of_what_passes() -> None:
    world = World()
    (solved,) = searched(SearchSettings(budget="200 calls", stop="never"), world=world)
    assert solved.asked["estimate"] == sum(one.passes for one in solved.candidates)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("width", [1, 4])
def test_the_same_search_is_the_same_tree_alone_and_beside_others(strategy: Strategy, width: int) -> None:
    settings = SearchSettings(strategy=strategy, budget="40 calls", parallel=width, stop="never", tie_break="inputs")
    together, again = searched(settings, 4), searched(settings, 4)
    world = World()
    alone = [search_all([world.problem(n)], settings, world.ask, world.run)[0] for n in range(4)]
    assert [one.to_row() for one in together] == [one.to_row() for one in again] == [one.to_row() for one in alone]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_finds_something_and_says_why_it_ended(strategy: Strategy) -> None:
    for solved in searched(SearchSettings(strategy=strategy, budget="30 calls"), 6):
        assert solved.program
        assert solved.stopped
        assert solved.passes == any(one.passes for one in solved.candidates)


def test_no_two_rollouts_are_on_their_way_to_one_leaf() -> None:
    world, seen = World(), []

    def ask(says: list[Say]) -> list[Timed]:
        seen.append([say.about for say in says if say.kind == "code"])
        return world.ask(says)

    search_all([world.problem(0)], SearchSettings(budget="120 calls", parallel=8, stop="never"), ask, world.run)
    assert all(len(set(batch)) == len(batch) for batch in seen)
    assert max(map(len, seen)) > 3


def share_right(settings: SearchSettings, world: WorldSettings, count: int) -> float:
    made = World(world)
    return sum(made.is_right(one.program.strip()) for one in searched(settings, count, made)) / count


def test_rethinking_gains_with_what_feedback_tells_and_two_rollouts_at_a_time_halve_the_rounds() -> None:
    never = {"budget": "64 calls", "stop": "never"}
    rethink, plain = SearchSettings(**never), SearchSettings(strategy="thought-mcts", feedback=False, **never)
    told = [share_right(rethink, WorldSettings(q=q, fresh_q=fresh), 150) for q, fresh in ((0.0, 0.0), (0.35, 0.2), (0.7, 0.3))]
    assert told[0] <= told[1] <= told[2]
    assert told[1] >= share_right(plain, WorldSettings(), 150) + 0.05
    one, two = (searched(SearchSettings(parallel=width, **never), 20) for width in (1, 2))
    assert sum(each.spent.rounds for each in two) <= 0.56 * sum(each.spent.rounds for each in one)


def test_an_answer_of_nonsense_is_counted_and_the_search_ends() -> None:
    world = World()

    def ask(says: list[Say]) -> list[Timed]:
        return [Timed(Completion("As an AI I cannot", "stop", 5, 5), 0.0) for _ in says]

    (solved,) = search_all([world.problem(0)], SearchSettings(budget="9 calls"), ask, world.run)
    assert solved.counts["thoughts: no JSON"] == 2
    assert solved.stopped == "tree"
    assert solved.program == ""
