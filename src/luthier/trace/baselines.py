"""What every tracer has to beat: the mean, a learner's own running accuracy, and that with the difficulty of what is asked.

Each gives the chance of every answer of a log from the answers before it, (answers,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luthier.statistics.logits import logit, sigmoid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog, Catalogue


class Identities(NamedTuple):
    """What items are to a model that knows no texts: of each item the places of its concepts or, where it has none, a place of its own."""

    of_item: list[tuple[int, ...]]
    many: int


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


def identities(catalogue: Catalogue) -> Identities:
    """The identities of a catalogue: concepts first, then items without any."""
    count, found = len(catalogue.concepts), []
    for some in catalogue.concepts_of:
        found.append(some or (count,))
        count += not some
    return Identities(found, count)


def running_accuracy_with_difficulty(train: AnswerLog, log: AnswerLog, prior: float = PRIOR) -> NDArray[np.float64]:
    """The running accuracy moved by how hard the item's concepts were in training (the item itself where it has none), as logits; what was
    never seen there moves nothing."""
    import numpy as np

    mean = float(train.correct.mean()) if len(train) else 0.5
    numbers: dict[tuple[int, ...], int] = {}
    of_item = np.array([numbers.setdefault(some, len(numbers)) for some in identities(train.catalogue).of_item], dtype=np.int64)
    group, many = of_item[train.item], int(of_item.max(initial=-1)) + 1
    answers = np.bincount(group, minlength=many)
    right = np.bincount(group, train.correct, minlength=many)
    moved = logit((right + prior * mean) / (answers + prior)) - logit(np.array(mean))
    logits = logit(running_accuracy(train, log, prior)) + moved[of_item[log.item]]
    return sigmoid(logits)


def item_response(train: AnswerLog, log: AnswerLog) -> NDArray[np.float64]:
    """Order-free item response theory with an ability for each concept (`luthier.trace.ability`), read anew before each answer."""
    import numpy as np

    from luthier.trace.ability import squashed
    from luthier.trace.item_response import calibrate

    model = calibrate(train).model(train)
    sizes = np.diff(log.starts)
    order = np.argsort(-sizes, kind="stable")  # the longest first, so that those who still answer are the first rows
    states = np.stack([model.start()] * len(order)) if len(order) else np.zeros((0, 1, 1))
    chances = np.zeros(len(log))
    for step in range(int(sizes.max(initial=0))):
        active = int((sizes > step).sum())
        place = log.starts[:-1][order[:active]] + step
        items = log.item[place]
        known, shares = model.posterior(states[:active]), model.shares[items]
        middle, variance = (known.group_ability * shares).sum(1), (known.group_sd**2 * shares).sum(1)
        doubt = 0.0 if model.difficulty_sd is None else model.difficulty_sd[items] ** 2
        slope = model.slopes[items]
        chances[place] = squashed(slope * (middle - model.difficulty[items]), slope**2 * (variance + doubt))
        for row, (item, correct) in enumerate(zip(items, log.correct[place], strict=True)):
            states[row] = model.update(states[row], int(item), float(correct))
    return chances
