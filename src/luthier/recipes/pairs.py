"""Preference pairs from questions with right answers: sample a model's own answers, keep the wrong ones, bridge them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.packages import file_sha256
from luthier.progress import Progress, quiet
from luthier.recipes.run_folder import RunFolder, peak_memory_mib
from luthier.recipes.tools import open_model
from luthier.records import JSON, Message, read_rows, write_jsonl
from luthier.records.files import evenly

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.synthesize.pairs import Bridger, Draft, PairReport, Question

BRIDGES = ("answer-swap", "splice", "model", "none")
PAIRS, SAMPLES, EDITS = "pairs.jsonl", "samples", "edits"


@dataclass(frozen=True)
class PairInputs:
    """Files of questions, and the model that answers them wrongly: 'bundled', a transformers folder or, with `endpoint`, a served model.

    limit: questions taken, evenly spaced, None for all; samples: answers drawn for each; per_question: pairs of each at most.
    ask: put after a question when the model is asked ("End with: The answer is …"); the pairs do not carry it.
    bridge: how drafts are bridged; editor, editor_endpoint: the model that does it for `model`; farthest: largest edit distance of a bridge.
    """

    data: tuple[str, ...]
    model: str = "bundled"
    adapter: str | None = None
    endpoint: str | None = None
    limit: int | None = None
    samples: int = 2
    per_question: int = 1
    ask: str = ""
    temperature: float = 0.8
    max_tokens: int = 192
    bridge: str = "answer-swap"
    editor: str | None = None
    editor_endpoint: str | None = None
    farthest: float = 0.8
    seed: int = 0


def run_pairs(inputs: PairInputs, folder: Path, command: str, progress: Progress = quiet, *, api_key: str | None = None) -> JSON:
    """Write `pairs.jsonl` and `report.html` in `folder` and return what `run.json` holds; a stopped run asks no answer twice.

    api_key: for the endpoints; it is not written anywhere.

    Raises SettingsError where nothing comes of the inputs.
    """
    _check(inputs)
    job = _Job(inputs, folder, progress, api_key)
    with RunFolder(folder, "synthesize pairs", command, asdict(inputs), inputs.seed) as run:
        files = {path: file_sha256(Path(path)) for path in inputs.data if Path(path).is_file()}
        weights = Path(inputs.adapter or "") / "adapter_model.safetensors"
        files |= {str(weights): file_sha256(weights)} if weights.is_file() else {}
        run.record["inputs"] = files
        questions = _questions(inputs)
        shared = {"files": files, "limit": inputs.limit, "seed": inputs.seed}
        asked = [question for question in questions if question.rejected is None]
        asking = {name: getattr(inputs, name) for name in ("model", "adapter", "endpoint", "samples", "ask", "temperature", "max_tokens")}
        run.step("answers", {**shared, **asking}, [], lambda: _sample(asked, job))
        bridging = {name: getattr(inputs, name) for name in ("per_question", "bridge", "editor", "editor_endpoint", "farthest")}
        run.step("pairs", bridging, [PAIRS], lambda: _bridge(questions, job), after=["answers"])
        _write_page(run.record, folder, inputs)
        run.finish(peak_memory_mib=max(peak_memory_mib(), run.record.get("peak_memory_mib", 0.0)))
        return run.record


def _write_page(record: JSON, folder: Path, inputs: PairInputs) -> None:
    from luthier.report.preference_page import write_pairs_page

    rows = [row for _, row in read_rows(folder / PAIRS)]
    names = [Path(path).name for path in inputs.data]
    write_pairs_page(record["steps"]["pairs"]["results"], rows, folder / "report.html", data=names, seed=inputs.seed)


def _check(inputs: PairInputs) -> None:
    if not inputs.data:
        raise SettingsError("no data: give at least one file of questions with right answers")
    if inputs.bridge not in BRIDGES:
        raise SettingsError(f"bridge is {inputs.bridge!r}; choose one of {', '.join(BRIDGES)}")
    if inputs.bridge == "model" and inputs.editor is None:
        raise SettingsError("the bridge 'model' needs a model that edits: name it with --editor (a folder, or a served model)")
    if inputs.samples < 1 or inputs.per_question < 1:
        raise SettingsError("samples and per_question must be 1 or more")


def _questions(inputs: PairInputs) -> list[Question]:
    from luthier.synthesize.pairs import read_questions

    found = evenly([question for path in inputs.data for question in read_questions(path)], inputs.limit)
    if not found:
        raise SettingsError(f"{', '.join(inputs.data)}: no questions there")
    unanswered = [question for question in found if question.rejected is None and question.answer is None]
    if unanswered:
        raise SettingsError(
            f"{unanswered[0].place}: no final answer to check drafts against; add a field `answer`, or end the solution with"
            f' "The answer is …" ({len(unanswered)} of {len(found)} rows)'
        )
    return found


@dataclass(frozen=True)
class _Job:
    """What the steps share."""

    inputs: PairInputs
    folder: Path
    progress: Progress
    api_key: str | None

    def engine(self, name: str, endpoint: str | None, adapter: str | None = None) -> LanguageModel:
        from luthier.models.endpoint import EndpointModel

        if endpoint is not None:
            return EndpointModel(endpoint, name, self.api_key)
        model: LanguageModel = open_model(name, None if adapter is None else Path(adapter))
        return model

    def journal(self, name: str, engine: LanguageModel) -> Path:
        """Where the engine's answers are kept, found by their content: other settings do not ask them again."""
        return self.folder / f"{name}-{hashlib.sha256(engine.name.encode()).hexdigest()[:8]}.jsonl"


def _sample(asked: Sequence[Question], job: _Job) -> JSON:
    job.progress.step("answers", len(asked) * job.inputs.samples)
    _answers(asked, job, job.progress)
    return {"questions": len(asked), "answers": len(asked) * job.inputs.samples}


def _answers(asked: Sequence[Question], job: _Job, progress: Progress = quiet) -> list[list[str | None]]:
    """`samples` answers to each question, None for one cut off: from the journal where they are there, else from the model."""
    from luthier.models.protocol import Prompt, Sampling
    from luthier.models.replay import RecordingModel

    inputs = job.inputs
    if not asked:
        return []
    sampling = Sampling(inputs.max_tokens, inputs.temperature, seed=inputs.seed)
    prompts = [Prompt(_asking(question, inputs.ask), question.tools) for question in asked for _ in range(inputs.samples)]
    engine = job.engine(inputs.model, inputs.endpoint, inputs.adapter)
    with RecordingModel(engine, job.journal(SAMPLES, engine)) as model:
        made = model.generate(prompts, sampling, progress.advance)
    texts = [answer.text if answer.finish == "stop" else None for answer in made]
    return [texts[at : at + inputs.samples] for at in range(0, len(texts), inputs.samples)]


def _asking(question: Question, ask: str) -> tuple[Message, ...]:
    *before, last = question.prompt
    return (*before, replace(last, content=f"{last.content}\n\n{ask}")) if ask else question.prompt


def _bridge(questions: Sequence[Question], job: _Job) -> JSON:
    from luthier.models.replay import RecordingModel
    from luthier.synthesize.pairs import AnswerSwap, Gate, ModelBridger, PairReport, Splice, make_pairs

    inputs, report = job.inputs, PairReport()
    drafts, gate = _drafts(questions, job, report), Gate(inputs.farthest)
    job.progress.step("bridge", len(drafts) if inputs.bridge == "model" else None)
    made_by: JSON = {"bridger": inputs.bridge}
    if inputs.bridge == "model":
        engine = job.engine(str(inputs.editor), inputs.editor_endpoint)
        with RecordingModel(engine, job.journal(EDITS, engine)) as editor:
            bridger = ModelBridger(editor, seed=inputs.seed)
            rows = make_pairs(drafts, bridger, report, gate, job.progress.advance)
        made_by = {"bridger": bridger.name, "instruction_sha256": bridger.prompt_sha256}
    else:
        ways: dict[str, Bridger | None] = {"answer-swap": AnswerSwap(), "splice": Splice(), "none": None}
        rows = make_pairs(drafts, ways[inputs.bridge], report, gate)
    if not rows:
        raise SettingsError(
            f"no pairs: of {report.answers} answers {report.right} are right, {report.without_answer} state no final answer"
            f" and {report.cut_off} are cut off at {inputs.max_tokens} tokens;"
            " draw more with --samples, raise --temperature, or say with --ask how an answer must end"
        )
    write_jsonl(job.folder / PAIRS, rows)
    return {**report.to_row(), **made_by}


def _drafts(questions: Sequence[Question], job: _Job, report: PairReport) -> list[Draft]:
    """The losing answers that came with the data, and the model's wrong ones."""
    from luthier.synthesize.pairs import given_drafts, wrong_drafts

    asked = [question for question in questions if question.rejected is None]
    answers = _answers(asked, job)
    return given_drafts(questions, report) + wrong_drafts(asked, answers, report, per_question=job.inputs.per_question)
