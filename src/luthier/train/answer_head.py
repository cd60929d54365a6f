"""TRL's SFTTrainer with a cheaper loss: only positions that predict an assistant token go through the vocabulary head.

In one process and in several, with weights of tokens, and with the loss that balances the experts of a mixture.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from trl import SFTTrainer


def answer_loss(model: Any, inputs: Any, items: Any = None) -> tuple[Any, Any]:
    """Cross-entropy summed over target tokens, divided by `items` (targets of the whole optimizer step), and the model's outputs.

    inputs: `input_ids` and `labels`, (rows, length), labels -100 outside the answers, and `weights` of the targets where the rows have some; the
    loss is their weighted mean then. Only columns that predict a target in some row go through the vocabulary head.
    """
    import torch

    targets = inputs["labels"][:, 1:]
    columns = (targets >= 0).any(0).nonzero().flatten()
    rest = {name: value for name, value in inputs.items() if name not in ("labels", "weights")}
    outputs = model(**rest, use_cache=False, logits_to_keep=columns)
    kept = targets[:, columns]
    logits = outputs.logits.flatten(0, 1).float()
    if "weights" not in inputs:
        total = torch.nn.functional.cross_entropy(logits, kept.flatten(), reduction="sum")
        return total / ((kept >= 0).sum() if items is None else items), outputs
    weights = inputs["weights"][:, 1:][:, columns] * (kept >= 0)
    losses = torch.nn.functional.cross_entropy(logits, kept.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / (weights.sum() if items is None else items), outputs


def target_weight(batches: Any) -> Tensor:
    """What the targets of batches weigh together; their number where they have no weights."""
    import torch

    return torch.stack(
        [(batch["weights"] * (batch["labels"] >= 0)).sum() if "weights" in batch else (batch["labels"] >= 0).sum() for batch in batches]
    ).sum()


@cache
def answer_head_trainer() -> type[SFTTrainer]:
    """TRL's SFTTrainer with a cheaper loss on a CPU: only positions that predict an assistant token go through the vocabulary head.

    TRL's chunked head works in float32 over every position, which costs more than all the layers of a small model together.
    """
    from trl import SFTTrainer

    class AnswerHeadTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            if self.aux_loss_enabled:
                inputs = {**inputs, "output_router_logits": True}
            loss, outputs = answer_loss(model, inputs, num_items_in_batch)
            if num_items_in_batch is not None and self.args.average_tokens_across_devices:
                # The targets of all processes were counted, and the gradients of all are averaged.
                loss = loss * (self.accelerator.num_processes // self.get_tp_size())
            if self.aux_loss_enabled:  # a mean of each micro-batch, as TRL has it
                steps = self.current_gradient_accumulation_steps if num_items_in_batch is not None else 1
                loss = loss + self.router_aux_loss_coef * outputs.aux_loss / steps
            return (loss, outputs) if return_outputs else loss

        def _get_num_items_in_batch(self, batch_samples: Any, device: Any) -> Any:
            if batch_samples and "weights" in batch_samples[0]:
                own = target_weight(batch_samples).to(device)
                whole = self.accelerator.gather(own).sum() if self.args.average_tokens_across_devices else own
                return whole / (self.get_tp_size() * self.get_cp_size() * self.get_sp_size())  # processes with the same batch
            return super()._get_num_items_in_batch(batch_samples, device)

    return AnswerHeadTrainer
