"""Flat-LoRA beside plain LoRA on real questions: sharpness, loss and accuracy in and out of the training domain, over several seeds.

`--data` is a folder with ecqa_train, ecqa_test, openbookqa_test and arc_test (.jsonl.gz; columns problem, with one option a line after
"Options:", and answer). Both arms see the same rows in the same order; sharpness is taken on held-out rows with the same directions of noise.
Answers are judged by the log-probability of each option after "The answer is"; the arms are compared question by question, seeds pooled:
McNemar's exact test of the answers, a bootstrap interval of log P(gold).
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from itertools import islice
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from harness import benchmark

ARMS = ("none", "flat")
SETS = ("ecqa", "openbookqa", "arc")
START = "The answer is "
SIGMAS = (0.05, 0.1)


def measure(quick: bool, data: str, steps: str, seeds: str, questions: str) -> dict[str, Any]:
    from luthier.models import known
    from luthier.models.local import LocalModel

    folder = Path(data)
    if not (folder / "ecqa_train.jsonl.gz").is_file():
        print("flat_training: skipped, no ecqa_train.jsonl.gz; give its folder with --data")
        raise SystemExit
    base = LocalModel(known.pull(), name=known.DEFAULT)
    count, asked, batch = (4, 2, 2) if quick else (int(steps), int(questions), 8)
    tests = {name: list(islice(_questions(folder / f"{name}_test.jsonl.gz"), asked)) for name in (SETS[:1] if quick else SETS)}
    held = [_dialogue(one) for one in islice(_questions(folder / "ecqa_test.jsonl.gz"), asked, asked + (2 if quick else 32))]
    train = list(_questions(folder / "ecqa_train.jsonl.gz"))
    figures: dict[str, Any] = {"steps": count, "batch": batch, "questions": asked, "runs": []}
    for seed in range(1 if quick else int(seeds)):
        rows = [_dialogue(one) for one in Random(seed).sample(train, count * batch // (1 if quick else 2))]  # two epochs
        for arm in ARMS:
            figures["runs"].append(_run(base, arm, seed, rows, held, tests, count, batch))
            last = figures["runs"][-1]
            rises = ", ".join(f"{one['sigma']}: {one['rise']:.3f}" for one in last["sharpness"])
            print(f"seed {seed} {arm}: held-out loss {last['held_out']:.4f}, rises {rises}", flush=True)
    return figures | {"compared": _compare(figures["runs"], tests)}


def _questions(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for text in lines:
            row = json.loads(text)
            options = [option.strip() for option in row["problem"].partition("Options:")[2].splitlines() if option.strip()]
            gold = next((at for at, option in enumerate(options) if option.lower() == str(row["answer"]).strip().lower()), None)
            if gold is not None and len(options) > 1:
                yield {"problem": row["problem"].strip(), "options": options, "gold": gold}


def _dialogue(question: dict[str, Any]) -> Any:
    from luthier.records import Conversation, Message

    said = START + question["options"][question["gold"]]
    return Conversation((Message("user", question["problem"]), Message("assistant", said)))


def _run(  # noqa: PLR0917
    base: Any, arm: str, seed: int, rows: list[Any], held: list[Any], tests: dict[str, Any], steps: int, batch: int
) -> dict[str, Any]:
    from luthier.models.local import LocalModel
    from luthier.train.sft import SftSettings, encode, fine_tune
    from luthier.train.sharpness import sharpness
    from luthier.train.start import adapted_model

    settings = SftSettings(
        method=arm,
        seed=seed,  # type: ignore[arg-type]
        sft={
            "max_steps": steps,
            "per_device_train_batch_size": batch // 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-3,
            "save_strategy": "no",
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        result = fine_tune(rows, base, Path(folder), settings)
        adapter = Path(folder) / "adapter"
        encoded = [encode(one, base.tokenizer) for one in held]
        sharp = sharpness(adapted_model(base, str(adapter)), encoded, SIGMAS, draws=2 if len(held) < 10 else 4)
        tuned = LocalModel(base.folder, adapter=adapter, name=f"{arm} {seed}")
        answers = {name: _answers(tuned, questions) for name, questions in tests.items()}
    return {
        "arm": arm,
        "seed": seed,
        "train_loss": result.loss,
        "held_out": sharp.loss,
        "sharpness": sharp.to_row()["rises"],
        "answers": answers,
    }


def _answers(model: Any, questions: list[dict[str, Any]]) -> list[tuple[bool, float]]:
    """(is the likeliest option the right one, log-probability of the right one among the options), by summed log-probabilities.

    The options of a question are branches of one row, which reads the question once.
    """
    import torch

    from luthier.train.sft import encode
    from luthier.train.shared_prompts import collate, share_prompts

    found = []
    for question in questions:
        rows = [encode(_dialogue(question | {"gold": at}), model.tokenizer) for at in range(len(question["options"]))]
        (packed,) = share_prompts(rows, [0] * len(rows), branches=len(rows), tokens=1 << 20)
        batch = collate([packed])
        labels = batch.pop("labels")[0]
        with torch.inference_mode():
            logs = model.module(**batch).logits[0].float().log_softmax(-1)
        scores = [0.0] * len(rows)
        for at in (labels >= 0).nonzero().flatten().tolist():
            scores[packed["branch"][at] - 1] += float(logs[at - 1, labels[at]])
        total = max(scores) + math.log(sum(math.exp(score - max(scores)) for score in scores))
        found.append((scores.index(max(scores)) == question["gold"], scores[question["gold"]] - total))
    return found


def _compare(runs: list[dict[str, Any]], tests: dict[str, Any]) -> dict[str, Any]:
    """Flat against plain: differences of the rises by seed, and of the answers of each set over all seeds."""
    pairs = [(plain, flat) for plain in runs for flat in runs if (plain["arm"], flat["arm"]) == ARMS and plain["seed"] == flat["seed"]]
    rises = {
        str(sigma): [{"none": plain["sharpness"][at]["rise"], "flat": flat["sharpness"][at]["rise"]} for plain, flat in pairs]
        for at, sigma in enumerate(SIGMAS)
    }
    sets = {}
    for name in tests:
        both = [(a, b) for plain, flat in pairs for a, b in zip(plain["answers"][name], flat["answers"][name], strict=True)]
        won, lost = (sum(x[0] < y[0] for x, y in pairs_) for pairs_ in (both, [(b, a) for a, b in both]))
        gains = [b[1] - a[1] for a, b in both]
        low, high = _interval(gains)
        sets[name] = {
            "none": mean(a[0] for a, _ in both),
            "flat": mean(b[0] for _, b in both),
            "won": won,
            "lost": lost,
            "p": _mcnemar(won, lost),
            "log_gold": mean(gains),
            "low": low,
            "high": high,
        }
    return {"rises": rises, "sets": sets}


def _mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p-value that so uneven a split of the questions the arms disagree on is chance."""
    total, fewer = won + lost, min(won, lost)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total)


def _interval(values: list[float]) -> tuple[float, float]:
    draw = Random(0)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(1000))
    return means[25], means[-26]


def line(figures: dict[str, Any]) -> str:
    rises = []
    for sigma, seeds in figures["compared"]["rises"].items():
        plain, flat = (mean(one[arm] for one in seeds) for arm in ARMS)
        lower = sum(one["flat"] < one["none"] for one in seeds)
        rises.append(
            f"rise at sigma {sigma}: LoRA {plain:.3f}, flat {flat:.3f} ({flat / plain - 1:+.0%}, lower in {lower} of {len(seeds)} seeds)"
        )
    sets = [
        f"{name} {one['none']:.1%} -> {one['flat']:.1%} (p {one['p']:.2f}; log P(gold) {one['log_gold']:+.3f}, {one['low']:+.3f} to {one['high']:+.3f})"
        for name, one in figures["compared"]["sets"].items()
    ]
    return f"{figures['steps']} steps of {figures['batch']}: " + "; ".join([*rises, *sets])


if __name__ == "__main__":
    benchmark("flat_training", measure, line, __doc__, data="", steps="60", seeds="3", questions="100")
