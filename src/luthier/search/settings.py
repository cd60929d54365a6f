"""How a search is made: the strategy, its numbers, what may be spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.models.budget import Budget, Prices
from luthier.settings import check, option, seed_option

Strategy = Literal["rethink", "thought-mcts", "tot", "lats", "rap", "reflexion", "ldb", "best-of-n", "single", "ab-mcts", "s-star"]
PresetName = Literal["fixed", "paper", "reference"]
Stop = Literal["never", "passes", "confident"]
TieBreak = Literal["none", "inputs"]
Blame = Literal["last", "model"]


@dataclass(frozen=True)
class Preset:
    """Where the paper, its reference code and we differ (luthier's docs/search.md says why).

    gamma: left of a return after each edge on the way up. by_prior: equal P-UCB values are told apart by the prior. rethink_prior: of a
    thought that was replaced, None keeps it. best_of_rollout: the best reward of a rollout is backed up, not the last one.
    expand_first: children are made before the program is judged, and again after a rethink. by_reward_alone: of the final choice.
    normalise: priors of siblings sum to 1. merge: thoughts that say the same are one.
    """

    gamma: float = 1.0
    by_prior: bool = True
    rethink_prior: float | None = None
    best_of_rollout: bool = True
    expand_first: bool = False
    by_reward_alone: bool = False
    normalise: bool = True
    merge: bool = True


PRESETS: dict[PresetName, Preset] = {
    "fixed": Preset(),
    "paper": Preset(best_of_rollout=False, expand_first=True, by_reward_alone=True),
    "reference": Preset(
        gamma=0.9, by_prior=False, rethink_prior=1.0, best_of_rollout=False, by_reward_alone=True, normalise=False, merge=False
    ),
}


@dataclass(frozen=True)
class SearchSettings:
    """How programs are searched for."""

    strategy: Strategy = option("rethink", "How the budget is spent.")
    preset: PresetName = option("fixed", "Where paper, its reference code and ours differ.")
    budget: str = option("16 calls", "Of each problem: '16 calls', '20k tokens', '10 min', '0.50 usd', or several with commas.")
    rollouts: int | None = option(None, "Of a tree search; until the budget is spent where left out.", least=1)
    thoughts: int = option(3, "New thoughts of each expansion (k).", "-k", least=1, most=32)
    rethinks: int = option(1, "Of a thought whose program failed, in a rollout.", least=0, most=8)
    feedback: bool = option(True, "Failing tests and blocks of the program are told to the model.")
    blocks: bool = option(True, "A failing test is followed block by block.")
    blame: Blame = option("last", "Which thought is replaced; model: the one that it names.")
    c_base: float = option(10.0, "Of P-UCB.", above=0)
    c: float = option(4.0, "Of P-UCB.", least=0)
    weight_tests: float = option(0.8, "Of the public tests in the reward (a).", least=0, most=1)
    weight_estimate: float = option(0.2, "Of the model's own estimate in the reward (b).", least=0, most=1)
    parallel: int = option(1, "Rollouts at a time.", least=1, most=64)
    stop: Stop = option("confident", "Before the budget is spent: once a program passes the public tests, or passes with --confidence.")
    confidence: float = option(0.5, "Estimate, from -1 to 1, that is enough to stop.", least=-1, most=1)
    tie_break: TieBreak = option("none", "Among programs that pass: by what they give for other inputs; who agrees most wins.")
    samples: int | None = option(None, "Programs drawn at first by best-of-n and s-star; as the budget allows where left out.", least=1)
    drawn_first: int = option(
        0, "Programs drawn without thoughts before a tree of thoughts grows; the first one at temperature 0.", least=0
    )
    programs: int = option(1, "Programs that follow each thought.", least=1, most=64)
    iterations: int = option(10, "Repairs in a row of reflexion and ldb.", least=1)
    temperature: float = option(0.0, "Of programs that follow thoughts, and of everything but drawn programs.", least=0, most=5)
    draw_temperature: float = option(0.8, "Of programs that are drawn anew.", least=0, most=5)
    top_p: float = option(0.95, "Of the most likely tokens, those that make up this share are drawn from.", above=0, most=1)
    max_tokens: int = option(512, "Longest answer.", least=1)
    feedback_tokens: int = option(2000, "Longest feedback; cut to two thirds where it is longer.", least=100)
    constrained: bool = option(False, "Lists and scores follow a JSON Schema, where the engine can.")
    price_prompt: float = option(0.0, "US dollars a million tokens read.", least=0)
    price_completion: float = option(0.0, "US dollars a million tokens written.", least=0)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        Budget.parse(self.budget)

    @property
    def limits(self) -> Budget:
        return Budget.parse(self.budget)

    @property
    def prices(self) -> Prices:
        return Prices(self.price_prompt, self.price_completion)

    @property
    def rules(self) -> Preset:
        return PRESETS[self.preset]

    @property
    def weights(self) -> tuple[float, float]:
        return self.weight_tests, self.weight_estimate
