"""Facts from running text and questions in free wording, both by a model under a JSON Schema, both checked by rules (sec. 3.3's generated questions).

A fact is kept only where subject and value stand in the passage as they are; a question only where it names the subject and not the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from luthier.errors import BadRowError
from luthier.models.protocol import LanguageModel, Progress, Prompt, Sampling
from luthier.records import JSON, Message
from luthier.records.fusion import Fact
from luthier.records.lines import parse_value
from luthier.synthesize.fusion.documents import Text
from luthier.synthesize.fusion.facts import LONGEST, OPEN, fact_id, plain_date
from luthier.texts.values import kind_of, plain_words, states

WORDS = 90  # of a passage: about 128 tokens, which a small model reads well
FACTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["facts"],
    "additionalProperties": False,
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 6,
            "items": {
                "type": "object",
                "required": ["subject", "attribute", "value"],
                "additionalProperties": False,
                "properties": {
                    name: {"type": "string", "minLength": 1, "maxLength": LONGEST} for name in ("subject", "attribute", "value")
                },
            },
        }
    },
}
QUESTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["question"],
    "additionalProperties": False,
    "properties": {"question": {"type": "string", "minLength": 8, "maxLength": 300}},
}
FACTS_INSTRUCTION = (  # no example: small models copy it
    "List the facts of the passage as JSON: the name of what each is about, which attribute it tells, and its value, copied word for word from the passage. "
    "An empty list where there are none."
)
QUESTION_INSTRUCTION = (
    "Write one question, as JSON, whose answer is the value of the fact. Name the subject as it is written. Do not give the value away."
)


def passages(texts: Sequence[Text], words: int = WORDS) -> Iterator[Text]:
    """The texts in passages of at most so many words, cut between paragraphs where that can be, else between sentences, else between words."""
    import re

    for text in texts:
        parts: list[str] = []
        for paragraph in re.split(r"\n\s*\n", text.text):
            whole = " ".join(paragraph.split())
            parts += [whole] if len(whole.split()) <= words else re.split(r"(?<=[.!?])\s+", whole)
        current: list[str] = []
        for part in parts:
            for piece in _pieces(part.split(), words):
                if current and len(current) + len(piece) > words:
                    yield replace(text, text=" ".join(current))
                    current = []
                current = current + piece
        if current:
            yield replace(text, text=" ".join(current))


def extract_facts(
    model: LanguageModel, some: Sequence[Text], dropped: Counter[str], *, max_tokens: int = 320, progress: Progress | None = None
) -> list[Fact]:
    """What the model finds in passages and the rules let pass; what they refuse is counted by reason. Kinds are of single values."""
    replies = model.generate(
        [_asked(model, FACTS_INSTRUCTION, one.text, FACTS_SCHEMA) for one in some], Sampling(max_tokens=max_tokens), progress
    )
    found: list[Fact] = []
    for one, reply in zip(some, replies, strict=True):
        row = _read(reply.text)
        if row is None or not isinstance(row.get("facts"), list):
            dropped["reply of the model that is not the asked JSON"] += 1
            continue
        for told in row["facts"]:
            fact = _fact(told, one, dropped)
            if fact is not None:
                found.append(fact)
    return found


def write_questions(
    model: LanguageModel, facts: Sequence[Fact], dropped: Counter[str], *, max_tokens: int = 80, progress: Progress | None = None
) -> dict[str, str]:
    """A question by fact id for those facts of which the model writes a usable one."""
    told = [f"Fact: the {fact.attribute} of {fact.subject} is {fact.value}." for fact in facts]
    replies = model.generate(
        [_asked(model, QUESTION_INSTRUCTION, text, QUESTION_SCHEMA) for text in told], Sampling(max_tokens=max_tokens), progress
    )
    written: dict[str, str] = {}
    for fact, reply in zip(facts, replies, strict=True):
        row = _read(reply.text)
        question = " ".join(str((row or {}).get("question", "")).split())
        problem = _question_problem(question, fact)
        if problem:
            dropped[f"question of the model: {problem}"] += 1
        else:
            written[fact.id] = question
    return written


def _pieces(words: list[str], most: int) -> Iterator[list[str]]:
    for start in range(0, len(words), most):
        yield words[start : start + most]


def _asked(model: LanguageModel, instruction: str, text: str, schema: dict[str, Any]) -> Prompt:
    return Prompt((Message("system", instruction), Message("user", text)), json_schema=schema if "json_schema" in model.supports else None)


def _read(text: str) -> JSON | None:
    try:
        value = parse_value(text.strip().encode())
    except BadRowError:
        return None
    return value if isinstance(value, dict) else None


def _fact(told: Any, passage: Text, dropped: Counter[str]) -> Fact | None:
    if not isinstance(told, dict) or not all(
        isinstance(told.get(name), str) and told[name].strip() for name in ("subject", "attribute", "value")
    ):
        dropped["extracted fact without subject, attribute or value"] += 1
        return None
    subject, attribute, value = (" ".join(told[name].split()) for name in ("subject", "attribute", "value"))
    attribute = attribute.lower()
    reason = (
        "value not in the passage"
        if value not in passage.text
        else "subject not in the passage"
        if subject.casefold() not in passage.text.casefold()
        else "value stands in its subject's name"
        if states(subject, value, "text") is not None
        else "value too long"
        if len(value) > LONGEST
        else "attribute is the value"
        if plain_words(attribute) == plain_words(value)
        else ""
    )
    if reason:
        dropped[f"extracted fact: {reason}"] += 1
        return None
    dated = plain_date(value, passage.order)
    if dated is None:
        dropped[f"extracted fact: {OPEN}"] += 1
        return None
    value = dated
    return Fact(fact_id(subject, attribute), subject, attribute, value, kind_of([value]), passage.date, passage.place, (), passage.text)


def _question_problem(question: str, fact: Fact) -> str:
    if fact.subject.casefold() not in question.casefold():
        return "does not name its subject"
    if any(states(question.replace(fact.subject, " "), value, fact.kind) is not None for value in fact.values):
        return "gives the answer away"
    return "" if question.endswith("?") else "is no question"
