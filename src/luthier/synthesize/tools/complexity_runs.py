"""Dialogues measured by the learner's loss in a run folder, and steered towards the range that is worth training on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, Conversation, Journal, read_conversations, write_jsonl
from luthier.records.account import note
from luthier.records.files import evenly
from luthier.records.lines import to_text
from luthier.run import Run
from luthier.run.folder import Read
from luthier.synthesize.tools import complexity_page as page
from luthier.synthesize.tools.complexity_settings import ComplexitySettings

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.synthesize.tools.complexity import Complexity, ComplexityRange

LOSSES, PRIOR_LOSSES, TUNED_LOSSES = "losses.jsonl", "prior-losses.jsonl", "tuned-losses.jsonl"
PRIOR, DIALOGUES = "prior.jsonl", page.DIALOGUES
FIELDS = ("dialogue", "H", "S", "tokens")  # that every row of losses has
CHUNK = 32


def run(settings: ComplexitySettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep `dialogues.jsonl`, each with its complexity and the steps that led there, the range, and `prior.jsonl`, half of the dialogues that the
    range was read from.

    Raises SettingsError where there is no tool dialogue, EngineError where the engine gives no losses, and what reading and opening raise.
    """
    rows = _dialogues(settings)
    learner = settings.open()
    tuned = _tuned(settings)
    reads: list[Read] = [*settings.data, *settings.reads(), *([Path(settings.tuned)] if settings.tuned else [])]
    with Run(out, "synthesize complexity", settings, reads=reads, progress=progress, draw=page.draw) as made:
        uses = ("data", "limit", "prior", "model", "adapter", "dtype", "tuned")
        made.step("range", partial(_range, settings, rows, learner, tuned, out, progress), uses=uses, files=[PRIOR, PRIOR_LOSSES])
        made.step("dialogues", partial(_steer, settings, rows, learner, out, progress, made), files=[DIALOGUES, LOSSES], after=["range"])
    return made


def _dialogues(settings: ComplexitySettings) -> list[Conversation]:
    found: list[Conversation] = []
    for path in settings.data:
        rows = list(read_conversations(path))
        spoken = [row for row in rows if any(message.role == "assistant" for message in row.messages[1:])]
        if len(spoken) < len(rows):
            note("left out", "a dialogue without an answer of the assistant", path, rows=len(rows) - len(spoken))
        found += evenly(spoken, settings.limit)
    if len(found) < 2:
        raise SettingsError(f"{', '.join(settings.data)}: {len(found)} dialogues with an answer there; a range needs at least two")
    return found


def _tuned(settings: ComplexitySettings) -> LocalModel | None:
    from luthier.models.opening import open_model

    opened: LocalModel | None = None if settings.tuned is None else open_model(settings.model, settings.tuned, **settings.hardware())
    return opened


def _range(  # noqa: PLR0917
    settings: ComplexitySettings, rows: Sequence[Conversation], learner: LocalModel, tuned: LocalModel | None, out: Path, progress: Progress
) -> JSON:
    """Where losses begin and end to be worth training on."""
    from luthier.synthesize.tools.complexity import appropriate_range, solved

    prior = evenly(rows, settings.prior)
    progress.step("Reading the range", len(prior))
    before = [one.mean for one in _measured(prior, learner, out / PRIOR_LOSSES, quiet)]
    right: list[bool] = []
    for start in range(0, len(prior), CHUNK):
        right += solved(prior[start : start + CHUNK], learner)
        progress.advance(len(prior[start : start + CHUNK]))
    after = None if tuned is None else [one.mean for one in _measured(prior, tuned, out / TUNED_LOSSES, quiet)]
    write_jsonl(out / PRIOR, (row.to_row() for row in prior[::2]))
    bounds = appropriate_range(before, right, after)
    return {**bounds.to_row(), "prior": len(prior), "solved": sum(right), "tuned": tuned is not None}


def _steer(  # noqa: PLR0917
    settings: ComplexitySettings, rows: Sequence[Conversation], learner: LocalModel, out: Path, progress: Progress, made: Run
) -> JSON:
    """Every dialogue with its complexity, as it came or steered."""
    from luthier.synthesize.tools.complexity import ComplexityRange
    from luthier.synthesize.tools.steering import steer

    told = made.results("range")
    bounds = ComplexityRange(told["low"], told["high"], told["low_by"], told["high_by"])
    progress.step("Measuring dialogues", len(rows))
    measure = partial(_measured, learner=learner, journal=out / LOSSES, progress=progress)
    first = [one.mean for one in measure(rows)]
    steered = steer(
        rows,
        bounds,
        partial(_measured, learner=learner, journal=out / LOSSES, progress=quiet),
        seed=settings.seed,
        most=settings.steps if settings.steer else 0,
    )
    write_jsonl(out / DIALOGUES, (one.to_row(bounds, learner.name) for one in steered))
    operators = Counter(name for one in steered for name, _ in one.steps)
    return {
        "dialogues": len(rows),
        "before": _where(first, bounds),
        "after": _where([one.complexity.mean for one in steered], bounds),
        "histogram": page.histogram([first, [one.complexity.mean for one in steered]]),
        "operators": dict(operators.most_common()),
    }


def _where(values: Sequence[float], bounds: ComplexityRange) -> JSON:
    return {
        "below": sum(value < bounds.low for value in values),
        "inside": sum(bounds.distance(value) == 0 for value in values),
        "above": sum(value > bounds.high for value in values),
    }


def _measured(rows: Sequence[Conversation], learner: LocalModel, journal: Path, progress: Progress) -> list[Complexity]:
    """The complexity of each dialogue; those in the journal are not computed again.

    Chunks depend on the rows alone, and one of which a row is missing is computed whole: numbers do not depend on where a run was stopped.
    """
    from luthier.synthesize.tools.complexity import Complexity, complexities

    names = [_digest(row) for row in rows]
    order = sorted({name: at for at, name in enumerate(names)}.values(), key=lambda at: (len(str(rows[at])), names[at]))
    with Journal(journal, FIELDS) as kept:
        known = {row["dialogue"]: Complexity(row["H"], row.get("H_args"), row["S"], row["tokens"]) for row in kept}
        progress.advance(len(rows) - len(order))
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            if any(names[at] not in known for at in chunk):
                for at, one in zip(chunk, complexities([rows[at] for at in chunk], learner), strict=True):
                    if names[at] not in known:
                        kept.append({"dialogue": names[at], **one.to_row()})
                        known[names[at]] = one
            progress.advance(len(chunk))
    return [known[name] for name in names]


def _digest(row: Conversation) -> str:
    text = to_text([row.to_row()[name] for name in ("messages", "tools") if name in row.to_row()], nan=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
