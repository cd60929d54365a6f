"""TRL's SFTTrainer with a cheaper loss: only positions that predict an assistant token go through the vocabulary head."""

from __future__ import annotations

from functools import cache
from typing import Any


def answer_loss(model: Any, inputs: Any, items: Any = None) -> tuple[Any, Any]:
    """Cross-entropy summed over target tokens, divided by `items` (targets of the whole optimizer step), and the model's outputs.

    inputs: `input_ids` and `labels`, (rows, length), labels -100 outside the answers. Only columns that predict a target in some row
    go through the vocabulary head.
    """
    import torch

    targets = inputs["labels"][:, 1:]
    columns = (targets >= 0).any(0).nonzero().flatten()
    rest = {name: value for name, value in inputs.items() if name != "labels"}
    outputs = model(**rest, use_cache=False, logits_to_keep=columns)
    kept = targets[:, columns]
    total = torch.nn.functional.cross_entropy(outputs.logits.flatten(0, 1).float(), kept.flatten(), reduction="sum")
    return total / ((kept >= 0).sum() if items is None else items), outputs


@cache
def answer_head_trainer() -> Any:
    """TRL's SFTTrainer with a cheaper loss on a CPU: only positions that predict an assistant token go through the vocabulary head.

    TRL's chunked head works in float32 over every position, which costs more than all the layers of a small model together.
    """
    from trl import SFTTrainer

    class AnswerHeadTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            loss, outputs = answer_loss(model, inputs, num_items_in_batch)
            return (loss, outputs) if return_outputs else loss

    return AnswerHeadTrainer
