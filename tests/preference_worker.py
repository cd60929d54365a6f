"""One process of a data-parallel preference run: `preference_worker.py MODEL OUT single|ddp|fsdp SIGMA[,SIGMA]`, a run for each sigma."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.train.flat import FlatLoraCallback
from luthier.train.flat.layers import whole
from luthier.train.preference import PreferenceConfig, PreferenceTrainer
from preference_rows import ROWS


def main(model_folder: str, out: str, mode: str, sigmas: str) -> None:
    for sigma in sigmas.split(","):
        trainer = train(model_folder, out, mode, sigma)
    trainer.accelerator.wait_for_everyone()
    os._exit(0)  # the threads of gloo, taken apart by the interpreter, now and then abort a process that has done its work


def train(model_folder: str, out: str, mode: str, sigma: str) -> PreferenceTrainer:
    count = int(os.environ.get("WORLD_SIZE", "1"))
    sharded: dict[str, Any] = {}
    if mode == "fsdp":
        sharded = {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": "LlamaDecoderLayer"}}
    config = PreferenceConfig(
        output_dir=str(Path(out) / f"{mode}-{sigma}"),
        per_device_train_batch_size=4 // count,
        learning_rate=1e-2,
        max_steps=3,
        logging_steps=1,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=3,
        dataloader_pin_memory=False,
        reference_cache=str(Path(out) / f"reference-{mode}-{sigma}"),
        **sharded,
    )
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    noise = [FlatLoraCallback(float(sigma), schedule=lambda _: 1.0)] if float(sigma) else []
    trainer = PreferenceTrainer(
        base,
        config,
        ROWS,
        ROWS[:6],
        processing_class=AutoTokenizer.from_pretrained(model_folder),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=noise,
    )
    trainer.train()
    measured = trainer.evaluate()
    digest = hashlib.sha256()
    for name, weight in sorted(trainer.model.named_parameters()):
        if "lora_" in name:
            digest.update(whole(weight).detach().contiguous().numpy().tobytes())
    lines = [line for line in trainer.state.log_history if "loss" in line]
    record = {
        "losses": [line["loss"] for line in lines],
        "margins": [line["rewards/margins"] for line in lines],
        "evaluated": measured["eval_rewards/margins"],
        "adapter": digest.hexdigest(),
        "known": len(trainer.cache.known),
    }
    (Path(out) / f"{mode}-{sigma}-{config.process_index}.json").write_text(json.dumps(record))
    return trainer


if __name__ == "__main__":
    main(*sys.argv[1:])
