"""Infuse the memory facts of a fusion suite into a model: continued pre-training, then supervised fine-tuning, each a step that resumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, read_conversations, read_rows
from luthier.records.fusion_suite import CONVERSATIONS, STAGES, STATEMENTS, Stage, read_suite
from luthier.train.infusion import InfusionSettings, check_infusion, infuse

if TYPE_CHECKING:
    from luthier.models.local import LocalModel

MADE = {"full": "model", "lora": "adapter", "flat": "adapter"}


@dataclass(frozen=True)
class InfusionInputs:
    """A suite's folder, the model ('bundled' or a transformers folder) and the stages, in their order. general: files of conversations
    that are mixed into continued pre-training, against forgetting."""

    suite: str
    model: str = "bundled"
    stages: tuple[Stage, ...] = STAGES
    general: tuple[str, ...] = ()
    settings: InfusionSettings = field(default_factory=InfusionSettings)


def run_infusion(inputs: InfusionInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Train each stage in a folder of its name under `folder` and return what `run.json` holds; the same call continues a stopped run.

    Raises SettingsError for stages that are not known and settings without meaning.
    """
    check_infusion(inputs.settings)
    if not inputs.stages or list(inputs.stages) != [stage for stage in STAGES if stage in inputs.stages]:
        raise SettingsError(f"stages are {', '.join(STAGES)}, in this order, or one of them")
    suite = read_suite(inputs.suite)
    with RunFolder(folder, "train infuse", command, asdict(inputs), inputs.settings.seed) as run:
        files = [suite.folder / STATEMENTS, suite.folder / CONVERSATIONS, *map(Path, inputs.general)]
        run.record["inputs"] = {str(path): file_sha256(path) for path in files if path.is_file()}
        before: list[str] = []
        for stage in inputs.stages:
            keyed = _key(stage, inputs, run.record["inputs"])
            progress.step(f"infuse-{stage}")
            previous = folder / before[-1] / MADE[inputs.settings.way] if before else None
            run.step(stage, keyed, [stage], partial(_train, stage, previous, inputs, folder, progress), after=before)
            before.append(stage)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _key(stage: Stage, inputs: InfusionInputs, files: JSON) -> JSON:
    """What shapes a stage: other settings of the second do not repeat the first."""
    settings = asdict(inputs.settings)
    for other in STAGES:
        if other != stage:
            del settings[other]
    return {"model": inputs.model, "settings": settings, "files": files, "stage": stage}


def _train(stage: Stage, previous: Path | None, inputs: InfusionInputs, folder: Path, progress: Progress) -> JSON:
    place = folder / stage
    place.mkdir(parents=True, exist_ok=True)
    general = [one for path in inputs.general for one in read_conversations(Path(path))] if stage == "continued" else []
    return infuse(
        stage,
        _start(previous, inputs),
        place,
        inputs.settings,
        general=general,
        statements=[str(row["text"]) for _, row in read_rows(Path(inputs.suite) / STATEMENTS)],
        conversations=list(read_conversations(Path(inputs.suite) / CONVERSATIONS)),
        progress=lambda done, planned, loss: progress.update(done, planned, f"loss {loss:.3f}"),
    )


def _start(previous: Path | None, inputs: InfusionInputs) -> LocalModel:
    """The base, or what the stage before made of it."""
    if previous is None or inputs.settings.way == "full":
        model: LocalModel = open_model(inputs.model if previous is None else str(previous))
    else:
        model = open_model(inputs.model, previous)
    return model
