"""What a learner should do next, and which answers moved a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from luthier.errors import SettingsError
from luthier.trace.evidence import evidence_columns
from luthier.trace.graph import waiting
from luthier.trace.sinkt import answer_input

if TYPE_CHECKING:
    from luthier.trace.stepping import LearnerState
    from luthier.trace.tracer import Tracer

TARGET = (0.4, 0.7)  # neither hopeless nor known
PAST = 50  # answers that an explanation looks at


class Recommendation(NamedTuple):
    """An item, the chance that it is answered right, its concepts, and the prerequisites that hold it back (none where they are respected)."""

    item: str
    chance: float
    concepts: tuple[str, ...]
    waits_for: tuple[str, ...]


class Influence(NamedTuple):
    """An answer of the past, and how much the chance would be lower without it."""

    place: int
    item: str
    correct: float
    change: float


def recommend(
    tracer: Tracer,
    state: LearnerState,
    n: int = 10,
    target: tuple[float, float] = TARGET,
    *,
    respect_prerequisites: bool = True,
    leave_out: Sequence[str] = (),
) -> list[Recommendation]:
    """Items whose chance lies in `target`, nearest its middle first, spread over concepts; leave_out: items not to be asked.

    Items whose concepts have a prerequisite below `luthier.trace.graph.MASTERED` wait, unless told otherwise. Raises SettingsError for a target that is no range.
    """
    low, high = check_target(target)
    bank = tracer.bank
    chances = tracer.chances(state, np.arange(len(bank.items)))
    sources = sorted({edge.source for edge in bank.edges if edge.relation == "prerequisite"})
    mastery = {name: each.chance for name, each in tracer.mastery(state, sources).items()} if sources else {}
    held = {bank.concept_row(name): some for name, some in waiting(bank.edges, mastery).items()}
    barred = set(leave_out)
    order = np.argsort(np.abs(chances - (low + high) / 2), kind="stable")
    queues: dict[tuple[int, ...], list[int]] = {}
    for row in order:
        members = bank.members[row]
        if not low <= chances[row] <= high or bank.items[row].item in barred:
            continue
        if respect_prerequisites and any(member in held for member in members):
            continue
        queues.setdefault(members, []).append(int(row))
    found: list[Recommendation] = []
    depth = 0
    while len(found) < n and any(len(queue) > depth for queue in queues.values()):
        for members, queue in queues.items():  # one item of each set of concepts, then the next of each
            if len(queue) > depth and len(found) < n:
                row = queue[depth]
                waits = tuple(sorted({name for member in members for name in held.get(member, ())}))
                names = tuple(bank.concepts[member].concept for member in members)
                found.append(Recommendation(bank.items[row].item, float(chances[row]), names, waits))
        depth += 1
    return found


def check_target(target: tuple[float, float]) -> tuple[float, float]:
    """The target itself. Raises SettingsError where it is no range of chances."""
    low, high = target
    if not 0 <= low < high <= 1:
        raise SettingsError(f"the target {low:g} to {high:g} is not a range of chances within 0 and 1")
    return target


def explain(tracer: Tracer, history: Sequence[tuple[str, float]], item: str, past: int = PAST) -> tuple[float, list[Influence]]:
    """The chance of an item after a history, and what each of its last `past` answers changed: it is left out and everything after it read again.

    Strongest first.
    """
    rows = np.array([tracer.bank.row(name) for name, _ in history], dtype=np.int64)
    correct = np.array([right for _, right in history], dtype=np.float32)
    asked = tracer.bank.row(item)
    if not len(rows):
        return tracer.predict(tracer.start(), [item])[item], []
    first = max(0, len(rows) - past)
    keep = [np.arange(len(rows)), *(np.delete(np.arange(len(rows)), place) for place in range(first, len(rows)))]
    table = torch.from_numpy(tracer.bank.table.concept)
    gru = tracer.module.sinkt.gru
    with torch.inference_mode():
        whole = gru(answer_input(table[rows][None], torch.from_numpy(correct)[None]))[1][0]
        if len(rows) == 1:
            hidden = torch.cat([whole, torch.zeros_like(whole)])
        else:
            some = np.stack(keep[1:])
            hidden = torch.cat([whole, gru(answer_input(table[rows[some]], torch.from_numpy(correct[some])))[1][0]])
    members = tracer.bank.members[asked]
    shares = np.array([[float(one in tracer.bank.members[row]) for one in members] or [0.0] for row in rows]).mean(axis=1)
    seen = [
        evidence_columns(
            np.array(float(len(k))),
            np.array(float(correct[k].sum())),
            np.array([shares[k].sum()]),
            np.array([(shares[k] * correct[k]).sum()]),
        )
        for k in keep
    ]
    rates = np.repeat(tracer.bank.table.rates[asked][None], len(keep), axis=0)
    part = torch.from_numpy(np.repeat(tracer.bank.table.question[asked][None], len(keep), axis=0))
    with torch.inference_mode():
        logits = (
            tracer.module.sinkt.logits(
                hidden,
                part,
                table[asked][None].expand(len(keep), -1),
                torch.from_numpy(np.concatenate([np.concatenate(seen), rates], axis=1)),
            )
            .double()
            .numpy()
        )
    chances = tracer.calibrated(logits, np.full(len(keep), tracer.bank.trained[asked]))
    moved = [Influence(first + at, *history[first + at], float(chances[0] - without)) for at, without in enumerate(chances[1:])]
    return float(chances[0]), sorted(moved, key=lambda each: (-abs(each.change), each.place))
