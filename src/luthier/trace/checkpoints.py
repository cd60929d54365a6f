"""Skill by skill over checkpoints: what each one masters and on what evidence, what was lost on the way, and what to train on next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.statistics.multiplicity import holm
from luthier.statistics.rates import mcnemar
from luthier.statistics.resampling import bootstrap, paired
from luthier.trace.ability import AbilityModel, MasteryArrays
from luthier.trace.answers import AnswerLog
from luthier.trace.graph import waiting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.05  # of all alarms together
LEAST_SHARED = 5  # items that both checkpoints answered, for a test on the same items
FLIPS = 20_000  # of signs, where answers are fractions: the least p is 1 in so many


class Learners(NamedTuple):
    """States of all learners, (learners, groups, :), and their mastery, (learners, concepts) each."""

    states: Array
    mastery: MasteryArrays


@dataclass(frozen=True)
class Change:
    """A skill of two checkpoints. rates: over the `items` that both answered, where `by` is `items`; mastery: by the model. difference:
    after less before, of the rates with a bootstrap interval, or of the masteries (by `ability`) without one. p: two-sided, by McNemar's exact
    test (flipped signs where answers are fractions), or by the normal posteriors of the abilities; p_all: after Holm's correction over all tests.
    verdict: `lost`, `gained` or nothing; narrowest: it is not explained by the same verdict between checkpoints that lie within.
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
    narrowest: bool = False

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
    """What changed between checkpoints, every skill that both have answers on; the tests are corrected together.

    pairs: places of learners to compare; None for each with those 1, 2, 4, 8 ... further on, because what fades slowly shows only over a
    distance. level: the chance of one false alarm in all.
    """
    pairs = spans(len(log.learners)) if pairs is None else pairs
    answered = [_item_means(log, place) for place in range(len(log.learners))]
    found = []
    for before, after in pairs:
        shared = sorted(answered[before].keys() & answered[after].keys())
        for concept in range(len(log.catalogue.concepts)):
            if min(learners.mastery.evidence[[before, after], concept]) == 0:
                continue
            same = [item for item in shared if concept in model.groups_of[item]]
            found.append(_change(model, log, learners, pair=(before, after), concept=concept, answered=answered, same=same, seed=seed))
    judged = []
    for change, p in zip(found, holm([change.p for change in found]), strict=True):
        sure = p < level and change.difference != 0
        judged.append(replace(change, p_all=p, verdict="" if not sure else "lost" if change.difference < 0 else "gained"))
    return _narrowed(judged, {name: place for place, name in enumerate(log.learners)})


def spans(count: int) -> list[tuple[int, int]]:
    """Pairs of places 1, 2, 4, 8 ... apart, the nearest first."""
    lags = [2**power for power in range(max(1, count).bit_length())]
    return [(place, place + lag) for lag in lags for place in range(count - lag)]


def _narrowed(judged: Sequence[Change], places: Mapping[str, int]) -> list[Change]:
    """The same with `narrowest` told, in the order of the checkpoints. judged: the nearest pairs first."""
    spent: dict[tuple[str, str], list[tuple[int, int]]] = {}
    found = []
    for change in judged:
        span = places[change.before], places[change.after]
        inside = spent.setdefault((change.concept, change.verdict), [])
        new = change.verdict != "" and not any(span[0] <= low and high <= span[1] for low, high in inside)
        inside += [span] if change.verdict else []
        found.append(replace(change, narrowest=new))
    return sorted(found, key=lambda change: (places[change.before], places[change.after]))


def _change(
    model: AbilityModel,
    log: AnswerLog,
    learners: Learners,
    *,
    pair: tuple[int, int],
    concept: int,
    answered: Sequence[dict[int, float]],
    same: Sequence[int],
    seed: int,
) -> Change:
    import numpy as np

    mastery, evidence = (learners.mastery.probability[list(pair), concept], learners.mastery.evidence[list(pair), concept])
    low = high = None
    if len(same) >= LEAST_SHARED:
        sides = [np.array([answered[place][item] for item in same]) for place in pair]
        tested = bootstrap(sides[1] - sides[0], seed=seed)
        by, difference, low, high = "items", tested.mean, tested.low, tested.high
        p = _paired_p(sides[1] - sides[0], seed)
    else:
        known = model.posterior(learners.states[list(pair)])
        ability, sd = known.group_ability[:, concept], known.group_sd[:, concept]
        z = float((ability[1] - ability[0]) / np.sqrt((sd**2).sum()))
        by, difference, p = "ability", float(mastery[1] - mastery[0]), math.erfc(abs(z) / math.sqrt(2))
    return Change(
        log.catalogue.concepts[concept].concept,
        log.learners[pair[0]],
        log.learners[pair[1]],
        float(mastery[0]),
        float(mastery[1]),
        int(evidence[0]),
        int(evidence[1]),
        by,
        len(same),
        difference,
        low,
        high,
        p,
    )


def _paired_p(differences: Array, seed: int) -> float:
    """Two-sided, over items that changed: the others say nothing of a direction."""
    import numpy as np

    changed = differences[differences != 0]
    if (np.abs(changed) == 1).all():
        return mcnemar(int((changed > 0).sum()), int((changed < 0).sum()))
    return paired(np.zeros(len(changed)), changed, seed=seed, draws=FLIPS).p


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
    prerequisite that is not mastered waits (`luthier.trace.graph.waiting`).
    """
    import numpy as np

    chances = model.predict(state, np.arange(len(model.difficulty)))
    mastery = np.append(model.mastery(state).probability, 0.5)
    places = log.catalogue.concept_places
    waits = {places[name] for name in waiting(log.catalogue.edges, {name: mastery[at] for name, at in places.items()})}
    target = sum(between) / 2
    queues: dict[int, list[int]] = {}
    for item in np.flatnonzero((chances >= between[0]) & (chances <= between[1])):
        groups = model.groups_of[item]
        if not waits.intersection(groups):
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
