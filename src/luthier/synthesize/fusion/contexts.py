"""Contexts: the passages that hold what is needed, among distractors that hold nothing of it, or whatever a real retriever finds.

A distractor never states a needed value, in any writing of it; else a useless context would be none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from luthier.records.fusion import Fact, Role, Snippet
from luthier.synthesize.fusion.splitting import share
from luthier.synthesize.fusion.wording import statement
from luthier.texts.values import Kind, states

SNIPPET_WORDINGS = (0, 1, 4)
TRIES = 400  # distractors looked at before a context is given up
Search = Callable[[Sequence[str], Sequence[str], int], Sequence[Sequence[int]]]  # queries, passages, depth -> places, -1 where none


@dataclass(frozen=True)
class Guarded:
    """What a context must not say: these values of this kind."""

    kind: Kind
    values: tuple[str, ...]


class Passages:
    """The texts that contexts show: the passage a fact was read from, with all facts of it, or a sentence of its own.

    changing: ids of facts that have two values; their sentences tell from when they hold.
    """

    def __init__(self, facts: Sequence[Fact], seed: int, changing: AbstractSet[str] = frozenset()) -> None:
        self.seed, self.changing = seed, changing
        self._told: dict[str, list[str]] = {}
        for fact in facts:
            if fact.passage is not None:
                self._told.setdefault(fact.passage, []).append(fact.id)

    def text(self, fact: Fact) -> str:
        if fact.passage is not None:
            return fact.passage
        place = int(share(self.seed, "wording", fact.id) * len(SNIPPET_WORDINGS))
        return statement(fact, SNIPPET_WORDINGS[place], dated=fact.id in self.changing)

    def snippet(self, fact: Fact, role: Role) -> Snippet:
        return Snippet(self.text(fact), role, tuple(self._told.get(fact.passage or "", (fact.id,))))


class Shelf:
    """Where distractors come from: the passages of one part and half."""

    def __init__(self, facts: Sequence[Fact], passages: Passages) -> None:
        self.passages = passages
        self.by_attribute: dict[str, list[Fact]] = {}
        for fact in facts:
            self.by_attribute.setdefault(fact.attribute, []).append(fact)

    def distractors(self, name: str, about: Sequence[Fact], guarded: Sequence[Guarded], count: int) -> list[Snippet] | None:
        """So many passages on other subjects, alternately hard (same attribute) and easy (another, where there is one); None where too few are clean.

        The first n of them are the same for every count.
        """
        attributes = {one.attribute for one in about}
        hard = self._from(f"{name} hard", attributes)
        easy = self._from(f"{name} easy", self.by_attribute.keys() - attributes)
        taken: list[Snippet] = []
        used, needed = {one.subject.casefold() for one in about}, {one.id for one in about}
        for number in range(count):
            first, second = (hard, easy) if number % 2 == 0 else (easy, hard)
            found = self._next(first, used, needed, guarded) or self._next(second, used, needed, guarded)
            if found is None:
                return None
            used.add(found.subject.casefold())
            taken.append(self.passages.snippet(found, "distractor"))
        return taken

    def _from(self, name: str, attributes: AbstractSet[str]) -> Iterator[Fact]:
        """At most TRIES facts of these attributes, from a place onwards that depends on the name: thousands of items cost no thousands of sorts."""
        facts = [fact for attribute in sorted(attributes) for fact in self.by_attribute.get(attribute, ())]
        start = int(share(self.passages.seed, name) * len(facts))
        return (facts[(start + step) % len(facts)] for step in range(min(len(facts), TRIES)))

    def _next(self, facts: Iterator[Fact], used: set[str], needed: set[str], guarded: Sequence[Guarded]) -> Fact | None:
        for fact in facts:
            if fact.subject.casefold() in used:
                continue
            snippet = self.passages.snippet(fact, "distractor")
            if needed.isdisjoint(snippet.facts) and not leaks(snippet.text, guarded):
                return fact
        return None


def leaks(text: str, guarded: Sequence[Guarded]) -> bool:
    """Whether a text states one of the values."""
    return any(states(text, value, one.kind) is not None for one in guarded for value in one.values)


def shuffled(name: str, snippets: Sequence[Snippet], seed: int) -> tuple[Snippet, ...]:
    """In an order that depends on the name alone."""
    return tuple(sorted(snippets, key=lambda one: share(seed, "place", name, one.text)))


def retrieved(
    queries: Sequence[str], shelf: Sequence[Fact], needed: Sequence[frozenset[str]], passages: Passages, *, search: Search, depth: int
) -> list[tuple[Snippet, ...]]:
    """What a retriever finds for each question among the passages of these facts, best first, with what it misses."""
    found = {one.text: one for one in (passages.snippet(fact, "distractor") for fact in shelf)}
    texts = list(found)
    places = search(queries, texts, depth)
    return [
        tuple(
            replace(found[texts[at]], role="distractor" if wanted.isdisjoint(found[texts[at]].facts) else "gold") for at in best if at >= 0
        )
        for best, wanted in zip(places, needed, strict=True)
    ]
