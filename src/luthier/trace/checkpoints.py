"""Skill by skill over checkpoints: what each one masters and on what evidence, what was lost on the way, and what to train on next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.records.learning import AnswerLog
from luthier.statistics.multiplicity import holm
from luthier.statistics.resampling import paired
from luthier.trace.ability import AbilityModel, Mastery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.05  # of all alarms together
LEAST_SHARED = 5  # items that both checkpoints answered, for a test on the same items
FLIPS = 20_000  # of signs of the items that differ: the least p is 1 in so many
MASTERED = 0.5  # of a prerequisite, before what builds on it is trained


class Learners(NamedTuple):
    """States of all learners, (learners, groups, :), and their mastery, (learners, concepts) each."""

    states: Array
    mastery: Mastery


@dataclass(frozen=True)
class Change:
    """A skill of two checkpoints. rates: over the `items` that both answered, where `by` is `items`; mastery: by the model. difference:
    after less before, of the rates with a bootstrap interval, or of the masteries (by `ability`) without one. p: two-sided, by flipping signs
    of items, or by the normal posteriors of the abilities; p_all: after Holm's correction over all tests. verdict: `lost`, `gained` or nothing.
    """

    concept: str
    before: str
    after: str
    mastery_before: float
    mastery_after: float
    evidence_before: int
    evidence_after: int
    by: str
    items: int
    difference: float
    low: float | None
    high: float | None
    p: float
    p_all: float = 1.0
    verdict: str = ""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


def follow(model: AbilityModel, log: AnswerLog) -> Learners:
    """The state and the mastery of every learner of a log."""
    import numpy as np

    parts = [log.of_learner(place) for place in range(len(log.learners))]
    states = np.stack([model.state_of(log.item[part], log.correct[part]) for part in parts])
    return Learners(states, model.mastery(states))


def changes(
    model: AbilityModel,
    log: AnswerLog,
    learners: Learners,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Change]:
    """What changed from checkpoint to checkpoint, every skill that both have answers on; the tests are corrected together.

    pairs: places of learners to compare, each with the next one where None. level: the chance of one false alarm in all.
    """
    pairs = [(place, place + 1) for place in range(len(log.learners) - 1)] if pairs is None else pairs
    answered = [_item_means(log, place) for place in range(len(log.learners))]
    found = []
    for before, after in pairs:
        shared = sorted(answered[before].keys() & answered[after].keys())
        for concept in range(len(log.catalogue.concepts)):
            if min(learners.mastery.evidence[[before, after], concept]) == 0:
                continue
            same = [item for item in shared if concept in model.groups_of[item]]
            found.append(
                _change(
                    model, log, learners, pair=(before, after), concept=concept, answered=answered, same=same, seed=seed
                )
            )
    verdicts = []
    for change, p in zip(found, holm([change.p for change in found]), strict=True):
        sure = p < level and change.difference != 0
        verdicts.append(
            replace(change, p_all=p, verdict="" if not sure else "lost" if change.difference < 0 else "gained")
        )
    return verdicts


def _change(
    model: AbilityModel, log: AnswerLog, learners: Learners, *, pair: tuple[int, int], concept: int,
    answered: Sequence[dict[int, float]], same: Sequence[int], seed: int,
) -> Change:  # fmt: skip
    import numpy as np

    mastery, evidence = (
        learners.mastery.probability[list(pair), concept],
        learners.mastery.evidence[list(pair), concept],
    )
    low = high = None
    if len(same) >= LEAST_SHARED:
        sides = [np.array([answered[place][item] for item in same]) for place in pair]
        tested, differ = (
            paired(sides[0], sides[1], seed=seed),
            sides[0] != sides[1],
        )  # a sign flips nothing where both agree
        p = paired(sides[0][differ], sides[1][differ], seed=seed, draws=FLIPS).p if differ.any() else 1.0
        by, difference, low, high = "items", tested.mean, tested.low, tested.high
    else:
        known = model.posterior(learners.states[list(pair)])
        ability, sd = known.group_ability[:, concept], known.group_sd[:, concept]
        z = float((ability[1] - ability[0]) / np.sqrt((sd**2).sum()))
        by, difference, p = "ability", float(mastery[1] - mastery[0]), math.erfc(abs(z) / math.sqrt(2))
    return Change(
        log.catalogue.concepts[concept].concept, log.learners[pair[0]], log.learners[pair[1]], float(mastery[0]), float(mastery[1]),
        int(evidence[0]), int(evidence[1]), by, len(same), difference, low, high, p,
    )  # fmt: skip


def _item_means(log: AnswerLog, place: int) -> dict[int, float]:
    """Of each item a learner answered the mean of its answers."""
    import numpy as np

    part = log.of_learner(place)
    items, inverse = np.unique(log.item[part], return_inverse=True)
    means = np.bincount(inverse, log.correct[part]) / np.bincount(inverse)
    return dict(zip(items.tolist(), means.tolist(), strict=True))


def items_to_train(
    model: AbilityModel, log: AnswerLog, state: Array, count: int, between: tuple[float, float] = (0.3, 0.7)
) -> list[tuple[int, float]]:
    """(item, chance of a right answer) of the items worth training on: neither known nor out of reach, spread over the concepts.

    Concepts take turns, the least mastered first; each gives the item whose chance is nearest to the middle of `between`. A concept with a
    prerequisite that is mastered less than MASTERED waits.
    """
    import numpy as np

    chances = model.predict(state, np.arange(len(model.difficulty)))
    mastery = np.append(model.mastery(state).probability, 0.5)
    waiting = _waiting(log, mastery)
    target = sum(between) / 2
    queues: dict[int, list[int]] = {}
    for item in np.flatnonzero((chances >= between[0]) & (chances <= between[1])):
        groups = model.groups_of[item]
        if not waiting.intersection(groups):
            queues.setdefault(min(groups, key=lambda group: mastery[group]), []).append(int(item))
    for queue in queues.values():
        queue.sort(key=lambda item: (-abs(chances[item] - target), -item))
    order = sorted(queues, key=lambda group: (mastery[group], group))
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count and any(queues.values()):
        for group in order:
            if queues[group] and len(chosen) < count:
                taken = queues[group].pop()
                chosen.append((taken, float(chances[taken])))
    return chosen


def _waiting(log: AnswerLog, mastery: Array) -> set[int]:
    places = log.catalogue.concept_places
    return {
        places[edge.target] for edge in log.catalogue.edges
        if edge.relation == "prerequisite" and mastery[places[edge.source]] < MASTERED
    }  # fmt: skip
