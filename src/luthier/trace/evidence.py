"""What a learner has shown so far, counted: answers and right ones overall, and on the concepts of the item that is asked.

The counts know concepts apart without knowing which is which, so they say as much about a concept that training never saw. Beside a GRU on
text vectors they are what carries to new concepts. Only answers before the one that is predicted count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.statistics.logits import logit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

COLUMNS = 4
EDGE = 0.005  # of smoothed accuracies
_OVERALL, _CONCEPT = 5.0, 2.0  # answers that the prior counts for


def evidence_of(log: AnswerLog) -> NDArray[np.float32]:
    """(answers, 4): the evidence before each answer of a log, see `evidence_columns`."""
    import numpy as np

    each = np.arange(len(log))
    before = np.concatenate([[0.0], np.cumsum(log.correct, dtype=np.float64)])
    start = log.starts[log.learner]
    seen, right = concept_counts(log)
    return evidence_columns((each - start).astype(np.float64), before[each] - before[start], seen, right)


def concept_counts(log: AnswerLog) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Earlier answers on the concepts of each answer's item, and right ones among them: means over the item's concepts, (answers,) each."""
    import numpy as np

    answer, concept = log.by_concept()
    key = log.learner[answer].astype(np.int64) * (len(log.catalogue.concepts) + 1) + concept
    order = np.lexsort((answer, key))
    key, right = key[order], np.concatenate([[0.0], np.cumsum(log.correct[answer][order], dtype=np.float64)])
    place = np.arange(len(key))
    begins = np.maximum.accumulate(np.where(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)], place, 0))
    counts, rights = np.zeros(len(key)), np.zeros(len(key))
    counts[order], rights[order] = place - begins, right[place] - right[begins]
    many = np.maximum(np.bincount(answer, minlength=len(log)), 1)
    return np.bincount(answer, counts, len(log)) / many, np.bincount(answer, rights, len(log)) / many


def evidence_columns(
    answers: NDArray[np.float64], right: NDArray[np.float64], concept_answers: NDArray[np.float64], concept_right: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n, 4), or one learner's overall counts for n items: logit of the smoothed accuracy, its weight, how far the accuracy on the concepts lies from it, and that one's weight."""
    import numpy as np

    overall = (right + _OVERALL / 2) / (answers + _OVERALL)
    concept = (concept_right + _CONCEPT * overall) / (concept_answers + _CONCEPT)
    base = logit(overall, EDGE)
    columns = [base, np.log1p(answers) / 5, logit(concept, EDGE) - base, np.log1p(concept_answers) / 3]
    return np.stack(np.broadcast_arrays(*columns), axis=-1).astype(np.float32)
