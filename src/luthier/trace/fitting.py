"""Training a tracer: cross-entropy of every answer given those before it, the best epoch by validation AUC (SINKT, sections 3.5, 4.1).

After each epoch everything is on disk if a folder is given; a stopped run continues there and ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.records import atomic_write
from luthier.statistics.ranks import area_under_curve
from luthier.trace.sequences import Answers, history_batches, spread, training_batches
from luthier.trace.settings import FitSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog
    from luthier.trace.learner_model import SequenceModel


RESIDUAL_PACE = 0.2


class Epoch(NamedTuple):
    loss: float
    auc: float | None


def fit(
    model: SequenceModel,
    train: AnswerLog,
    valid: AnswerLog,
    settings: FitSettings,
    *,
    folder: Path | None = None,
    progress: Progress = quiet,
) -> list[Epoch]:
    """Train in place and leave the weights of the best epoch; returns loss and validation AUC of each.

    folder: keeps every finished epoch, and the next call with the same settings and answers continues from it. Raises SettingsError without
    answers to learn from, and where the numbers are not finite any more.
    """
    train = long_enough(train, settings.least)
    if not len(train):
        raise SettingsError(f"no learner has {settings.least} answers or more; there is nothing to learn from (lower --least)")
    model.prepare(train)
    kept = _Kept(folder, settings, model, (train, valid))
    optimiser = _optimiser(model)
    read, checked = Answers(train), Answers(valid)
    epochs, best = kept.load(model, optimiser)
    for number in range(len(epochs), settings.epochs):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * settings.decay**number * group["pace"]
        loss = _epoch(model, read, settings, optimiser, number)
        _refuse_broken(model, loss, number + 1, settings)
        auc = _auc(model, checked)
        epochs.append(Epoch(loss, auc))
        if auc is None or auc >= max(each.auc or 0.0 for each in epochs):
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        kept.save(model, optimiser, epochs, best)
        progress.update(number + 1, settings.epochs, f"loss {loss:.4f}" + ("" if auc is None else f", AUC {auc:.4f}"))
    if best:
        model.load_state_dict(best)
    model.train(False)
    return epochs


def predict_log(model: SequenceModel, log: AnswerLog | Answers, **options: Any) -> NDArray[np.float64]:
    """The logit of every answer given all answers of its learner before it, (answers,). options: of the model's `answer_logits`."""
    import numpy as np

    answers = log if isinstance(log, Answers) else Answers(log)
    model.train(False)
    found = np.zeros(len(answers.log))
    with torch.inference_mode():
        for batch in history_batches(answers):
            spread(found, batch, model.answer_logits(batch, **options))
    return found


def long_enough(log: AnswerLog, least: int) -> AnswerLog:
    """The learners with `least` answers or more."""
    import numpy as np

    return log.take_learners(np.flatnonzero(np.diff(log.starts) >= max(1, least)))


def _optimiser(model: SequenceModel) -> torch.optim.Optimizer:
    """Adam; it would move the row of an item that few answers touch as far as a weight that all of them do, so residuals go slower."""
    parts: dict[float, list[Any]] = {1.0: [], RESIDUAL_PACE: []}
    for name, each in model.named_parameters():
        parts[RESIDUAL_PACE if "residual" in name else 1.0].append(each)
    return torch.optim.Adam([{"params": some, "pace": pace} for pace, some in parts.items() if some])


def _epoch(model: SequenceModel, train: Answers, settings: FitSettings, optimiser: Any, number: int) -> float:
    """The mean loss of one pass over the learners; its order and its dropout follow from the seed and the epoch's number."""
    seed = settings.seed * 1_000_003 + number
    model.train()
    total, count = 0.0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in training_batches(train, settings.batch, torch.Generator().manual_seed(seed), settings.window):
            loss = model.loss(batch)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            answers = int(batch.mask.sum())
            total, count = total + float(loss.detach()) * answers, count + answers
    return total / count


def _refuse_broken(model: SequenceModel, loss: float, epoch: int, settings: FitSettings) -> None:
    """Raises SettingsError where training has left the finite numbers: what comes of it would be no tracer."""
    broken = next((name for name, each in model.named_parameters() if not torch.isfinite(each).all()), None)
    if broken is not None or not math.isfinite(loss):
        what = f"weights of {broken} are" if broken else f"loss is {loss},"
        raise SettingsError(f"epoch {epoch}: the {what} not finite; choose a learning rate below {settings.learning_rate:g}")


def _auc(model: SequenceModel, valid: Answers) -> float | None:
    if not len(valid.log):
        return None
    return area_under_curve(predict_log(model, valid), valid.log.correct > 0.5)


class _Kept:
    """The finished epochs of a fit on disk."""

    def __init__(self, folder: Path | None, settings: FitSettings, model: SequenceModel, logs: tuple[AnswerLog, ...]) -> None:
        self.folder = folder
        shapes = {name: list(each.shape) for name, each in model.state_dict().items()}
        answers = hashlib.sha256()
        for log in logs:
            for column in (log.learner, log.item, log.correct):
                answers.update(column.tobytes())
        self.key = json.dumps([asdict(settings) | {"epochs": 0}, shapes, answers.hexdigest()], sort_keys=True)

    def load(self, model: SequenceModel, optimiser: torch.optim.Optimizer) -> tuple[list[Epoch], dict[str, Tensor]]:
        if self.folder is None or not (self.folder / "epochs.json").is_file():
            return [], {}
        from safetensors.torch import load_file

        record = json.loads((self.folder / "epochs.json").read_text(encoding="utf-8"))
        if record["key"] != self.key:
            return [], {}
        tensors = load_file(self.folder / record["file"])
        model.load_state_dict({name[2:]: each for name, each in tensors.items() if name.startswith("w.")})
        moments = optimiser.state_dict()
        moments["state"] = {}
        for name, each in tensors.items():
            if name.startswith("o."):
                _, number, part = name.split(".")
                moments["state"].setdefault(int(number), {})[part] = each
        optimiser.load_state_dict(moments)
        best = {name[2:]: each for name, each in tensors.items() if name.startswith("b.")}
        return [Epoch(*each) for each in record["epochs"]], best

    def save(self, model: SequenceModel, optimiser: torch.optim.Optimizer, epochs: list[Epoch], best: dict[str, Tensor]) -> None:
        if self.folder is None:
            return
        from safetensors.torch import save

        tensors = {f"w.{name}": each for name, each in model.state_dict().items()}
        tensors |= {f"b.{name}": each for name, each in best.items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"o.{number}.{part}": each for part, each in state.items()}
        name = f"epoch-{len(epochs)}.safetensors"
        with atomic_write(self.folder / name, "wb") as stream:
            stream.write(save({name: each.contiguous().clone() for name, each in tensors.items()}))
        with atomic_write(self.folder / "epochs.json") as stream:
            json.dump({"key": self.key, "file": name, "epochs": [list(each) for each in epochs]}, stream)
        for old in self.folder.glob("epoch-*.safetensors"):
            if old.name != name:
                old.unlink()
