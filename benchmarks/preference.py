"""Preference tuning beside TRL's DPOTrainer: CPU-seconds of a step on the same pairs, and whether padding moves the marks of what differs.

`--pairs` is a file that `luthier synthesize pairs` wrote; without it, sums with a slip in them stand in. Each pair comes twice: with the
original chosen answer (independent) and with the bridged one. TRL runs with its reference model in every step, and with it precomputed.
Steps of all arms take turns, and a round is compared with itself.
"""

from __future__ import annotations

import difflib
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from harness import benchmark

BATCH = 4
ARMS = ("trl_online", "trl_precomputed", "ours")
KINDS = ("independent", "bridged")


def measure(quick: bool, pairs: str, rounds: str, count: str) -> dict[str, Any]:
    from transformers.utils import logging

    from luthier.models import known
    from luthier.models.local import LocalModel
    from luthier.records import read_pairs, to_pair

    logging.set_verbosity_error()
    base = LocalModel(known.pull(), name=known.DEFAULT)
    rows = [pair for pair in read_pairs(Path(pairs)) if pair.extra.get("bridged")] if pairs else [to_pair(row) for row in _sums(200)]
    rows = Random(0).sample(rows, min(len(rows), 200))
    batch = 1 if quick else BATCH
    used = rows[: batch * (1 if quick else int(count))]
    figures: dict[str, Any] = {"pairs": pairs or "sums made here", "batch": batch, "rounds": 1 if quick else int(rounds)}
    for kind in KINDS:
        figures[kind] = _steps(base, [_of_kind(pair, kind) for pair in used], figures["rounds"], batch)
        print(f"{kind}: {figures[kind]['seconds']}", flush=True)
    return figures | {"marks": _marks([_of_kind(pair, "bridged") for pair in rows], base.tokenizer)}


def _sums(count: int) -> list[dict[str, Any]]:
    """Pairs that need no data: the original answer is worded otherwise, the bridged one differs from the rejected one by its slip."""
    random, rows = Random(0), []
    for _ in range(count):
        a, b, c = (random.randrange(11, 99) for _ in range(3))
        slip = random.choice([-10, -1, 1, 10])
        asked = f"A shop has {a} red, {b} green and {c} blue hats. How many hats does it have? Think step by step."

        def worked(total: int, a: int = a, b: int = b, c: int = c) -> str:
            return f"Red and green hats together are {a} + {b} = {a + b}. With the blue ones that is {a + b} + {c} = {total}.\nThe answer is {total}"

        other = f"I add the hats of each colour one after the other: {a}, then {b} more, then {c} more.\nThe answer is {a + b + c}"
        rows.append(
            {
                "prompt": asked,
                "chosen": worked(a + b + c),
                "rejected": worked(a + b + c + slip),
                "bridged": True,
                "original_chosen": [{"role": "assistant", "content": other}],
            }
        )
    return rows


def _of_kind(pair: Any, kind: str) -> Any:
    from luthier.train.preference.tuning import chosen_by_method

    return chosen_by_method(pair, kind == "bridged")


def _steps(base: Any, pairs: list[Any], rounds: int, batch_size: int) -> dict[str, Any]:
    """Median CPU-seconds of a step of each arm, and of its ratio to ours within a round."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = {arm: _trainer(arm, base, pairs, Path(folder), batch_size) for arm in ARMS}
        batches = {arm: [*trainer.get_train_dataloader()] for arm, trainer in trainers.items()}
        spent: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for number in range(rounds + 1):
            for arm in ARMS:
                batch = batches[arm][number % len(batches[arm])]
                seconds = _step(trainers[arm], {**batch})
                if number:  # the first warms up
                    spent[arm].append(seconds)
    shapes = {arm: int(batches[arm][0]["input_ids"].numel()) for arm in ARMS}
    ratios = {arm: median(a / b for a, b in zip(spent[arm], spent["ours"], strict=True)) for arm in ARMS if arm != "ours"}
    return {
        "seconds": {arm: round(median(values), 2) for arm, values in spent.items()},
        "ratios": ratios,
        "positions": shapes,
        "losses": {arm: trainer.last_loss for arm, trainer in trainers.items()},
    }


def _trainer(arm: str, base: Any, pairs: list[Any], folder: Path, batch_size: int) -> Any:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, set_seed
    from trl import DPOConfig, DPOTrainer

    from luthier.train.preference import PreferenceConfig, PreferenceTrainer

    set_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=base.training_dtype, local_files_only=True)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    shared = {
        "output_dir": str(folder / arm),
        "per_device_train_batch_size": batch_size,
        "learning_rate": 5e-5,
        "use_cpu": True,
        "report_to": "none",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "bf16": base.training_dtype is torch.bfloat16,
        "seed": 0,
        "max_length": 1024,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
    }
    if arm == "ours":
        config = PreferenceConfig(**shared, weighting="bmc", delta=3.0)
        trainer = PreferenceTrainer(model, config, pairs, processing_class=base.tokenizer, peft_config=lora)
        trainer.read_reference(trainer.train_dataset)
    else:
        rows = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in (pair.to_row() for pair in pairs)]
        config = DPOConfig(**shared, precompute_ref_log_probs=arm == "trl_precomputed")
        trainer = DPOTrainer(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=base.tokenizer, peft_config=lora)
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()
    return trainer


def _step(trainer: Any, batch: dict[str, Any]) -> float:
    """Forward, backward, clipping and the optimizer, by the trainer's own methods."""
    import torch

    started = time.process_time()
    trainer.last_loss = float(trainer.training_step(trainer.model, batch))
    torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return time.process_time() - started


def _marks(pairs: list[Any], tokenizer: Any) -> dict[str, int]:
    """Of how many pairs padding moves the marks: ours in a batch with a long pair, and difflib's on padded sequences."""
    from luthier.train.preference import encode_pairs
    from luthier.train.preference.forward import PairCollator

    rows, _ = encode_pairs(pairs, tokenizer)
    long = {**rows[0], "chosen_ids": rows[0]["chosen_ids"] * 8, "chosen_diff": rows[0]["chosen_diff"] * 8}
    ours = theirs = 0
    for row in rows:
        alone, beside = PairCollator()([row]), PairCollator()([row, long])
        ours += any(
            alone[f"{side}_diff"][0].tolist() != beside[f"{side}_diff"][0].tolist()[: len(row[f"{side}_ids"])]
            for side in ("chosen", "rejected")
        )
        theirs += _by_difflib(row, 0) != _by_difflib(row, 150)
    return {"pairs": len(rows), "ours_changed": ours, "difflib_changed": theirs}


def _by_difflib(row: dict[str, Any], padding: int) -> list[list[int]]:
    """Marks as difflib gives them for whole sequences, prompt and padding included (the published scheme, without its stop words)."""
    chosen, rejected = (row["prompt_ids"] + row[f"{side}_ids"] + [2] * padding for side in ("chosen", "rejected"))
    marks = [[0] * len(chosen), [0] * len(rejected)]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, chosen, rejected).get_opcodes():
        if tag != "equal":
            marks[0][a:b], marks[1][c:d] = [1] * (b - a), [1] * (d - c)
    return [values[len(row["prompt_ids"]) :][: len(row[f"{side}_ids"])] for values, side in zip(marks, ("chosen", "rejected"), strict=True)]


def line(figures: dict[str, Any]) -> str:
    told = []
    for kind in KINDS:
        one = figures[kind]
        told.append(
            f"{kind} pairs: a step {one['seconds']['ours']} CPU-s, TRL with the reference online {one['ratios']['trl_online']:.2f}x,"
            f" precomputed {one['ratios']['trl_precomputed']:.2f}x ({one['positions']['ours']} of {one['positions']['trl_online']} positions)"
        )
    marks = figures["marks"]
    told.append(f"marks moved by padding: {marks['ours_changed']} of {marks['pairs']} pairs, by difflib {marks['difflib_changed']}")
    return "; ".join(told)


if __name__ == "__main__":
    benchmark("preference", measure, line, __doc__, pairs="", rounds="3", count="2")
