"""The dynamic temperature in training (DDS, arXiv 2406.07850): cross-entropy of logits divided by each position's temperature.

The head is frozen and its temperature takes no gradient. With f = 1 this is ordinary cross-entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luthier.decode.processor import DDS
from luthier.decode.tap import StateTap
from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch

IGNORED = -100


def dynamic_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, temperatures: torch.Tensor, *, scale: bool = True) -> torch.Tensor:
    """-log softmax(u / T)[y] of each position, (n,), times T where `scale`, which keeps gradients as large in every context.

    logits: (n, V); labels: (n,); temperatures: (n,), above 0, taken as constants.
    """
    import torch

    fixed = temperatures.detach().to(torch.float32)
    losses = torch.nn.functional.cross_entropy(logits.float() / fixed[:, None], labels, reduction="none")
    return losses * fixed if scale else losses


class DynamicLoss:
    """A `compute_loss_func` for any transformers or TRL trainer whose model has just run; `dynamic_trainer` saves TRL's second pass.

    model: the module that is trained; the head's scores are of its states as they are now. scale: see `dynamic_cross_entropy`.
    """

    def __init__(self, dds: DDS, model: Any, *, scale: bool = True) -> None:
        self.dds, self.scale = dds, scale
        self.tap = StateTap(model)

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        """Sum over the labelled tokens, divided by their number in the whole step where it is given, else in this batch.

        outputs: has `logits`, (rows, length, V); labels: (rows, length), -100 where nothing is learned. Raises SettingsError where the
        model did not run through its output embedding.
        """
        states = self.tap.states
        self.tap.states, self.tap.passes = None, 0
        logits = outputs.logits
        if states is None or states.shape[:2] != logits.shape[:2]:
            raise SettingsError("the loss saw no states of this model's logits; make it for the module that the trainer runs")
        learned = labels[:, 1:] != IGNORED
        losses = dynamic_cross_entropy(
            logits[:, :-1][learned], labels[:, 1:][learned], self.temperatures(states, logits, learned), scale=self.scale
        )
        return losses.sum() / (max(1, len(losses)) if num_items_in_batch is None else num_items_in_batch)

    def temperatures(self, states: torch.Tensor, logits: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        """Of the positions that predict a learned token, (n,). states: (rows, length, width); learned: (rows, length - 1).

        At sequence level a row has that of its first such position, where its reply begins.
        """
        import torch

        share, rule = self.dds.share, self.dds.rule
        with torch.no_grad():
            known = states[:, :-1] if rule.reads_states else None
            first = learned.long().argmax(1)
            rows = torch.arange(len(first), device=first.device)
            row_of = learned.nonzero()[:, 0]
            whole = rule.temperatures(None if known is None else known[rows, first], logits[rows, first].detach())[row_of]
            if share == 1:
                return whole
            each = rule.temperatures(None if known is None else known[learned], logits[:, :-1][learned].detach())
            return share * whole + (1 - share) * each


def dynamic_trainer(trainer: type[Any], dds: DDS, *, scale: bool = True) -> type[Any]:
    """A subclass of a transformers Trainer, such as TRL's SFTTrainer, that trains with the dynamic loss in one forward pass a step.

    `dynamic_trainer(SFTTrainer, dds)(model, args=..., train_dataset=...)`. Rows that hold several sequences (packing without padding)
    need level "token", or SettingsError is raised.
    """

    class DynamicTrainer(trainer):  # type: ignore[misc]
        loss_is_scaled_for_ga = None  # as the batch's count of tokens says, below

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.dynamic_loss = DynamicLoss(dds, self.model, scale=scale)

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            if dds.share > 0 and "cu_seq_lens_q" in inputs:
                raise SettingsError("rows that are packed without padding hold several sequences; set the level to token")
            given = {name: value for name, value in inputs.items() if name != "labels"}
            outputs = model(**{**given, "use_cache": False})
            loss = self.dynamic_loss(outputs, inputs["labels"], num_items_in_batch)
            self.loss_is_scaled_for_ga = num_items_in_batch is not None
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

    DynamicTrainer.__name__ = DynamicTrainer.__qualname__ = f"Dynamic{trainer.__name__}"
    return DynamicTrainer
