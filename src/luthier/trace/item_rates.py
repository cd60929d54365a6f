"""How items were answered in training, as two numbers an item: how far its rate lies from that of its concepts, and how many answers say so.

A training answer must not be told by itself, so learners are in folds and each reads the rates of the others; new items have zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.statistics.logits import logit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

FOLDS = 5
COLUMNS = 2
EDGE = 1e-3  # of rates
_PRIOR = 5.0  # answers that the concepts' rate counts for


def item_rates(log: AnswerLog, leave_out: int | None = None) -> NDArray[np.float32]:
    """(items, 2) from the answers of a log, without the learners of one fold, those whose place is `leave_out` modulo `FOLDS`."""
    import numpy as np

    group = log.catalogue.concept_sets
    keep = np.ones(len(log), dtype=bool) if leave_out is None else log.learner % FOLDS != leave_out
    answers = np.bincount(log.item[keep], minlength=len(group)).astype(np.float64)
    right = np.bincount(log.item[keep], log.correct[keep], len(group))
    mean = right.sum() / max(1.0, answers.sum())
    of_group = (np.bincount(group, right) + _PRIOR * mean) / (np.bincount(group, answers) + _PRIOR)
    rate = (right + _PRIOR * of_group[group]) / (answers + _PRIOR)
    moved = logit(rate, EDGE) - logit(of_group, EDGE)[group]
    return np.stack([np.where(answers > 0, moved, 0.0), np.log1p(answers) / 5], axis=1).astype(np.float32)


def fold_rates(log: AnswerLog) -> NDArray[np.float32]:
    """(folds, items, 2): what the learners of each fold read, the rates of all others."""
    import numpy as np

    return np.stack([item_rates(log, fold) for fold in range(FOLDS)])
