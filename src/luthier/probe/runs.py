"""Probe chains of thought in a run folder: the model's own on multiple-choice questions, stored ones of any model, or right ones with an
error put in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import BadRowError, MissingFileError
from luthier.models.opening import require
from luthier.probe import page
from luthier.probe.questions import Asked, read_questions
from luthier.probe.settings import OnlineSettings, ProbeSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, read_rows
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.models.protocol import Sampling
    from luthier.probe.chain_trace import ChainTrace
    from luthier.records.choices import ChoiceQuestion

CHAINS, TRACES = "chains", page.TRACES
FIELDS = ("question", "number", "chain")  # that every row of traces has
SAMPLED = 0.8  # temperature of several chains a question where none is given
PROBING = ("probe", "normalise", "mode")  # settings that shape how chains are read, not how they are written


def run(settings: ProbeSettings, out: Path, progress: Progress = quiet) -> Run:
    """Probe, and keep `traces.jsonl` and `report.html` in `out`; the same call continues a stopped run.

    Raises SettingsError where nothing comes of the settings, and what opening the model and reading the questions raise.
    """
    questions, model = read_questions(settings), require(settings.open(), "module", "probing")
    files = (*settings.data, *settings.stored, *settings.injected)
    with Run(out, "probe run", settings, reads=[*files, *settings.reads()], progress=progress, draw=page.draw) as made:
        job = Job(questions, settings, out, model, progress)
        writing = [name for name in made.settings if name not in PROBING]
        journal = [journal_name(CHAINS, model.name)] if any(one.chains is None for one in questions) else []
        made.step("chains", partial(_write_chains, job), uses=writing, files=journal, more={"targets": _targets(settings.probe)})
        made.step("traces", partial(_probe, job), uses=PROBING, files=[TRACES], after=["chains"])
        made.step("statistics", partial(_statistics, out), uses=(), after=["traces"])
    return made


@dataclass(frozen=True)
class Job:
    """What the steps of a probe work on."""

    questions: Sequence[Asked]
    settings: ProbeSettings
    folder: Path
    model: LocalModel
    progress: Progress


def read_traces(folder: Path) -> list[ChainTrace]:
    """The traces of a finished probe. Raises MissingFileError or BadRowError with file and line."""
    from luthier.probe.chain_trace import ChainTrace

    path = folder / TRACES if folder.is_dir() else folder
    if not path.is_file():
        raise MissingFileError(f"{path}: no traces there; give the folder of a `luthier probe run`")
    traces = []
    for number, row in read_rows(path):
        try:
            traces.append(ChainTrace.from_row(row))
        except BadRowError as problem:
            raise problem.at(path, number) from None
    return traces


def chain_sampling(settings: ProbeSettings | OnlineSettings) -> Sampling:
    """How chains are drawn."""
    from luthier.models.protocol import Sampling

    several = isinstance(settings, ProbeSettings) and settings.samples > 1
    temperature = settings.temperature if settings.temperature is not None else SAMPLED if several else 0.0
    return Sampling(settings.max_tokens, temperature, settings.top_p, seed=settings.seed)


def _targets(probe: str) -> str:
    from luthier.models.options import probe_of

    return probe_of(probe).targets


def _write_chains(job: Job) -> JSON:
    asked = [question for question, chains, _ in job.questions if chains is None]
    job.progress.step("Writing chains of thought", len(asked) * job.settings.samples)
    made = _generated(asked, job, job.progress)
    stored = sum(len(chains) for _, chains, _ in job.questions if chains is not None)
    return {"questions": len(job.questions), "written": sum(map(len, made)), "stored": stored}


def _generated(asked: Sequence[ChoiceQuestion], job: Job, progress: Progress = quiet) -> list[list[str]]:
    """`samples` chains of each question: from the journal where they are there, else from the model."""
    from luthier.models.replay import RecordingModel
    from luthier.probe.chain import chain_prompt

    if not asked:
        return []
    samples, targets = job.settings.samples, _targets(job.settings.probe)
    prompts = [chain_prompt(question, targets) for question in asked for _ in range(samples)]
    with RecordingModel(job.model, job.folder / journal_name(CHAINS, job.model.name)) as recording:
        texts = [answer.text for answer in recording.generate(prompts, chain_sampling(job.settings), progress.advance)]
    return [texts[at : at + samples] for at in range(0, len(texts), samples)]


def journal_name(kind: str, model: str) -> str:
    """The journal of what a model says of one kind: another model has another one."""
    return f"{kind}-{hashlib.sha256(model.encode()).hexdigest()[:8]}.jsonl"


def _probe(job: Job) -> JSON:
    from luthier.probe.chain import probe_chains

    settings, progress = job.settings, job.progress
    written = iter(_generated([question for question, chains, _ in job.questions if chains is None], job))
    work = [(question, next(written) if chains is None else chains, about) for question, chains, about in job.questions]
    progress.step("Probing", sum(len(chains) for _, chains, _ in work))
    with Journal(job.folder / TRACES, FIELDS) as journal:
        done = sum(1 for _ in journal)
        for question, chains, about in work:
            if done >= len(chains):
                done -= len(chains)
                progress.advance(len(chains))
                continue
            traces = probe_chains(job.model, question, chains, settings.probe, mode=settings.mode, normalise=settings.normalise)
            for trace, known in zip(traces[done:], (about or [{}] * len(chains))[done:], strict=True):
                journal.append(replace(trace, extra=trace.extra | known).to_row())
            done = 0
            progress.advance(len(chains))
    return {"chains": sum(len(chains) for _, chains, _ in work), "mode": _modes(job.folder)}


def _modes(folder: Path) -> list[str]:
    """The modes that the traces of a run were read in."""
    return sorted({str(row["mode"]) for _, row in read_rows(folder / TRACES)})


def _statistics(folder: Path) -> JSON:
    from luthier.probe.statistics import statistics

    return statistics(read_traces(folder)).to_row()
