"""The evaluation of a tracer: split by learner, question by question, beside what every tracer has to beat, with intervals over learners.

One prediction an answer, whatever the number of its concepts; whole histories; what is held out never trains and never chooses an epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.statistics.logits import sigmoid
from luthier.trace.baselines import global_mean, identities, item_response, running_accuracy, running_accuracy_with_difficulty
from luthier.trace.bkt import fit_bkt, predict_bkt
from luthier.trace.fitting import fit, predict_log
from luthier.trace.learner_model import Dkt
from luthier.trace.scoring import (
    DRAWS,
    POSITIONS,
    auc_difference,
    calibration_error,
    first_attempts,
    position_of,
    reliability,
    score,
    within_learners,
)
from luthier.trace.splits import PARTS, Split
from luthier.trace.tracer import Tracer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

SINKT, DKT, DKT_KNOWN, IRT, BKT = "sinkt", "dkt", "dkt-known", "irt", "bkt"
RUNNING, DIFFICULTY, MEAN = "running", "running+difficulty", "mean"
MAIN = ("all", "unseen", "seen")


class Evaluated(NamedTuple):
    """The answers of train, valid and test, each model's chances of the test answers, (answers,), and the results that are reported."""

    parts: dict[str, AnswerLog]
    chances: dict[str, NDArray[np.float64]]
    results: dict[str, Any]


def evaluate_tracer(
    log: AnswerLog, split: Split, tracer: Tracer, *, folder: Path | None = None, progress: Progress = quiet, draws: int = DRAWS
) -> Evaluated:
    """Fit the tracer and every baseline on the train part and score all on the test part. Raises as `check_split`."""
    check_split(log, split)
    parts = {name: split.part(log, name) for name in PARTS}
    test = parts["test"]
    progress.step("Training SINKT", tracer.settings.fit.epochs)
    fitted = tracer.fit(log, split, folder=None if folder is None else folder / SINKT, progress=progress)
    logits = predict_log(tracer.module, test)
    raw = sigmoid(logits)
    unseen = split.unseen(log)[test.item]
    chances = {SINKT: tracer.calibrated(logits, tracer.bank.trained[test.item])}
    chances |= _baselines(tracer, parts, folder, progress)
    results: dict[str, Any] = {
        "split": {
            "sha256": split.sha256,
            "seed": split.seed,
            "held_concepts": list(split.held_concepts),
            "held_items": len(split.held_items),
            "learners": {name: len(part.learners) for name, part in parts.items()},
            "answers": {name: len(part) for name, part in parts.items()},
        },
        "notes": _notes(parts["train"], test),
        "epochs": [epoch._asdict() for epoch in fitted.epochs],
        "uncalibrated_ece": calibration_error(raw, test.correct),
        "platt": [each._asdict() for each in tracer.platt],
        "spreads": tracer.spreads,
        "reliability": [each._asdict() for each in reliability(chances[SINKT], test.correct)],
    }
    results["scores"] = {name: _scores(each, test, unseen, draws) for name, each in chances.items()}
    results["differences"] = _differences(chances, test, unseen, draws)
    return Evaluated(parts, chances, results)


def check_split(log: AnswerLog, split: Split) -> None:
    """Raises SettingsError without test answers, and for edges made of training answers where something is held out."""
    if (split.held_concepts or split.held_items) and any(edge.provenance == "train" for edge in log.catalogue.edges):
        raise SettingsError("edges made from training answers know what is held out; leave them out of an inductive run")
    train, test = split.part(log, "train"), split.part(log, "test")
    if not len(test) or not len(train):
        raise SettingsError(f"{len(train)} training and {len(test)} test answers; both are needed")


def tracer_chances(tracer: Tracer, log: AnswerLog) -> NDArray[np.float64]:
    """The calibrated chance of every answer of a log given those before it, (answers,)."""
    return tracer.calibrated(predict_log(tracer.module, log), tracer.bank.trained[log.item])


def _baselines(tracer: Tracer, parts: dict[str, AnswerLog], folder: Path | None, progress: Progress) -> dict[str, NDArray[np.float64]]:
    """DKT has the tracer's width and settings, so a comparison of costs is fair too."""
    train, valid, test = (parts[name] for name in PARTS)
    progress.step("Training DKT", tracer.settings.fit.epochs)
    shapes = tracer.module.sinkt.settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tracer.settings.fit.seed)
        dkt = Dkt(*identities(train.catalogue), shapes.dim, shapes.state_dim)
    fit(dkt, train, valid, tracer.settings.fit, folder=None if folder is None else folder / DKT, progress=progress)
    found = {DKT: sigmoid(predict_log(dkt, test))}
    known = _known_concepts(train)
    if not known[np.unique(test.item)].all():
        found[DKT_KNOWN] = sigmoid(predict_log(dkt, test, known=torch.from_numpy(known)))
    progress.step("Fitting the other baselines")
    found[IRT] = item_response(train, test)
    if train.catalogue.concepts:
        found[BKT] = predict_bkt(fit_bkt(train), test)
    found[DIFFICULTY] = running_accuracy_with_difficulty(train, test)
    found[RUNNING] = running_accuracy(train, test)
    found[MEAN] = global_mean(train, test)
    return found


def _known_concepts(train: AnswerLog) -> NDArray[np.bool_]:
    """(items,): items all of whose concepts training answered, or which it answered themselves where they have none."""
    of_item = identities(train.catalogue).of_item
    seen = {one for item in np.unique(train.item) for one in of_item[item]}
    return np.array([seen.issuperset(some) for some in of_item], dtype=bool)


def _notes(train: AnswerLog, test: AnswerLog) -> list[str]:
    """What of the baselines is not as usual."""
    bare = np.array([not some for some in test.catalogue.concepts_of], dtype=bool)[test.item]
    if not train.catalogue.concepts:
        return ["no item has a concept: BKT is left out, and DKT reads items"]
    if bare.any():
        return [f"{int(bare.sum()):,} test answers are to items without concepts: BKT gives them the share of right answers in training"]
    return []


def _subsets(test: AnswerLog, unseen: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    position = position_of(test)
    found = {"all": np.ones(len(test), dtype=bool)}
    if unseen.any():
        found |= {"unseen": unseen, "seen": ~unseen}
    first = first_attempts(test)
    if not first.all():
        found["first attempts"] = first
    for low, high in POSITIONS:
        some = (position >= low) & (position <= (high or len(test)))
        if some.any():
            found[f"answers {low}-{high}" if high else f"answers {low} on"] = some
    return found


def _scores(chance: NDArray[np.float64], test: AnswerLog, unseen: NDArray[np.bool_], draws: int) -> dict[str, Any]:
    """All measures on every part of the test answers; the smaller parts take fewer draws."""
    found: dict[str, Any] = {
        name: score(chance[some], test.correct[some], test.learner[some], draws=draws if name in MAIN else draws // 4).to_row()
        for name, some in _subsets(test, unseen).items()
    }
    found["within learners"] = within_learners(chance, test)
    return found


def _differences(
    chances: dict[str, NDArray[np.float64]], test: AnswerLog, unseen: NDArray[np.bool_], draws: int
) -> dict[str, dict[str, Any]]:
    """By how much SINKT's AUC lies above each other's."""
    subsets = {"all": np.ones(len(test), dtype=bool)} | ({"unseen": unseen, "seen": ~unseen} if unseen.any() else {})
    return {
        name: {
            part: auc_difference(chances[SINKT][some], each[some], test.correct[some], test.learner[some], draws=draws)._asdict()
            for part, some in subsets.items()
        }
        for name, each in chances.items()
        if name != SINKT
    }
