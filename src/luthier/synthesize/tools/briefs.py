"""What a dialogue by agents shall be, fixed before a word of it is written: its type, the tools on offer, what the user is after.

The paper's ablation (arXiv 2409.00920, table 5) shows what missing types cost; the shares are an own choice. Tools come up by the same plan as in
template dialogues: each of the user's operations before any comes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from luthier.records import Tool
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.everyday import everyday_blueprint, ideas
from luthier.synthesize.tools.operations import Operation, operation
from luthier.synthesize.tools.own_chains import chains
from luthier.synthesize.tools.plan import Plan
from luthier.synthesize.tools.values import Source

Kind = Literal["single", "parallel", "dependent", "irrelevant", "missing_argument", "chat"]
SHARES: Mapping[Kind, float] = {
    "single": 0.30,
    "parallel": 0.25,
    "dependent": 0.20,
    "irrelevant": 0.12,
    "missing_argument": 0.09,
    "chat": 0.04,
}
MOST_LISTED = 8
_TRIES = 20


@dataclass(frozen=True)
class Topic:
    """What one request is after. about: the tools that do it (none of them on offer where it is irrelevant); withheld: the required parameter that the
    user does not say; given: the parameter of the second of two calls that only the first one gives."""

    kind: Kind
    about: tuple[Tool, ...] = ()
    withheld: str = ""
    given: str = ""


@dataclass(frozen=True)
class Brief:
    """A dialogue that shall be made. seed: of every draw in it."""

    topics: tuple[Topic, ...]
    tools: tuple[Tool, ...]
    seed: int


def briefs(
    count: int, tools: Sequence[Tool], *, seed: int = 0, turns: int = 1, shares: Mapping[Kind, float] = SHARES, least: int = 2
) -> Iterator[Brief]:
    """`count` briefs about the tools. turns: requests of a dialogue at most. The same arguments give the same briefs.

    A type that these tools cannot have (no result feeds another call, nothing is required) becomes single.
    """
    able = [operation(tool) for tool in callable_tools(tools, seed)[0]]
    drawer = _Drawer(able, chains(able), Random(f"briefs {seed}"), Source(seed))
    plan = Plan(able, least, drawer.random)
    for number in range(count if able else 0):
        kinds = drawer.random.choices(list(shares), list(shares.values()), k=drawer.random.randint(1, turns))
        topics = tuple(drawer.topic(kind, plan.next()) for kind in kinds)
        yield Brief(topics, drawer.offered(topics), (seed << 24) + number)


@dataclass(frozen=True)
class _Drawer:
    """Draws topics and lists. linked: pairs of operations of which the first gives what the second asks for."""

    operations: Sequence[Operation]
    linked: Sequence[tuple[Operation, Operation, str]]
    random: Random
    source: Source

    def topic(self, kind: Kind, turn: Operation) -> Topic:
        if kind == "chat":
            return Topic("chat", (turn.tool,))
        if kind == "irrelevant":
            return Topic("irrelevant", (self._absent(),))
        if kind == "dependent" and self.linked:
            first, then, name = self.random.choice(self.linked)
            return Topic("dependent", (first.tool, then.tool), given=name)
        if kind == "missing_argument" and turn.required:
            return Topic("missing_argument", (turn.tool,), withheld=self.random.choice(turn.required_order))
        if kind == "parallel":
            others = [one for one in self.operations if one is not turn]
            second = self.random.choice(others) if others and self.random.random() < 0.5 else turn
            return Topic("parallel", (turn.tool, second.tool))
        return Topic("single", (turn.tool,))

    def offered(self, topics: Sequence[Topic]) -> tuple[Tool, ...]:
        """The tools that are wanted, among a few others."""
        wanted = {tool.name: tool for topic in topics if topic.kind != "irrelevant" for tool in topic.about}
        size = max(len(wanted), self.random.randint(2, MOST_LISTED))
        others = [one.tool for one in self.operations if one.name not in wanted]
        listed = [*wanted.values(), *self.random.sample(others, min(len(others), size - len(wanted)))]
        self.random.shuffle(listed)
        return tuple(listed)

    def _absent(self) -> Tool:
        """A tool of another trade, which nobody offers here."""
        names = {one.name for one in self.operations}
        for _ in range(_TRIES):
            tool = everyday_blueprint(self.random.choice(ideas()), self.source).tool
            if tool.name not in names:
                break
        return tool
