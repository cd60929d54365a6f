"""Learners for tests: named skills, planted prerequisites, difficulties, learning; and an embedder of words that needs no weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Concept, Edge, Item

SKILLS = ("adding numbers", "adding fractions", "multiplying numbers", "multiplying fractions", "reading graphs", "drawing graphs")
PREREQUISITES = (
    ("adding numbers", "adding fractions"),
    ("adding numbers", "multiplying numbers"),
    ("multiplying numbers", "multiplying fractions"),
    ("reading graphs", "drawing graphs"),
)


class WordVectors:
    """Texts as the mean of fixed random vectors of their words: texts that share words lie near each other."""

    name, max_length = "words", None

    def __init__(self, width: int = 48) -> None:
        self.width, self.fingerprint, self.read = width, f"words-{width}", 0

    def key(self, kind: str) -> str:
        return self.fingerprint

    def encode(self, texts: Sequence[str], kind: str = "document") -> np.ndarray:
        self.read += len(texts)
        found = np.stack([sum((self._word(word) for word in text.lower().split()), np.zeros(self.width)) for text in texts])
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, norms, out=np.zeros_like(found), where=norms > 0).astype(np.float32)

    def token_counts(self, texts: Sequence[str], kind: str = "document") -> None:
        return None

    def _word(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=self.width)


def catalogue(items_a_skill: int = 6, texts: bool = False) -> Catalogue:
    """Items of one skill each, and of two where one needs the other."""
    listed = [
        Item(f"{skill[:3]}-{skill.split()[1][:3]}-{number}", f"{skill} number {number}" if texts else "", (skill,))
        for skill in SKILLS
        for number in range(items_a_skill)
    ]
    listed += [Item(f"both-{number}", "", PREREQUISITES[number % len(PREREQUISITES)]) for number in range(items_a_skill)]
    edges = [Edge(source, target) for source, target in PREREQUISITES]
    return Catalogue(tuple(listed), tuple(Concept(skill, skill) for skill in SKILLS), tuple(edges))


def learners(count: int = 60, answers: int = 24, seed: int = 0, known: Catalogue | None = None) -> AnswerLog:
    """Learners who know a skill or learn it, sooner where its prerequisite is known, and answer items of some difficulty."""
    random = np.random.default_rng(seed)
    items = known or catalogue()
    difficulty = random.normal(0, 0.7, len(items.items))
    before = {target: source for source, target in PREREQUISITES}
    collector = AnswerCollector()
    for learner in range(count):
        ability = random.normal(0, 0.7)
        holds = {skill: random.random() < 0.4 for skill in SKILLS}
        holds |= {skill: holds[skill] and holds.get(before.get(skill, skill), True) for skill in SKILLS}
        for _ in range(int(random.integers(answers // 2, answers + 1))):
            place = int(random.integers(len(items.items)))
            concepts = items.items[place].concepts
            logit = ability - difficulty[place] + (1.6 if all(holds[skill] for skill in concepts) else -1.6)
            collector.add(f"learner {learner}", items.items[place].item, float(random.random() < 1 / (1 + np.exp(-logit))))
            for skill in concepts:
                holds[skill] |= random.random() < (0.25 if holds.get(before.get(skill, skill), True) else 0.05)
    return collector.log(items)
