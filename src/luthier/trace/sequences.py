"""Answers as padded batches: learners of like length together, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from luthier.trace.evidence import evidence_of
from luthier.trace.item_rates import FOLDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

WINDOW = 200  # most recent answers of a learner that training reads (section 4.1)
_CELLS = 64 * WINDOW  # of a batch of long histories


class Batch(NamedTuple):
    """item: int64 (B, T), 0 where padded; correct: (B, T); mask: bool (B, T); place: int64 (B, T), the answer's place in its log;
    evidence: (B, T, 4) before each answer; fold: int64 (B, 1), of the learner."""

    item: Tensor
    correct: Tensor
    mask: Tensor
    place: Tensor
    evidence: Tensor
    fold: Tensor


class Answers:
    """A log ready for batches: its evidence is counted once, over whole histories."""

    def __init__(self, log: AnswerLog) -> None:
        self.log = log
        self.evidence = evidence_of(log)


def training_batches(answers: Answers, batch: int, generator: torch.Generator, window: int = WINDOW, bucket: int = 8) -> Iterator[Batch]:
    """Batches of all learners in random order, each learner's last `window` answers; learners are sorted by length within groups of `bucket` batches."""
    sizes = _sizes(answers.log, window)
    order = torch.randperm(len(sizes), generator=generator)
    groups = [group[torch.argsort(sizes[group], stable=True)] for group in order.split(batch * bucket)]
    parts = [part for group in groups for part in group.split(batch)]
    for number in torch.randperm(len(parts), generator=generator).tolist():
        yield pad(answers, parts[number].tolist(), window)


def history_batches(answers: Answers, batch: int = 64) -> Iterator[Batch]:
    """Batches of whole histories, longest together, none left out; a batch of long ones holds fewer learners."""
    sizes = _sizes(answers.log, None)
    left = [place for place in torch.argsort(sizes, descending=True, stable=True).tolist() if sizes[place]]
    while left:
        count = max(1, min(batch, _CELLS // int(sizes[left[0]])))
        yield pad(answers, left[:count], None)
        left = left[count:]


def pad(answers: Answers, learners: Sequence[int], window: int | None) -> Batch:
    """The answers of some learners side by side, the last `window` of each, padded behind."""
    import numpy as np

    log = answers.log
    spans = [(max(int(log.starts[p]), int(log.starts[p + 1]) - (window or len(log))), int(log.starts[p + 1])) for p in learners]
    longest = max(end - start for start, end in spans)
    place = np.zeros((len(spans), longest), dtype=np.int64)
    mask = np.zeros((len(spans), longest), dtype=bool)
    for row, (start, end) in enumerate(spans):
        place[row, : end - start] = np.arange(start, end)
        mask[row, : end - start] = True
    item = np.where(mask, log.item[place], 0).astype(np.int64)
    correct = np.where(mask, log.correct[place], 0).astype(np.float32)
    fold = np.array(learners, dtype=np.int64)[:, None] % FOLDS
    return Batch(*(torch.from_numpy(array) for array in (item, correct, mask, place, answers.evidence[place], fold)))


def spread(values: NDArray[np.float64], batch: Batch, found: Tensor) -> None:
    """Write (B, T) numbers of a batch to their places in `values`, (answers,)."""
    values[batch.place[batch.mask].numpy()] = found[batch.mask].double().numpy()


def _sizes(log: AnswerLog, window: int | None) -> Tensor:
    sizes = torch.from_numpy(log.starts[1:] - log.starts[:-1])
    return sizes if window is None else sizes.clamp(max=window)
