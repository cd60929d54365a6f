"""Small adapted models that the tests of flat training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = torch.tensor([[1, 40, 41, 42, 43, 44, 45, 46], [1, 90, 91, 92, 93, 94, 95, 96]])


def adapted(folder: Path, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """The tiny model with an adapter that is not zero, always the same."""
    return with_adapter(AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), **config)


def with_adapter(base: Any, **config: Any) -> Any:
    torch.manual_seed(3)
    tuned = get_peft_model(base, LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": LINEAR, **config}))
    fill(tuned)
    return tuned.train()


def fill(model: Any) -> None:
    """Adapters that change something."""
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)


def frozen(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def assert_same(before: dict[str, torch.Tensor], model: Any) -> None:
    now = dict(model.named_parameters())
    assert [name for name, weight in before.items() if not torch.equal(weight, now[name])] == []


def loss_of(model: Any) -> torch.Tensor:
    return model(input_ids=IDS, labels=IDS).loss


def gradients(model: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss_of(model).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
