"""From questions and a model's answers to preference rows: the wrong answers are the rejected ones, bridged they are the chosen ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from luthier.records import JSON, Message
from luthier.synthesize.pairs.bridging import Bridger, Draft, Gate
from luthier.synthesize.pairs.questions import Question
from luthier.texts.alignment import normalised_distance
from luthier.texts.answers import final_answer, may_be_same, same_answer

BINS = 10
GATE = Gate()


@dataclass
class PairReport:
    """What became of the answers and of the bridges. before, after: edit distances in words between the two answers of a pair, from 0
    to 1, in ten bins: with the original and with the bridged chosen answer."""

    questions: int = 0
    answers: int = 0
    right: int = 0
    wrong: int = 0
    without_answer: int = 0
    unclear: int = 0
    cut_off: int = 0
    repeated: int = 0
    pairs: int = 0
    bridged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    before: list[int] = field(default_factory=lambda: [0] * BINS)
    after: list[int] = field(default_factory=lambda: [0] * BINS)
    mean_before: float = 0.0
    mean_after: float = 0.0

    @property
    def acceptance(self) -> float:
        """Share of the pairs whose bridge was accepted."""
        return self.bridged / self.pairs if self.pairs else 0.0

    def to_row(self) -> JSON:
        return {**self.__dict__, "acceptance": self.acceptance}


def wrong_drafts(
    questions: Sequence[Question], answers: Sequence[Sequence[str | None]], report: PairReport, *, per_question: int = 1
) -> list[Draft]:
    """Drafts from answers that state another final answer than the right one, at most `per_question`, no text twice.

    answers: a model's answers to each question, None for one that was cut off. Those that state no answer, or begin with the right one and go
    on, are not used: nobody can tell what is wrong with them.
    """
    drafts = []
    for question, texts in zip(questions, answers, strict=True):
        report.questions += 1
        taken: set[str] = set()
        for text in texts:
            report.answers += 1
            stated = None if text is None else final_answer(text)
            if text is None:
                report.cut_off += 1
            elif stated is None or question.answer is None:
                report.without_answer += 1
            elif same_answer(stated.text, question.answer):
                report.right += 1
            elif may_be_same(stated.text, question.answer):
                report.unclear += 1
            elif text.strip() in taken:
                report.repeated += 1
            else:
                report.wrong += 1
                if len(taken) < per_question:
                    taken.add(text.strip())
                    drafts.append(_draft(question, text))
    return drafts


def given_drafts(questions: Sequence[Question], report: PairReport) -> list[Draft]:
    """The losing answers that came with the data."""
    given = [question for question in questions if question.rejected is not None]
    report.questions += len(given)
    return [_draft(question, str(question.rejected)) for question in given]


def _draft(question: Question, text: str) -> Draft:
    return Draft(question.prompt, question.solution, text.strip(), question.answer, question.tools, question.extra)


def make_pairs(
    drafts: Sequence[Draft], bridger: Bridger | None, report: PairReport, gate: Gate = GATE, progress: Callable[[int], None] | None = None
) -> list[JSON]:
    """TRL preference rows, one a draft. `chosen` is the bridged draft where the gate takes it, else the reference; `bridged` says which.

    `original_chosen` keeps the reference. bridger: None bridges nothing.
    """
    made: list[str | None] = [None] * len(drafts) if bridger is None else bridger.bridge(drafts, progress)
    refused: Counter[str] = Counter()
    rows, before, after = [], [], []
    for draft, text in zip(drafts, made, strict=True):
        problem = "no bridge" if bridger is None else gate.problem(text, draft)
        if problem and bridger is not None:
            refused[problem] += 1
        chosen = draft.reference if problem or text is None else text
        before.append(normalised_distance(draft.reference.split(), draft.text.split()))
        after.append(normalised_distance(chosen.split(), draft.text.split()))
        rows.append(_row(draft, chosen, bridger.name if bridger is not None and not problem else None))
    report.pairs, report.bridged = len(rows), sum(row["bridged"] for row in rows)
    report.refused = dict(refused)
    report.before, report.after = _bins(before), _bins(after)
    report.mean_before, report.mean_after = (fmean(values) if values else 0.0 for values in (before, after))
    return rows


def _row(draft: Draft, chosen: str, bridger: str | None) -> JSON:
    tools = {"tools": [tool.to_row() for tool in draft.tools]} if draft.tools else {}
    row: dict[str, Any] = {
        **draft.extra,
        **tools,
        "prompt": [message.to_row() for message in draft.prompt],
        "chosen": [Message("assistant", chosen).to_row()],
        "rejected": [Message("assistant", draft.text).to_row()],
        "original_chosen": [Message("assistant", draft.reference).to_row()],
        "bridged": bridger is not None,
        "bridger": bridger,
    }
    if draft.answer is not None:
        row |= {"answer": draft.answer, "rejected_answer": draft.wrong}
    return row


def _bins(distances: Sequence[float]) -> list[int]:
    found = [0] * BINS
    for distance in distances:
        found[min(BINS - 1, int(distance * BINS))] += 1
    return found
