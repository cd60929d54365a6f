"""Write chains that stop once their answer is settled, and compare them with whole ones, in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.models.opening import require
from luthier.probe import early_exit_page
from luthier.probe.online import EarlyExit
from luthier.probe.questions import skipped_rows, written_questions
from luthier.probe.runs import FIELDS, chain_sampling
from luthier.probe.settings import OnlineSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, read_rows
from luthier.records.choices import ChoiceQuestion
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.probe.chain_trace import ChainTrace

ONLINE, WHOLE = "online.jsonl", "whole.jsonl"


def run(settings: OnlineSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep `online.jsonl`, traces of chains that end once the rule is met, and unless `whole` is false those of the same chains to their
    end in `whole.jsonl`; the same call continues a stopped run."""
    questions = [question for question, _, _ in written_questions(settings.data, settings, skipped_rows(settings))]
    if not questions:
        raise SettingsError(f"{', '.join(settings.data)}: no questions there")
    job = Job(questions, settings, out, require(settings.open(), "module", "probing"), progress)
    with Run(
        out, "probe online", settings, reads=[*settings.data, *settings.reads()], progress=progress, draw=early_exit_page.draw
    ) as made:
        made.step("online", partial(_write, job), files=[ONLINE, *([WHOLE] if settings.whole else [])])
    return made


@dataclass(frozen=True)
class Job:
    """What the step works on."""

    questions: Sequence[ChoiceQuestion]
    settings: OnlineSettings
    folder: Path
    model: LocalModel
    progress: Progress


def _write(job: Job) -> JSON:
    cut = _chains(job, EarlyExit(job.settings.same, job.settings.margin))
    return {
        "chains": len(cut),
        "exited": sum(bool(trace.extra.get("exited")) for trace in cut),
        "tokens": sum(trace.tokens for trace in cut),
        "forwarded": sum(trace.forwarded for trace in cut),
        "right": _right(cut),
        "whole": _compared(cut, _chains(job, None)) if job.settings.whole else None,
    }


def _chains(job: Job, rule: EarlyExit | None) -> list[ChainTrace]:
    from luthier.probe.chain import write_chain
    from luthier.probe.chain_trace import ChainTrace

    settings, path = job.settings, job.folder / (ONLINE if rule else WHOLE)
    job.progress.step("Writing chains that stop early" if rule else "Writing whole chains", len(job.questions))
    write = partial(write_chain, sampling=chain_sampling(settings), mode=settings.mode, normalise=settings.normalise, early_exit=rule)
    with Journal(path, FIELDS) as journal:
        done = sum(1 for _ in journal)
        job.progress.advance(done)
        for index, question in enumerate(job.questions[done:], done):
            journal.append(write(job.model, question, settings.probe, index=index).to_row())
            job.progress.advance()
    return [ChainTrace.from_row(row) for _, row in read_rows(path)]


def _compared(cut: Sequence[ChainTrace], full: Sequence[ChainTrace]) -> JSON:
    import numpy as np

    from luthier.statistics.rates import wilson
    from luthier.statistics.resampling import paired

    known = [(one, other) for one, other in zip(cut, full, strict=True) if one.question.answer is not None]
    difference: Any = None
    if known:
        right = np.array([[bool(other.right), bool(one.right)] for one, other in known], dtype=float)
        difference = paired(right[:, 0], right[:, 1]).to_row()
    same = sum(one.final == other.final for one, other in zip(cut, full, strict=True))
    return {
        "tokens": sum(trace.tokens for trace in full),
        "right": _right(full),
        "same_answer": wilson(same, len(full)).to_row(),
        "difference": difference,
    }


def _right(traces: Sequence[ChainTrace]) -> JSON:
    from luthier.statistics.rates import wilson

    known = [trace for trace in traces if trace.question.answer is not None]
    return wilson(sum(bool(trace.right) for trace in known), len(known)).to_row()
