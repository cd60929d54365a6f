"""Bridges: a losing draft turned into a winning answer with as few changes as possible, so that a pair differs in what matters.

A language model does that best (the paper took a strong one). `AnswerSwap` and `Splice` need none: they are stand-ins that put the right
answer into the draft's own words, and their text is not checked beyond the final answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from luthier.models.protocol import LanguageModel, Prompt, Sampling
from luthier.records import JSON, Message, Tool
from luthier.texts.alignment import normalised_distance
from luthier.texts.answers import final_answer, is_number, same_answer

LEAST_LETTERS = 3  # a shorter answer ("A", "no") stands in sentences that do not mean it
_SENTENCE = re.compile(r"\S(?:[.!?]++(?=\s)|[^\n]*?(?:(?<![.!?])[.!?]++(?=\s)|(?=\n)|\Z))\s*+")


@dataclass(frozen=True)
class Draft:
    """A losing answer to be bridged: what was asked, a winning answer as the reference, and the draft itself."""

    prompt: tuple[Message, ...]
    reference: str
    text: str
    answer: str | None = None  # the right final answer
    tools: tuple[Tool, ...] = ()
    extra: JSON = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether it states the right answer, so that there is nothing to put right."""
        return self.answer is not None and self.wrong is not None and same_answer(self.wrong, self.answer)

    @property
    def wrong(self) -> str | None:
        """The final answer the draft states."""
        stated = final_answer(self.text)
        return stated.text if stated else None


class Bridger(Protocol):
    """Turns drafts into winning answers; None where it cannot."""

    name: str

    def bridge(self, drafts: Sequence[Draft], progress: Callable[[int], None] | None = None) -> list[str | None]: ...


class AnswerSwap:
    """The right final answer in place of the wrong one, at the end and wherever the draft names it."""

    name = "answer-swap"

    def bridge(self, drafts: Sequence[Draft], progress: Callable[[int], None] | None = None) -> list[str | None]:
        return [_swapped(draft) for draft in drafts]


class Splice:
    """The reference's sentences in place of those of the draft that name the wrong answer; the others stay as they are."""

    name = "splice"

    def bridge(self, drafts: Sequence[Draft], progress: Callable[[int], None] | None = None) -> list[str | None]:
        return [_spliced(draft) for draft in drafts]


INSTRUCTION = (
    "You correct drafts. You are given a task, a reference answer that is right, and a draft that is worse. Rewrite the draft so that it is"
    " as good as the reference while changing as little as possible: take facts, reasoning and the final answer from the reference where the"
    " draft is wrong, incomplete or worse, and keep every other word, the order, the format and the length of the draft. If nothing needs"
    " changing, repeat the draft. Reply with the corrected draft alone: no comments, and no mention of a reference or of changes."
)


class ModelBridger:
    """A language model that edits the draft with the reference before its eyes (any engine; a strong one)."""

    def __init__(self, model: LanguageModel, *, max_tokens: int = 512, seed: int = 0) -> None:
        self.model, self.sampling = model, Sampling(max_tokens=max_tokens, seed=seed)
        self.name = f"model:{model.name}"

    @property
    def prompt_sha256(self) -> str:
        """Of the instruction, so that data made with another one can be told apart."""
        return hashlib.sha256(INSTRUCTION.encode()).hexdigest()

    def bridge(self, drafts: Sequence[Draft], progress: Callable[[int], None] | None = None) -> list[str | None]:
        answers = self.model.generate([_editing_prompt(draft) for draft in drafts], self.sampling, progress)
        return [answer.text.strip() if answer.finish == "stop" else None for answer in answers]


@dataclass(frozen=True)
class Gate:
    """What a bridged answer must satisfy. farthest: largest edit distance to the draft, in words, over the longer length."""

    farthest: float = 0.8

    def problem(self, bridged: str | None, draft: Draft) -> str:
        """Why it is refused; empty where it is taken."""
        if draft.is_right:
            return "draft is right"
        if bridged is None:
            return "not bridged"
        if not bridged.strip():
            return "empty"
        if bridged.split() == draft.text.split():
            return "unchanged"
        if draft.answer is not None:
            stated = final_answer(bridged)
            if stated is None or not same_answer(stated.text, draft.answer):
                return "wrong answer"
        if normalised_distance(bridged.split(), draft.text.split()) > self.farthest:
            return "too far from the draft"
        return ""


def _swapped(draft: Draft) -> str | None:
    stated = final_answer(draft.text)
    if stated is None or draft.answer is None:
        return None
    head, tail = draft.text[: stated.start], draft.text[stated.end :]
    return _renamed(head, stated.text, draft.answer) + draft.answer + tail


def _renamed(text: str, wrong: str, right: str) -> str:
    """Mentions of the wrong answer become the right one. Numbers and very short answers are left: they also stand for other things."""
    if len(wrong) < LEAST_LETTERS or is_number(wrong):
        return text

    def put(match: re.Match[str]) -> str:
        return right[:1].upper() + right[1:] if match[0][:1].isupper() else right

    return re.sub(rf"(?<!\w){re.escape(wrong)}(?!\w)", put, text, flags=re.IGNORECASE)


def _spliced(draft: Draft) -> str | None:
    wrong = draft.wrong
    if wrong is None or draft.answer is None:
        return None
    ours, theirs = _SENTENCE.findall(draft.text), _SENTENCE.findall(draft.reference)
    states = [at for at, sentence in enumerate(theirs) if final_answer(sentence.strip())]
    if not states:
        return None
    conclusion = states[-1]
    last = max(at for at, sentence in enumerate(ours) if final_answer(sentence.strip()))
    free = list(range(conclusion))
    made = []
    for at, sentence in enumerate(ours):
        if at == last:
            made.append(_in_place_of(sentence, theirs[conclusion]))
        elif _names(sentence, wrong):
            if free:  # the nearest sentence not yet used; where all are, the draft's is left out
                nearest = min(free, key=lambda k: normalised_distance(theirs[k].split(), sentence.split()))
                free.remove(nearest)
                made.append(_in_place_of(sentence, theirs[nearest]))
        else:
            made.append(sentence)
    return "".join(made).strip()


def _names(sentence: str, answer: str) -> bool:
    return len(answer) >= LEAST_LETTERS and bool(re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", sentence, re.IGNORECASE))


def _in_place_of(sentence: str, other: str) -> str:
    """The other sentence, with what follows the first one."""
    return other.rstrip() + sentence[len(sentence.rstrip()) :]


def _editing_prompt(draft: Draft) -> Prompt:
    task = "\n\n".join(f"[{message.role}] {message.content or ''}" for message in draft.prompt)
    return Prompt(
        (
            Message("system", INSTRUCTION),
            Message("user", f"# Task\n{task}\n\n# Reference answer\n{draft.reference}\n\n# Draft\n{draft.text}"),
        )
    )
