"""The dynamic temperature in training: cross-entropy where f is 1, its definition elsewhere, no gradient into the head; in TRL's trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from decode_heads import load, random_head
from luthier.decode import DDS, Edt
from luthier.decode.loss import DynamicLoss, dynamic_cross_entropy, dynamic_trainer
from luthier.decode.rules import Fixed
from luthier.errors import SettingsError

IDS = torch.tensor([[5, 9, 70, 41, 22, 8, 91], [60, 61, 12, 13, 44, 45, 2]])
LABELS = torch.tensor([[-100, -100, -100, 41, 22, 8, 91], [-100, 61, 12, -100, 44, 45, -100]])
MASK = torch.ones_like(IDS)


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    return load(tiny_model_folder)


def gradients(model: Any) -> list[torch.Tensor]:
    made = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    return made


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("level", ["sequence", "token", 0.5])
def test_f_of_1_is_cross_entropy(model: Any, scale: bool, level: Any):
    outputs = model(input_ids=IDS, attention_mask=MASK)
    flat, targets = outputs.logits[:, :-1].reshape(-1, outputs.logits.shape[-1]), LABELS[:, 1:].reshape(-1)
    kept = targets != -100
    plain = torch.nn.functional.cross_entropy(flat[kept], targets[kept], reduction="none")
    assert torch.equal(dynamic_cross_entropy(flat[kept], targets[kept], torch.ones(int(kept.sum())), scale=scale), plain)
    (plain.sum() / len(plain)).backward()
    wanted = gradients(model)
    loss = DynamicLoss(DDS(Fixed(1.0), level=level), model, scale=scale)
    ours = loss(model(input_ids=IDS, attention_mask=MASK), LABELS)
    assert torch.equal(ours, plain.sum() / len(plain))
    ours.backward()
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), wanted, strict=True))
    whole = model(input_ids=IDS, attention_mask=MASK, labels=LABELS).loss
    assert ours.item() == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("level", ["sequence", "token", 0.25])
def test_the_loss_is_its_definition(model: Any, level: Any):
    head = random_head(model)
    dds = DDS(head, level=level, t0=0.8)
    loss = DynamicLoss(dds, model)
    made = loss(model(input_ids=IDS, attention_mask=MASK), LABELS, num_items_in_batch=11)
    from luthier.decode.tap import StateTap

    tap = StateTap(model)
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=MASK).logits
    states, total = tap.states, 0.0
    for row in range(2):
        places = [at for at in range(6) if LABELS[row, at + 1] != -100]
        of_row = dds.rule.temperatures(states[row, places[:1]], logits[row, places[:1]])[0]
        for at in places:
            own = dds.rule.temperatures(states[row, at][None], logits[row, at][None])[0]
            t = dds.share * of_row + (1 - dds.share) * own
            total -= float(t * (logits[row, at] / t).log_softmax(-1)[LABELS[row, at + 1]])
    assert made.item() == pytest.approx(total / 11, rel=1e-5)


def test_no_gradient_reaches_the_head_or_flows_through_the_temperature(model: Any):
    head = random_head(model)
    network = replace(head.network, **{name: one.clone().requires_grad_() for name, one in head.network.tensors().items()})
    loss = DynamicLoss(DDS(replace(head, network=network), level="token"), model)
    outputs = model(input_ids=IDS, attention_mask=MASK)
    loss(outputs, LABELS).backward()
    assert all(one.grad is None for one in (network.w1, network.b1, network.w2, network.b2))
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_scaled_gradient_at_the_logits_does_not_shrink_with_the_temperature():
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.arange(5)
    for t in (0.5, 2.0):
        temperatures = torch.full((5,), t)
        dynamic_cross_entropy(logits, targets, temperatures).sum().backward()
        wanted = (logits / t).softmax(-1).detach() - torch.nn.functional.one_hot(targets, 30)
        assert torch.allclose(logits.grad, wanted, atol=1e-6)
        logits.grad = None


def test_a_model_that_did_not_run_is_named(model: Any):
    loss = DynamicLoss(DDS(Fixed(1.0)), model)
    outputs = model(input_ids=IDS, attention_mask=MASK)
    loss(outputs, LABELS)
    with pytest.raises(SettingsError, match="the loss saw no states"):
        loss(outputs, LABELS)


def sft(folder: Path, out: Path, base: type[Any] | None, loss_of: Any = None, **settings: Any) -> list[float]:
    """Losses of three steps of TRL's trainer, with gradient accumulation."""
    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    rows = [
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is number {n}."}]}
        for n in range(12)
    ]
    model = load(folder)
    config = SFTConfig(
        str(out),
        max_steps=3,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        logging_steps=1,
        learning_rate=1e-3,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        assistant_only_loss=True,
        bf16=False,
        seed=0,
        **settings,
    )
    extra = {} if loss_of is None else {"compute_loss_func": loss_of(model)}
    trainer = (base or SFTTrainer)(
        model, args=config, train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(folder), **extra
    )
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_trls_trainer_trains_with_it_and_with_f_of_1_as_without(tiny_model_folder: Path, tmp_path: Path):
    from trl import SFTTrainer

    plain = sft(tiny_model_folder, tmp_path, None)
    one = DDS(Fixed(1.0))
    assert sft(tiny_model_folder, tmp_path, dynamic_trainer(SFTTrainer, one)) == pytest.approx(plain, rel=1e-4)
    by_function = sft(tiny_model_folder, tmp_path, None, lambda model: DynamicLoss(one, model))
    assert by_function == pytest.approx(plain, rel=1e-4)
    head = random_head(load(tiny_model_folder))
    for dds in (DDS(head, t0=0.7), DDS(Edt(0.7, theta=0.3), level="token")):
        made = sft(tiny_model_folder, tmp_path, dynamic_trainer(SFTTrainer, dds))
        assert made[0] != pytest.approx(plain[0], rel=1e-2)
        assert made[-1] < made[0]
