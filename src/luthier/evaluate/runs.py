"""Score a model in a run folder: on function calling, and on multiple-choice questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import EngineError, SettingsError
from luthier.evaluate import choice_page, tools_page
from luthier.evaluate.settings import ChoiceSettings, Decoding, ToolsEvaluationSettings
from luthier.packages import BFCL, fetch_wheel
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, SkippedRows, read_rows
from luthier.records.choices import ChoiceQuestion, read_choices
from luthier.records.files import evenly
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.evaluate.tools import AnyItem
    from luthier.models.local import LocalModel
    from luthier.models.protocol import LanguageModel
    from luthier.records.bfcl_multi_turn import MultiTurnItem

ANSWERS, SCORES = tools_page.ANSWERS, choice_page.SCORES
RESULTS = "bfcl"
STEPS = "steps.jsonl"
FIELDS = ("question", "options", "logprobs")  # that every row of scores has


def run_tools(settings: ToolsEvaluationSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the judged answers, `answers.jsonl`, and their scores; the same call continues a stopped evaluation.

    Raises EngineError where a grammar is needed for what cannot follow one, and what reading the items and opening the model raise.
    """
    from luthier.evaluate.own_items import read_own_items
    from luthier.records.bfcl import load_items
    from luthier.records.bfcl_multi_turn import MULTI_TURN_CATEGORIES, load_multi_turn

    items: list[AnyItem] = [*read_own_items(settings.files, settings.each)] if settings.files else []
    limits = settings.limits()
    dialogues: list[MultiTurnItem] = []
    for category, limit in limits.items():
        if category in MULTI_TURN_CATEGORIES:
            dialogues += load_multi_turn(category, limit)
        else:
            items += load_items(category, limit)
    model = settings.open()
    decodings = _decodings(settings, model)
    benchmark = [(BFCL.label, fetch_wheel(BFCL))] if limits else []
    reads: list[str | Path | tuple[str, str | Path]] = [*settings.files, *benchmark, *settings.reads()]
    files = [ANSWERS, *([STEPS] if dialogues else []), *([RESULTS] if limits else [])]
    with Run(out, "evaluate tools", settings, reads=reads, progress=progress, draw=tools_page.draw) as made:
        made.step("answers", partial(_answer, model, items, dialogues, decodings, out, form=settings.form, progress=progress), files=files)
    return made


def _decodings(settings: ToolsEvaluationSettings, model: LanguageModel) -> tuple[Decoding, ...]:
    from luthier.models.grammar import can_guide, family_form

    able = "grammar" in model.supports
    if {"constrained", "guided"} & set(settings.decodings) and not able:
        raise EngineError(f"{model.name}: cannot follow a grammar where it runs now; take --decoding free, or the engine transformers")
    if "guided" in settings.decodings and settings.form == "own" and not can_guide(family := family_form(model)):
        raise EngineError(
            f"{model.name}: no grammar is made of its own calls ({family}), so it cannot be guided; take another --decoding, or --form"
        )
    return tuple(dict.fromkeys(settings.decodings)) or (("free", "constrained") if able else ("free",))


def _answer(
    model: LanguageModel,
    items: Sequence[AnyItem],
    dialogues: Sequence[MultiTurnItem],
    decodings: Sequence[Decoding],
    out: Path,
    *,
    form: str,
    progress: Progress,
) -> JSON:
    from luthier.evaluate.bfcl_results import write_results
    from luthier.evaluate.bfcl_source_decoding import source_reader
    from luthier.evaluate.multi_turn import evaluate_multi_turn
    from luthier.evaluate.tools import balances, evaluate_tools
    from luthier.models.grammar import own_form
    from luthier.records.bfcl import Item

    progress.step("Answering", (len(items) + len(dialogues)) * len(decodings))
    form = own_form(model) if form == "own" else form
    table = evaluate_tools(model, items, out / ANSWERS, decodings=decodings, form=form, progress=progress.advance) if items else []
    if dialogues:
        held = partial(evaluate_multi_turn, model, dialogues, out / ANSWERS, out / STEPS)
        table += held(decodings=decodings, form=form, progress=progress.advance)
    rows = [row for _, row in read_rows(out / ANSWERS)]
    write_results(rows, out)
    kinds = {kind: [row for row in rows if ("right" in row) is own] for kind, own in (("own", True), ("bfcl", False))}
    return {
        "scores": [score.to_row() for score in table],
        "balance": {kind: [balance.to_row() for balance in balances(rows)] for kind, rows in kinds.items() if rows},
        "benchmark": BFCL.label if dialogues or any(isinstance(item, Item) for item in items) else "",
        "form": form,
        "source_reader": source_reader(item.category for item in items),
    }


def run_choice(settings: ChoiceSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the scores of each question's options, `scores.jsonl`, and the accuracies; the same call continues a stopped run.

    Raises SettingsError where there are no questions, EngineError where the engine does not give the model's numbers.
    """
    questions, model = _questions(settings), settings.open()
    if "module" not in model.supports:
        raise EngineError(
            f"{model.name}: options are scored by the model's own numbers, which this engine does not give; leave --engine out"
        )
    with Run(out, "evaluate choice", settings, reads=[*settings.data, *settings.reads()], progress=progress, draw=choice_page.draw) as made:
        made.step("scores", partial(_score, model, questions, settings, out, progress), files=[SCORES])
    return made


def _questions(settings: ChoiceSettings) -> list[ChoiceQuestion]:
    skipped = SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None
    found: list[ChoiceQuestion] = []
    for path in settings.data:
        rows = list(read_choices(path, skipped))
        found += [replace(question, group=Path(path).name.split(".")[0]) for question in evenly(rows, settings.limit)]
    if not found:
        raise SettingsError(f"{', '.join(settings.data)}: no questions there")
    return found


def _score(model: LocalModel, questions: Sequence[ChoiceQuestion], settings: ChoiceSettings, out: Path, progress: Progress) -> JSON:
    from luthier.evaluate.choice import ChoiceScore, accuracies, score_choices

    progress.step("Scoring options", len(questions))
    with Journal(out / SCORES, FIELDS) as journal:
        done = sum(1 for _ in journal)
        progress.advance(done)
        for score in score_choices(model, questions[done:], settings.by, settings.style):
            journal.append(score.to_row())
            progress.advance()
    scores = [ChoiceScore.from_row(row) for _, row in read_rows(out / SCORES)]
    groups: dict[str, list[ChoiceScore]] = {}
    for score in scores:
        groups.setdefault(score.question.group, []).append(score)
    return {"groups": {name: accuracies(each).to_row() for name, each in groups.items()}, "all": accuracies(scores).to_row()}
