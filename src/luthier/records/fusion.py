"""What a fusion suite holds: facts, and questions whose scenario is known by computation over fact ids (arXiv 2405.19010, sec. 3).

External knowledge stands in the context, parametric knowledge in the weights. Who makes the items and who scores them is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, cast

from luthier.errors import BadRowError
from luthier.records.account import note_strange
from luthier.records.conversations import JSON, Message
from luthier.records.files import read_rows
from luthier.texts.values import Kind

Scenario = Literal["S1", "S2", "S3", "S4", "C"]
Part = Literal["external", "memory", "nowhere"]
Role = Literal["gold", "distractor"]
SCENARIOS: tuple[Scenario, ...] = ("S1", "S2", "S3", "S4", "C")
TITLES: dict[Scenario, str] = {
    "S1": "the context suffices",
    "S2": "context and memory, half each",
    "S3": "memory, useless context",
    "S4": "neither: refuse",
    "C": "context and memory disagree",
}
REFUSAL = "I do not know the {attribute} of {subject}."
INSTRUCTION = (
    "Answer in one sentence, from the passages where they help and from memory where they do not. "
    "Where neither tells, say that you do not know."
)


@dataclass(frozen=True)
class Fact:
    """One value of one attribute of one subject. date: of its document, ISO. source: file and line. passage: the text it was read from."""

    id: str
    subject: str
    attribute: str
    value: str
    kind: Kind
    date: str | None = None
    source: str = ""
    aliases: tuple[str, ...] = ()
    passage: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return (self.value, *self.aliases)

    def to_row(self) -> JSON:
        return asdict(self) | {"aliases": list(self.aliases)}

    @classmethod
    def from_row(cls, row: JSON) -> Fact:
        return cls(**{**row, "aliases": tuple(row["aliases"])})


@dataclass(frozen=True)
class Needed:
    """A fact that an answer needs: its id, who should hold it, and the texts that count as stating it. subject: where its value belongs."""

    fact: str
    part: Part
    subject: str
    attribute: str
    values: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True)
class Snippet:
    """A passage of a context, and the facts it states."""

    text: str
    role: Role
    facts: tuple[str, ...]


@dataclass(frozen=True)
class FusionItem:
    """A question with its context. base: the question's own id, the same at every noise level; noise: number of distractors.

    conclusion: what an answer must conclude beside the values: the subject of two, the other one, and what it is ("earlier").
    stale: the outdated value of a conflict.
    """

    id: str
    base: str
    scenario: Scenario
    form: str
    question: str
    answer: str
    needed: tuple[Needed, ...]
    context: tuple[Snippet, ...]
    noise: int
    conclusion: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def needed_ids(self) -> frozenset[str]:
        return frozenset(one.fact for one in self.needed)

    @property
    def gold_place(self) -> int | None:
        """The place of the gold passage among the passages, from 0; None where there is none."""
        return next((at for at, snippet in enumerate(self.context) if snippet.role == "gold"), None)

    def to_row(self) -> JSON:
        row: JSON = asdict(self)
        row["gold_place"] = self.gold_place
        return cast("JSON", _lists(row))

    @classmethod
    def from_row(cls, row: JSON) -> FusionItem:
        """Raises BadRowError where a field is missing."""
        try:
            needed = tuple(Needed(**{**one, "values": tuple(one["values"])}) for one in row["needed"])
            context = tuple(Snippet(one["text"], one["role"], tuple(one["facts"])) for one in row["context"])
            return cls(
                row["id"],
                row["base"],
                row["scenario"],
                row["form"],
                row["question"],
                row["answer"],
                needed,
                context,
                row["noise"],
                tuple(row["conclusion"]),
                tuple(row["stale"]),
            )
        except (KeyError, TypeError) as problem:
            raise BadRowError(f"not an item of a fusion suite ({problem})") from None


_KNOWN = frozenset({one.name for kind in (FusionItem, Needed, Snippet) for one in fields(kind)} | {"gold_place"})


def scenario_of(needed: AbstractSet[str], context: AbstractSet[str], memory: AbstractSet[str]) -> Scenario | None:
    """The scenario of a question that needs these facts, when those are in its context and those in the weights; None where it is none of the four.

    S1: needed within context. S3: needed within memory, none in the context. S2: needed within both together, and in neither alone. S4: none of
    the needed in either. Conflicts (C) are not among them: their fact is in both, with two values.
    """
    if not needed:
        return None
    if needed <= context:
        return "S1"
    if needed <= memory:
        return "S3" if not needed & context else None
    if needed <= context | memory:
        return "S2"
    return "S4" if not needed & (context | memory) else None


def as_refusal(item: FusionItem) -> FusionItem:
    """The same question where nothing is at hand any longer: a refusal is wanted."""
    one = item.needed[0]
    nowhere = tuple(replace(each, part="nowhere") for each in item.needed)
    return replace(item, scenario="S4", needed=nowhere, answer=REFUSAL.format(attribute=one.attribute, subject=one.subject))


def fusion_messages(question: str, passages: Sequence[str]) -> tuple[Message, ...]:
    """How a model is asked: the instruction, then numbered passages where there are any, then the question."""
    listed = "".join(f"[{number}] {text}\n" for number, text in enumerate(passages, 1))
    asked = f"{listed}\n{question}" if listed else question
    return Message("system", INSTRUCTION), Message("user", asked)


def read_items(path: Path) -> Iterator[FusionItem]:
    """The items of a suite. Raises BadRowError with file and line, MissingFileError."""
    for number, row in read_rows(path):
        try:
            item = FusionItem.from_row(row)
        except BadRowError as problem:
            raise problem.at(path, number) from None
        note_strange("items of a fusion suite", row, _KNOWN, path, number)
        yield item


def _lists(value: object) -> object:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {name: _lists(one) for name, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, tuple | list) else value
