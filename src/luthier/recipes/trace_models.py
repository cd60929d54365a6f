"""Trace language models: what each model or checkpoint masters, from the results of evaluations.

Reads top to bottom: read the results, calibrate the items (with their text as a prior), see how well a model family that was left out is
estimated, follow every learner, write the tables and the page.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, SettingsError
from luthier.packages import file_sha256
from luthier.recipes.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON, SkippedRows, atomic_write
from luthier.records.learning import AnswerLog

if TYPE_CHECKING:
    from luthier.trace.ability import AbilityModel
    from luthier.trace.calibration import Calibration
    from luthier.trace.checkpoints import Learners
    from luthier.trace.difficulty import TextDifficulty

PARTLY = 0.5  # of the items that a whole evaluation has: a learner with fewer is new, and its accuracy is estimated
FEW_ANSWERS = 8  # an item with as many learns nothing more from its text
HELD_OUT_DRAWS = 3  # samples of items for each learner
TABLES = ("items.csv", "learners.csv", "mastery.csv", "changes.csv", "ask.csv", "train.csv")


@dataclass(frozen=True)
class TraceModelsInputs:
    """Results, `PATH` or `NAME=PATH`, files or folders, and what to make of them.

    items: rows with the text and the concepts of items. families: a table learner,family; by name where left out. new: learners that are
    estimated from the items they answered and do not calibrate; None for those that answered less than half. checkpoints: the learners are
    stages of one model, in order, so a lost skill is an alarm. ask: how many items to ask next; train: how many to train on next.
    parameters: of an item, 1 or 2. embedder: `minilm`, `static`, a folder, or `none`: then difficulty is not read from text.
    """

    results: tuple[str, ...]
    items: str | None = None
    families: str | None = None
    new: tuple[str, ...] | None = None
    checkpoints: bool = False
    ask: int = 50
    train: int = 50
    parameters: int = 1
    embedder: str = "minilm"
    cache: str | None = None
    skip_bad: str | None = None
    seed: int = 0


class Traced(NamedTuple):
    """What the steps share. new: places of learners that did not calibrate."""

    log: AnswerLog
    new: list[int]
    calibration: Calibration
    model: AbilityModel
    text: TextDifficulty | None
    learners: Learners


def run_trace_models(inputs: TraceModelsInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write the tables and `report.html` in `folder` and return what `run.json` holds; the same call continues a stopped run.

    Raises LuthierError subclasses for what the user can mend.
    """
    if not inputs.results:
        raise SettingsError("no results: give files or folders with --results")
    with RunFolder(folder, "trace models", command, asdict(inputs), inputs.seed) as run:
        log = _read(inputs)
        run.record["inputs"] = _hashes(inputs)
        keyed = {**asdict(inputs), "files": run.record["inputs"]}
        families = _families(inputs, log)
        new = _new(inputs, log)
        progress.step("calibrate")
        traced = trace(log, new, inputs, progress)
        held = run.step(
            "held-out", keyed, ["held_out.csv"], lambda: _hold_out(traced, families, inputs, folder, progress)
        )
        results = run.step(
            "trace", keyed, TABLES, lambda: _tables(traced, families, held, inputs, folder), after=["held-out"]
        )
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        progress.step("report")
        from luthier.report.trace_models_page import write_trace_models_page

        write_trace_models_page(folder / "report.html", results, held, settings=asdict(inputs))
        record: JSON = run.record
        return record


def trace(log: AnswerLog, new: Sequence[int], inputs: TraceModelsInputs, progress: Progress = quiet) -> Traced:
    """Calibrate the items on the learners that are not new, read difficulty from text, and follow every learner."""
    import numpy as np

    from luthier.trace.calibration import DifficultyPrior, calibrate
    from luthier.trace.checkpoints import follow

    old = log.take_learners([place for place in range(len(log.learners)) if place not in set(new)])
    calibration = calibrate(old, inputs.parameters)
    text, features = _text(log, calibration, inputs, progress)
    if text is not None and features is not None:
        few = (calibration.answers < FEW_ANSWERS) & _with_text(log)
        if few.any():
            told = text.predict(features)
            mean, sd = calibration.prior
            calibration = calibrate(
                old, inputs.parameters, DifficultyPrior(np.where(few, told.mean, mean), np.where(few, told.sd, sd))
            )
    model = calibration.model(old)
    return Traced(log, list(new), calibration, model, text, follow(model, log))


# --- reading ------------------------------------------------------------------------------------------------------------------


def _read(inputs: TraceModelsInputs) -> AnswerLog:
    from luthier.trace.results import read_results

    skipped = SkippedRows(Path(inputs.skip_bad)) if inputs.skip_bad else None
    return read_results(inputs.results, inputs.items, skipped)


def _hashes(inputs: TraceModelsInputs) -> dict[str, str]:
    paths = [Path(given if Path(given).exists() else given.split("=", 1)[-1]) for given in inputs.results]
    files = [
        file
        for path in paths
        for file in ([path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()))
    ]
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
            raise BadRowError(
                f"{unknown[0]!r} is not among the learners: {', '.join(log.learners[:8])}", inputs.families
            )
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


def _with_text(log: AnswerLog) -> Any:
    import numpy as np

    return np.array([bool(item.text.strip()) for item in log.catalogue.items])


def _text(
    log: AnswerLog, calibration: Calibration, inputs: TraceModelsInputs, progress: Progress
) -> tuple[TextDifficulty | None, Any]:
    """The regression on texts and the features of all items; None where there are too few texts, or no embedder is wanted."""
    from luthier.models.embedding_cache import EmbeddingCache
    from luthier.recipes.retrievers import open_retriever
    from luthier.trace.calibration import FEW
    from luthier.trace.difficulty import LEAST_ITEMS, fit_text_difficulty, text_features

    known = _with_text(log) & (calibration.answers >= FEW)
    if inputs.embedder == "none" or known.sum() < LEAST_ITEMS:
        return None, None
    embedder = open_retriever(inputs.embedder)
    if not hasattr(embedder, "encode"):
        raise SettingsError(f"{inputs.embedder} gives no vectors; choose minilm, static, a folder, or none")
    texts = [item.text for item in log.catalogue.items]
    progress.step("encode", len(set(texts)))
    features = text_features(texts, embedder, EmbeddingCache(inputs.cache), progress.advance)
    return fit_text_difficulty(
        features[known], calibration.difficulty[known], calibration.difficulty_sd[known]
    ), features


# --- tables -------------------------------------------------------------------------------------------------------------------


def _hold_out(
    traced: Traced, families: Sequence[str], inputs: TraceModelsInputs, folder: Path, progress: Progress
) -> JSON:
    """How well families that were left out are estimated from `ask` items; empty where that cannot be tried."""
    import numpy as np

    from luthier.trace.new_model import hold_out_families, interval_inflation

    kept = [place for place in range(len(traced.log.learners)) if place not in traced.new]
    names = [families[place] for place in kept]
    rows: list[JSON] = []
    results: JSON = {"learners": 0}
    if not inputs.checkpoints and len(set(names)) >= 3 and inputs.ask > 0:
        progress.step("held-out", len(set(names)))
        held = hold_out_families(
            traced.log.take_learners(kept),
            (inputs.ask,),
            names=names,
            draws=HELD_OUT_DRAWS,
            parameters=inputs.parameters,
            seed=inputs.seed,
            progress=progress.advance,
        )
        rows = [one.to_row() for one in held]
        if held:
            missed, plain = ([abs(getattr(one, side) - one.accuracy) for one in held] for side in ("guess", "plain"))
            inside = [one.estimate.low <= one.accuracy <= one.estimate.high for one in held]
            results = {
                "learners": len({one.learner for one in held}), "families": len(set(names)), "asked": inputs.ask, "error": float(np.mean(missed)),
                "plain_error": float(np.mean(plain)), "covered": float(np.mean(inside)), "inflation": interval_inflation(held),
            }  # fmt: skip
    _write_table(
        folder / "held_out.csv", rows, ["learner", "family", "asked", "accuracy", "estimate", "low", "high", "plain"]
    )
    return results


def _tables(traced: Traced, families: Sequence[str], held: JSON, inputs: TraceModelsInputs, folder: Path) -> JSON:
    from luthier.trace.checkpoints import changes

    log, model = traced.log, traced.model
    estimates = _estimates(traced, families, held.get("inflation", 1.0))
    moved = (
        [change.to_row() for change in changes(model, log, traced.learners, seed=inputs.seed)]
        if inputs.checkpoints
        else []
    )
    asked, trained = _ask(traced, inputs), _train(traced, inputs)
    mastery = _mastery(traced)
    _write_table(folder / "items.csv", _items(traced), [])
    _write_table(folder / "learners.csv", estimates, [])
    _write_table(folder / "mastery.csv", mastery, ["learner", "concept", "mastery", "low", "high", "answers"])
    _write_table(folder / "changes.csv", moved, ["concept", "before", "after", "p", "p_all", "verdict"])
    _write_table(folder / "ask.csv", asked, ["learner", "item", "concepts", "difficulty"])
    _write_table(folder / "train.csv", trained, ["learner", "item", "concepts", "chance"])
    text = traced.text
    return {
        "answers": len(log), "items": len(log.catalogue.items), "learners": estimates, "concepts": [each.concept for each in log.catalogue.concepts],
        "mastery": mastery, "changes": moved, "alarms": sum(one["verdict"] == "lost" for one in moved), "ask": asked, "train": trained,
        "ability_sd": model.sd, "spread": model.spread, "rounds": traced.calibration.rounds, "notes": list(log.notes),
        "text": None if text is None else {"items": text.items, "correlation": text.correlation, "doubt": text.doubt, "points": _points(traced)},
    }  # fmt: skip


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
        among = np.flatnonzero([
            (traced.calibration.answers[item] > 0 and groups.issuperset(model.groups_of[item])) for item in range(len(model.difficulty))
        ])  # fmt: skip
        among = np.union1d(among, log.item[part])
        estimate = estimate_accuracy(model, log.item[part], log.correct[part].astype(np.float64), among, inflation)
        rows.append({"learner": name, "family": families[place], "new": place in traced.new, **estimate.to_row()})
    return rows


def _mastery(traced: Traced) -> list[JSON]:
    """A row for each learner and concept it has answers on."""
    log, mastery = traced.log, traced.learners.mastery
    return [
        {"learner": name, "concept": each.concept, "mastery": float(mastery.probability[place, at]), "low": float(mastery.low[place, at]),
         "high": float(mastery.high[place, at]), "answers": int(mastery.evidence[place, at])}
        for place, name in enumerate(log.learners) for at, each in enumerate(log.catalogue.concepts) if mastery.evidence[place, at] > 0
    ]  # fmt: skip


def _items(traced: Traced) -> list[JSON]:
    log, fitted = traced.log, traced.calibration
    told = _from_text(traced)
    return [
        {"item": item.item, "concepts": "|".join(item.concepts), "answers": int(fitted.answers[at]), "difficulty": float(fitted.difficulty[at]),
         "sd": float(fitted.difficulty_sd[at]), "discrimination": float(fitted.discrimination[at]),
         "from_text": told.get(at), "predicted": bool(fitted.answers[at] == 0)}
        for at, item in enumerate(log.catalogue.items)
    ]  # fmt: skip


def _from_text(traced: Traced) -> dict[int, float]:
    """Of the items the regression was fitted on, what the others' texts say of theirs."""
    import numpy as np

    from luthier.trace.calibration import FEW

    if traced.text is None:
        return {}
    known = np.flatnonzero(_with_text(traced.log) & (traced.calibration.answers >= FEW))
    return {int(item): float(value) for item, value in zip(known, traced.text.left_out, strict=True)}


def _points(traced: Traced, most: int = 1500) -> list[tuple[float, float]]:
    """(difficulty from text, observed), evenly thinned."""
    told = list(_from_text(traced).items())
    step = max(1, -(-len(told) // most))
    return [(round(value, 3), round(float(traced.calibration.difficulty[item]), 3)) for item, value in told[::step]]


def _ask(traced: Traced, inputs: TraceModelsInputs) -> list[JSON]:
    """Items to ask next: each new learner, or any where none is new."""
    from luthier.trace.new_model import choose_items

    log, model = traced.log, traced.model
    rows: list[JSON] = []
    places: list[int | None] = [*traced.new] or [None]
    for place in places:
        asked = [] if place is None else log.item[log.of_learner(place)].tolist()
        for item in choose_items(model, inputs.ask, asked, inputs.seed):
            named = log.catalogue.items[item]
            rows.append({"learner": "" if place is None else log.learners[place], "item": named.item,
                         "concepts": "|".join(named.concepts), "difficulty": float(model.difficulty[item])})  # fmt: skip
    return rows


def _train(traced: Traced, inputs: TraceModelsInputs) -> list[JSON]:
    """Items to train on next, for the new learners, or else the last one read."""
    from luthier.trace.checkpoints import items_to_train

    log = traced.log
    return [
        {"learner": log.learners[place], "item": log.catalogue.items[item].item, "concepts": "|".join(log.catalogue.items[item].concepts), "chance": chance}
        for place in (traced.new or [len(log.learners) - 1])
        for item, chance in items_to_train(traced.model, log, traced.learners.states[place], inputs.train)
    ]  # fmt: skip


def _write_table(path: Path, rows: Iterable[JSON], columns: Sequence[str]) -> None:
    rows = list(rows)
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
