"""Score a model in a run folder: on function calling, and on multiple-choice questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import EngineError
from luthier.evaluate import tools_page
from luthier.evaluate.settings import Decoding, ToolsEvaluationSettings
from luthier.packages import BFCL, fetch_wheel
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.records.bfcl import Item

ANSWERS = tools_page.ANSWERS


def run_tools(settings: ToolsEvaluationSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the judged answers, `answers.jsonl`, and their scores; the same call continues a stopped evaluation.

    Raises EngineError where constrained decoding is asked of what cannot follow a grammar, and what opening the model raises.
    """
    from luthier.records.bfcl import load_items

    items = [item for category, limit in settings.limits().items() for item in load_items(category, limit)]
    model = settings.open()
    decodings = _decodings(settings, model)
    reads = [(BFCL.label, fetch_wheel(BFCL)), *settings.reads()]
    with Run(out, "evaluate tools", settings, reads=reads, progress=progress, draw=tools_page.draw) as made:
        made.step("answers", partial(_answer, model, items, decodings, out, progress), files=[ANSWERS])
    return made


def _decodings(settings: ToolsEvaluationSettings, model: LanguageModel) -> tuple[Decoding, ...]:
    able = "grammar" in model.supports
    if "constrained" in settings.decodings and not able:
        raise EngineError(f"{model.name}: cannot follow a grammar where it runs now; take --decoding free, or the engine transformers")
    return tuple(dict.fromkeys(settings.decodings)) or (("free", "constrained") if able else ("free",))


def _answer(model: LanguageModel, items: Sequence[Item], decodings: Sequence[Decoding], out: Path, progress: Progress) -> JSON:
    from luthier.evaluate.tools import evaluate_tools

    progress.step("Answering", len(items) * len(decodings))
    table = evaluate_tools(model, items, out / ANSWERS, decodings=decodings, progress=progress.advance)
    return {"scores": [score.to_row() for score in table], "benchmark": BFCL.label}
