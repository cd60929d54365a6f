"""One process of a data-parallel run with flat noise, through accelerate: `flat_worker.py MODEL OUT single|ddp|fsdp RANKS[,RANKS]`, a run each."""

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
from accelerate import Accelerator, FullyShardedDataParallelPlugin

from flat_models import adapted
from luthier.train.flat import FlatNoise
from luthier.train.flat.layers import whole

STEPS = 4
BATCH = torch.tensor([[1, *range(40 + i, 47 + i)] for i in range(4)])


def main(model_folder: str, out: str, mode: str, ranks: str) -> None:
    accelerator = Accelerator(cpu=True, fsdp_plugin=_plugin() if mode == "fsdp" else None)
    for each in ranks.split(","):
        train(accelerator, model_folder, out, mode, each)
    accelerator.wait_for_everyone()
    os._exit(0)  # the threads of gloo, taken apart by the interpreter, now and then abort a process that has done its work


def train(accelerator: Accelerator, model_folder: str, out: str, mode: str, ranks: str) -> None:
    rank, count = accelerator.process_index, accelerator.num_processes
    model = adapted(Path(model_folder))
    base_before = digest(model, trained=False)
    trained = [p for p in model.parameters() if p.requires_grad]
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(trained, lr=0.5))
    flat = FlatNoise(accelerator.unwrap_model(model), 0.1, lambda _: 1.0, seed=5, ranks=ranks)  # type: ignore[arg-type]
    mine = BATCH[rank * len(BATCH) // count : (rank + 1) * len(BATCH) // count]
    losses, noise = [], ""
    probe = flat.layers[0]
    for step in range(STEPS):
        with flat.step(step, STEPS):
            x = torch.eye(probe.shape[1])
            if mode != "fsdp":  # a sharded layer runs within its unit only
                with torch.no_grad():
                    noise = hashlib.sha256((probe.base(x) - probe.clean(x)).numpy().tobytes()).hexdigest()
            loss = model(input_ids=mine, labels=mine).loss
            accelerator.backward(loss)
        losses.append(float(accelerator.gather(loss.detach().reshape(1)).mean()))
        if mode == "fsdp":
            noise = hashlib.sha256(flat.backend.normals.take(probe.draws, step, torch.empty(64)).numpy().tobytes()).hexdigest()  # type: ignore[attr-defined]
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        with flat.step(1, STEPS):
            noisy = float(model(input_ids=mine, labels=mine).loss)
            model.eval()
            evaluated = float(model(input_ids=mine, labels=mine).loss)
        clean = float(model(input_ids=mine, labels=mine).loss)
    record = {
        "losses": losses,
        "noise": noise,
        "adapter": digest(model, trained=True),
        "base_before": base_before,
        "base_after": digest(model, trained=False),
        "noisy": noisy != clean,
        "clean_evaluation": evaluated == clean,
    }
    (Path(out) / f"{mode}-{ranks}-{rank}.json").write_text(json.dumps(record))


def _plugin() -> Any:
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
        cpu_ram_efficient_loading=False,
    )


def digest(model: Any, *, trained: bool) -> str:
    """Of the whole weights, gathered where they are sharded."""
    total = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        if ("lora_" in name) == trained:
            total.update(whole(weight).detach().contiguous().numpy().tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
