"""Dialogues on one list of tools as branches of one row, beside the same dialogues in rows of their own: seconds, tokens, gradients.

The bundled model with LoRA, forward and backward, without an optimizer step. Both arms see the same dialogues in the same groups, in
turn, so that a slow spell of the machine meets both.
"""

from __future__ import annotations

import time
from typing import Any

from harness import benchmark


def measure(quick: bool) -> dict[str, Any]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from luthier.models import known
    from luthier.models.local import LocalModel
    from luthier.synthesize.tools.dialogues import PER_LIST, synthesize_dialogues
    from luthier.train.answer_head import answer_loss
    from luthier.train.sft import encode
    from luthier.train.shared_prompts import collate, share_prompts

    model = LocalModel(known.pull())
    lists = 3 if quick else 16
    rows = [encode(one, model.tokenizer) for one in synthesize_dialogues(lists * PER_LIST, seed=1)]
    keys = [number // PER_LIST for number in range(len(rows))]
    base = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32, local_files_only=True)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    tuned: Any = get_peft_model(base, lora).train()
    weights = [weight for weight in tuned.parameters() if weight.requires_grad]

    def passed(batch: dict[str, Any], items: int) -> float:
        start = time.perf_counter()
        answer_loss(tuned, batch, items)[0].backward()
        return time.perf_counter() - start

    seconds = {"shared": 0.0, "apart": 0.0}
    tokens = dict.fromkeys(seconds, 0)
    items = sum(label >= 0 for row in rows for label in row["labels"])
    grouped = [[row for row, key in zip(rows, keys, strict=True) if key == number] for number in range(lists)]
    for name in seconds:  # the first pass of each shape pays for warming up
        passed(_batch(grouped[0], name, collate, share_prompts), items)
    gradients = {name: [torch.zeros_like(weight) for weight in weights] for name in seconds}
    for group in grouped:
        for name in seconds:
            tuned.zero_grad(set_to_none=True)
            batch = _batch(group, name, collate, share_prompts)
            seconds[name] += passed(batch, items)
            tokens[name] += int(batch["input_ids"].numel())
            for total, weight in zip(gradients[name], weights, strict=True):
                total.add_(weight.grad)
    gap = torch.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(gradients["shared"], gradients["apart"], strict=True)))
    size = torch.sqrt(sum((a**2).sum() for a in gradients["apart"]))
    return {
        "dialogues": len(rows),
        "per_list": PER_LIST,
        "seconds": seconds,
        "tokens": tokens,
        "ratio": seconds["apart"] / seconds["shared"],
        "gradient_difference": float(gap / size),
    }


def _batch(group: list[Any], name: str, collate: Any, share_prompts: Any) -> dict[str, Any]:
    branches = len(group) if name == "shared" else 1
    batch: dict[str, Any] = collate(share_prompts(group, [0] * len(group), branches=branches, tokens=10_000))
    return batch


def line(figures: dict[str, Any]) -> str:
    return (
        f"{figures['dialogues']} dialogues, {figures['per_list']} on a list: {figures['ratio']:.2f}x the dialogues a second of separate rows, "
        f"{figures['tokens']['shared']:,} tokens read instead of {figures['tokens']['apart']:,}; "
        f"gradients differ by {figures['gradient_difference']:.1e} of their size"
    )


if __name__ == "__main__":
    benchmark("shared_prompts", measure, line, __doc__)
