"""Score a model on files of multiple-choice questions by the likelihood of their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, Journal, SkippedRows, read_rows
from luthier.records.choices import ChoiceQuestion, read_choices
from luthier.records.files import evenly

if TYPE_CHECKING:
    from luthier.evaluate.choice import ChoiceScore, Style
    from luthier.models.local import LocalModel
    from luthier.models.options import Targets

SCORES = "scores.jsonl"


@dataclass(frozen=True)
class ChoiceInputs:
    """Files of questions and the model, 'bundled' or a transformers folder, with its adapter.

    limit: questions of each file, evenly spaced, None for all. by: `texts` or `letters`; style: `chat` or `plain`.
    """

    data: tuple[str, ...]
    model: str = "bundled"
    adapter: str | None = None
    dtype: str = "auto"
    limit: int | None = None
    by: Targets = "texts"
    style: Style = "chat"
    skip_bad: str | None = None


def run_choice(inputs: ChoiceInputs, folder: Path, command: str, progress: Progress = quiet) -> JSON:
    """Write `scores.jsonl` and `report.html` in `folder` and return what `run.json` holds; a stopped run continues where it was.

    Raises SettingsError where nothing comes of the inputs.
    """
    if not inputs.data:
        raise SettingsError("no data: give files of multiple-choice questions")
    with RunFolder(folder, "evaluate choice", command, asdict(inputs), 0) as run:
        adapter = Path(inputs.adapter) if inputs.adapter else None
        files = {path: file_sha256(Path(path)) for path in inputs.data if Path(path).is_file()}
        weights = (adapter or Path()) / "adapter_model.safetensors"
        files |= {str(weights): file_sha256(weights)} if adapter and weights.is_file() else {}
        run.record["inputs"] = files
        questions = _questions(inputs)
        model = open_model(inputs.model, adapter, inputs.dtype)
        keyed = {**asdict(inputs), "files": files}
        results = run.step("scores", keyed, [SCORES], lambda: _score(questions, inputs, folder, model, progress))
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        from luthier.report.choice_page import write_choice_page

        rows = [row for _, row in read_rows(folder / SCORES)]
        write_choice_page(folder / "report.html", results, rows, settings=asdict(inputs))
        record: JSON = run.record
        return record


def _questions(inputs: ChoiceInputs) -> list[ChoiceQuestion]:
    skipped = SkippedRows(Path(inputs.skip_bad)) if inputs.skip_bad else None
    found: list[ChoiceQuestion] = []
    for path in inputs.data:
        rows = list(read_choices(path, skipped))
        found += [replace(question, group=Path(path).name.split(".")[0]) for question in evenly(rows, inputs.limit)]
    if not found:
        raise SettingsError(f"{', '.join(inputs.data)}: no questions there")
    return found


def _score(questions: Sequence[ChoiceQuestion], inputs: ChoiceInputs, folder: Path, model: LocalModel, progress: Progress) -> JSON:
    from luthier.evaluate.choice import ChoiceScore, accuracies, score_choices

    progress.step("choice", len(questions))
    with Journal(folder / SCORES) as journal:
        done = sum(1 for _ in journal)
        progress.advance(done)
        for score in score_choices(model, questions[done:], inputs.by, inputs.style):
            journal.append(score.to_row())
            progress.advance(1)
    scores = [ChoiceScore.from_row(row) for _, row in read_rows(folder / SCORES)]
    groups: dict[str, list[ChoiceScore]] = {}
    for score in scores:
        groups.setdefault(score.question.group, []).append(score)
    return {"groups": {name: accuracies(each) for name, each in groups.items()}, "all": accuracies(scores)}
