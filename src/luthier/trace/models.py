"""Trace language models: what each model or checkpoint masters, from the results of evaluations.

Reads top to bottom: read the results, calibrate the items (with their text as a prior), see how well a model family that was left out is
estimated, follow every learner, write the tables.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, SettingsError
from luthier.models.opening import embedder_reads
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows
from luthier.records.files import mapping
from luthier.run import Run
from luthier.trace import models_page
from luthier.trace.answers import AnswerLog
from luthier.trace.calibrated import NAME, CalibratedItems, calibrated_file, onto, read_calibrated, write_calibrated
from luthier.trace.model_tables import TABLES, Traced, write_table, write_tables
from luthier.trace.settings import ModelsSettings

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder
    from luthier.trace.new_model import Choice

PARTLY = 0.5  # of the items that a whole evaluation has: a learner with fewer is new, and its accuracy is estimated
CHOICES: tuple[Choice, ...] = ("random", "adaptive")
HELD_OUT_DRAWS = 3  # samples of items for each learner
HELD_OUT = "held_out.csv"
NOT_HELD_OUT = ("train", "calibrated", "cache", "skip_bad")  # settings that the trial with families left out does not depend on


def run(settings: ModelsSettings, out: Path, progress: Progress = quiet) -> Run:
    """Write the tables in `out`; the same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend.
    """
    job = _opened(settings, out, progress)
    with Run(out, "trace models", settings, reads=_reads(settings), progress=progress, draw=models_page.draw) as made:
        traced = cache(partial(_traced, job))
        used = [name for name in made.settings if name not in NOT_HELD_OUT]
        held = made.step("held-out", lambda: _hold_out(traced(), job), uses=used, files=[HELD_OUT])
        files = [*TABLES, *([NAME] if job.known is None else [])]
        made.step("trace", lambda: _tables(traced(), job, held), files=files, after=["held-out"])
    return made


class Job(NamedTuple):
    """What the steps work on. new: places of learners to estimate; known: items that were calibrated before."""

    settings: ModelsSettings
    log: AnswerLog
    known: CalibratedItems | None
    families: list[str]
    new: list[int]
    embedder: Embedder | None
    folder: Path
    progress: Progress


def trace(
    log: AnswerLog, new: Sequence[int], settings: ModelsSettings, embedder: Embedder | None = None, progress: Progress = quiet
) -> Traced:
    """Calibrate the items on the learners that are not new, read difficulty from text, and follow every learner.

    embedder: None reads no difficulty from text.
    """
    from luthier.trace.checkpoints import follow
    from luthier.trace.difficulty import calibrate_with_text
    from luthier.trace.item_response import calibrate

    old = log.take_learners([place for place in range(len(log.learners)) if place not in set(new)])
    calibration, text = (
        (calibrate(old, settings.parameters), None)
        if embedder is None
        else calibrate_with_text(old, lambda texts: _features(texts, embedder, settings.cache, progress), settings.parameters)
    )
    model = calibration.model(old)
    return Traced(log, list(new), calibration, model, text, follow(model, log), settings.checkpoints)


def _traced(job: Job) -> Traced:
    from luthier.trace.checkpoints import follow

    job.progress.step("Calibrating items")
    if job.known is None:
        return trace(job.log, job.new, job.settings, job.embedder, job.progress)
    model, new = job.known.model(), [] if job.settings.checkpoints else list(range(len(job.log.learners)))
    return Traced(job.log, new, job.known.calibration, model, None, follow(model, job.log), job.settings.checkpoints)


def _tables(traced: Traced, job: Job, held: JSON) -> JSON:
    """Write the tables and, where items were calibrated here, the items."""
    settings, known = job.settings, job.known
    inflation = held.get("inflation", 1.0) if known is None else known.inflation
    if known is None:
        fitted = replace(traced.calibration, sd=traced.model.sd)
        write_calibrated(job.folder / NAME, CalibratedItems(fitted, job.log.catalogue, traced.model.spread, inflation))
    made = write_tables(traced, job.families, inflation, job.folder, ask=settings.ask, train=settings.train, seed=settings.seed)
    return made.to_row()


# --- reading ------------------------------------------------------------------------------------------------------------------


def _opened(settings: ModelsSettings, folder: Path, progress: Progress) -> Job:
    """Everything that is read and can be refused."""
    log = _read(settings)
    known = None if settings.calibrated is None else read_calibrated(settings.calibrated)
    log = log if known is None else onto(log, known)
    new = _new(settings, log) if known is None else []
    embedder = settings.open_encoder(settings.embedder) if known is None and settings.embedder != "none" else None
    return Job(settings, log, known, _families(settings, log), new, embedder, folder, progress)


def _read(settings: ModelsSettings) -> AnswerLog:
    from luthier.trace.result_rules import Wanted
    from luthier.trace.results import read_results

    skipped = SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None
    wanted = Wanted(settings.metrics, settings.filters)
    log = read_results(settings.paths, settings.items, skipped, mapping(settings.mapped), wanted)
    if skipped is not None and skipped.count:
        rows = "1 bad row is" if skipped.count == 1 else f"{skipped.count} bad rows are"
        return replace(log, notes=(*log.notes, f"{rows} set aside in {settings.skip_bad}"))
    return log


def _reads(settings: ModelsSettings) -> list[Path | tuple[str, Path]]:
    from luthier.trace.results import result_files

    files: list[Path | tuple[str, Path]] = [path for _, path, _ in result_files(settings.paths, mapping(settings.mapped))]
    if settings.calibrated is not None:
        files.append(calibrated_file(settings.calibrated))
    files += [Path(each) for each in (settings.items, settings.families) if each is not None]
    return [*files, *(embedder_reads(settings.embedder) if settings.embedder != "none" else [])]


def _families(settings: ModelsSettings, log: AnswerLog) -> list[str]:
    from luthier.trace.new_model import families

    given: dict[str, str] = {}
    if settings.families is not None:
        with Path(settings.families).open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), 2):
                if not row.get("learner") or not row.get("family"):
                    raise BadRowError("a row needs learner and family", settings.families, number)
                given[row["learner"]] = row["family"]
        unknown = [name for name in given if name not in log.learners]
        if unknown:
            raise BadRowError(f"{unknown[0]!r} is not among the learners: {', '.join(log.learners[:8])}", settings.families)
    return families(log.learners, given)


def _new(settings: ModelsSettings, log: AnswerLog) -> list[int]:
    """Places of the learners to estimate. Raises SettingsError for a name that is not there, and where none is left to calibrate on."""
    if settings.new:
        for name in settings.new:
            if name not in log.learners:
                raise SettingsError(f"no learner {name!r} among the results; they are {', '.join(log.learners[:12])}")
        found = [log.learners.index(name) for name in settings.new]
    elif settings.checkpoints:
        return []
    else:
        found = [place for place in range(len(log.learners)) if _share(log, place) < PARTLY]
    if len(found) == len(log.learners):
        raise SettingsError("every learner is new; keep results of other models to calibrate the items on")
    return found


def _share(log: AnswerLog, place: int) -> float:
    """How much a learner answered of the items of the skills it was asked about."""
    import numpy as np

    concepts, items = log.catalogue.concepts_of, np.unique(log.item[log.of_learner(place)])
    kinds = {concepts[item] for item in items}
    return len(items) / max(1, sum(each in kinds for each in concepts))


def _features(texts: Sequence[str], embedder: Embedder, cache_folder: str | None, progress: Progress) -> Any:
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.trace.difficulty import text_features

    progress.step("Reading texts", len(set(texts)))
    return text_features(texts, embedder, EmbeddingCache(cache_folder), progress.advance)


# --- tables -------------------------------------------------------------------------------------------------------------------


def _hold_out(traced: Traced, job: Job) -> JSON:
    """How well families that were left out are estimated from `ask` items; empty where that cannot be tried."""
    import numpy as np

    from luthier.trace.new_model import HeldOut, hold_out_families, interval_inflation

    settings, progress = job.settings, job.progress
    kept = [place for place in range(len(traced.log.learners)) if place not in traced.new]
    names = [job.families[place] for place in kept]
    rows: list[JSON] = []
    results: JSON = {"learners": 0}
    if not settings.checkpoints and len(set(names)) >= 3 and settings.ask > 0:
        progress.step("Leaving families out", 2 * len(set(names)))
        tried: dict[str, list[HeldOut]] = {
            chosen: hold_out_families(
                traced.log.take_learners(kept),
                (settings.ask,),
                names=names,
                draws=HELD_OUT_DRAWS,
                parameters=settings.parameters,
                seed=settings.seed,
                chosen=chosen,
                progress=progress.advance,
            )
            for chosen in CHOICES
        }
        rows = [{**one.to_row(), "chosen": chosen} for chosen, held in tried.items() for one in held]
        if rows:
            results = {
                "learners": len({row["learner"] for row in rows}),
                "families": len(set(names)),
                "asked": settings.ask,
                "plain_error": float(np.mean([abs(row["plain"] - row["accuracy"]) for row in rows if row["chosen"] == "random"])),
                "inflation": max(interval_inflation(held) for held in tried.values()),
            }
            for chosen in CHOICES:
                some = [row for row in rows if row["chosen"] == chosen]
                results[f"error_{chosen}"] = float(np.mean([abs(row["estimate"] - row["accuracy"]) for row in some]))
                results[f"covered_{chosen}"] = float(np.mean([row["low"] <= row["accuracy"] <= row["high"] for row in some]))
    columns = ["learner", "family", "asked", "accuracy", "estimate", "low", "high", "plain", "chosen"]
    write_table(job.folder / HELD_OUT, rows, columns)
    return results
