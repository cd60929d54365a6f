"""Probing a stored chain: all probes in one pass, and on the chain's own cache, beside reading every prefix anew; CPU-seconds and tokens.

Also scoring multiple choice with all options of a question in one pass, beside one prompt an option (the engine's own scoring, batched).
The bundled model in float32. Arms take turns within a round, and a ratio is the median over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from harness import benchmark

STEPS = (5, 10, 20)
SENTENCE = "The item number {n} is lighter than the one before it, so it comes earlier in the order of the shelf. "
OPTIONS = ("the red book", "the green book", "the blue book", "the grey book")


def measure(quick: bool, rounds: str) -> dict[str, Any]:
    from transformers.utils import logging

    from luthier.models import known
    from luthier.models.local import LocalModel

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = LocalModel(known.pull(), dtype="float32", name=known.DEFAULT)
    count = 1 if quick else int(rounds)
    found: dict[str, Any] = {"rounds": count}
    for steps in (5, 10) if quick else STEPS:
        found[f"steps_{steps}"] = _probing(model, steps, count)
        print(f"{steps} steps: {found[f'steps_{steps}']}", flush=True)
    found["choice"] = _choice(model, 2 if quick else 10, count)
    return found


def _probing(model: Any, steps: int, rounds: int) -> dict[str, Any]:
    import torch

    from luthier.models.options import ChainPlaces, OptionReader
    from luthier.probe.chain import chain_prompt
    from luthier.probe.steps import split_steps
    from luthier.records.choices import ChoiceQuestion

    question = ChoiceQuestion("On a shelf stand books in a fixed order. Which one is the leftmost?", OPTIONS, 0)
    prompt = model.encode(model.render(chain_prompt(question, "letters")))
    chain = model.encode("".join(SENTENCE.format(n=n) for n in range(steps)))
    ends = list(split_steps(model.tokenizer, chain).ends)
    readers = {mode: OptionReader(model, "letters", OPTIONS, mode) for mode in ("naive", "rollback", "packed")}
    with torch.inference_mode():
        cache = model.module(input_ids=torch.tensor([prompt + chain]), use_cache=True, logits_to_keep=1).cache
    length = len(prompt) + len(chain)

    def stored(mode: str) -> Callable[[], Any]:
        def read() -> Any:
            first, [rest] = readers[mode].chains(prompt, [ChainPlaces(chain, ends)])
            return [*first.logprobs, *rest.logprobs], rest.forwarded

        return read

    def on_cache() -> Any:
        scores = readers["packed"].on_cache(prompt + chain, [len(prompt) + end for end in (0, *ends)], cache, length)
        return [*scores.logprobs], scores.forwarded

    arms = {"naive": stored("naive"), "rollback": stored("rollback"), "packed": stored("packed"), "on_cache": on_cache}
    seconds, results = _in_turns(arms, rounds)
    apart = {name: float(max(abs(a - b).max() for a, b in zip(results[name][0], results["naive"][0], strict=True))) for name in arms}
    return {
        "tokens": length,
        "probes": len(ends) + 1,
        "seconds": {name: round(median(values), 3) for name, values in seconds.items()},
        "ratio": {name: _ratio(seconds, "naive", name) for name in ("rollback", "packed", "on_cache")},
        "forwarded": {name: result[1] for name, result in results.items()},
        "apart": apart,
    }


def _choice(model: Any, count: int, rounds: int) -> dict[str, Any]:
    from luthier.evaluate.choice import score_choices
    from luthier.models.protocol import Prompt
    from luthier.records import Message
    from luthier.records.choices import ChoiceQuestion

    questions = [
        ChoiceQuestion(f"{''.join(SENTENCE.format(n=n) for n in range(4))}Which book stands at place {number}?", OPTIONS, 0)
        for number in range(count)
    ]

    def packed() -> list[float]:
        return [value for score in score_choices(model, questions) for value in score.logprobs]

    def apart() -> list[float]:
        pairs = [
            (
                model.encode(model.render(Prompt((Message("user", one.question),)))) + model.encode("The answer is"),
                model.encode(f" {option}"),
            )
            for one in questions
            for option in OPTIONS
        ]
        return [score.total for score in model.score_tokens(pairs)]

    seconds, results = _in_turns({"packed": packed, "apart": apart}, rounds)
    difference = max(abs(a - b) for a, b in zip(results["packed"], results["apart"], strict=True))
    return {
        "questions": count,
        "options": len(OPTIONS),
        "seconds": {name: round(median(values), 3) for name, values in seconds.items()},
        "ratio": _ratio(seconds, "apart", "packed"),
        "apart": difference,
    }


def _in_turns(arms: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """CPU-seconds of each arm by round, after one to warm up, and what it gave."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    results: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            if number == 0 and name in ("naive", "apart"):
                continue
            started = time.process_time()
            results[name] = arm()
            if number:
                seconds[name].append(time.process_time() - started)
    return seconds, results


def _ratio(seconds: dict[str, list[float]], slow: str, fast: str) -> float:
    return median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def line(figures: dict[str, Any]) -> str:
    told = []
    for name, one in figures.items():
        if name.startswith("steps_"):
            told.append(
                f"{name[6:]} steps, {one['tokens']} tokens: packed {one['ratio']['packed']:.1f}x, on the cache {one['ratio']['on_cache']:.1f}x,"
                f" rollback {one['ratio']['rollback']:.1f}x less CPU than naive ({one['seconds']['naive']} s), log-probabilities within {max(one['apart'].values()):.0e}"
            )
    choice = figures["choice"]
    told.append(f"choice: {choice['ratio']:.1f}x less CPU than a prompt an option, within {choice['apart']:.0e}")
    return "; ".join(told)


if __name__ == "__main__":
    benchmark("probe", measure, line, __doc__, rounds="5")
