"""Tokens a second of greedy generation with the bundled model: the local engine (bf16) and OpenVINO (int8), 16 and 64 prompts at once."""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from harness import benchmark
from luthier.errors import EngineError
from luthier.models import LanguageModel, Prompt, Sampling
from luthier.records import Message

BATCHES = (16, 64)
SUBJECTS = ("a lighthouse", "two brothers", "a lost dog", "the first snow", "an old violin", "a night train", "the sea", "a letter")
PLACES = ("Lisbon", "Oslo", "Kyoto", "Lima", "Cairo", "Dublin", "Quito", "Turku")


def measure(quick: bool) -> dict[str, Any]:
    import torch

    engines, absent = _engines()
    sampling = Sampling(max_tokens=16 if quick else 48)
    for model in engines.values():
        model.generate(_prompts(2), Sampling(max_tokens=2))
    rounds = []
    for _ in range(1 if quick else 3):  # the engines take turns, so that a busy machine is busy for both
        rounds += [
            {"engine": name, "batch": batch, **_time(model, _prompts(batch), sampling)}
            for batch in BATCHES
            for name, model in engines.items()
        ]
    rates = {name: {str(batch): _median(rounds, name, batch, "wall_s") for batch in BATCHES} for name in engines}
    per_cpu = {name: {str(batch): _median(rounds, name, batch, "cpu_s") for batch in BATCHES} for name in engines}
    return {"threads": torch.get_num_threads(), "absent": absent, "tokens_per_s": rates, "tokens_per_cpu_s": per_cpu, "rounds": rounds}


def _engines() -> tuple[dict[str, LanguageModel], str | None]:
    from luthier.models.known import pull
    from luthier.models.local import LocalModel
    from luthier.models.openvino import OpenVinoModel

    engines: dict[str, LanguageModel] = {"local": LocalModel(pull())}
    try:
        engines["openvino"] = OpenVinoModel(pull())
    except EngineError as problem:
        return engines, str(problem)
    return engines, None


def _prompts(count: int) -> list[Prompt]:
    """Requests of about 60 tokens with the template, whose answers are longer than what is measured."""
    asked = [f"Write a long story about {subject} in {place}, with many details." for place in PLACES for subject in SUBJECTS]
    return [Prompt((Message("user", text),)) for text in asked[:count]]


def _time(model: LanguageModel, prompts: list[Prompt], sampling: Sampling) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    answers = model.generate(prompts, sampling)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tokens = sum(answer.completion_tokens for answer in answers)
    return {"tokens": tokens, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "load": round(os.getloadavg()[0], 2)}


def _median(rounds: list[dict[str, Any]], engine: str, batch: int, clock: str) -> float:
    mine = [row["tokens"] / row[clock] for row in rounds if (row["engine"], row["batch"]) == (engine, batch)]
    return round(statistics.median(mine), 1)


def line(figures: dict[str, Any]) -> str:
    def side(name: str) -> str:
        wall, cpu = figures["tokens_per_s"][name], figures["tokens_per_cpu_s"][name]
        return ", ".join(f"B{batch} {wall[batch]:.0f} tokens/s ({cpu[batch]:.0f} a CPU-second)" for batch in wall)

    text = f"local {side('local')}"
    if figures["absent"]:
        return f"{text}; openvino not measured: {figures['absent']}"
    ratios = (
        f"B{batch} {figures[clock]['openvino'][batch] / figures[clock]['local'][batch]:.2f}x{unit}"
        for batch in map(str, BATCHES)
        for clock, unit in (("tokens_per_s", " by the clock"), ("tokens_per_cpu_s", " a CPU-second"))
    )
    return f"{text}; openvino {side('openvino')}; ratio {', '.join(ratios)}"


if __name__ == "__main__":
    benchmark("generation", measure, line, __doc__)
