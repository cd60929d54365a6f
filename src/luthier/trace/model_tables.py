"""The tables of traced models: items, learners, mastery, what changed, what to ask and what to train on next."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.records import JSON, atomic_write
from luthier.records.delimited import inert
from luthier.trace.answers import AnswerLog

if TYPE_CHECKING:
    from luthier.trace.ability import AbilityModel
    from luthier.trace.checkpoints import Learners
    from luthier.trace.difficulty import TextDifficulty
    from luthier.trace.item_response import Calibration

TABLES = ("items.csv", "learners.csv", "mastery.csv", "changes.csv", "ask.csv", "train.csv")


class Traced(NamedTuple):
    """What the steps share. new: places of learners that did not calibrate; checkpoints: learners follow one another."""

    log: AnswerLog
    new: list[int]
    calibration: Calibration
    model: AbilityModel
    text: TextDifficulty | None
    learners: Learners
    checkpoints: bool = False


@dataclass(frozen=True)
class Tabled:
    """What the page shows of the tables: rows of learners, mastery, changes, and of what to ask and to train next.

    alarms: concepts lost between checkpoints. ability_sd, spread: of the model; rounds: of the calibration. text: None where no difficulty
    was read from text.
    """

    answers: int
    items: int
    learners: list[JSON]
    concepts: list[str]
    mastery: list[JSON]
    changes: list[JSON]
    alarms: int
    ask: list[JSON]
    train: list[JSON]
    ability_sd: float
    spread: float
    rounds: int
    notes: list[str]
    text: JSON | None

    def to_row(self) -> JSON:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def write_tables(traced: Traced, families: Sequence[str], inflation: float, folder: Path, *, ask: int, train: int, seed: int) -> Tabled:
    """Write TABLES in a folder. inflation: of the estimates' intervals; ask, train: how many items."""
    from luthier.trace.checkpoints import changes

    log, model = traced.log, traced.model
    estimates = _estimates(traced, families, inflation)
    moved = [change.to_row() for change in changes(model, log, traced.learners, seed=seed)] if traced.checkpoints else []
    asked, trained = _ask(traced, ask, seed), _train(traced, train)
    mastery = _mastery(traced)
    write_table(folder / "items.csv", _items(traced), [])
    write_table(folder / "learners.csv", estimates, [])
    write_table(folder / "mastery.csv", mastery, ["learner", "concept", "mastery", "low", "high", "answers"])
    write_table(folder / "changes.csv", moved, ["concept", "before", "after", "p", "p_all", "verdict"])
    write_table(folder / "ask.csv", asked, ["learner", "item", "concepts", "difficulty"])
    write_table(folder / "train.csv", trained, ["learner", "item", "concepts", "chance"])
    text = traced.text
    return Tabled(
        answers=len(log),
        items=len(log.catalogue.items),
        learners=estimates,
        concepts=[each.concept for each in log.catalogue.concepts],
        mastery=mastery,
        changes=moved,
        alarms=len({one["concept"] for one in moved if one["verdict"] == "lost"}),
        ask=asked,
        train=trained,
        ability_sd=model.sd,
        spread=model.spread,
        rounds=traced.calibration.rounds,
        notes=list(log.notes),
        text=None
        if text is None
        else {
            "items": text.items,
            "correlation": text.correlation,
            "doubt": text.doubt,
            "within": _within(traced),
            "points": _points(traced),
        },
    )


def _estimates(traced: Traced, families: Sequence[str], inflation: float) -> list[JSON]:
    """A row a learner: what it answered, and its accuracy over all items of the skills it was asked about."""
    import numpy as np

    from luthier.trace.new_model import estimate_accuracy

    log, model, rows = traced.log, traced.model, []
    for place, name in enumerate(log.learners):
        part = log.of_learner(place)
        if not len(log.item[part]):
            continue
        groups = {group for item in np.unique(log.item[part]) for group in model.groups_of[item]}
        among = np.flatnonzero(
            [(traced.calibration.answers[item] > 0 and groups.issuperset(model.groups_of[item])) for item in range(len(model.difficulty))]
        )
        among = np.union1d(among, log.item[part])
        estimate = estimate_accuracy(model, log.item[part], log.correct[part].astype(np.float64), among, inflation)
        rows.append({"learner": name, "family": families[place], "new": place in traced.new, **asdict(estimate)})
    return rows


def _mastery(traced: Traced) -> list[JSON]:
    """A row for each learner and concept it has answers on."""
    log, mastery = traced.log, traced.learners.mastery
    return [
        {
            "learner": name,
            "concept": each.concept,
            "mastery": float(mastery.probability[place, at]),
            "low": float(mastery.low[place, at]),
            "high": float(mastery.high[place, at]),
            "answers": int(mastery.evidence[place, at]),
        }
        for place, name in enumerate(log.learners)
        for at, each in enumerate(log.catalogue.concepts)
        if mastery.evidence[place, at] > 0
    ]


def _items(traced: Traced) -> list[JSON]:
    log, fitted = traced.log, traced.calibration
    told = _from_text(traced)
    return [
        {
            "item": item.item,
            "concepts": "|".join(item.concepts),
            "answers": int(fitted.answers[at]),
            "difficulty": float(fitted.difficulty[at]),
            "sd": float(fitted.difficulty_sd[at]),
            "discrimination": float(fitted.discrimination[at]),
            "from_text": told.get(at),
            "predicted": bool(fitted.answers[at] == 0),
        }
        for at, item in enumerate(log.catalogue.items)
    ]


def _from_text(traced: Traced) -> dict[int, float]:
    """Of the items the regression was fitted on, what the others' texts say of theirs."""
    import numpy as np

    from luthier.trace.difficulty import items_with_text_and_answers

    if traced.text is None:
        return {}
    known = np.flatnonzero(items_with_text_and_answers(traced.log, traced.calibration))
    return {int(item): float(value) for item, value in zip(known, traced.text.left_out, strict=True)}


def _within(traced: Traced) -> float | None:
    """Rank correlation of the two difficulties within skills, averaged by items: what text tells beyond the skill's name."""
    from luthier.statistics.ranks import spearman
    from luthier.trace.difficulty import LEAST_ITEMS

    told, total, weight = _from_text(traced), 0.0, 0
    groups: dict[tuple[int, ...], list[int]] = {}
    for item in told:
        groups.setdefault(traced.model.groups_of[item], []).append(item)
    for members in groups.values():
        found = spearman([told[item] for item in members], [float(traced.calibration.difficulty[item]) for item in members])
        if len(members) >= LEAST_ITEMS and found is not None:
            total, weight = total + len(members) * found, weight + len(members)
    return total / weight if weight and len(groups) > 1 else None


def _points(traced: Traced, most: int = 1500) -> list[tuple[float, float]]:
    """(difficulty from text, observed), evenly thinned."""
    told = list(_from_text(traced).items())
    step = max(1, -(-len(told) // most))
    return [(round(value, 3), round(float(traced.calibration.difficulty[item]), 3)) for item, value in told[::step]]


def _ask(traced: Traced, count: int, seed: int) -> list[JSON]:
    """Items to ask next: each new learner those that would tell most of it, or any learner where none is new."""
    from luthier.trace.new_model import choose_items

    log, model = traced.log, traced.model
    rows: list[JSON] = []
    places: list[int | None] = [*traced.new] or [None]
    for place in places:
        asked = [] if place is None else log.item[log.of_learner(place)].tolist()
        state = None if place is None else traced.learners.states[place]
        for item in choose_items(model, count, asked, seed, state):
            named = log.catalogue.items[item]
            rows.append(
                {
                    "learner": "" if place is None else log.learners[place],
                    "item": named.item,
                    "concepts": "|".join(named.concepts),
                    "difficulty": float(model.difficulty[item]),
                }
            )
    return rows


def _train(traced: Traced, count: int) -> list[JSON]:
    """Items to train on next, for the new learners, or else the last one read."""
    from luthier.trace.checkpoints import items_to_train

    log = traced.log
    return [
        {
            "learner": log.learners[place],
            "item": log.catalogue.items[item].item,
            "concepts": "|".join(log.catalogue.items[item].concepts),
            "chance": chance,
        }
        for place in (traced.new or [len(log.learners) - 1])
        for item, chance in items_to_train(traced.model, log, traced.learners.states[place], count)
    ]


def write_table(path: Path, rows: Iterable[JSON], columns: Sequence[str]) -> None:
    rows = list(rows)
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)
