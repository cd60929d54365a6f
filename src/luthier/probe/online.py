"""Probing while a chain is generated: the probes are read on the chain's own cache, which is cropped again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from luthier.models.decoding import decode
from luthier.models.local import SeededDraw
from luthier.models.options import Normalise, OptionReader, OptionScores
from luthier.models.protocol import Sampling
from luthier.probe.steps import LEAST_TOKENS, Steps, split_steps, token_ends

if TYPE_CHECKING:
    from luthier.models.local import LocalModel


@dataclass(frozen=True)
class EarlyExit:
    """When a chain is cut: the answer has stayed the same for `same` probes after the first, and leads by `margin` or more."""

    same: int = 2
    margin: float = 0.5

    def is_met(self, rows: Sequence[Sequence[float]]) -> bool:
        """rows: the confidences so far, one row a probe, the first before the chain."""
        last = [list(row) for row in rows[-self.same :]]
        if len(rows) <= self.same or len({row.index(max(row)) for row in last}) > 1:
            return False
        first, second = sorted(last[-1], reverse=True)[:2]
        return first - second >= self.margin


@dataclass
class ProbedChain:
    """A chain, its steps, the scores before it and after each step, and whether a rule ended it early.

    tokens: that were generated, some of them after the last step where a rule ended it.
    """

    text: str
    steps: Steps
    scores: list[OptionScores]
    tokens: int
    exited: bool = False


def generate_probed(
    model: LocalModel,
    prompt: Sequence[int],
    reader: OptionReader,
    sampling: Sampling,
    *,
    index: int = 0,
    early_exit: EarlyExit | None = None,
    normalise: Normalise = "token",
) -> ProbedChain:
    """Generate after `prompt` (token ids) as `model.generate` would at place `index` of a list, and probe at the end of each step."""
    import torch

    watcher = _Watcher(model, list(prompt), reader, sampling, early_exit, normalise)
    ids = torch.tensor([watcher.prompt], device=model.device)
    draws = [SeededDraw(sampling, [index])] if sampling.temperature > 0 else []
    with torch.inference_mode():
        [made] = decode(
            model.module,
            ids,
            torch.ones_like(ids),
            max_tokens=sampling.max_tokens,
            stop_ids=model.stop_ids,
            processors=draws,
            ended=watcher,
        )
    stops = set(model.stop_ids)
    chain = made[:-1] if made and made[-1] in stops else made
    if watcher.exited_at is not None:
        chain = chain[: watcher.exited_at]
    text = model.tokenizer.decode(chain, skip_special_tokens=True)
    cut = min((at for stop in sampling.stop if (at := text.find(stop)) >= 0), default=None)
    if cut is not None:
        text = text[:cut]
        chain = chain[: sum(1 for end in token_ends(model.tokenizer, chain) if end <= cut)]
    steps = split_steps(model.tokenizer, chain)
    watcher.probe(chain, [0, *steps.ends])
    return ProbedChain(text, steps, [watcher.found[end] for end in (0, *steps.ends)], len(made), watcher.exited_at is not None)


@dataclass
class _Watcher:
    """Asked after each token whether the chain is over; probes steps that have ended. found: scores by count of the chain's tokens."""

    model: LocalModel
    prompt: list[int]
    reader: OptionReader
    sampling: Sampling
    early_exit: EarlyExit | None
    normalise: Normalise
    found: dict[int, OptionScores] = field(default_factory=dict)
    exited_at: int | None = None
    cache: Any = None

    def __call__(self, ids: list[int], cache: Any) -> bool:
        self.cache = cache
        if self.sampling.stop:
            text = self.model.tokenizer.decode(ids, skip_special_tokens=True)
            if any(stop in text for stop in self.sampling.stop):
                return True
        if self.early_exit is None or len(ids) % LEAST_TOKENS:
            return False  # without a rule all steps are probed at the end, in one pass on the same cache
        # A step has ended for good once the next one is too long to be joined to it.
        ends = [end for end in split_steps(self.model.tokenizer, ids).ends[:-1] if len(ids) - end >= LEAST_TOKENS]
        if not ends or ends[-1] in self.found:
            return False
        self.probe(ids, [0, *ends])
        rows = [row for end in (0, *ends) for row in self.found[end].confidence(self.normalise).tolist()]
        if self.early_exit.is_met(rows):
            self.exited_at = ends[-1]
        return self.exited_at is not None

    def probe(self, ids: Sequence[int], ends: Sequence[int]) -> None:
        """Read the probes after so many tokens of the chain that have not been read yet."""
        missing = [end for end in ends if end not in self.found]
        if not missing:
            return
        cached = 0 if self.cache is None else int(self.cache.get_seq_length())
        whole = [*self.prompt, *ids]
        if cached > len(whole):  # the cache holds what came after the chain was cut
            self.cache.crop(len(whole) - cached)
            cached = len(whole)
        scores = self.reader.on_cache(whole, [len(self.prompt) + end for end in missing], self.cache, cached)
        for at, end in enumerate(missing):
            self.found[end] = scores.at(slice(at, at + 1), len(missing))
