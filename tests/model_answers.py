"""Made-up evaluations of language models: answers drawn from the 1PL or 2PL model with known abilities and difficulties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Item


class Planted(NamedTuple):
    log: AnswerLog
    ability: np.ndarray  # (learners, concepts)
    difficulty: np.ndarray
    discrimination: np.ndarray


def planted(
    learners: int = 30,
    items: int = 120,
    concepts: int = 1,
    *,
    sd: float = 1.2,
    spread: float = 0.0,
    slopes: float = 0.0,
    answered: float = 1.0,
    seed: int = 0,
) -> Planted:
    """Everyone answers a share `answered` of the items. slopes: sd of log discriminations. Item texts grow with difficulty."""
    draw = np.random.default_rng(seed)
    common = draw.normal(0, sd, learners)
    ability = common[:, None] + draw.normal(0, spread, (learners, concepts))
    difficulty, slope = draw.normal(0.3, 1.3, items), np.exp(draw.normal(0, slopes, items))
    rows = [
        Item(f"item-{at}", "x" * max(1, round(40 + 15 * difficulty[at] + draw.normal(0, 5))), (f"skill-{at % concepts}",))
        for at in range(items)
    ]
    collector = AnswerCollector()
    for learner in range(learners):
        name = f"{'abcdefghij'[learner % 10] * 3}-{learner}b"
        for item in range(items):
            if draw.random() < answered:
                chance = 1 / (1 + np.exp(-slope[item] * (ability[learner, item % concepts] - difficulty[item])))
                collector.add(name, f"item-{item}", float(draw.random() < chance))
    return Planted(collector.log(Catalogue.of(rows)), ability, difficulty, slope)
