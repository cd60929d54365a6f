"""What a selection teaches: the bundled model fine-tuned on each method's rows at equal tokens, and its loss on rows held out.

The pool is generated dialogues, or `--pool FILE` in any layout that Luthier reads. Held out is a random sample of the pool, its
near-duplicates taken out of what may be picked. Every method picks the same number of tokens, one epoch of LoRA learns them, and the loss of the held-out
answers is compared row by row: random is the mean of three seeds; intervals are bootstraps over the rows (95 %).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from harness import benchmark

LONGEST = 384  # tokens; longer rows would be left out of training, and a method that likes them would learn less
METHODS = ("random 0", "random 1", "random 2", "longest", "zip-long")


def measure(quick: bool, pool: str, tokens: str) -> dict[str, Any]:
    from luthier.models import known
    from luthier.models.local import LocalModel

    folder = known.pull()
    base = LocalModel(folder, name=known.DEFAULT)
    budget = 500 if quick else int(tokens)
    rows, held = _split(pool, base, 200 if quick else 0, 4 if quick else 120)
    before = _losses(base, held)
    figures: dict[str, Any] = {
        "pool": pool,
        "rows": len(rows),
        "held_out": len(held),
        "tokens": budget,
        "before": _mean(before),
        "methods": {},
    }
    losses: dict[str, list[tuple[float, int]]] = {}
    for name in ("random 0", "zip-long") if quick else METHODS:
        with tempfile.TemporaryDirectory() as run:
            taken, steps = _train(name, rows, budget, base, Path(run))
            losses[name] = _losses(LocalModel(folder, adapter=Path(run) / "adapter", name=name), held)
        figures["methods"][name] = {"rows": taken, "steps": steps, "loss": _mean(losses[name])}
        print(f"{name}: {figures['methods'][name]}", flush=True)
    by_chance = [losses[name] for name in losses if name.startswith("random")]
    for name, mine in losses.items():
        if not name.startswith("random"):
            figures["methods"][name] |= _against(mine, by_chance)
    return figures


def _split(pool: str, base: Any, count: int, held: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows that may be picked, with text and source, and conversations held out; all short enough to be trained on whole."""
    from luthier.records import read_rows, to_conversation
    from luthier.select.duplicates import near_duplicates
    from luthier.select.rows import row_text
    from luthier.synthesize.tools.dialogues import synthesize_dialogues
    from luthier.train.sft import encode

    if pool == "generated":
        read = [one.to_row() | {"source": one.extra["type"]} for one in synthesize_dialogues(count or 6000, seed=2)]
    else:
        read = [row for _, row in read_rows(pool)]
    Random(0).shuffle(read)
    rows = []
    for row in read[: count or None]:
        conversation = to_conversation(row)
        if len(encode(conversation, base.tokenizer)["input_ids"]) <= LONGEST:
            rows.append({"conversation": conversation, "text": row_text(row), "source": str(row.get("source", ""))})
    texts = [row["text"].encode("utf-8", "replace") for row in rows]
    twins = near_duplicates(texts, 0.8)
    alone = [index for index in range(len(rows)) if index not in twins and index not in set(twins.values())]
    out = frozenset(alone[:held])  # the rows are shuffled
    kept = [row for index, row in enumerate(rows) if index not in out and index not in twins]
    return kept, [rows[index]["conversation"] for index in sorted(out)]


def _train(name: str, rows: list[dict[str, Any]], tokens: int, base: Any, run: Path) -> tuple[int, int]:
    from luthier.models import known
    from luthier.select import select
    from luthier.train.sft import SftSettings, fine_tune

    method, _, seed = name.partition(" ")
    texts = [{"text": row["text"], "source": row["source"]} for row in rows]
    tokenizer = str(known.pull())
    made = select(texts, method=method, budget=f"{tokens} tokens", tokenizer=tokenizer, seed=int(seed or 0), near=None, noise=4.0)
    chosen = [rows[index]["conversation"] for index in made.indices]
    sft = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_length": LONGEST, "warmup_steps": 0.1, "save_steps": 20}
    settings = SftSettings(learning_rate=5e-4, sigma=0.0, rank=16, lora={"lora_alpha": 32}, by_length=True, sft=sft)
    result = fine_tune(chosen, base, run, settings)
    return len(chosen), result.steps


def _losses(model: Any, held: list[Any]) -> list[tuple[float, int]]:
    """(summed loss in nats, tokens) of the answers of each conversation."""
    import torch

    from luthier.train.sft import encode

    net = model.module
    losses = []
    with torch.inference_mode():
        for conversation in held:
            row = encode(conversation, model.tokenizer)
            labels = torch.tensor(row["labels"])[1:]
            columns = (labels >= 0).nonzero().flatten()
            logits = net(input_ids=torch.tensor([row["input_ids"]]), logits_to_keep=columns).logits[0].float()
            total = torch.nn.functional.cross_entropy(logits, labels[columns], reduction="sum")
            losses.append((float(total), len(columns)))
    return losses


def _mean(losses: list[tuple[float, int]]) -> float:
    return sum(loss for loss, _ in losses) / sum(count for _, count in losses)


def _against(mine: list[tuple[float, int]], by_chance: list[list[tuple[float, int]]]) -> dict[str, Any]:
    """The difference to random's mean, nats a token, with its bootstrap interval over rows; below 0 is better."""
    draw, size = Random(0), len(mine)
    differences = []
    for _ in range(2000):
        sample = draw.choices(range(size), k=size)
        chance = [_mean([losses[i] for i in sample]) for losses in by_chance]
        differences.append(_mean([mine[i] for i in sample]) - sum(chance) / len(chance))
    differences.sort()
    chance = [_mean(losses) for losses in by_chance]
    return {
        "against_random": _mean(mine) - sum(chance) / len(chance),
        "low": differences[50],
        "high": differences[-51],
        "random_range": [min(chance), max(chance)],
    }


def line(figures: dict[str, Any]) -> str:
    parts = []
    for name, row in figures["methods"].items():
        text = f"{name} {row['loss']:.3f}"
        if "against_random" in row:
            text += f" ({row['against_random']:+.3f} against random, {row['low']:+.3f} to {row['high']:+.3f})"
        parts.append(text)
    return (
        f"loss of {figures['held_out']} held-out rows after {figures['tokens']:,} picked tokens, before {figures['before']:.3f}: "
        + "; ".join(parts)
    )


if __name__ == "__main__":
    benchmark("selection_training", measure, line, __doc__, pool="generated", tokens="24000")
