"""What every tracer has to beat: the mean, a learner's own running accuracy, and that with the difficulty of what is asked.

Each gives the chance of every answer of a log from the answers before it, (answers,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.records.learning import AnswerLog

PRIOR = 5.0  # answers that the mean counts for


def global_mean(train: AnswerLog, log: AnswerLog) -> NDArray[np.float64]:
    """The share of right answers in training, for everyone."""
    import numpy as np

    return np.full(len(log), train.correct.mean() if len(train) else 0.5, dtype=np.float64)


def running_accuracy(train: AnswerLog, log: AnswerLog, prior: float = PRIOR) -> NDArray[np.float64]:
    """The learner's share of right answers so far, drawn to the mean of training."""
    import numpy as np

    mean = float(train.correct.mean()) if len(train) else 0.5
    place, start = np.arange(len(log)), log.starts[log.learner]
    right = np.concatenate([[0.0], np.cumsum(log.correct, dtype=np.float64)])
    share: NDArray[np.float64] = (right[place] - right[start] + prior * mean) / (place - start + prior)
    return share


def running_accuracy_with_difficulty(train: AnswerLog, log: AnswerLog, prior: float = PRIOR) -> NDArray[np.float64]:
    """The running accuracy moved by how hard the item's concepts were in training, as logits; concepts never seen there move nothing."""
    import numpy as np

    mean = float(train.correct.mean()) if len(train) else 0.5
    groups: dict[tuple[int, ...], int] = {}
    of_item = np.array([groups.setdefault(some, len(groups)) for some in train.catalogue.concepts_of], dtype=np.int64)
    group = of_item[train.item]
    answers = np.bincount(group, minlength=len(groups))
    right = np.bincount(group, train.correct, minlength=len(groups))
    moved = _logit((right + prior * mean) / (answers + prior)) - _logit(np.array(mean))
    logits = _logit(running_accuracy(train, log, prior)) + moved[of_item[log.item]]
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return chance


def _logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    share = share.clip(1e-4, 1 - 1e-4)
    found: NDArray[np.float64] = np.log(share / (1 - share))
    return found
