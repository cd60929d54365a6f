"""The warmup of short trainings: transformers rounds a share of the steps up and begins it at a rate of 0, so that of a few steps the first is lost."""

from __future__ import annotations

from typing import Any

from luthier.errors import SettingsError

SHORT = 10  # steps: of fewer, a lost one is too much


def short_warmup(share: float, planned: int) -> int:
    """The whole steps that a share holds of a training of fewer than SHORT steps, none where it holds none."""
    return int(share * planned + 1e-9)  # 0.3 * 10 is a little less than 3


def warming_trainer(kind: Any) -> Any:
    """A transformers trainer whose warmup leaves a short training its steps. Its `train` raises SettingsError where the only step has no rate."""

    class WarmingTrainer(kind):  # type: ignore[misc]
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if 0 < self.args.warmup_steps < 1 and num_training_steps < SHORT:
                self.args.warmup_steps = short_warmup(self.args.warmup_steps, num_training_steps)
            scheduler = super().create_scheduler(num_training_steps, optimizer)
            if num_training_steps == 1 and self.args.learning_rate > 0 and not any(scheduler.get_last_lr()):
                raise SettingsError(
                    f"warmup_steps is {self.args.warmup_steps:g} and the training has 1 step, which learns nothing then; set it to 0"
                )
            return scheduler

    return WarmingTrainer
