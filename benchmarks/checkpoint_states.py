"""State models of checkpoints, for benchmarks/trace_checkpoints.py: each reads a checkpoint's answers at once and says those of the next one.

Answers of one checkpoint are an array (items,), those to fit on (runs, checkpoints, items); predictions are chances (items,).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np


class StateModel(Protocol):
    """What is compared. Answers of one checkpoint are an array (items,); predictions are chances (items,)."""

    def fit(self, seen: Any) -> None: ...
    def start(self) -> Any: ...
    def update(self, state: Any, answers: Any) -> Any: ...
    def predict(self, state: Any) -> Any: ...


class Irt:
    """Order-free abilities; spread 0 leaves one for all skills. memory: whether answers of earlier checkpoints count as well."""

    def __init__(self, skills: Sequence[str], spread: float | None, memory: bool) -> None:
        self.skills, self.spread, self.memory = skills, spread, memory

    def fit(self, seen: Any) -> None:
        from luthier.trace.item_response import calibrate

        log = _log(seen.reshape(-1, seen.shape[2]), self.skills)
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

    def __init__(self, skills: Sequence[str]) -> None:
        self.skills = Irt(skills, None, memory=False)

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
        return self.skills.predict(self.skills.start()) if state is None else self.mixture.predict_proba(self._features(state))[:, 1]


class Gru:
    """A recurrent state over checkpoints, as in DKT: reads the skills' rates, says each item's chance. carry: adds the answer before.

    A quarter of the runs it is fitted on choose the number of epochs.
    """

    def __init__(self, skills: Sequence[str], epochs: int, carry: bool, hidden: int = 32) -> None:
        self.skills, self.epochs, self.carry, self.hidden = skills, epochs, carry, hidden

    def fit(self, seen: Any) -> None:
        import copy

        import torch
        from torch import nn

        torch.manual_seed(0)
        items = seen.shape[2]
        names = list(dict.fromkeys(self.skills))
        self.skill = torch.eye(len(names))[[names.index(skill) for skill in self.skills]]
        cell, say = nn.GRUCell(len(names), self.hidden), nn.Linear(self.hidden, len(names))
        self.net = nn.ModuleDict({"cell": cell, "say": say, "level": nn.Embedding(1, items), "before": nn.Embedding(1, 1)})
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


class Sinkt:
    """SINKT over single answers, a checkpoint's in random order: a run is a learner, its items known by id and by the name of their skill."""

    def __init__(self, skills: Sequence[str], epochs: int) -> None:
        self.skills, self.epochs = skills, epochs

    def fit(self, seen: Any) -> None:
        from luthier.trace.settings import FitSettings, TracerSettings
        from luthier.trace.tracer import Tracer

        self.random = np.random.default_rng(0)
        runs, checkpoints, items = seen.shape
        order = np.stack([self.random.permutation(items) for _ in range(runs * checkpoints)])
        answers = np.take_along_axis(seen.reshape(-1, items), order, axis=1)
        log = _log(answers.reshape(runs, -1), self.skills, order.reshape(runs, -1))
        settings = FitSettings(epochs=self.epochs, window=checkpoints * items, batch=4, decay=0.97, least=1)
        self.tracer = Tracer(TracerSettings(encoder="static", fit=settings))
        self.tracer.fit(log)
        self.names = [item.item for item in log.catalogue.items]

    def start(self) -> Any:
        return self.tracer.start()

    def update(self, state: Any, answers: Any) -> Any:
        for item in self.random.permutation(len(answers)):
            state = self.tracer.update(state, self.names[item], float(answers[item]))
        return state

    def predict(self, state: Any) -> Any:
        told = self.tracer.predict(state, self.names)
        return np.array([told[name] for name in self.names])


def state_models(skills: Sequence[str], *, epochs: int, sinkt_epochs: int) -> dict[str, StateModel]:
    """What is compared, by name. skills: of the items."""
    return {
        "ability": Irt(skills, 0.0, memory=False),
        "skills": Irt(skills, None, memory=False),
        "skills, all checkpoints": Irt(skills, None, memory=True),
        "answer before": Carry(),
        "skills + answer before": Both(skills),
        "gru": Gru(skills, epochs, carry=False),
        "gru + answer before": Gru(skills, epochs, carry=True),
        "sinkt": Sinkt(skills, sinkt_epochs),
    }


def _log(answers: Any, skills: Sequence[str], items: Any = None) -> Any:
    """Rows of answers (learners, answers) as a log. items: of which item each is, the row's own order where None."""
    from luthier.trace.answers import AnswerLog, Catalogue, Item

    learners, count = answers.shape
    catalogue = Catalogue.of(Item(f"item-{at:03d}", f"{skill} {at}", (skill,)) for at, skill in enumerate(skills))
    asked = np.tile(np.arange(count), learners) if items is None else items.ravel()
    return AnswerLog(
        tuple(f"learner-{at}" for at in range(learners)),
        catalogue,
        np.repeat(np.arange(learners, dtype=np.int32), count),
        asked.astype(np.int32),
        answers.ravel().astype(np.float32),
        np.tile(np.arange(count, dtype=np.float64), learners),
    )
