"""Training speed and memory: TRL's SFTTrainer as it is, beside the same trainer with the vocabulary head on answer positions only.

Same rows, model, batches and settings; each arm in a process of its own, one after the other. The ratio is the result.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import benchmark

ARMS = ("trl", "answer_head")


def measure(quick: bool) -> dict[str, Any]:
    steps = 3 if quick else 12
    figures: dict[str, Any] = {}
    for arm in ARMS:
        done = subprocess.run([sys.executable, __file__, "--arm", arm, str(steps)], capture_output=True, text=True, check=True)
        figures[arm] = json.loads(done.stdout.splitlines()[-1])
    figures["speed_ratio"] = figures["answer_head"]["tokens_per_second"] / figures["trl"]["tokens_per_second"]
    figures["memory_ratio"] = figures["answer_head"]["peak_mib"] / figures["trl"]["peak_mib"]
    return figures


def run_arm(arm: str, steps: int) -> dict[str, float]:
    from trl import SFTTrainer

    from luthier.models import known
    from luthier.models.local import LocalModel
    from luthier.synthesize.tools.dialogues import synthesize_dialogues
    from luthier.train import answer_head
    from luthier.train.sft import SftSettings, fine_tune
    from luthier.train.steps import METRICS

    if arm == "trl":
        answer_head.answer_head_trainer = lambda: SFTTrainer  # type: ignore[assignment]
    model = LocalModel(known.pull())
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    sft = {**batch, "max_length": 320, "warmup_steps": 0.1, "save_steps": 10_000}
    settings = SftSettings(sigma=0.0, learning_rate=1e-3, rank=16, lora={"lora_alpha": 32}, by_length=True, sft=sft)
    rows = list(synthesize_dialogues(steps * 4, seed=1))
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        result = fine_tune(rows, model, Path(scratch), settings)
        metrics = [json.loads(text) for text in (Path(scratch) / METRICS).read_text().splitlines()]
        wall = time.perf_counter() - start
    return {
        "tokens_per_second": result.tokens / result.seconds,
        "seconds": wall,
        "first_loss": metrics[0]["loss"],
        "last_loss": metrics[-1]["loss"],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def line(figures: dict[str, Any]) -> str:
    ours, trl = figures["answer_head"], figures["trl"]
    return (
        f"{ours['tokens_per_second']:.0f} against {trl['tokens_per_second']:.0f} tokens/s ({figures['speed_ratio']:.2f}x), "
        f"peak {ours['peak_mib']:.0f} against {trl['peak_mib']:.0f} MiB; first loss {ours['first_loss']:.4f} and {trl['first_loss']:.4f}"
    )


if __name__ == "__main__":
    if "--arm" in sys.argv:
        print(json.dumps(run_arm(sys.argv[2], int(sys.argv[3]))))
    else:
        benchmark("answer_head", measure, line, __doc__)
