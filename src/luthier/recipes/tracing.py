"""Knowledge tracing as runs: import answers, fit a tracer, evaluate it beside the baselines, and say where learners stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.records import JSON, SkippedRows

if TYPE_CHECKING:
    from luthier.trace.answers import AnswerLog
    from luthier.trace.tracer import Tracer, TracerSettings

TRACER, SPLIT, AUDIT, EPOCHS = "tracer", "split.json", "audit.csv", "epochs"


@dataclass(frozen=True)
class AnswerFiles:
    """Files of answers and what goes with them; see `luthier.trace.readers.read_answers`."""

    data: tuple[str, ...]
    layout: str = "auto"
    items: str | None = None
    concepts: str | None = None
    edges: str | None = None
    names: str | None = None
    skip_bad: str | None = None

    def read(self) -> AnswerLog:
        """The answers. Raises BadRowError, MissingFileError, SettingsError."""
        from luthier.trace.readers import read_answers

        skipped = None if self.skip_bad is None else SkippedRows(Path(self.skip_bad))
        return read_answers(
            self.data, self.layout, items=self.items, concepts=self.concepts, edges=self.edges, names=self.names, skipped=skipped
        )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that is read, those of a folder included."""
        named = [path for path in (*self.data, self.items, self.concepts, self.edges, self.names) if path is not None]
        files = [each for path in named for each in (sorted(Path(path).glob("*.jsonl")) if Path(path).is_dir() else [Path(path)])]
        return {str(path): file_sha256(path) for path in files if path.is_file()}


@dataclass(frozen=True)
class TraceSettings:
    """How a tracer is built and trained; see `luthier.trace.tracer.TracerSettings` and `luthier.trace.fitting.FitSettings`."""

    encoder: str = "minilm"
    graph: tuple[str, ...] = ("qmatrix", "expert")
    dim: int = 64
    layers: int = 2
    epochs: int = 5
    learning_rate: float = 2e-3
    batch: int = 32
    window: int = 200
    least: int = 10
    item_residual: bool = True
    evidence: bool = True

    def tracer_settings(self, seed: int) -> TracerSettings:
        from luthier.trace.fitting import FitSettings
        from luthier.trace.tracer import TracerSettings

        fit = FitSettings(self.epochs, self.learning_rate, batch=self.batch, window=self.window, least=self.least, seed=seed)
        shapes = {name: getattr(self, name) for name in ("encoder", "graph", "dim", "layers", "item_residual", "evidence")}
        return TracerSettings(**shapes, fit=fit)


def import_answers(files: AnswerFiles, folder: Path) -> JSON:
    """Read answers of any layout and write them as the long table in `folder`; returns what was found. Raises BadRowError, DiskError."""
    from luthier.trace.readers import write_long_table

    log = files.read()
    write_long_table(log, folder)
    return describe(log)


def describe(log: AnswerLog) -> JSON:
    """Numbers of a log, as `run.json` and the command line show them."""
    import numpy as np

    sizes = np.diff(log.starts)
    return {
        "answers": len(log),
        "learners": len(log.learners),
        "items": len(log.catalogue.items),
        "concepts": len(log.catalogue.concepts),
        "edges": len(log.catalogue.edges),
        "right": float(log.correct.mean()),
        "merged_rows": log.merged,
        "moved_rows": log.moved,
        "longest": int(sizes.max()),
        "median_length": float(np.median(sizes)),
        "notes": list(log.notes),
        "with_text": sum(bool(item.text) for item in log.catalogue.items),
        "without_concepts": sum(not item.concepts for item in log.catalogue.items),
    }


def fit_run(files: AnswerFiles, settings: TraceSettings, folder: Path, command: str, *, seed: int = 0, progress: Progress = quiet) -> JSON:
    """Fit a tracer on nine learners of ten and calibrate it on the rest; `tracer/` in the run folder holds it.

    A stopped run continues after the last finished epoch. Raises SettingsError, BadRowError, MissingFileError.
    """
    with RunFolder(folder, "trace-fit", command, {"files": asdict(files), **asdict(settings)}, seed) as run:
        run.record["inputs"] = files.hashes()
        log = files.read()
        run.record["data"] = describe(log)

        def work() -> JSON:
            from luthier.trace.splits import split_learners
            from luthier.trace.tracer import Tracer

            tracer = Tracer(settings.tracer_settings(seed))
            progress.step("trace", settings.epochs)
            split = split_learners(log, shares=(0.9, 0.1, 0.0), seed=seed)
            fitted = tracer.fit(log, split, folder=folder / EPOCHS, tell=_teller(progress, settings.epochs))
            tracer.save(folder / TRACER)
            sha256 = split.save(folder / SPLIT)
            return {
                "epochs": [each._asdict() for each in fitted.epochs],
                "split": sha256,
                "version": tracer.version,
                "platt": [each._asdict() for each in tracer.platt],
                "nodes": len(tracer.module.question_texts),
            }

        run.step(
            "fit", {"files": run.record["inputs"], "layout": files.layout, **asdict(settings), "seed": seed}, [TRACER, SPLIT, EPOCHS], work
        )
        run.finish(peak_memory_mib=peak_memory_mib())
        record: JSON = run.record
        return record


@dataclass(frozen=True)
class Protocol:
    """How a tracer is evaluated: what is held out (`none`, `concepts` or `items`), how many draws, and how many resamples an interval has."""

    hold: str = "none"
    draws: int = 1
    resamples: int = 200


def evaluate_run(
    files: AnswerFiles,
    settings: TraceSettings,
    protocol: Protocol,
    folder: Path,
    command: str,
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> JSON:
    """Split, fit and score the tracer and all baselines, once a draw, and write the page; a stopped run continues with the draw it was at.

    Raises SettingsError, BadRowError, MissingFileError.
    """
    from luthier.report.trace_page import write_trace_page

    if protocol.hold not in ("none", "concepts", "items"):
        raise SettingsError(f"there is no way to hold out {protocol.hold!r}; choose none, concepts or items")
    if protocol.draws < 1:
        raise SettingsError("at least one draw is needed")
    with RunFolder(folder, "trace-evaluate", command, {"files": asdict(files), **asdict(settings), **asdict(protocol)}, seed) as run:
        run.record["inputs"] = files.hashes()
        log = files.read()
        run.record["data"] = describe(log)
        asked = {
            "files": run.record["inputs"],
            "layout": files.layout,
            **asdict(settings),
            "hold": protocol.hold,
            "resamples": protocol.resamples,
        }
        names = []
        for draw in range(protocol.draws):
            name = f"draw-{draw}"
            names.append(name)
            run.step(
                name,
                {**asked, "seed": seed + draw},
                [name],
                partial(_draw, log, settings, protocol, folder=folder / name, seed=seed + draw, progress=progress),
            )
        results = [run.record["steps"][name]["results"] for name in names]
        run.record["over_draws"] = over_draws(results)
        run.finish(peak_memory_mib=peak_memory_mib())
        write_trace_page(folder / "report.html", run.record, results)
        record: JSON = run.record
        return record


def over_draws(results: Sequence[JSON]) -> JSON:
    """AUC of every model, and SINKT's lead over each, as mean, lowest and highest of the draws, on every part that is always there."""
    parts = [name for name in ("all", "unseen", "seen") if all(name in one["scores"]["sinkt"] for one in results)]
    models = [name for name in results[0]["scores"] if all(name in one["scores"] for one in results)]

    def spread(values: list[float | None]) -> JSON:
        some = [each for each in values if each is not None]
        return {"mean": sum(some) / len(some) if some else None, "low": min(some, default=None), "high": max(some, default=None)}

    return {
        "draws": len(results),
        "auc": {
            model: {part: spread([one["scores"][model][part]["auc"]["value"] for one in results]) for part in parts} for model in models
        },
        "ece": {
            model: {part: spread([one["scores"][model][part]["ece"]["value"] for one in results]) for part in parts} for model in models
        },
        "lead": {
            model: {part: spread([one["differences"][model][part]["value"] for one in results]) for part in parts}
            for model in models
            if model != "sinkt"
        },
    }


def open_tracer(path: Path) -> Tracer:
    """The tracer of a run folder, or of the folder of a tracer itself. Raises MissingFileError, BadRowError."""
    from luthier.trace.tracer import Tracer

    return Tracer.load(path / TRACER if (path / TRACER).is_dir() else path)


def _draw(log: AnswerLog, settings: TraceSettings, protocol: Protocol, *, folder: Path, seed: int, progress: Progress) -> JSON:
    from luthier.trace.audit import write_audit
    from luthier.trace.protocol import evaluate_tracer, tracer_chances
    from luthier.trace.splits import split_learners
    from luthier.trace.tracer import Tracer

    hold: Any = None if protocol.hold == "none" else protocol.hold
    split = split_learners(log, seed=seed, hold=hold)
    split.save(folder / SPLIT)
    tracer = Tracer(settings.tracer_settings(seed))
    progress.step("trace", 2 * settings.epochs)
    evaluated = evaluate_tracer(
        log, split, tracer, folder=folder / EPOCHS, tell=_teller(progress, 2 * settings.epochs), draws=protocol.resamples
    )
    chances = {
        name: evaluated.chances["sinkt"] if name == "test" else tracer_chances(tracer, part) for name, part in evaluated.parts.items()
    }
    write_audit(folder / AUDIT, evaluated.parts, chances)
    tracer.save(folder / TRACER)
    return evaluated.results


def _teller(progress: Progress, total: int) -> Callable[[str], None]:
    """Counts the lines about epochs."""
    done = 0

    def tell(line: str) -> None:
        nonlocal done
        done += line.startswith("epoch ")
        progress.update(done, total, line)

    return tell
