"""The dynamic temperature in generation (DDS, arXiv 2406.07850): a transformers LogitsProcessor that divides logits by each row's temperature.

It stands before every truncation (`generate` puts its own temperature, top-k, top-p, min-p and typical sampling behind it), because top-p
and typical sets depend on the temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from transformers import LogitsProcessor

from luthier.decode.head import DiversityHead
from luthier.decode.mappings import LEAST, MOST, Kind, Mapping
from luthier.decode.rules import Rule, Scorer, ScoreRule
from luthier.decode.tap import StateTap
from luthier.errors import SettingsError

Level = Literal["sequence", "token"]


class Step(NamedTuple):
    """The temperatures of one step, (rows,), and which rows of the batch they belong to."""

    rows: list[int]
    temperatures: torch.Tensor


@dataclass
class DDS:
    """How a batch is decoded: where temperatures come from, and when they are taken.

    source: a head, another scorer, or a rule that gives temperatures itself (then mapping, t0 and the clip are the rule's own).
    level: "sequence" fixes the temperature after the prompt, "token" takes it anew at each step, a number in between is the share of the
    former. smooth: share of the last step's temperature that is kept, against jitter. trace: what the last generation did.
    """

    source: Scorer | Rule
    mapping: Kind = "inverse_sigmoid"
    t0: float = 1.0
    level: Level | float = "sequence"
    k: float | None = None
    gamma: float = 3.0
    least: float = LEAST
    most: float = MOST
    smooth: float = 0.0
    trace: list[Step] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        share = {"sequence": 1.0, "token": 0.0}.get(self.level) if isinstance(self.level, str) else float(self.level)
        if share is None or not 0 <= share <= 1:
            raise SettingsError(f"level is {self.level!r}; it is sequence, token, or the share of the former between 0 and 1")
        if not 0 <= self.smooth < 1:
            raise SettingsError(f"smooth is {self.smooth:g}; it must be at least 0 and below 1")
        self.share = share
        self.rule = self._rule()

    def _rule(self) -> Rule:
        if isinstance(self.source, Rule):
            return self.source
        mapping = Mapping(self.mapping, self.source.statistics, self.k, self.gamma)
        return ScoreRule(self.source, mapping, self.t0, self.least, self.most)

    def at(self, t0: float) -> DDS:
        """The same with another base temperature."""
        if isinstance(self.source, Rule):
            return replace(self, source=replace(self.source, t0=t0), trace=[])  # type: ignore[type-var]
        return replace(self, t0=t0, trace=[])

    def processor(self, model: Any) -> DynamicTemperature:
        """For `model.generate(..., do_sample=True, logits_processor=[dds.processor(model)])`.

        Raises SettingsError where the head was fitted on another model.
        """
        if isinstance(self.source, DiversityHead):
            self.source.check(model)
        return DynamicTemperature(self, model)

    @contextmanager
    def attach(self, model: Any) -> Iterator[DynamicTemperature]:
        """Within the block, `model.generate` decodes dynamically."""
        processor = self.processor(model)
        plain, before = model.generate, model.__dict__.get("generate")

        def generate(*args: Any, **kwargs: Any) -> Any:
            given = kwargs.pop("logits_processor", None) or []
            if kwargs.get("do_sample", getattr(model.generation_config, "do_sample", False)):
                kwargs.setdefault("temperature", 1.0)  # else the model's own configuration puts its temperature behind this one
            return plain(*args, logits_processor=[*given, processor], **kwargs)

        model.generate = generate
        try:
            yield processor
        finally:
            if before is None:
                del model.generate
            else:
                model.generate = before
            processor.close()


class DynamicTemperature(LogitsProcessor):  # type: ignore[misc]
    """Divides each row's logits by its temperature; keep one for a model and use it for any number of generations, one at a time.

    Beams, finished rows, left padding and several returned sequences need nothing. Decoding that does not run the model once a step
    (an assistant, prompt look-up, guidance by a second pass) raises SettingsError.
    """

    def __init__(self, dds: DDS, model: Any) -> None:
        self.dds = dds
        needs_tap = dds.rule.reads_states or dds.share > 0 or dds.smooth > 0
        self.tap = StateTap(model) if needs_tap else None
        self._forget()

    def _forget(self) -> None:
        self.prompt: torch.Tensor | None = None
        self.length = 0
        self.of_sequence: torch.Tensor | None = None
        self.last: torch.Tensor | None = None
        self.last_ids: torch.Tensor | None = None
        self.rows: list[int] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: (rows, length); scores: (rows, vocabulary). Returns new scores."""
        begins = not self._continues(input_ids)
        states = self._states(input_ids, scores, begins)
        if begins:
            self._forget()
            self.prompt, self.rows = input_ids, list(range(len(input_ids)))
            self.dds.trace.clear()
        temperatures = self._temperatures(states, scores, begins, input_ids)
        self.length = input_ids.shape[1]
        self.dds.trace.append(Step(self.rows, temperatures))
        return scores / temperatures[:, None].to(scores)

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows of the batch go on, in this order."""
        at = list(rows)
        self.rows = [self.rows[row] for row in at]
        for name in ("prompt", "of_sequence", "last", "last_ids"):
            held = getattr(self, name)
            if held is not None:
                setattr(self, name, held[at])

    def close(self) -> None:
        """Take the hook off the model; it also goes with the processor."""
        if self.tap is not None:
            self.tap.close()

    def _continues(self, input_ids: torch.Tensor) -> bool:
        """Whether this is the next step of the generation that the state belongs to: the same prompts, one token longer."""
        prompt = self.prompt
        return (
            prompt is not None
            and len(input_ids) == len(prompt)
            and input_ids.shape[1] == self.length + 1
            and torch.equal(input_ids[:, : prompt.shape[1]], prompt)
        )

    def _states(self, input_ids: torch.Tensor, scores: torch.Tensor, begins: bool) -> torch.Tensor | None:
        if self.tap is None:
            return None
        passes = self.tap.passes
        states = self.tap.take().to(scores.device)  # a head of another device than that of the logits: a model that is spread
        if passes > 1 and not begins:  # a long prompt may be read in several passes, a step may not
            raise SettingsError(
                f"the model ran {passes} times for one step (guidance or contrastive decoding); dynamic decoding needs one pass a step"
            )
        if len(states) != len(scores) and begins:  # equal prompts were read once
            states = _spread(states, input_ids)
        if len(states) != len(scores):
            raise SettingsError(f"{len(states)} states for {len(scores)} rows: this decoding does not run all rows in one pass")
        return states

    def _temperatures(self, states: torch.Tensor | None, scores: torch.Tensor, begins: bool, input_ids: torch.Tensor) -> torch.Tensor:
        share = self.dds.share
        if not begins and share == 1 and self.of_sequence is not None:
            return self.of_sequence
        now = self.dds.rule.temperatures(states, scores)
        if begins:
            self.of_sequence = now
        if share < 1 and self.dds.smooth > 0:
            now = self._smoothed(now, input_ids)
        return now if share == 0 or self.of_sequence is None else share * self.of_sequence + (1 - share) * now

    def _smoothed(self, now: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        if self.last is not None and self.last_ids is not None:
            if not torch.equal(input_ids[:, :-1], self.last_ids):
                raise SettingsError(
                    "rows changed places between steps (beam search), so their temperatures cannot be smoothed; set smooth to 0"
                )
            now = self.dds.smooth * self.last + (1 - self.dds.smooth) * now
        self.last, self.last_ids = now, input_ids
        return now


def _spread(states: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """States of distinct prompts, in the order of `unique`, given to every row that has that prompt."""
    unique, place = input_ids.unique(dim=0, return_inverse=True)
    return states[place] if len(unique) == len(states) else states
