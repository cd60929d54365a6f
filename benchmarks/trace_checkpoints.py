"""Checkpoints as a learner: a tiny transformer is fine-tuned on one kind of task, then on another; which state model predicts the next
checkpoint's answers best?

Every run starts from a base trained on all six skills, is tuned on sums or on strings for half of its checkpoints and on the others for the
rest, and answers the same items at each checkpoint. State models are fitted on two thirds of the runs and predict every next checkpoint of
the others from the checkpoints before it. Intervals draw runs again. `--answers` is a CSV (learner, item, correct) that is read where it
is there, and written where it is not: `luthier trace models --checkpoints` reads one run of it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from checkpoint_states import state_models
from harness import benchmark

CHARACTERS = "0123456789abcdefgh+-=><^ \n"
ARITHMETIC, STRINGS = ("sum", "difference", "larger"), ("reverse", "sort", "next")
SKILLS = ARITHMETIC + STRINGS
FOLDS = 3


def measure(quick: bool, runs: str, checkpoints: str, items: str, answers: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    size = (6, 4, 60) if quick else (int(runs), int(checkpoints), int(items))
    file = Path(answers) if answers else None
    seen = _read(file) if file is not None and file.is_file() else _train(*size, steps=20 if quick else 40, base=150 if quick else 300)
    if file is not None and not file.is_file():
        _write(file, seen)
    skills = [SKILLS[at % 6] for at in range(seen.shape[2])]
    found = _compare(seen, skills, epochs=60 if quick else 600, sinkt_epochs=5 if quick else 60)
    rates = {skill: np.round(seen[:, :, np.arange(seen.shape[2]) % 6 == at].mean(axis=2), 2).tolist() for at, skill in enumerate(SKILLS)}
    return {"runs": seen.shape[0], "checkpoints": seen.shape[1], "items": seen.shape[2], "models": found, "rates": rates}


# --- the learners -------------------------------------------------------------------------------------------------------------


def task(skill: str, random: Random) -> tuple[str, str]:
    """A prompt and its answer."""
    if skill in ARITHMETIC:
        a, b = random.randrange(10, 60), random.randrange(1, 10)
        if skill == "larger":
            a, b = random.randrange(10, 100), random.randrange(10, 100)
            return f"{a}^{b}=", str(max(a, b))
        return (f"{a}+{b}=", str(a + b)[::-1]) if skill == "sum" else (f"{a}-{b}=", str(a - b)[::-1])
    letters = "".join(random.choice("abcdefgh") for _ in range(random.randint(3, 5)))
    return {
        "reverse": (f"{letters}<=", letters[::-1]),
        "sort": (f"{letters}>=", "".join(sorted(letters))),
        "next": (f"{letters} =", "".join(chr((ord(one) - 96) % 8 + 97) for one in letters)),
    }[skill]


def _train(runs: int, checkpoints: int, count: int, *, steps: int, base: int) -> Any:
    """Answers (runs, checkpoints + 1, items): the base, then every checkpoint; item i is of skill i % 6."""
    import copy

    random = Random(0)
    asked = [task(SKILLS[at % 6], random) for at in range(count)]
    bases = [_tune(_new(seed), SKILLS, base, 2e-3, Random(100 + seed)) for seed in range(3)]
    found = []
    for run in range(runs):
        model, draw, rows = copy.deepcopy(bases[run % 3]), Random(run), []
        order = (ARITHMETIC, STRINGS) if run % 2 == 0 else (STRINGS, ARITHMETIC)
        rate = draw.choice((5e-4, 1e-3, 2e-3))
        rows.append(_answers(model, asked))
        for at in range(checkpoints):
            _tune(model, order[2 * at // checkpoints], steps, rate, draw)
            rows.append(_answers(model, asked))
        found.append(rows)
        print(f"run {run}: {[round(float(np.mean(row)), 2) for row in rows]}", flush=True)
    return np.array(found, dtype=np.float64)


def _new(seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(CHARACTERS),
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=32,
        )
    )


def _tune(model: Any, skills: Sequence[str], steps: int, rate: float, random: Random) -> Any:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        rows = [task(random.choice(skills), random) for _ in range(64)]
        longest = max(len(asked) + len(answer) + 1 for asked, answer in rows)
        tokens = torch.full((len(rows), longest), CHARACTERS.index(" "))
        labels = torch.full((len(rows), longest), -100)
        for at, (asked, answer) in enumerate(rows):
            whole = torch.tensor([CHARACTERS.index(one) for one in asked + answer + "\n"])
            tokens[at, : len(whole)] = whole
            labels[at, len(asked) : len(whole)] = whole[len(asked) :]
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model


def _answers(model: Any, asked: Sequence[tuple[str, str]]) -> list[float]:
    """Whether the likeliest continuation is the answer, prompts of one length together."""
    import torch

    right = [0.0] * len(asked)
    for length in {len(prompt) for prompt, _ in asked}:
        places = [at for at, (prompt, _) in enumerate(asked) if len(prompt) == length]
        tokens = torch.tensor([[CHARACTERS.index(one) for one in asked[at][0]] for at in places])
        with torch.no_grad():
            for _ in range(6):
                tokens = torch.cat([tokens, model(input_ids=tokens).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        for at, row in zip(places, tokens[:, length:].tolist(), strict=True):
            right[at] = float("".join(CHARACTERS[one] for one in row).split("\n")[0] == asked[at][1])
    return right


# --- the comparison -------------------------------------------------------------------------------------------------------


def _compare(seen: Any, skills: Sequence[str], **epochs: int) -> dict[str, Any]:
    """Log-loss (nats), area under the ROC curve, and both right after the change of task; the first checkpoint is given, not predicted."""
    from luthier.statistics.ranks import area_under_curve
    from luthier.statistics.resampling import bootstrap_statistic

    runs, checkpoints, items = seen.shape
    told = {name: np.zeros((runs, checkpoints - 1, items)) for name in state_models(skills, **epochs)}
    for fold in range(FOLDS):
        left = np.arange(runs) // 2 % FOLDS == fold  # pairs of runs: one of each order
        for name, model in state_models(skills, **epochs).items():
            model.fit(seen[~left])
            for run in np.flatnonzero(left):
                state = model.start()
                for step in range(checkpoints - 1):
                    state = model.update(state, seen[run, step])
                    told[name][run, step] = model.predict(state)
    right, turn = seen[:, 1:], checkpoints // 2  # the first checkpoint of the second task, among those predicted
    losses = {name: -np.log(np.where(right > 0.5, p, 1 - p).clip(1e-4)).mean(axis=2) for name, p in told.items()}
    best = min(losses, key=lambda name: float(losses[name].mean()))
    clusters = list(range(runs))
    found = {}
    for name, p in told.items():
        loss = losses[name].mean(axis=1)
        behind = loss - losses[best].mean(axis=1)
        found[name] = {
            "log_loss": _interval(bootstrap_statistic(lambda at, loss=loss: float(loss[at].mean()), clusters)),
            "behind_the_best": _interval(bootstrap_statistic(lambda at, behind=behind: float(behind[at].mean()), clusters)),
            "auc": _interval(
                bootstrap_statistic(lambda at, p=p: area_under_curve(p[at].ravel(), right[at].ravel() > 0.5), clusters, draws=200)
            ),
            "log_loss_by_checkpoint": np.round(losses[name].mean(axis=0), 3).tolist(),
            "log_loss_after_the_turn": round(float(losses[name][:, turn].mean()), 3),
        }
    return found


def _interval(found: Any) -> list[float]:
    return [round(value, 4) for value in found]


def _write(path: Path, seen: Any) -> None:
    from luthier.records import atomic_write

    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["learner", "item", "correct"])
        for run, rows in enumerate(seen):
            for step, row in enumerate(rows):
                writer.writerows([f"run-{run}/step-{step}", f"{SKILLS[at % 6]}-{at}", int(right)] for at, right in enumerate(row))


def _read(path: Path) -> Any:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [tuple(int(part.rsplit("-", 1)[1]) for part in row["learner"].split("/")) for row in rows]
    shape = [max(name[side] for name in names) + 1 for side in (0, 1)]
    return np.array([float(row["correct"]) for row in rows]).reshape(*shape, -1)


def line(figures: dict[str, Any]) -> str:
    told = ", ".join(
        f"{name} {one['log_loss'][0]:.3f} (AUC {one['auc'][0]:.3f}, after the turn {one['log_loss_after_the_turn']:.3f})"
        for name, one in sorted(figures["models"].items(), key=lambda pair: pair[1]["log_loss"][0])
    )
    return (
        f"{figures['runs']} runs of {figures['checkpoints']} checkpoints, {figures['items']} items; log-loss of the next checkpoint: {told}"
    )


if __name__ == "__main__":
    benchmark("trace_checkpoints", measure, line, __doc__, runs="18", checkpoints="10", items="300", answers="")
