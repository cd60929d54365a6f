"""What a program is worth, and which one is the answer (RethinkMCTS, arXiv 2409.09584, sec. 3.3).

The paper takes the highest reward. A program that fails one of many public tests can have a higher one than a program that passes them
all and is thought little of; so the answer is chosen in order: passes the public tests, reward, fewer thoughts, earliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from luthier.records import JSON
from luthier.search.wants import Tried

WEIGHTS = (0.8, 0.2)


@dataclass(frozen=True)
class Candidate:
    """A program that was written. tried: None where it was never run. estimate: the model's own, -1 to 1, None where not asked or not told.

    node: where in the tree; thoughts: that led to it; how: it came about. calls, tokens, seconds: spent when it was known.
    """

    number: int
    program: str
    tried: Tried | None
    reward: float
    estimate: float | None
    node: int
    thoughts: int
    how: str
    calls: int
    tokens: int
    seconds: float

    @property
    def passes(self) -> bool:
        return self.tried is not None and self.tried.passed

    def to_row(self) -> JSON:
        return asdict(self)


def reward(share: float, estimate: float | None, weights: tuple[float, float] = WEIGHTS) -> float:
    """r = v_test if v_test < 1, else a v_test + b v_llm. share: v_test, of the public tests; estimate: v_llm in [-1, 1], None counts 0."""
    if share < 1:
        return share
    return weights[0] + weights[1] * max(-1.0, min(1.0, estimate or 0.0))


def choose(candidates: Sequence[Candidate], *, by_reward_alone: bool = False) -> Candidate | None:
    """The answer among candidates in their order of making; None where there is none. by_reward_alone: as the paper does, first of equals."""
    if by_reward_alone:
        return max(candidates, key=lambda one: one.reward, default=None)
    return max(candidates, key=lambda one: (one.passes, one.reward, -one.thoughts, -one.number), default=None)
