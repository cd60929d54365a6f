"""Difficulties of items and the spread of abilities, from the answers of many learners: the 1PL and the 2PL model of item response theory.

Marginal maximum likelihood by EM. The posterior of a learner's ability is taken as normal around its mode, which serves from one
answer to thousands; items move by Newton's method on the expected likelihood, under a normal prior of difficulties whose mean and width are
estimated as well, or given item by item (`luthier.trace.difficulty` reads it from text).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import SettingsError
from luthier.statistics.logits import sigmoid
from luthier.trace.ability import AbilityModel
from luthier.trace.answers import AnswerLog

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SLOPE_SD = 0.3  # of log discriminations around 0
WIDEST = 3.0  # prior sd of difficulties, at most
POINTS = 5  # of the quadrature over an ability's posterior
FEW = 5  # answers: an item with fewer carries its doubt into predictions; with more, the likelihood has evened it out
SAMPLE = 400  # learners that the spread between concepts is estimated from


class DifficultyPrior(NamedTuple):
    """Normal priors of difficulties, item by item: (items,) each, logits."""

    mean: Array
    sd: Array


@dataclass(frozen=True)
class Calibration:
    """Fitted items and learners, logits. difficulty, discrimination, difficulty_sd, answers: (items,); ability, ability_sd: (learners,).

    sd: of abilities in the population, whose mean is 0; prior: the normal prior of difficulties that was used. An item without answers
    has the prior's difficulty and doubt.
    """

    difficulty: Array
    discrimination: Array
    difficulty_sd: Array
    answers: Array
    ability: Array
    ability_sd: Array
    sd: float
    prior: DifficultyPrior
    rounds: int

    def model(self, log: AnswerLog, spread: float | None = None) -> AbilityModel:
        """The state model of these items; spread: None estimates it from the log."""
        import numpy as np

        catalogue, doubt = log.catalogue, np.where(self.answers < FEW, self.difficulty_sd, 0.0)
        plain = AbilityModel(self.difficulty, catalogue.concepts_of, len(catalogue.concepts), self.discrimination, doubt, 0.0, self.sd, 0.5)
        return fit_spread(plain, log) if spread is None else _with(plain, self.sd, spread)


def calibrate(
    log: AnswerLog, parameters: int = 1, prior: DifficultyPrior | None = None, rounds: int = 200, tolerance: float = 1e-4
) -> Calibration:
    """Fit items and learners to a log. parameters: 1 (difficulties) or 2 (discriminations as well). Raises SettingsError.

    tolerance: of the largest change of a difficulty in a round, logits.
    """
    import numpy as np

    if parameters not in (1, 2):
        raise SettingsError(f"parameters is {parameters}; 1 fits difficulties, 2 discriminations as well")
    learners, items = len(log.learners), len(log.catalogue.items)
    answers = _Answers(log.learner, log.item, log.correct.astype(np.float64), learners, items)
    b, log_a = answers.first_difficulties(), np.zeros(items)
    theta, theta_sd, sd = np.zeros(learners), np.ones(learners), 1.0
    mean, width = (np.zeros(items), np.full(items, WIDEST)) if prior is None else prior
    done = 0
    while done < rounds:
        done += 1
        theta, theta_sd = answers.learner_step(theta, b, log_a, sd)
        sd = max(0.1, float(np.sqrt((theta**2 + theta_sd**2).mean())))
        moved, b_sd, log_a = answers.item_step(theta, theta_sd, b, log_a, mean=mean, width=width, parameters=parameters)
        shift = float(theta.mean()) if prior is None else 0.0  # the population's mean is 0; difficulties go along
        moved, theta = moved - shift, theta - shift
        change = float(np.abs(moved - b).max())
        b = moved
        if prior is None:
            seen = answers.of_item > 0
            middle = float(b[seen].mean())
            spread = float(np.sqrt(((b[seen] - middle) ** 2 + b_sd[seen] ** 2).mean()))
            mean, width = np.full(items, middle), np.full(items, min(WIDEST, max(0.1, spread)))
        if change < tolerance:
            break
    untouched = answers.of_item == 0
    b, b_sd = np.where(untouched, mean, b), np.where(untouched, width, b_sd)
    return Calibration(b, np.exp(log_a), b_sd, answers.of_item, theta, theta_sd, sd, DifficultyPrior(mean, width), done)


def fit_spread(model: AbilityModel, log: AnswerLog, rounds: int = 30, seed: int = 0) -> AbilityModel:
    """The model with the population's sd and the spread between concepts by EM over the log's learners, at most SAMPLE drawn by the seed.

    One ability where items have fewer than two groups.
    """
    import numpy as np

    if len({group for groups in model.groups_of for group in groups}) < 2:
        return _with(model, model.sd, 0.0)
    count = len(log.learners)
    chosen = np.random.default_rng(seed).permutation(count)[:SAMPLE] if count > SAMPLE else np.arange(count)
    parts = [log.of_learner(int(place)) for place in chosen]
    states = np.stack([model.state_of(log.item[part], log.correct[part]) for part in parts])
    answered = states[..., -1] > 0
    for _ in range(rounds):
        known, pull = model.posterior(states), 1 / model.spread**2
        _, own = _own_variance(model, states, known.group_ability)
        apart = (known.group_ability - known.ability[:, None]) ** 2 + own + (1 - pull * own) ** 2 * known.sd[:, None] ** 2
        spread = float(np.sqrt(apart[answered].mean()))
        sd = float(np.sqrt(((known.ability - model.mean) ** 2 + known.sd**2).mean()))
        done = abs(spread - model.spread) < 1e-3
        model = _with(model, max(0.1, sd), max(0.02, spread))
        if done:
            break
    return model


def _own_variance(model: AbilityModel, states: Array, ability: Array) -> tuple[Array, Array]:
    """Curvature of each group, and the variance of its ability once the common one is known."""
    from luthier.trace.ability import log_likelihood_slopes

    _, curvature = log_likelihood_slopes(states, ability)
    return curvature, 1 / (1 / model.spread**2 + curvature)


def _with(model: AbilityModel, sd: float, spread: float) -> AbilityModel:
    return AbilityModel(
        model.difficulty, model.concepts_of, model.concepts, model.discrimination, model.difficulty_sd, model.mean, sd, spread
    )


class _Answers:
    """A log's columns with the sums that a round needs; each is one pass over the answers."""

    def __init__(self, learner: NDArray[np.int32], item: NDArray[np.int32], correct: Array, learners: int, items: int) -> None:
        import numpy as np

        self.learner, self.item, self.correct, self.learners, self.items = learner, item, correct, learners, items
        self.of_item = np.bincount(item, minlength=items).astype(np.float64)

    def by_learner(self, values: Array) -> Array:
        import numpy as np

        return np.bincount(self.learner, values, self.learners).astype(np.float64)

    def by_item(self, values: Array) -> Array:
        import numpy as np

        return np.bincount(self.item, values, self.items).astype(np.float64)

    def first_difficulties(self) -> Array:
        """Logits of the failures, smoothed by one answer."""
        import numpy as np

        right = self.by_item(self.correct)
        return np.log((self.of_item - right + 0.5) / (right + 0.5))

    def learner_step(self, theta: Array, b: Array, log_a: Array, sd: float) -> tuple[Array, Array]:
        """Modes of the abilities given the items, by three steps of Newton's method, and their standard deviations."""
        import numpy as np

        slope = np.exp(log_a)[self.item]
        place = b[self.item]
        for _ in range(3):
            p = sigmoid(slope * (theta[self.learner] - place))
            gradient = self.by_learner(slope * (self.correct - p)) - theta / sd**2
            curvature = self.by_learner(slope**2 * p * (1 - p)) + 1 / sd**2
            theta = theta + np.clip(gradient / curvature, -2, 2)
        return theta, curvature**-0.5

    def item_step(
        self, theta: Array, theta_sd: Array, b: Array, log_a: Array, *, mean: Array, width: Array, parameters: int
    ) -> tuple[Array, Array, Array]:
        """One step of Newton's method for the items on the expected log-likelihood: difficulties, their sds, log discriminations."""
        import numpy as np

        points, weights = np.polynomial.hermite_e.hermegauss(POINTS)
        a = np.exp(log_a)
        sums = np.zeros((5, self.items))
        for point, weight in zip(points, weights / weights.sum(), strict=True):
            away = (theta + point * theta_sd)[self.learner] - b[self.item]
            p = sigmoid(a[self.item] * away)
            miss, information = weight * (self.correct - p), weight * p * (1 - p)
            sums[0] += self.by_item(miss)
            sums[1] += self.by_item(information)
            if parameters == 2:
                sums[2] += self.by_item(miss * away)
                sums[3] += self.by_item(information * away)
                sums[4] += self.by_item(information * away**2)
        grad_b, hess_bb = -a * sums[0] - (b - mean) / width**2, a**2 * sums[1] + 1 / width**2
        if parameters == 1:
            return b + np.clip(grad_b / hess_bb, -2, 2), hess_bb**-0.5, log_a
        grad_a, hess_aa = a * sums[2] - log_a / SLOPE_SD**2, a**2 * sums[4] + 1 / SLOPE_SD**2
        hess_ab = -(a**2) * sums[3]
        det = hess_aa * hess_bb - hess_ab**2
        step_b, step_a = (hess_aa * grad_b - hess_ab * grad_a) / det, (hess_bb * grad_a - hess_ab * grad_b) / det
        return b + np.clip(step_b, -2, 2), np.sqrt(hess_aa / det), log_a + np.clip(step_a, -0.5, 0.5)
