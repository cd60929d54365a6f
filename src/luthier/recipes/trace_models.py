"""Trace language models: what each model or checkpoint masters, from the results of evaluations.

Reads top to bottom: read the results, calibrate the items (with their text as a prior), see how well a model family that was left out is
estimated, follow every learner, write the tables and the page.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.model_tables import TABLES, Traced, write_table, write_tables
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON, SkippedRows
from luthier.trace.answers import AnswerLog
from luthier.trace.calibrated import NAME, CalibratedItems, onto, read_calibrated, write_calibrated

if TYPE_CHECKING:
    from luthier.trace.new_model import Choice

PARTLY = 0.5  # of the items that a whole evaluation has: a learner with fewer is new, and its accuracy is estimated
CHOICES: tuple[Choice, ...] = ("random", "adaptive")
HELD_OUT_DRAWS = 3  # samples of items for each learner


@dataclass(frozen=True)
class TraceModelsInputs:
    """Results, `PATH` or `NAME=PATH`, files or folders, and what to make of them.

    items: rows with the text and the concepts of items. families: a table learner,family; by name where left out. new: learners that are
    estimated from the items they answered and do not calibrate; None for those that answered less than half. checkpoints: the learners are
    stages of one model, in order, so a lost skill is an alarm. ask: how many items to ask next; train: how many to train on next.
    calibrated: a run folder whose items are used as they were calibrated there; then every learner is new. parameters: of an item, 1 or 2. embedder: `minilm`, `static`, a folder, or `none`: then difficulty is not read from text.
    """

    results: tuple[str, ...]
    items: str | None = None
    families: str | None = None
    new: tuple[str, ...] | None = None
    checkpoints: bool = False
    ask: int = 50
    train: int = 50
    calibrated: str | None = None
    parameters: int = 1
    embedder: str = "minilm"
    cache: str | None = None
    skip_bad: str | None = None
    seed: int = 0


def run_trace_models(inputs: TraceModelsInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write the tables and `report.html` in `folder` and return what `run.json` holds; the same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend.
    """
    if not inputs.results:
        raise SettingsError("no results: give files or folders with --results")
    with RunFolder(folder, "trace models", command, asdict(inputs), inputs.seed) as run:
        log, known = _read(inputs), None if inputs.calibrated is None else read_calibrated(inputs.calibrated)
        log = log if known is None else onto(log, known)
        run.record["inputs"] = _hashes(inputs)
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        families = _families(inputs, log)
        progress.step("calibrate")
        traced = trace(log, _new(inputs, log), inputs, progress) if known is None else _trace_onto(log, known, inputs)
        held = run.step("held-out", keyed, ["held_out.csv"], lambda: _hold_out(traced, families, inputs, folder, progress))
        inflation = held.get("inflation", 1.0) if known is None else known.inflation

        def tables() -> JSON:
            if known is None:
                fitted = replace(traced.calibration, sd=traced.model.sd)
                write_calibrated(folder / NAME, CalibratedItems(fitted, log.catalogue, traced.model.spread, inflation))
            return write_tables(traced, families, inflation, folder, ask=inputs.ask, train=inputs.train, seed=inputs.seed)

        results = run.step("trace", keyed, [*TABLES, *([NAME] if known is None else [])], tables, after=["held-out"])
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        progress.step("report")
        from luthier.report.trace_models_page import write_trace_models_page

        write_trace_models_page(folder / "report.html", results, held, settings=asdict(inputs))
        record: JSON = run.record
        return record


def trace(log: AnswerLog, new: Sequence[int], inputs: TraceModelsInputs, progress: Progress = quiet) -> Traced:
    """Calibrate the items on the learners that are not new, read difficulty from text, and follow every learner."""
    from luthier.trace.checkpoints import follow
    from luthier.trace.difficulty import calibrate_with_text
    from luthier.trace.item_response import calibrate

    old = log.take_learners([place for place in range(len(log.learners)) if place not in set(new)])
    calibration, text = (
        (calibrate(old, inputs.parameters), None)
        if inputs.embedder == "none"
        else calibrate_with_text(old, lambda texts: _features(texts, inputs, progress), inputs.parameters)
    )
    model = calibration.model(old)
    return Traced(log, list(new), calibration, model, text, follow(model, log), inputs.checkpoints)


def _trace_onto(log: AnswerLog, known: CalibratedItems, inputs: TraceModelsInputs) -> Traced:
    from luthier.trace.checkpoints import follow

    model, new = known.model(), [] if inputs.checkpoints else list(range(len(log.learners)))
    return Traced(log, new, known.calibration, model, None, follow(model, log), inputs.checkpoints)


# --- reading ------------------------------------------------------------------------------------------------------------------


def _read(inputs: TraceModelsInputs) -> AnswerLog:
    from luthier.trace.results import read_results

    skipped = SkippedRows(Path(inputs.skip_bad)) if inputs.skip_bad else None
    log = read_results(inputs.results, inputs.items, skipped)
    if skipped is not None and skipped.count:
        rows = "1 bad row is" if skipped.count == 1 else f"{skipped.count} bad rows are"
        return replace(log, notes=(*log.notes, f"{rows} set aside in {inputs.skip_bad}"))
    return log


def _hashes(inputs: TraceModelsInputs) -> dict[str, str]:
    from luthier.trace.results import result_files

    files = [path for _, path, _ in result_files(inputs.results)]
    if inputs.calibrated is not None:
        files.append(Path(inputs.calibrated) / NAME if Path(inputs.calibrated).is_dir() else Path(inputs.calibrated))
    files += [Path(each) for each in (inputs.items, inputs.families) if each is not None]
    return {str(file): file_sha256(file) for file in files}


def _families(inputs: TraceModelsInputs, log: AnswerLog) -> list[str]:
    from luthier.trace.new_model import families

    given: dict[str, str] = {}
    if inputs.families is not None:
        with Path(inputs.families).open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), 2):
                if not row.get("learner") or not row.get("family"):
                    raise BadRowError("a row needs learner and family", inputs.families, number)
                given[row["learner"]] = row["family"]
        unknown = [name for name in given if name not in log.learners]
        if unknown:
            raise BadRowError(f"{unknown[0]!r} is not among the learners: {', '.join(log.learners[:8])}", inputs.families)
    return families(log.learners, given)


def _new(inputs: TraceModelsInputs, log: AnswerLog) -> list[int]:
    """Places of the learners to estimate. Raises SettingsError for a name that is not there, and where none is left to calibrate on."""
    if inputs.new is not None:
        for name in inputs.new:
            if name not in log.learners:
                raise SettingsError(f"no learner {name!r} among the results; they are {', '.join(log.learners[:12])}")
        found = [log.learners.index(name) for name in inputs.new]
    elif inputs.checkpoints:
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


def _features(texts: Sequence[str], inputs: TraceModelsInputs, progress: Progress) -> Any:
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.recipes.retrievers import open_retriever
    from luthier.trace.difficulty import text_features

    embedder = open_retriever(inputs.embedder)
    if not hasattr(embedder, "encode"):
        raise SettingsError(f"{inputs.embedder} gives no vectors; choose minilm, static, a folder, or none")
    progress.step("encode", len(set(texts)))
    return text_features(texts, embedder, EmbeddingCache(inputs.cache), progress.advance)


# --- tables -------------------------------------------------------------------------------------------------------------------


def _hold_out(traced: Traced, families: Sequence[str], inputs: TraceModelsInputs, folder: Path, progress: Progress) -> JSON:
    """How well families that were left out are estimated from `ask` items; empty where that cannot be tried."""
    import numpy as np

    from luthier.trace.new_model import HeldOut, hold_out_families, interval_inflation

    kept = [place for place in range(len(traced.log.learners)) if place not in traced.new]
    names = [families[place] for place in kept]
    rows: list[JSON] = []
    results: JSON = {"learners": 0}
    if not inputs.checkpoints and len(set(names)) >= 3 and inputs.ask > 0:
        progress.step("held-out", 2 * len(set(names)))
        tried: dict[str, list[HeldOut]] = {
            chosen: hold_out_families(
                traced.log.take_learners(kept),
                (inputs.ask,),
                names=names,
                draws=HELD_OUT_DRAWS,
                parameters=inputs.parameters,
                seed=inputs.seed,
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
                "asked": inputs.ask,
                "plain_error": float(np.mean([abs(row["plain"] - row["accuracy"]) for row in rows if row["chosen"] == "random"])),
                "inflation": max(interval_inflation(held) for held in tried.values()),
            }
            for chosen in CHOICES:
                some = [row for row in rows if row["chosen"] == chosen]
                results[f"error_{chosen}"] = float(np.mean([abs(row["estimate"] - row["accuracy"]) for row in some]))
                results[f"covered_{chosen}"] = float(np.mean([row["low"] <= row["accuracy"] <= row["high"] for row in some]))
    columns = ["learner", "family", "asked", "accuracy", "estimate", "low", "high", "plain", "chosen"]
    write_table(folder / "held_out.csv", rows, columns)
    return results
