"""Difficulty of items that nobody has answered yet, from their text: ridge regression from a frozen embedder's vectors, length and digits.

A prediction of this kind is far from the difficulty that answers show, so it comes with a standard deviation; as a prior of items with few
answers (`DifficultyPrior`) it is worth about a quarter of one model's answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.models.embedder import Embedder
from luthier.models.embedding_cache import EmbeddingCache
from luthier.statistics.ranks import spearman
from luthier.trace.answers import AnswerLog
from luthier.trace.item_response import FEW, Calibration, DifficultyPrior, calibrate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PENALTIES = tuple(2.0**power for power in range(-6, 13))
PLAIN = 2  # columns at the end: length and digits, which the penalty shrinks a hundredth as much as those of the embedder
GAIN = 10.0
FEW_ANSWERS = 8  # an item with as many learns nothing more from its text
LEAST_ITEMS = 20  # fewer teach nothing


def text_features(
    texts: Sequence[str], embedder: Embedder | None, cache: EmbeddingCache | None = None, progress: Callable[[int], None] | None = None
) -> Array:
    """(texts, dimensions + 2): unit vectors through the cache, then log(1 + characters) and log(1 + digits). embedder: None leaves the vectors out."""
    import numpy as np

    plain = np.array([[math.log1p(len(text)), math.log1p(sum(map(str.isdigit, text)))] for text in texts]).reshape(-1, 2)
    if embedder is None:
        return plain
    vectors = (cache or EmbeddingCache()).encode(embedder, texts, progress=progress)
    return np.concatenate([vectors.astype(np.float64), plain], axis=1)


def calibrate_with_text(
    log: AnswerLog, read: Callable[[Sequence[str]], Array], parameters: int = 1
) -> tuple[Calibration, TextDifficulty | None]:
    """Calibrate a log's items; those with text and fewer than FEW_ANSWERS answers have the difficulty of their text for a prior.

    read: texts of the items to features, as `text_features` gives them; it is not called, and None comes with the calibration, where fewer than
    LEAST_ITEMS items have both text and answers.
    """
    import numpy as np

    calibration = calibrate(log, parameters)
    taught = items_with_text_and_answers(log, calibration)
    if taught.sum() < LEAST_ITEMS:
        return calibration, None
    features = read([item.text for item in log.catalogue.items])
    text = fit_text_difficulty(features[taught], calibration.difficulty[taught], calibration.difficulty_sd[taught])
    few = (calibration.answers < FEW_ANSWERS) & _with_text(log)
    if few.any():
        told, (mean, sd) = text.predict(features), calibration.prior
        prior = DifficultyPrior(np.where(few, told.mean, mean), np.where(few, told.sd, sd))
        calibration = calibrate(log, parameters, prior)
    return calibration, text


def items_with_text_and_answers(log: AnswerLog, calibration: Calibration) -> NDArray[np.bool_]:
    """(items,): those that a regression on texts is fitted on."""
    return _with_text(log) & (calibration.answers >= FEW)


def _with_text(log: AnswerLog) -> NDArray[np.bool_]:
    import numpy as np

    return np.array([bool(item.text.strip()) for item in log.catalogue.items])


@dataclass(frozen=True)
class TextDifficulty:
    """A fitted regression. centre, scale, weights: (features,); middle: mean difficulty; doubt: sd of the true difficulty around the prediction
    for an average text; spread: (features, features), how much further texts unlike those fitted on may be off; penalty: chosen by leave-one-out;
    correlation: Spearman's between left-out predictions and difficulties, None where one is constant; items: fitted on.
    """

    centre: Array
    scale: Array
    weights: Array
    middle: float
    doubt: float
    spread: Array
    penalty: float
    correlation: float | None
    items: int
    left_out: Array  # (items,), the prediction of each item by the others

    def predict(self, features: Array) -> DifficultyPrior:
        """Mean and standard deviation of each text's difficulty, logits. features: (texts, features)."""
        import numpy as np

        scaled = (features - self.centre) / self.scale
        leverage = np.einsum("if,fg,ig->i", scaled, self.spread, scaled)
        return DifficultyPrior(self.middle + scaled @ self.weights, self.doubt * np.sqrt(1 + leverage))


def fit_text_difficulty(features: Array, difficulty: Array, sd: Array) -> TextDifficulty:
    """Ridge regression of difficulties that are themselves estimates. features: as `text_features` gives them; difficulty, sd: (items,), logits.

    Items count by the certainty of their difficulty; the penalty is that of the least leave-one-out error. Raises SettingsError for fewer
    than LEAST_ITEMS items.
    """
    import numpy as np

    if len(features) < LEAST_ITEMS:
        raise SettingsError(f"{len(features)} items with text and answers; a regression on texts needs at least {LEAST_ITEMS}")
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    scale[-PLAIN:] /= GAIN
    x = (features - centre) / scale
    weight = 1 / (sd**2 + difficulty.var())
    weight /= weight.mean()
    middle = float((weight * difficulty).sum() / weight.sum())
    root = np.sqrt(weight)
    u, s, v = np.linalg.svd(root[:, None] * x, full_matrices=False)
    y = root * (difficulty - middle)
    best: tuple[float, float, Array] | None = None
    for penalty in PENALTIES:
        shrunk = s**2 / (s**2 + penalty * len(x))
        fitted = u @ (shrunk * (u.T @ y))
        leverage = (u**2) @ shrunk
        missed = (y - fitted) / np.maximum(1e-9, 1 - leverage)
        error = float((missed**2).mean())
        if best is None or error < best[0]:
            best = (error, penalty, missed)
    assert best is not None  # noqa: S101  # there are penalties
    error, penalty, missed = best
    inverse = 1 / (s**2 + penalty * len(x))
    doubt = math.sqrt(max(error - float((weight * sd**2).mean()), 0.05 * error))
    left_out = difficulty - missed / root
    return TextDifficulty(
        centre,
        scale,
        v.T @ (inverse * s * (u.T @ y)),
        middle,
        doubt,
        (v.T * inverse) @ v,
        penalty,
        spearman(left_out, difficulty),
        len(x),
        left_out,
    )
