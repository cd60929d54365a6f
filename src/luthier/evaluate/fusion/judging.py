"""A model as judge of answers, on a sample, and always with how often it agrees with exact matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from luthier.errors import BadRowError
from luthier.evaluate.fusion.measures import Judged
from luthier.models.protocol import LanguageModel, Progress, Prompt, Sampling
from luthier.records import JSON, Message
from luthier.records.lines import parse_value
from luthier.statistics.rates import Rate, wilson

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"right": {"type": "boolean"}},
    "required": ["right"],
    "additionalProperties": False,
}
INSTRUCTION = (
    "You compare an answer with a reference. It is right where it states every value of the reference and no other value in its place; "
    'where the reference says that it does not know, it is right where it does not answer either. Reply with JSON: {"right": true} or {"right": false}.'
)


@dataclass(frozen=True)
class JudgeAgreement:
    """How often a judge agrees with exact matching on a sample, Cohen's kappa, and the rates of both; unreadable: replies without a verdict."""

    judge: str
    sample: int
    unreadable: int
    agreement: Rate
    kappa: float | None
    right_exact: Rate
    right_judge: Rate

    def to_row(self) -> JSON:
        return asdict(self)


def agreement(
    model: LanguageModel, judged: Sequence[Judged], *, sample: int = 100, seed: int = 0, progress: Progress | None = None
) -> JudgeAgreement:
    """The judge's verdicts on a sample beside the exact ones: agreement with its interval, Cohen's kappa, and the rates of both; unreadable replies are counted."""
    chosen = Random(seed).sample(list(judged), min(sample, len(judged)))
    schema = SCHEMA if "json_schema" in model.supports else None
    replies = model.generate([_prompt(one, schema) for one in chosen], Sampling(max_tokens=16), progress)
    pairs = [
        (verdict, one.verdict.right) for one, reply in zip(chosen, replies, strict=True) if (verdict := _verdict(reply.text)) is not None
    ]
    same, exact, theirs = (sum(each) for each in (([a == b for a, b in pairs]), [b for _, b in pairs], [a for a, _ in pairs]))
    count = len(pairs)
    return JudgeAgreement(
        model.name,
        len(chosen),
        len(chosen) - count,
        wilson(same, count),
        _kappa(same, exact, theirs, count),
        *(wilson(one, count) for one in (exact, theirs)),
    )


def _prompt(one: Judged, schema: dict[str, Any] | None) -> Prompt:
    asked = f"Question: {one.item.question}\nReference: {one.item.answer}\nAnswer: {one.answer.text}"
    return Prompt((Message("system", INSTRUCTION), Message("user", asked)), json_schema=schema)


def _verdict(text: str) -> bool | None:
    try:
        value = parse_value(text.strip().encode())
    except BadRowError:
        return None
    right = value.get("right") if isinstance(value, dict) else None
    return right if isinstance(right, bool) else None


def _kappa(same: int, exact: int, theirs: int, count: int) -> float | None:
    """Agreement beyond chance; None where both always say the same one thing."""
    if not count:
        return None
    chance = (exact * theirs + (count - exact) * (count - theirs)) / count**2
    return (same / count - chance) / (1 - chance) if chance < 1 else None
