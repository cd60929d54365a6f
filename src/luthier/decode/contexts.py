"""What a dynamic temperature is learned on: contexts, that is conversations whose next reply is to come, of chat and of facts.

Reads them from rows and draws a seeded mixture of our own wording, so that everything can be tried without data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any, Literal

from luthier.errors import BadRowError, SettingsError
from luthier.records import JSON, Message, read_rows
from luthier.records.account import note_strange

Kind = Literal["chat", "fact"]
KINDS: tuple[Kind, ...] = ("chat", "fact")
ASKED = {
    "capital": ("What is the capital of {}?", "Which city is the capital of {}?"),
    "symbol": ("What is the chemical symbol of {}?", "Which letters stand for {} in chemistry?"),
    "opposite": ('What is the opposite of "{}"?', 'Which word means the opposite of "{}"?'),
    "young": ("What is a young {} called?", "What do you call a baby {}?"),
    "currency": ("What is the currency of {}?", "With which money does one pay in {}?"),
    "author": ("Who wrote {}?", "Who is the author of {}?"),
    "year": ("In which year did {}?", "When did {}? Give the year."),
    "continent": ("On which continent is {}?", "To which continent does {} belong?"),
    "count": ("How many {}?",),
}
TURNS = ("messages", "prompt", "problem", "question")  # the first of them that a row has is what is asked
FIELDS = frozenset(["role", "content", "kind", "group", "answers", "answer", "references"])
SHORT = ("Answer in a few words.", "Be brief.", "")
SMALL_TALK = (
    ("Hi!", "Hello! How can I help you?"),
    ("Good evening.", "Good evening! What would you like to talk about?"),
    ("Thanks for your help earlier.", "You are welcome! Is there anything else?"),
)


@dataclass(frozen=True)
class Context:
    """Messages up to the reply that is to come.

    kind: chat, or a question of fact. group: contexts of one group never stand on both sides of a fold.
    answers: right answers of a fact, any of which will do. references: several human replies, where there are some.
    """

    messages: tuple[Message, ...]
    kind: Kind = "chat"
    group: str = ""
    answers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the context by its content."""
        said = [[message.role, message.content] for message in self.messages]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def to_row(self) -> JSON:
        row: JSON = {"messages": [message.to_row() for message in self.messages], "kind": self.kind, "group": self.group}
        if self.answers:
            row["answers"] = list(self.answers)
        if self.references:
            row["references"] = list(self.references)
        return row


def read_contexts(path: Path | str) -> list[Context]:
    """Contexts of a file: `messages` (or `prompt`, `problem`, `question`), optional `kind`, `group`, `answers`, `references`.

    A row with `answers` or `answer` is a fact unless it says otherwise. Raises BadRowError with the line.
    """
    found = []
    for line, row in read_rows(path):
        try:
            found.append(to_context(row))
        except BadRowError as problem:
            raise problem.at(path, line) from None
        note_strange("contexts", row, fields_read(row), path, line)
    return found


def fields_read(row: JSON) -> frozenset[str]:
    """The names of all fields that `to_context` reads of a row and its messages."""
    return FIELDS.union([name for name in TURNS if row.get(name)][:1])


def to_context(row: JSON) -> Context:
    """One row as a context. Raises BadRowError."""
    asked = next((row[name] for name in TURNS if row.get(name)), None)
    if isinstance(asked, str):
        messages: tuple[Message, ...] = (Message("user", asked),)
    elif isinstance(asked, list) and all(_is_message(one) for one in asked):
        messages = tuple(Message(one["role"], one["content"]) for one in asked)
    else:
        raise BadRowError("not a context: `messages` with role and content, or a text `prompt` or `question` is expected")
    if messages[-1].role != "user":
        raise BadRowError(f"the context ends with the {messages[-1].role}; it must end with the user, whom the reply answers")
    answers = _texts(row, "answers") or _texts(row, "answer")
    kind = row.get("kind", "fact" if answers else "chat")
    if kind not in KINDS:
        raise BadRowError(f"kind is {kind!r}; chat or fact is expected")
    return Context(messages, kind, "" if row.get("group") is None else str(row["group"]), answers, _texts(row, "references"))


def mixture(chat: int, facts: int, seed: int = 0) -> list[Context]:
    """So many different contexts of each kind, in mixed order: openings of small talk, and questions with known answers and sums.

    A third of each kind comes after an exchange of greetings. Raises SettingsError where there are not so many.
    """
    random = Random(f"mixture/{seed}")
    found = [*_distinct(_talk(random), chat, "chat"), *_distinct(_facts(random), facts, "facts")]
    random.shuffle(found)
    return found


def _talk(random: Random) -> Iterator[Context]:
    rows = _table("talk.txt")
    topics, moods = ([text for name, text in rows if name == part] for part in ("topics", "moods"))
    openings = [(name, text) for name, text in rows if name not in ("topics", "moods")]
    said = [
        (name, text.format(topic=topic, mood=mood))
        for name, text in openings
        for topic in (topics if "{topic}" in text else [""])
        for mood in (moods if "{mood}" in text else [""])
    ]
    chances = [1 / sum(other == name for other, _ in said) for name, _ in said]  # each opening alike, however many topics
    for name, text in _weighted_order(said, chances, random):
        yield Context((*_greeting(random), Message("user", text)), "chat", f"chat/{name}")


def _facts(random: Random) -> Iterator[Context]:
    asked = [(relation, subject, answer) for relation, subject, answer in _table("facts.txt", 3)]
    asked += [("sum", f"{a} + {b}", str(a + b)) for a in range(2, 40) for b in range(2, 40)]
    chances = [1 / sum(other[0] == relation for other in asked) for relation, _, _ in asked]
    for relation, subject, answer in _weighted_order(asked, chances, random):
        text = random.choice(ASKED.get(relation, ("What is {}?", "How much is {}?"))).format(subject)
        text = f"{text} {random.choice(SHORT)}".strip()
        answers = tuple(one.strip() for one in answer.split("/"))
        yield Context((*_greeting(random), Message("user", text)), "fact", f"fact/{relation}", answers)


def _greeting(random: Random) -> tuple[Message, ...]:
    if random.random() > 1 / 3:
        return ()
    asked, said = random.choice(SMALL_TALK)
    return (Message("user", asked), Message("assistant", said))


def _weighted_order(rows: Sequence[Any], weights: Sequence[float], random: Random) -> list[Any]:
    """All rows, the heavier ones likelier to come early (Efraimidis and Spirakis, 2006)."""
    keys = [random.random() ** (1 / weight) for weight in weights]
    return [row for _, row in sorted(zip(keys, rows, strict=True), key=lambda pair: -pair[0])]


def _distinct(contexts: Iterator[Context], count: int, name: str) -> list[Context]:
    if count < 0:
        raise SettingsError(f"{name} is {count}; it must be 0 or more")
    found: dict[str, Context] = {}
    for context in contexts:
        if len(found) == count:
            break
        found.setdefault(context.key, context)
    if len(found) < count:
        raise SettingsError(f"the built-in mixture has {len(found)} contexts of {name}, and {count} are asked for; give a file")
    return list(found.values())


def _table(name: str, columns: int = 2) -> list[tuple[str, ...]]:
    text = resources.files("luthier.decode").joinpath(f"data/{name}").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(part.strip() for part in line.split("|", columns - 1)) for line in lines]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str) and value.get("role") in ("system", "user", "assistant")


def _texts(row: JSON, name: str) -> tuple[str, ...]:
    value = row.get(name)
    value = () if value in (None, "") else value  # 0 and false are answers
    values = [value] if isinstance(value, str | int | float) else value
    if not isinstance(values, list | tuple) or any(not isinstance(one, str | int | float) for one in values):
        raise BadRowError(f"`{name}` is neither a text nor a list of texts")
    return tuple(str(one) for one in values)
