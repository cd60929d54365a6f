"""The entropy law in miniature: one small byte-level model, one epoch on each of six versions of a data set of equal size.

Repetition and random characters are planted, the monitor is asked what it sees, and the loss on held-out rows says who was right. Leaves a
ledger for `luthier select law`.
"""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark

BLOCK, BATCH = 128, 16  # bytes, blocks


def measure(quick: bool, ledger: str) -> dict[str, Any]:
    from luthier.records.calls import render_calls
    from luthier.select.entropy_law import law_of
    from luthier.synthesize.tools.dialogues import synthesize_dialogues

    count = 300 if quick else 1500
    texts = [
        f"user: {row.messages[0].content}\nassistant: {row.messages[1].content or render_calls(row.messages[1].tool_calls)}\n"
        for row in synthesize_dialogues(count + count // 10, seed=2)
    ]
    Random(0).shuffle(texts)
    rows, held_out = texts[:count], texts[count:]
    Path(ledger).unlink(missing_ok=True)
    versions = {
        "unique": rows,
        "5 % noise": [noisy(row, 0.05, at) for at, row in enumerate(rows)],
        "20 % noise": [noisy(row, 0.2, at) for at, row in enumerate(rows)],
        "30 % unique": repeated(rows, 0.3),
        "3 % unique": repeated(rows, 0.03),
        "1 % unique": repeated(rows, 0.01),
    }
    for name, version in versions.items():
        train(name, version, held_out, ledger, seed=0)
    train("unique", rows, held_out, ledger, seed=1)
    (group,) = law_of(Path(ledger))
    return {"rows": count, "ledger": ledger, **group.to_row()}


def repeated(rows: list[str], share: float) -> list[str]:
    """As many rows, of which only the first share is unique."""
    kept = rows[: max(1, round(share * len(rows)))]
    made = [kept[at % len(kept)] for at in range(len(rows))]
    Random(1).shuffle(made)
    return made


def noisy(row: str, share: float, seed: int) -> str:
    """The row with a share of its characters replaced by random ones."""
    draw = Random(seed)
    return "".join(draw.choice(string.printable) if draw.random() < share else letter for letter in row)


def train(name: str, rows: list[str], held_out: list[str], ledger: str, seed: int) -> None:
    """One epoch from random weights; the ledger gets the version and, as its metric, minus the held-out loss in nats a byte."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainingArguments, set_seed

    from luthier.select.ledger import add_metric
    from luthier.select.loss_monitor import EntropyLawCallback

    set_seed(seed)
    config = LlamaConfig(
        vocab_size=256, hidden_size=96, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=BLOCK
    )
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=3e-3,
            warmup_steps=0.05,
            seed=seed,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model=LlamaForCausalLM(config),
            args=args,
            train_dataset=blocks(rows),
            eval_dataset=blocks(held_out),
            data_collator=lambda batch: {"input_ids": torch.stack(batch), "labels": torch.stack(batch)},
            callbacks=[EntropyLawCallback(ledger, rows, name=name)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        add_metric(ledger, name, -trainer.evaluate()["eval_loss"], seed=seed)


def blocks(rows: list[str]) -> list[Any]:
    """The rows' bytes as tensors of one length; the end that fills none is left out."""
    import torch

    data = "".join(rows).encode()
    return [torch.tensor(list(data[at : at + BLOCK])) for at in range(0, len(data) - BLOCK + 1, BLOCK)]


def line(figures: dict[str, Any]) -> str:
    told = [
        f"{row['name']}: {-row['metric']:.3f} ({', '.join(alarm['rule'] for alarm in row['alarms']) or 'no alarm'})"
        for row in figures["versions"]
    ]
    return f"held-out nats a byte: {'; '.join(told)}"


if __name__ == "__main__":
    benchmark("entropy_law", measure, line, __doc__, ledger="runs/law.jsonl")
