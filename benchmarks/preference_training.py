"""The four arms of BMC on real questions: DPO, weights only (mc), bridged answers only (bc), both (bmc), from one fine-tuned start.

`--data` is a folder with ecqa_train and ecqa_test (.jsonl.gz; columns problem, solution, answer). The bundled model is fine-tuned on
rationales, answers other questions, and its wrong answers become pairs by the model-free bridge `answer-swap`. Judged on held-out pairs (with
the original and with the bridged chosen answer, in unweighted rewards) and on test questions: the answer it writes, the likeliest option
asked directly and after its own rationale, and the length of what it writes. Intervals are bootstraps over pairs or questions.
`--work` is kept between runs: the start and the pairs are made once.
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

ARMS = ("dpo", "mc", "bc", "bmc")
BETA, DELTA, RATE, BATCH = 0.1, 3.0, 1e-4, 8
HELD = 0.2  # share of the pairs that is held out
SETTINGS = {
    "beta": BETA,
    "delta": DELTA,
    "learning_rate": RATE,
    "per_device_train_batch_size": BATCH // 2,
    "gradient_accumulation_steps": 2,
    "save_strategy": "no",
}


def measure(quick: bool, data: str, work: str, **sizes: str) -> dict[str, Any]:
    if not (Path(data) / "ecqa_train.jsonl.gz").is_file():
        print("preference_training: skipped, no ecqa_train.jsonl.gz; give its folder with --data")
        raise SystemExit
    numbers = dict.fromkeys(sizes, 2) | {"asked": 12} if quick else {name: int(size) for name, size in sizes.items()}
    with tempfile.TemporaryDirectory() as scratch:
        return _measure(Path(data), Path(work or scratch), quick=quick, **numbers)


def _measure(data: Path, work: Path, *, quick: bool, sft_steps: int, asked: int, steps: int, questions: int) -> dict[str, Any]:
    from luthier.models import known
    from luthier.models.local import LocalModel
    from luthier.records import read_pairs
    from luthier.train.preference.tuning import tune_preferences
    from luthier.train.settings import PreferenceSettings

    base = LocalModel(known.pull(), name=known.DEFAULT)
    train = Random(0).sample(_rows(data / "ecqa_train.jsonl.gz"), 8 * sft_steps + asked)
    start = _start(base, train[: 8 * sft_steps], work, sft_steps)
    rows = train[8 * sft_steps :]
    made = _pairs([_with_mistake(row) for row in rows] if quick else rows, start, work)
    pairs = list(read_pairs(work / "pairs" / "pairs.jsonl"))
    held = max(1, round(HELD * len(pairs)))
    tests = list(islice(_options(_rows(data / "ecqa_test.jsonl.gz")), questions))
    figures: dict[str, Any] = {
        "steps": steps,
        "pairs": len(pairs) - held,
        "held": held,
        "questions": len(tests),
        "made": made,
        "settings": SETTINGS,
        "arms": {},
    }
    models = {"start": LocalModel(base.folder, adapter=start, name="start")}
    for arm in ARMS:
        folder = work / f"arm-{arm}-{steps}-{sft_steps}-{asked}"
        settings = PreferenceSettings(method=arm, training={**SETTINGS, "max_steps": steps, "num_train_epochs": 1})  # type: ignore[arg-type]
        if not (folder / "adapter").is_dir():
            result = tune_preferences(pairs[held:], LocalModel(base.folder, adapter=start, name="start"), folder, settings)
            print(f"{arm}: {result.steps} steps, loss {result.loss:.4f}", flush=True)
        models[arm] = LocalModel(base.folder, adapter=folder / "adapter", name=arm)
    before: dict[str, Any] = {}
    for name, model in models.items():
        logs = {kind: _pair_logps(model, pairs[:held], bridged=kind == "bridged") for kind in ("original", "bridged")}
        before = before or logs
        figures["arms"][name] = {**{kind: _rewards(logs[kind], before[kind]) for kind in logs}, **_task(model, tests)}
        print(name, json.dumps({key: value for key, value in figures["arms"][name].items() if key != "answers"}), flush=True)
        model._module = None  # five models would not fit a laptop
    return figures


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(text) for text in lines]


def _options(rows: list[dict[str, Any]]) -> Any:
    for row in rows:
        options = [one.strip() for one in row["problem"].partition("Options:")[2].splitlines() if one.strip()]
        gold = [at for at, option in enumerate(options) if option.lower() == str(row["answer"]).strip().lower()]
        if gold and len(options) > 1:
            yield {"problem": row["problem"].strip(), "options": options, "gold": gold[0]}


def _with_mistake(row: dict[str, Any]) -> dict[str, Any]:
    """A pair without sampling, for `--quick`: another option in the place of the right one."""
    (question,) = _options([row])
    wrong = question["options"][question["gold"] - 1]
    return {"prompt": row["problem"], "chosen": row["solution"], "rejected": f"It fits.\nThe answer is {wrong}", "answer": row["answer"]}


def _start(base: Any, rows: list[dict[str, Any]], work: Path, steps: int) -> Path:
    """The adapter every arm starts from: taught to reason in this form."""
    from luthier.records import Conversation, Message
    from luthier.train.sft import SftSettings, fine_tune

    folder = work / f"start-{steps}"
    if not (folder / "adapter").is_dir():
        taught = [Conversation((Message("user", row["problem"]), Message("assistant", row["solution"]))) for row in rows]
        sft = {"max_steps": steps, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "learning_rate": 1e-3}
        result = fine_tune(taught, base, folder, SftSettings(method="none", sft={**sft, "save_strategy": "no"}))
        print(f"start: {result.steps} steps, loss {result.loss:.4f}", flush=True)
    return folder / "adapter"


def _pairs(rows: list[dict[str, Any]], start: Path, work: Path) -> dict[str, Any]:
    from luthier.records import write_jsonl
    from luthier.synthesize.pairs.runs import run
    from luthier.synthesize.pairs.settings import PairSettings

    asked = work / "questions.jsonl"
    write_jsonl(asked, rows)
    settings = PairSettings((str(asked),), adapter=str(start), samples=2, max_tokens=96, temperature=1.0)
    made: dict[str, Any] = run(settings, work / "pairs").results("pairs")
    print(f"{made['pairs']} pairs of {made['questions']} questions, {made['acceptance']:.0%} bridged", flush=True)
    return made


def _pair_logps(model: Any, pairs: list[Any], *, bridged: bool) -> list[tuple[float, float]]:
    """Log-probabilities of the chosen and of the rejected answer of each pair."""
    import torch

    from luthier.train.preference import encode_pairs
    from luthier.train.preference.forward import PairCollator, answer_logps
    from luthier.train.preference.tuning import chosen_by_method

    rows, _ = encode_pairs([chosen_by_method(pair, bridged) for pair in pairs], model.tokenizer)
    found = []
    for at in range(0, len(rows), 8):
        with torch.inference_mode():
            both = answer_logps(model.module, PairCollator()(rows[at : at + 8]))
        found += list(zip(*(side.sum(-1).tolist() for side in both), strict=True))
    return found


def _rewards(now: list[tuple[float, float]], start: list[tuple[float, float]]) -> dict[str, Any]:
    """Accuracy and margin of the rewards against the start, and how far the chosen answers' log-probability moved."""
    chosen = [a[0] - b[0] for a, b in zip(now, start, strict=True)]
    margins = [BETA * (c - (a[1] - b[1])) for c, a, b in zip(chosen, now, start, strict=True)]
    return {
        "accuracy": _with_interval([float(m > 0) for m in margins]),
        "margin": _with_interval(margins),
        "chosen_drift": _with_interval(chosen),
    }


def _task(model: Any, tests: list[dict[str, Any]]) -> dict[str, Any]:
    from luthier.models.protocol import Prompt, Sampling
    from luthier.records import Message
    from luthier.synthesize.pairs import final_answer, same_answer

    prompts = [Prompt((Message("user", test["problem"]),)) for test in tests]
    written = model.generate(prompts, Sampling(max_tokens=128))
    stated = [final_answer(answer.text) for answer in written]
    right = [
        float(one is not None and same_answer(one.text, test["options"][test["gold"]])) for one, test in zip(stated, tests, strict=True)
    ]
    thoughts = ["" if one is None else answer.text[: one.start] for one, answer in zip(stated, written, strict=True)]
    direct = _likeliest(model, prompts, tests, ["The answer is "] * len(tests))
    after = _likeliest(model, prompts, tests, [thought or "The answer is " for thought in thoughts])
    return {
        "written": _with_interval(right),
        "direct": _with_interval([float(hit) for hit, _ in direct]),
        "log_gold": _with_interval([log for _, log in direct]),
        "after_rationale": _with_interval([float(hit) for hit, _ in after]),
        "length": _with_interval([float(answer.completion_tokens) for answer in written]),
    }


def _likeliest(model: Any, prompts: list[Any], tests: list[dict[str, Any]], starts: list[str]) -> list[tuple[bool, float]]:
    """(is the likeliest option the right one, log-probability of the right one among the options), by summed log-probabilities."""
    asked = [
        (model.encode(model.render(prompt) + start.rstrip()), model.encode(" " + option))
        for prompt, test, start in zip(prompts, tests, starts, strict=True)
        for option in test["options"]
    ]
    scores = iter([score.total for score in model.score_tokens(asked)])
    found = []
    for test in tests:
        mine = list(islice(scores, len(test["options"])))
        total = max(mine) + math.log(sum(math.exp(score - max(mine)) for score in mine))
        found.append((mine.index(max(mine)) == test["gold"], mine[test["gold"]] - total))
    return found


def _with_interval(values: list[float]) -> list[float]:
    """Mean and the ends of its 95 % bootstrap interval."""
    draw = Random(0)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(1000))
    return [round(value, 4) for value in (mean(values), means[25], means[-26])]


def line(figures: dict[str, Any]) -> str:
    def told(arm: str) -> str:
        one = figures["arms"][arm]
        return (
            f"{arm}: held-out accuracy {one['original']['accuracy'][0]:.0%} (bridged {one['bridged']['accuracy'][0]:.0%}), margin"
            f" {one['original']['margin'][0]:.3f} ({one['bridged']['margin'][0]:.3f}), chosen {one['original']['chosen_drift'][0]:+.2f} nats,"
            f" writes the right answer {one['written'][0]:.0%}, {one['length'][0]:.0f} tokens"
        )

    start = figures["arms"]["start"]
    return (
        f"{figures['steps']} steps of {BATCH} pairs; start writes the right answer {start['written'][0]:.0%}, {start['length'][0]:.0f} tokens; "
        + "; ".join(told(arm) for arm in ARMS)
    )


if __name__ == "__main__":
    benchmark("preference_training", measure, line, __doc__, data="", work="", sft_steps="60", asked="400", steps="30", questions="100")
