"""Facts in parts: memory (to be trained into the weights), external (to stand in contexts), held out of both.

Every choice is a hash of the fact itself and the seed, so a document more leaves the others where they are (sec. 3; the older facts are the memory).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from luthier.errors import SettingsError
from luthier.records import JSON
from luthier.records.fusion import Fact
from luthier.synthesize.fusion.facts import KnowledgeBase, Update
from luthier.texts.dates import is_date
from luthier.texts.grams import gram_hashes, normalised_words, windows, word_hashes
from luthier.texts.minhash import first_twins, jaccard, signature
from luthier.texts.values import plain_words

Way = Literal["date", "subject", "random"]
WAYS = get_args(Way)
GRAM, ALIKE = 8, 0.6  # words, and the Jaccard index from which two passages are near-duplicates


@dataclass(frozen=True)
class Half:
    """The facts of a part that training may show in questions, and those that only tests ask for. Subjects are in one of them."""

    train: tuple[Fact, ...] = ()
    test: tuple[Fact, ...] = ()

    @property
    def all(self) -> tuple[Fact, ...]:
        return (*self.train, *self.test)


@dataclass(frozen=True)
class Split:
    """memory: older facts; external: newer ones; held: subjects in neither. conflicts: facts with two values, one of which memory holds."""

    memory: Half
    external: Half
    held: Half
    conflicts: tuple[tuple[Update, ...], tuple[Update, ...]]
    seed: int
    settings: JSON
    dropped: JSON = field(default_factory=dict)


def split_facts(
    kb: KnowledgeBase, *, by: Way = "date", at: str | None = None, holdout: float = 0.1, train: float = 0.5, seed: int = 0
) -> Split:
    """Memory, external and held-out facts, each in a half for training and one for tests.

    by: `date` (before `at` is memory; the median date where it is left out), `subject`, or `random` (by fact, or by the passage it stands in). holdout: share of the subjects that
    are in neither part. train: share of the subjects of every part whose questions training may show. Raises SettingsError.
    """
    if by not in WAYS:
        raise SettingsError(f"the split is by {by!r}; choose one of {', '.join(WAYS)}")
    if at is not None and not is_date(at):
        raise SettingsError(f"the split is at {at!r}; give a date such as 2024-07-01")
    if not 0 <= holdout < 1 or not 0 < train < 1:
        raise SettingsError("holdout must be from 0 to below 1, and the share for training between 0 and 1")
    if by == "date" and at is None:
        at = _median_date(kb.facts or [one.new for one in kb.updates])
    dropped: dict[str, int] = {}
    parts: dict[str, list[Fact]] = {"memory": [], "external": [], "held": []}
    for fact in kb.facts:
        part = _part(fact, by, at, holdout, seed)
        if part is None:
            _count(dropped, "fact without a date", 1)
        else:
            parts[part].append(fact)
    _drop_twins(parts, dropped)
    halves = {name: _halves(facts, train, seed, dropped) for name, facts in parts.items()}
    sides = (
        tuple(one for one in kb.updates if _trains(one.new, train, seed)),
        tuple(one for one in kb.updates if not _trains(one.new, train, seed)),
    )
    settings: JSON = {"by": by, "at": at, "holdout": holdout, "train": train, "seed": seed}
    return Split(halves["memory"], halves["external"], halves["held"], sides, seed, settings, dropped)


def share(seed: int, *words: str) -> float:
    """A number in [0, 1) that depends on these words and the seed alone."""
    digest = hashlib.sha256("\0".join((str(seed), *words)).encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


def _part(fact: Fact, by: str, at: str | None, holdout: float, seed: int) -> str | None:
    subject = " ".join(plain_words(fact.subject))
    if by == "date" and fact.date is None:
        return None
    if share(seed, "held", subject) < holdout:
        return "held"
    if by == "date":
        return "memory" if str(fact.date) < str(at) else "external"
    return "memory" if share(seed, by, subject if by == "subject" else fact.passage or fact.id) < 0.5 else "external"


def _trains(fact: Fact, train: float, seed: int) -> bool:
    return share(seed, "train", " ".join(plain_words(fact.subject))) < train


def _halves(facts: Sequence[Fact], train: float, seed: int, dropped: dict[str, int]) -> Half:
    """In an order of hashes, so that the first n of a part are a fair sample of it. A passage that training shows is no test's."""
    ordered = sorted(facts, key=lambda fact: (share(seed, "order", fact.id), fact.id))
    shown = tuple(fact for fact in ordered if _trains(fact, train, seed))
    passages = {fact.passage for fact in shown if fact.passage is not None}
    asked = [fact for fact in ordered if not _trains(fact, train, seed)]
    kept = tuple(fact for fact in asked if fact.passage not in passages)
    _count(dropped, "test fact in a passage that training shows", len(asked) - len(kept))
    return Half(shown, kept)


def _count(dropped: dict[str, int], reason: str, number: int) -> None:
    if number:
        dropped[reason] = dropped.get(reason, 0) + number


def _median_date(facts: Sequence[Fact]) -> str:
    dates = sorted(fact.date for fact in facts if fact.date is not None)
    if not dates:
        raise SettingsError("no fact has a date: split by subject or random, or name the column of dates (--date)")
    return dates[len(dates) // 2]


def _drop_twins(parts: dict[str, list[Fact]], dropped: dict[str, int]) -> None:
    """Leave out facts whose passage is, or nearly repeats, one of another part (8-gram Jaccard index above 0.6): the later of the two goes."""
    order = sorted(
        (fact.date or "", fact.id, name, fact.passage) for name, facts in parts.items() for fact in facts if fact.passage is not None
    )
    first = _first_of_twins(list(dict.fromkeys(passage for *_, passage in order)))
    home: dict[str, str] = {}
    for _, _, name, passage in order:
        home.setdefault(first.get(passage, passage), name)
    for name, facts in parts.items():
        parts[name] = [fact for fact in facts if fact.passage is None or home[first.get(fact.passage, fact.passage)] == name]
        _count(dropped, "near-duplicate of a passage in another part", len(facts) - len(parts[name]))


def _first_of_twins(passages: Sequence[str]) -> dict[str, str]:
    """For each passage that nearly repeats an earlier one, that one. Those of fewer words than a gram repeat only themselves."""
    texts = [text for text in passages if len(normalised_words(text)) >= GRAM]
    if len(texts) < 2:
        return {}
    import numpy as np

    words = [normalised_words(text) for text in texts]
    grams = [frozenset(windows(each, GRAM)) for each in words]
    signatures = np.stack([signature(gram_hashes(word_hashes(each), GRAM)) for each in words])
    twins = first_twins(signatures, ALIKE, lambda a, b: jaccard(grams[a], grams[b]) > ALIKE)
    return {texts[late]: texts[early] for late, early in twins.items()}
