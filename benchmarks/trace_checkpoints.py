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
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np

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
    seen = (
        _read(file)
        if file is not None and file.is_file()
        else _train(*size, steps=20 if quick else 40, base=150 if quick else 300)
    )
    if file is not None and not file.is_file():
        _write(file, seen)
    found = _compare(seen, epochs=60 if quick else 600)
    rates = {
        skill: np.round(seen[:, :, np.arange(seen.shape[2]) % 6 == at].mean(axis=2), 2).tolist()
        for at, skill in enumerate(SKILLS)
    }
    return {
        "runs": seen.shape[0],
        "checkpoints": seen.shape[1],
        "items": seen.shape[2],
        "models": found,
        "rates": rates,
    }


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
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(CHARACTERS), hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32
    ))  # fmt: skip


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


# --- the state models ---------------------------------------------------------------------------------------------------------


class StateModel(Protocol):
    """What is compared. Answers of one checkpoint are an array (items,); predictions are chances (items,)."""

    def fit(self, seen: Any) -> None: ...
    def start(self) -> Any: ...
    def update(self, state: Any, answers: Any) -> Any: ...
    def predict(self, state: Any) -> Any: ...


class Irt:
    """Order-free abilities; spread 0 leaves one for all skills. memory: whether answers of earlier checkpoints count as well."""

    def __init__(self, spread: float | None, memory: bool) -> None:
        self.spread, self.memory = spread, memory

    def fit(self, seen: Any) -> None:
        from luthier.trace.item_response import calibrate

        log = _log(seen.reshape(-1, seen.shape[2]))
        self.model = calibrate(log).model(log, self.spread)

    def start(self) -> Any:
        return self.model.start()

    def update(self, state: Any, answers: Any) -> Any:
        new = self.model.state_of(np.arange(len(answers)), answers)
        return state + new if self.memory else new

    def predict(self, state: Any) -> Any:
        return self.model.predict(state, np.arange(len(self.model.difficulty)))


class Carry:
    """An item goes on as it was: the chance by the answer before, and by item where there is none."""

    def fit(self, seen: Any) -> None:
        before, after = seen[:, :-1].ravel(), seen[:, 1:].ravel()
        self.chance = [(after[before == side].sum() + 1) / ((before == side).sum() + 2) for side in (0.0, 1.0)]
        self.first = (seen.sum(axis=(0, 1)) + 1) / (seen.shape[0] * seen.shape[1] + 2)

    def start(self) -> Any:
        return None

    def update(self, state: Any, answers: Any) -> Any:
        return answers

    def predict(self, state: Any) -> Any:
        return self.first if state is None else self.chance[0] + (self.chance[1] - self.chance[0]) * state


class Both:
    """A logistic mixture of the chance by skill and the answer before."""

    def __init__(self) -> None:
        self.skills = Irt(None, memory=False)

    def fit(self, seen: Any) -> None:
        from sklearn.linear_model import LogisticRegression

        self.skills.fit(seen)
        rows, right = [], []
        for run in seen:
            for before, after in pairwise(run):
                rows.append(self._features(before))
                right.append(after)
        self.mixture = LogisticRegression(C=10.0).fit(np.concatenate(rows), np.concatenate(right))

    def _features(self, before: Any) -> Any:
        chance = self.skills.predict(self.skills.update(None, before)).clip(1e-4, 1 - 1e-4)
        return np.stack([np.log(chance / (1 - chance)), before - 0.5], axis=1)

    def start(self) -> Any:
        return None

    def update(self, state: Any, answers: Any) -> Any:
        return answers

    def predict(self, state: Any) -> Any:
        return (
            self.skills.predict(self.skills.start())
            if state is None
            else self.mixture.predict_proba(self._features(state))[:, 1]
        )


class Gru:
    """A recurrent state over checkpoints, as in DKT: reads the skills' rates, says each item's chance. carry: adds the answer before.

    A quarter of the runs it is fitted on choose the number of epochs.
    """

    def __init__(self, epochs: int, carry: bool, hidden: int = 32) -> None:
        self.epochs, self.carry, self.hidden = epochs, carry, hidden

    def fit(self, seen: Any) -> None:
        import copy

        import torch
        from torch import nn

        torch.manual_seed(0)
        items = seen.shape[2]
        self.skill = torch.eye(6)[torch.arange(items) % 6]
        cell, say = nn.GRUCell(6, self.hidden), nn.Linear(self.hidden, 6)
        self.net = nn.ModuleDict(
            {"cell": cell, "say": say, "level": nn.Embedding(1, items), "before": nn.Embedding(1, 1)}
        )
        self.net["level"].weight.data.zero_()
        self.net["before"].weight.data.zero_()
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=5e-3, weight_decay=1e-2)
        answers = torch.tensor(seen, dtype=torch.float32)
        judging = torch.arange(len(answers)) // 2 % 4 == 0
        best = (float("inf"), copy.deepcopy(self.net.state_dict()))
        for _ in range(self.epochs):
            optimizer.zero_grad()
            self._loss(answers[~judging]).backward()
            optimizer.step()
            with torch.no_grad():
                judged = float(self._loss(answers[judging]))
            if judged < best[0]:
                best = (judged, copy.deepcopy(self.net.state_dict()))
        self.net.load_state_dict(best[1])

    def _loss(self, answers: Any) -> Any:
        import torch

        state, loss = self._first(len(answers)), torch.zeros(())
        for step in range(answers.shape[1]):
            loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(self._logits(state), answers[:, step])
            state = self._next(state, answers[:, step])
        return loss / answers.shape[1]

    def _first(self, runs: int) -> Any:
        import torch

        return torch.zeros(runs, self.hidden), torch.full((runs, len(self.skill)), 0.5)

    def _next(self, state: Any, answers: Any) -> Any:
        rates = answers @ self.skill / self.skill.sum(0)
        return self.net["cell"](2 * rates - 1, state[0]), answers

    def _logits(self, state: Any) -> Any:
        hidden, before = state
        told = self.net["level"].weight + self.net["say"](hidden) @ self.skill.T
        return told + self.net["before"].weight * (before - 0.5) if self.carry else told

    def start(self) -> Any:
        return self._first(1)

    def update(self, state: Any, answers: Any) -> Any:
        import torch

        with torch.no_grad():
            return self._next(state, torch.tensor(answers, dtype=torch.float32)[None])

    def predict(self, state: Any) -> Any:
        import torch

        with torch.no_grad():
            return torch.sigmoid(self._logits(state))[0].numpy()


def _models(epochs: int) -> dict[str, StateModel]:
    return {
        "ability": Irt(0.0, memory=False), "skills": Irt(None, memory=False), "skills, all checkpoints": Irt(None, memory=True),
        "answer before": Carry(), "skills + answer before": Both(), "gru": Gru(epochs, carry=False), "gru + answer before": Gru(epochs, carry=True),
    }  # fmt: skip


def _compare(seen: Any, epochs: int) -> dict[str, Any]:
    """Log-loss (nats), area under the ROC curve, and both right after the change of task; the first checkpoint is given, not predicted."""
    from luthier.statistics.ranks import area_under_curve
    from luthier.statistics.resampling import bootstrap_statistic

    runs, checkpoints, items = seen.shape
    told = {name: np.zeros((runs, checkpoints - 1, items)) for name in _models(epochs)}
    for fold in range(FOLDS):
        left = np.arange(runs) // 2 % FOLDS == fold  # pairs of runs: one of each order
        for name, model in _models(epochs).items():
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
            "auc": _interval(bootstrap_statistic(lambda at, p=p: area_under_curve(p[at].ravel(), right[at].ravel() > 0.5), clusters, draws=200)),
            "log_loss_by_checkpoint": np.round(losses[name].mean(axis=0), 3).tolist(),
            "log_loss_after_the_turn": round(float(losses[name][:, turn].mean()), 3),
        }  # fmt: skip
    return found


def _interval(found: Any) -> list[float]:
    return [round(value, 4) for value in found]


def _log(answers: Any) -> Any:
    """Rows of answers (learners, items) as a log."""
    from luthier.records.learning import AnswerLog, Catalogue, Item

    learners, items = answers.shape
    catalogue = Catalogue.of(Item(f"item-{at:03d}", "", (SKILLS[at % 6],)) for at in range(items))
    return AnswerLog(
        tuple(f"learner-{at}" for at in range(learners)), catalogue, np.repeat(np.arange(learners, dtype=np.int32), items),
        np.tile(np.arange(items, dtype=np.int32), learners), answers.ravel().astype(np.float32), np.zeros(answers.size),
    )  # fmt: skip


def _write(path: Path, seen: Any) -> None:
    from luthier.records import atomic_write

    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["learner", "item", "correct"])
        for run, rows in enumerate(seen):
            for step, row in enumerate(rows):
                writer.writerows(
                    [f"run-{run}/step-{step}", f"{SKILLS[at % 6]}-{at}", int(right)] for at, right in enumerate(row)
                )


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
    return f"{figures['runs']} runs of {figures['checkpoints']} checkpoints, {figures['items']} items; log-loss of the next checkpoint: {told}"


if __name__ == "__main__":
    benchmark("trace_checkpoints", measure, line, __doc__, runs="18", checkpoints="10", items="300", answers="")
