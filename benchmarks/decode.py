"""What a dynamic temperature costs: CPU-time of a decoding step with each rule against plain sampling, at batch 1, 8 and 32, and forward passes.

The bundled model, a head of 256 units with random weights (its values do not change its cost), `generate` with top-p. Runs of all arms take
turns in a random order, and a round is compared with itself; a run's figure is the median of its steps, the prompt left out.
"""

from __future__ import annotations

import time
from random import Random
from statistics import median
from typing import Any

from harness import benchmark

ARMS = ("plain", "sequence", "token", "entropy", "portable")
PROMPT = "Tell me something nice about long train rides."


def measure(quick: bool, rounds: str, tokens: str, batches: str) -> dict[str, Any]:
    import torch
    from transformers.utils import logging

    from luthier.models import known
    from luthier.models.local import LocalModel

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    model = LocalModel(known.pull(), name=known.DEFAULT)
    count, steps = (2, 5) if quick else (int(rounds), int(tokens))
    sizes = [1, 8] if quick else [int(size) for size in batches.split(",")]
    figures: dict[str, Any] = {"rounds": count, "steps": steps, "batches": {}}
    for size in sizes:
        figures["batches"][size] = _compare(model, size, count, steps)
        print(f"batch {size}: {figures['batches'][size]}", flush=True)
    return figures


def _compare(model: Any, size: int, rounds: int, steps: int) -> dict[str, Any]:
    """Milliseconds of a plain step, each arm's step over it (median of the rounds, with the quartiles), and passes a token."""
    spent: dict[str, list[float]] = {arm: [] for arm in ARMS}
    passes: dict[str, float] = {}
    order = Random(size)
    for number in range(rounds + 1):
        for arm in order.sample(ARMS, len(ARMS)):
            seconds, calls = _run(model, arm, size, steps, number)
            passes[arm] = calls / steps
            if number:  # the first warms up
                spent[arm].append(seconds)
    told: dict[str, Any] = {"plain_ms": round(1000 * median(spent["plain"]), 1), "passes": passes}
    for arm in ARMS[1:]:
        ratios = sorted(ours / plain - 1 for ours, plain in zip(spent[arm], spent["plain"], strict=True))
        told[arm] = {"overhead": median(ratios), "quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]]}
    return told


def _run(model: Any, arm: str, size: int, steps: int, seed: int) -> tuple[float, int]:
    """Median CPU-seconds of a step, and the model's forward passes."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    from luthier.models.protocol import Prompt
    from luthier.records import Message

    class Clock(StoppingCriteria):
        def __init__(self) -> None:
            self.times: list[float] = []

        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            self.times.append(time.process_time())
            return torch.zeros(len(input_ids), dtype=torch.bool)

    module, clock, calls = model.module, Clock(), []
    ids = model.tokenizer([model.render(Prompt((Message("user", PROMPT),)))] * size, add_special_tokens=False, return_tensors="pt")
    dds = _dds(model, arm)
    given = {"temperature": 0.9} if dds is None else {"logits_processor": [processor := dds.processor(module)]}
    handle = module.register_forward_pre_hook(lambda *_: calls.append(1))
    torch.manual_seed(seed)
    try:
        module.generate(
            **ids,
            do_sample=True,
            top_p=0.95,
            top_k=0,
            max_new_tokens=steps,
            eos_token_id=None,
            stopping_criteria=StoppingCriteriaList([clock]),
            **given,
        )
    finally:
        handle.remove()
        if dds is not None:
            processor.close()
    return median(b - a for a, b in zip(clock.times, clock.times[1:], strict=False)), len(calls)


def _dds(model: Any, arm: str) -> Any:
    import torch

    from luthier.decode import DDS, DiversityHead, EntropyScore
    from luthier.decode.head import describe
    from luthier.decode.mappings import Statistics
    from luthier.decode.network import Network
    from luthier.decode.portable import HIDDEN, PortableHead

    if arm == "plain":
        return None
    random = torch.Generator().manual_seed(0)

    def network(hidden: int, width: int) -> Network:
        w1 = torch.randn(hidden, width, generator=random) / width**0.5
        return Network(w1, torch.zeros(hidden), torch.randn(hidden, generator=random) / hidden**0.5, torch.tensor(0.0))

    told, middle = describe(model), Statistics(0.5, 0.3, 0.7)
    sources = {"entropy": lambda: EntropyScore(middle), "portable": lambda: PortableHead(network(HIDDEN, 5), middle)}
    source = sources.get(arm, lambda: DiversityHead(network(256, told.width), middle, middle, told))()
    return DDS(source, t0=0.9, level="sequence" if arm == "sequence" else "token")


def line(figures: dict[str, Any]) -> str:
    told = []
    for size, one in figures["batches"].items():
        arms = ", ".join(f"{arm} {one[arm]['overhead']:+.1%}" for arm in ARMS[1:])
        told.append(f"batch {size}: a plain step {one['plain_ms']} CPU-ms, {arms}, passes a token {max(one['passes'].values()):g}")
    return "; ".join(told)


if __name__ == "__main__":
    benchmark("decode", measure, line, __doc__, rounds="11", tokens="8", batches="1,8,32")
