"""Knowledge tracing as runs: import answers, fit a tracer, evaluate it beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import SettingsError
from luthier.models.opening import embedder_reads
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.run import Run
from luthier.trace import answers_page, evaluation_page, fit_page
from luthier.trace.settings import TRACER, EvaluationSettings, ImportSettings, TracerSettings, TrainingSettings

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder
    from luthier.trace.answers import AnswerLog
    from luthier.trace.splits import Split

SPLIT, AUDIT, EPOCHS = "split.json", "audit.csv", "epochs"
TABLE = ("events.jsonl", "items.jsonl", "concepts.jsonl", "edges.jsonl")


class LogSummary(NamedTuple):
    """Numbers of a log, as `run.json` and the command line show them."""

    answers: int
    learners: int
    items: int
    concepts: int
    edges: int
    right: float
    merged_rows: int
    repeated_rows: int
    moved_rows: int
    longest: int
    median_length: float
    notes: list[str]
    with_text: int
    without_concepts: int


def import_answers(settings: ImportSettings, out: Path, progress: Progress = quiet) -> Run:
    """Read answers of any layout and write them as the long table in `out`. Raises BadRowError, MissingFileError, DiskError."""
    from luthier.trace.readers import write_long_table

    log = settings.read()

    def write() -> JSON:
        write_long_table(log, out)
        return {"files": list(TABLE)}

    with Run(out, "trace import", settings, reads=settings.reads(), progress=progress, draw=answers_page.draw) as made:
        made.note(data=summary(log)._asdict())
        made.step("table", write, files=TABLE)
    return made


def fit(settings: TrainingSettings, out: Path, progress: Progress = quiet) -> Run:
    """Fit a tracer on nine learners of ten and calibrate it on the rest; `tracer/` in the run folder holds it.

    A stopped run continues after the last finished epoch. Raises SettingsError, BadRowError, MissingFileError.
    """
    from luthier.trace.splits import split_learners

    log, embedder = settings.read(), settings.open_encoder(settings.built.encoder)
    split = split_learners(log, shares=(0.9, 0.1, 0.0), seed=settings.seed)
    _refuse_untrainable(log, split, settings)
    with _run(settings, out, "trace fit", progress) as made:
        made.note(data=summary(log)._asdict())
        made.step("fit", partial(_fit, log, split, settings, out, embedder=embedder, progress=progress), files=[TRACER, SPLIT, EPOCHS])
    return made


def evaluate(settings: EvaluationSettings, out: Path, progress: Progress = quiet) -> Run:
    """Split, fit and score the tracer and all baselines, once a draw; a stopped run continues with the draw it was at.

    Raises SettingsError, BadRowError, MissingFileError.
    """
    from luthier.trace.evaluation import check_split
    from luthier.trace.splits import split_learners

    log, embedder = settings.read(), settings.open_encoder(settings.built.encoder)
    splits = []
    for draw in range(settings.draws):
        hold = None if settings.hold == "none" else settings.hold
        splits.append(split_learners(log, seed=settings.seed + draw, hold=hold))
        check_split(log, splits[-1])
        _refuse_untrainable(log, splits[-1], settings)
    with _run(settings, out, "trace evaluate", progress) as made:
        made.note(data=summary(log)._asdict())
        used = [name for name in made.settings if name not in ("draws", "seed")]
        results = []
        for draw, split in enumerate(splits):
            name = f"draw-{draw}"
            work = partial(_draw, log, split, settings, out / name, embedder=embedder, progress=progress)
            results.append(made.step(name, work, uses=used, files=[name], more={"seed": split.seed}))
        made.note(over_draws=_over_draws(results))
    return made


def summary(log: AnswerLog) -> LogSummary:
    """What a log holds."""
    import numpy as np

    sizes, known = np.diff(log.starts), log.catalogue
    return LogSummary(
        len(log),
        len(log.learners),
        len(known.items),
        len(known.concepts),
        len(known.edges),
        float(log.correct.mean()),
        log.merged,
        log.repeated,
        log.moved,
        int(sizes.max()),
        float(np.median(sizes)),
        list(log.notes),
        sum(bool(item.text) for item in known.items),
        sum(not item.concepts for item in known.items),
    )


def _over_draws(results: Sequence[JSON]) -> JSON:
    """AUC of every model, and SINKT's lead over each, as mean, lowest and highest of the draws, on every part that is always there."""
    parts = [name for name in ("all", "unseen", "seen") if all(name in one["scores"]["sinkt"] for one in results)]
    models = [name for name in results[0]["scores"] if all(name in one["scores"] for one in results)]

    def spread(values: list[float | None]) -> JSON:
        some = [each for each in values if each is not None]
        return {"mean": sum(some) / len(some) if some else None, "low": min(some, default=None), "high": max(some, default=None)}

    def measured(measure: str) -> JSON:
        return {
            model: {part: spread([one["scores"][model][part][measure]["value"] for one in results]) for part in parts} for model in models
        }

    lead = {
        model: {part: spread([one["differences"][model][part]["value"] for one in results]) for part in parts}
        for model in models
        if model != "sinkt"
    }
    return {"draws": len(results), "auc": measured("auc"), "ece": measured("ece"), "lead": lead}


def _run(settings: TrainingSettings, out: Path, name: str, progress: Progress) -> Run:
    draw = evaluation_page.draw if name == "trace evaluate" else fit_page.draw
    reads = [*settings.reads(), *embedder_reads(settings.built.encoder)]
    return Run(out, name, settings, reads=reads, progress=progress, draw=draw)


def _refuse_untrainable(log: AnswerLog, split: Split, settings: TrainingSettings) -> None:
    from luthier.trace.fitting import long_enough
    from luthier.trace.graph import check_prerequisites

    check_prerequisites(log.catalogue.edges)
    if not len(long_enough(split.part(log, "train"), settings.built.fit.least)):
        least = settings.built.fit.least
        raise SettingsError(f"no learner has {least} answers or more; there is nothing to learn from (lower --least)")


def _fit(log: AnswerLog, split: Split, settings: TrainingSettings, out: Path, *, embedder: Embedder, progress: Progress) -> JSON:
    from luthier.trace.tracer import Tracer

    tracer = Tracer(_seeded(settings, split.seed), embedder=embedder)
    progress.step("Training the tracer", settings.built.fit.epochs)
    fitted = tracer.fit(log, split, folder=out / EPOCHS, progress=progress)
    tracer.save(out / TRACER)
    return {
        "epochs": [each._asdict() for each in fitted.epochs],
        "split": split.save(out / SPLIT),
        "version": tracer.version,
        "platt": [each._asdict() for each in tracer.platt],
        "nodes": len(tracer.module.question_texts),
    }


def _draw(log: AnswerLog, split: Split, settings: EvaluationSettings, out: Path, *, embedder: Embedder, progress: Progress) -> JSON:
    from luthier.trace.audit import write_audit
    from luthier.trace.evaluation import evaluate_tracer, tracer_chances
    from luthier.trace.tracer import Tracer

    split.save(out / SPLIT)
    tracer = Tracer(_seeded(settings, split.seed), embedder=embedder)
    made = evaluate_tracer(log, split, tracer, folder=out / EPOCHS, progress=progress, draws=settings.resamples)
    chances = {name: made.chances["sinkt"] if name == "test" else tracer_chances(tracer, part) for name, part in made.parts.items()}
    write_audit(out / AUDIT, made.parts, chances)
    tracer.save(out / TRACER)
    return made.results


def _seeded(settings: TrainingSettings, seed: int) -> TracerSettings:
    return replace(settings.built, fit=replace(settings.built.fit, seed=seed))
