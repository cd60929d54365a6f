"""Flat-LoRA in any transformers or TRL trainer, as one callback."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from luthier.train.flat.law import ramp
from luthier.train.flat.noise import FlatNoise, Ranks
from luthier.train.settings import BackendName

if TYPE_CHECKING:
    import torch
    from transformers import TrainerControl, TrainerState, TrainingArguments


class FlatLoraCallback(TrainerCallback):  # type: ignore[misc]
    """`SFTTrainer(..., callbacks=[FlatLoraCallback(sigma=0.05)])`; the settings are those of `FlatNoise`.

    One noise an optimizer step, the same for all its micro-batches; the ramp follows the trainer's own step count, so a resumed run
    draws what an uninterrupted one would. Evaluation, saving and passes with the adapter off are clean.
    """

    def __init__(
        self,
        sigma: float = 0.05,
        schedule: Callable[[float], float] = ramp,
        seed: int = 0,
        backend: BackendName = "auto",
        *,
        exclude: Collection[str] = (),
        ranks: Ranks = "independent",
        every: int = 1,
    ) -> None:
        self.settings: dict[str, Any] = {
            "sigma": sigma,
            "schedule": schedule,
            "seed": seed,
            "backend": backend,
            "exclude": exclude,
            "ranks": ranks,
            "every": every,
        }
        self.noise: FlatNoise | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: torch.nn.Module | None = None, **kwargs: Any
    ) -> None:
        if self.noise is not None:  # an earlier run broke off
            self.noise.remove()
        self.noise = FlatNoise(model, **self.settings)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.noise is not None:
            self.noise.draw(state.global_step, state.max_steps)

    def on_pre_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.noise is not None:
            self.noise.clear()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.noise is not None:
            self.noise.remove()
            self.noise = None
