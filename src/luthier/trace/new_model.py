"""How good a new model is from its answers to a few items, with an interval; and which items to ask it.

The items' difficulties come from models evaluated before (`luthier.trace.item_response`); answers to 50 or 100 items place the new model among them,
and the rest of the items is predicted. The same family of methods as tinyBenchmarks (arXiv 2402.14992).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import SettingsError
from luthier.statistics.rates import Z95
from luthier.trace.ability import AbilityModel
from luthier.trace.answers import AnswerLog
from luthier.trace.item_response import calibrate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_FAMILY = re.compile(r"[a-z]+")
Choice = Literal["random", "spread", "adaptive"]
FIRST, NEXT = 10, 5  # items of an adaptive choice
_LEADS = {"meta", "chat", "chatgpt", "the"}  # before the name proper


@dataclass(frozen=True)
class AccuracyEstimate:
    """Share of all items that a learner answers right, estimated from some of them, with its 95 % interval.

    answered: items asked; observed: the share right among them; ability, ability_sd: logits.
    """

    accuracy: float
    low: float
    high: float
    answered: int
    items: int
    observed: float
    ability: float
    ability_sd: float


def estimate_accuracy(
    model: AbilityModel, items: NDArray[Any], correct: NDArray[Any], among: NDArray[Any] | None = None, inflation: float = 1.0
) -> AccuracyEstimate:
    """Accuracy over the items `among` (all where None) of a learner who answered `items` with `correct`, (answers,) each.

    Answered items count as they were answered, the others as predicted. The interval holds the doubt about the ability and the luck of the
    items not asked; inflation widens it (`interval_inflation` measures by how much it must). Raises SettingsError without answers.
    """
    import numpy as np

    if not len(items):
        raise SettingsError("no answers: an estimate needs some")
    state = model.state_of(items, correct)
    known = model.posterior(state)
    every = np.arange(len(model.difficulty)) if among is None else np.asarray(among)
    sums, counts = np.zeros(len(model.difficulty)), np.zeros(len(model.difficulty))
    np.add.at(sums, items, correct)
    np.add.at(counts, items, 1)
    rest = every[counts[every] == 0]
    p = model.predict(state, rest)
    done = every[counts[every] > 0]
    total = float((sums[done] / counts[done]).sum() + p.sum())
    variance = float((p * (1 - p)).sum()) + _ability_variance(model, known.group_ability, known.group_sd, known.sd, rest)
    spread = Z95 * inflation * variance**0.5
    low, high = (min(1.0, max(0.0, (total + side * spread) / len(every))) for side in (-1, 1))
    return AccuracyEstimate(
        total / len(every), low, high, len(items), len(every), float(np.mean(correct)), float(known.ability), float(known.sd)
    )


def _ability_variance(model: AbilityModel, ability: Array, sd: Array, common_sd: Array, items: NDArray[Any]) -> float:
    """Variance of the sum of chances that the doubt about the abilities brings: what is shared between concepts adds up, the rest does not."""
    import numpy as np

    shares, slopes = model.shares[items], model.slopes[items]
    p = 1 / (1 + np.exp(-slopes * (shares @ ability - model.difficulty[items])))
    gains = shares.T @ (slopes * p * (1 - p))
    shared = np.minimum(sd, common_sd)
    own = np.sqrt(np.maximum(sd**2 - shared**2, 0))
    return float((gains * shared).sum() ** 2 + ((gains * own) ** 2).sum())


def choose_items(
    model: AbilityModel, count: int, asked: Iterable[int] = (), seed: int = 0, state: Array | None = None
) -> NDArray[np.int64]:
    """Places of the items to ask next, spread over the concepts in proportion to their unasked items. Sorted by place.

    state: of a learner that has answers. With it, items are drawn by the seed in proportion to what their answers would tell of the ability
    (Fisher's information at the present guess); without it, each concept's items are cut into strata of like difficulty, and one is drawn from each.
    """
    import numpy as np

    taken = set(asked)
    draw = np.random.default_rng(seed)
    groups: dict[tuple[int, ...], list[int]] = {}
    for item, places in enumerate(model.groups_of):
        if item not in taken:
            groups.setdefault(places, []).append(item)
    sizes = [len(each) for each in groups.values()]
    chosen: list[int] = []
    for share, members in zip(_apportion(sizes, min(count, sum(sizes))), groups.values(), strict=True):
        if state is not None:
            chances = model.predict(state, members)
            told = model.slopes[members] ** 2 * chances * (1 - chances) + 1e-12
            chosen += draw.choice(members, share, replace=False, p=told / told.sum()).tolist()
        else:
            ordered = sorted(members, key=lambda item: (float(model.difficulty[item]), item))
            bounds = np.linspace(0, len(ordered), share + 1).astype(int)
            chosen += [ordered[int(draw.integers(low, high))] for low, high in pairwise(bounds)]
    return np.array(sorted(chosen), dtype=np.int64)


def _apportion(sizes: Sequence[int], seats: int) -> list[int]:
    """Whole numbers in proportion to sizes that sum to seats, by largest remainders; never more than the size."""
    total = sum(sizes)
    exact = [seats * size / total if total else 0.0 for size in sizes]
    shares = [int(each) for each in exact]
    for place in sorted(range(len(sizes)), key=lambda at: (shares[at] - exact[at], at))[: seats - sum(shares)]:
        shares[place] += 1
    return shares


def family_of(name: str) -> str:
    """The family a model's name speaks of: its first word of letters, an owner before a slash left out. `meta-llama/Llama-3.1-8B` is `llama`."""
    words: list[str] = _FAMILY.findall(name.rsplit("/", 1)[-1].casefold())
    if words and words[0].startswith("chatgpt"):
        return "gpt"
    proper = [word for word in words if word not in _LEADS]
    return (proper or words or [name.casefold()])[0]


def families(learners: Sequence[str], given: Mapping[str, str] | None = None) -> list[str]:
    """The family of each learner: as given, else by its name."""
    return [(given or {}).get(name) or family_of(name) for name in learners]


@dataclass(frozen=True)
class HeldOut:
    """A learner estimated from a few items by a calibration that knew nothing of its family. accuracy: the truth over all its items;
    estimate: by the model; plain: the share right among the items asked."""

    learner: str
    family: str
    asked: int
    accuracy: float
    estimate: AccuracyEstimate
    plain: float

    @property
    def guess(self) -> float:
        return self.estimate.accuracy

    def to_row(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "family": self.family,
            "asked": self.asked,
            "accuracy": self.accuracy,
            "estimate": self.guess,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "plain": self.plain,
        }


def hold_out_families(
    log: AnswerLog,
    counts: Sequence[int] = (50,),
    *,
    names: Sequence[str] | None = None,
    draws: int = 1,
    parameters: int = 1,
    seed: int = 0,
    inflation: float = 1.0,
    chosen: Choice = "random",
    progress: Callable[[int], None] | None = None,
) -> list[HeldOut]:
    """Estimate every learner from `counts` of its items, after calibrating on the other families only. draws: samples of items for each.

    names: the family of each learner. chosen: `random` items, `spread` over difficulties, or `adaptive`: FIRST spread ones, then NEXT at a time by
    what their answers would tell (`choose_items`).
    Raises SettingsError where there is but one family.
    """
    import numpy as np

    names = families(log.learners) if names is None else names
    if len(set(names)) < 2:
        raise SettingsError(f"all learners are of one family ({names[0]}); name families that tell them apart")
    found: list[HeldOut] = []
    for family in dict.fromkeys(names):
        inside = [place for place, name in enumerate(names) if name == family]
        others = log.take_learners([place for place, name in enumerate(names) if name != family])
        model = calibrate(others, parameters).model(others)
        for place in inside:
            part = log.of_learner(place)
            items, correct = log.item[part], log.correct[part].astype(np.float64)
            for draw in range(draws):
                for count in counts:
                    if count > len(items):
                        continue
                    random = np.random.default_rng((seed, place, draw, count))
                    at = _sample(model, items, correct, count, chosen, random)
                    estimate = estimate_accuracy(model, items[at], correct[at], np.unique(items), inflation)
                    found.append(HeldOut(log.learners[place], family, count, float(correct.mean()), estimate, float(correct[at].mean())))
        if progress is not None:
            progress(1)
    return found


def _sample(  # noqa: PLR0917
    model: AbilityModel, items: NDArray[Any], correct: Array, count: int, chosen: Choice, random: Any
) -> NDArray[np.int64]:
    """Places among a learner's answers that stand for `count` items asked."""
    import numpy as np

    if chosen == "random":
        picked: NDArray[np.int64] = random.choice(len(items), count, replace=False)
        return picked
    asked: list[int] = []
    missing = sorted(set(range(len(model.difficulty))) - set(items.tolist()))
    place = {int(item): at for at, item in enumerate(items)}
    while len(asked) < count:
        size = count if chosen == "spread" else min(count - len(asked), NEXT if asked else FIRST)
        at = [place[item] for item in asked]
        state = model.state_of(items[at], correct[at]) if asked else None
        asked += choose_items(model, size, [*missing, *asked], int(random.integers(2**31)), state).tolist()
    return np.array([place[item] for item in asked], dtype=np.int64)


def interval_inflation(held: Sequence[HeldOut]) -> float:
    """By how much intervals must be widened to hold 95 % of the truth, measured on held-out learners: at least 1."""
    import numpy as np

    ratios = [abs(one.accuracy - one.estimate.accuracy) / max(1e-9, (one.estimate.high - one.estimate.low) / 2) for one in held]
    return max(1.0, float(np.quantile(ratios, 0.95))) if ratios else 1.0
