"""Tokens a second of greedy generation: transformers (bf16), OpenVINO (int8, plain Llama models) and llama.cpp (as the file is), 1 and 16 prompts
at once, free and under a JSON schema.

What is measured is kept in `--folder`, so a stopped benchmark goes on with the next cell; another folder begins anew.

    python benchmarks/generation.py --quick
    python benchmarks/generation.py --model qwen2.5-coder-0.5b
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from harness import RESULTS, benchmark
from luthier import open_model
from luthier.errors import EngineError, LuthierError
from luthier.models import LanguageModel, Prompt, Sampling
from luthier.records import Message
from luthier.records.journal import Journal

BATCHES = (1, 16)
ENGINES = ("transformers", "openvino", "llamacpp")
CELL = ("round", "engine", "batch", "form")
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "lines": {"type": "array", "items": {"type": "string"}, "minItems": 20}},
    "required": ["title", "lines"],
    "additionalProperties": False,
}
SUBJECTS = ("a lighthouse", "two brothers", "a lost dog", "the first snow", "an old violin", "a night train", "the sea", "a letter")
PLACES = ("Lisbon", "Oslo")


def measure(quick: bool, model: str, rounds: str, folder: str) -> dict[str, Any]:
    import torch

    engines, absent = _engines(model)
    sampling = Sampling(max_tokens=8 if quick else 48)
    cells = product(range(1 if quick else int(rounds)), BATCHES, ("free", "schema"), engines)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Journal(Path(scratch if quick else folder) / f"{model.rpartition('/')[2]}.jsonl", CELL) as kept,
    ):
        done = {tuple(row[part] for part in CELL) for row in kept}
        for number, batch, form, name in cells:  # the engines take turns, so that a busy machine is busy for all
            if (number, name, batch, form) in done:
                continue
            taken = _time(engines[name], _prompts(batch, SCHEMA if form == "schema" else None), sampling)
            kept.append({"round": number, "engine": name, "batch": batch, "form": form, **taken})
            print(f"{name} {form}, {batch} at a time: {taken['tokens'] / taken['wall_s']:.1f} tokens/s", flush=True)
        measured = list(kept)
    rates = {
        f"{name} {form}": {str(batch): _median(measured, name, batch, form) for batch in BATCHES}
        for name in engines
        for form in ("free", "schema")
    }
    return {"model": model, "threads": torch.get_num_threads(), "absent": absent, "tokens_per_s": rates, "rounds": measured}


def _engines(model: str) -> tuple[dict[str, LanguageModel], dict[str, str]]:
    """The engines that can run the model, warm; and why the others cannot."""
    found: dict[str, LanguageModel] = {}
    absent = {}
    for name in ENGINES:
        try:
            engine = open_model(model, engine=name)
            engine.generate(_prompts(2), Sampling(max_tokens=2))
            found[name] = engine
        except (EngineError, LuthierError) as problem:
            absent[name] = str(problem)
    return found, absent


def _prompts(count: int, schema: dict[str, Any] | None = None) -> list[Prompt]:
    """Requests of about 60 tokens with the template, whose answers are longer than what is measured."""
    asked = [f"Write a long story about {subject} in {place}, with many details." for place in PLACES for subject in SUBJECTS]
    return [Prompt((Message("user", text),), json_schema=schema) for text in asked[:count]]


def _time(model: LanguageModel, prompts: list[Prompt], sampling: Sampling) -> dict[str, float]:
    start = time.perf_counter()
    answers = model.generate(prompts, sampling)
    wall = time.perf_counter() - start
    tokens = sum(answer.completion_tokens for answer in answers)
    return {"tokens": tokens, "wall_s": round(wall, 3), "load": round(os.getloadavg()[0], 2)}


def _median(rounds: list[dict[str, Any]], engine: str, batch: int, form: str) -> float:
    mine = [row["tokens"] / row["wall_s"] for row in rounds if (row["engine"], row["batch"], row["form"]) == (engine, batch, form)]
    return round(statistics.median(mine), 1)


def line(figures: dict[str, Any]) -> str:
    told = [
        f"{name} {', '.join(f'{rate:.0f} tokens/s at {batch}' for batch, rate in rates.items())}"
        for name, rates in figures["tokens_per_s"].items()
    ]
    told += [f"{name} not measured: {why}" for name, why in figures["absent"].items()]
    return f"{figures['model']}: {'; '.join(told)}"


if __name__ == "__main__":
    benchmark("generation", measure, line, __doc__, model="bundled", rounds="3", folder=str(RESULTS / "generation"))
