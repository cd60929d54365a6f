"""Preference pairs in a run folder: a model's own answers to questions, the wrong ones of them, bridged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.models.opening import model_reads, open_model
from luthier.progress import Progress, quiet
from luthier.records import JSON, Message, write_jsonl
from luthier.records.files import evenly
from luthier.run import Run
from luthier.synthesize.pairs import page
from luthier.synthesize.pairs.settings import PairSettings

if TYPE_CHECKING:
    from luthier.synthesize.pairs import Bridger, Draft, PairReport, Question

PAIRS, SAMPLES, EDITS = page.PAIRS, "samples.jsonl", "edits.jsonl"
BRIDGING = ("per_question", "bridge", "editor", "editor_endpoint", "farthest")  # settings that shape the pairs, not the answers


def run(settings: PairSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep `pairs.jsonl`, and what the models said; the same call continues a stopped run, and asks no answer twice.

    Raises SettingsError where nothing comes of the settings, and what opening the models and reading the questions raise.
    """
    questions = _questions(settings)
    asked = [question for question in questions if question.rejected is None]
    model = settings.open() if asked else None
    editor = _editor(settings) if settings.bridge == "model" else None
    job = Job(questions, asked, settings, out, model, editor, progress)
    answering = [*((path, Path(path)) for path in settings.data), *(settings.reads() if asked else [])]
    editing = model_reads(str(settings.editor), endpoint=settings.editor_endpoint) if editor else []
    with Run(out, "synthesize pairs", settings, reads=[*answering, *editing], progress=progress, draw=page.draw) as made:
        uses = [name for name in made.settings if name not in BRIDGING]
        made.step("answers", partial(_sample, job), uses=uses, reads=[name for name, _ in answering], files=[SAMPLES] if asked else [])
        made.step("pairs", partial(_bridge, job), files=[PAIRS, *([EDITS] if editor else [])], after=["answers"])
    return made


def _editor(settings: PairSettings) -> Any:
    return open_model(str(settings.editor), endpoint=settings.editor_endpoint, **settings.beside(settings.editor_endpoint))


def _questions(settings: PairSettings) -> list[Question]:
    from luthier.synthesize.pairs import read_questions

    found = evenly([question for path in settings.data for question in read_questions(path)], settings.limit)
    if not found:
        raise SettingsError(f"{', '.join(settings.data)}: no questions there")
    unanswered = [question for question in found if question.rejected is None and question.answer is None]
    if unanswered:
        raise SettingsError(
            f"{unanswered[0].place}: no final answer to check drafts against; add a field `answer`, or end the solution with"
            f' "The answer is …" ({len(unanswered)} of {len(found)} rows)'
        )
    return found


@dataclass(frozen=True)
class Job:
    """What the steps work on. asked: the questions that the model answers; model, editor: those that are needed."""

    questions: Sequence[Question]
    asked: Sequence[Question]
    settings: PairSettings
    folder: Path
    model: Any
    editor: Any
    progress: Progress


def _sample(job: Job) -> JSON:
    count = len(job.asked) * job.settings.samples
    job.progress.step("Answering", count)
    _answers(job, job.progress)
    return {"questions": len(job.asked), "answers": count}


def _answers(job: Job, progress: Progress = quiet) -> list[list[str | None]]:
    """`samples` answers to each question, None for one cut off: from the journal where they are there, else from the model."""
    from luthier.models.protocol import Prompt, Sampling
    from luthier.models.replay import RecordingModel

    settings = job.settings
    if not job.asked:
        return []
    sampling = Sampling(settings.max_tokens, settings.temperature, seed=settings.seed)
    prompts = [Prompt(_asking(question, settings.ask), question.tools) for question in job.asked for _ in range(settings.samples)]
    with RecordingModel(job.model, job.folder / SAMPLES) as model:
        made = model.generate(prompts, sampling, progress.advance)
    texts = [answer.text if answer.finish == "stop" else None for answer in made]
    return [texts[at : at + settings.samples] for at in range(0, len(texts), settings.samples)]


def _asking(question: Question, ask: str) -> tuple[Message, ...]:
    *before, last = question.prompt
    return (*before, replace(last, content=f"{last.content}\n\n{ask}")) if ask else question.prompt


def _bridge(job: Job) -> JSON:
    from luthier.models.replay import RecordingModel
    from luthier.synthesize.pairs import AnswerSwap, Gate, ModelBridger, PairReport, Splice, make_pairs

    settings, report = job.settings, PairReport()
    drafts, gate = _drafts(job, report), Gate(settings.farthest)
    job.progress.step("Bridging", len(drafts) if job.editor else None)
    made_by: JSON = {"bridger": settings.bridge}
    if job.editor:
        with RecordingModel(job.editor, job.folder / EDITS) as editor:
            bridger = ModelBridger(editor, seed=settings.seed)
            rows = make_pairs(drafts, bridger, report, gate, job.progress.advance)
        made_by = {"bridger": bridger.name, "instruction_sha256": bridger.prompt_sha256}
    else:
        ways: dict[str, Bridger | None] = {"answer-swap": AnswerSwap(), "splice": Splice(), "none": None}
        rows = make_pairs(drafts, ways[settings.bridge], report, gate)
    if not rows:
        raise SettingsError(
            f"no pairs: of {report.answers} answers {report.right} are right, {report.without_answer} state no final answer"
            f" and {report.cut_off} are cut off at {settings.max_tokens} tokens;"
            " draw more with --samples, raise --temperature, or say with --ask how an answer must end"
        )
    write_jsonl(job.folder / PAIRS, rows)
    return {**report.to_row(), **made_by}


def _drafts(job: Job, report: PairReport) -> list[Draft]:
    """The losing answers that came with the data, and the model's wrong ones."""
    from luthier.synthesize.pairs import given_drafts, wrong_drafts

    answers = _answers(job)
    return given_drafts(job.questions, report) + wrong_drafts(job.asked, answers, report, per_question=job.settings.per_question)
