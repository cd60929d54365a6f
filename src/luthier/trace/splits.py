"""Who is trained on, who is scored, and what is held out: by learner, decided by hashes, so that a learner added later moves nobody else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import BadRowError, SettingsError
from luthier.records import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from luthier.trace.answers import AnswerLog

PARTS = ("train", "valid", "test")
SHARES = (0.7, 0.1, 0.2)


@dataclass(frozen=True)
class Split:
    """The part of each learner, and the concepts or items that training and validation never see."""

    part_of: dict[str, str]
    seed: int = 0
    held_concepts: tuple[str, ...] = ()
    held_items: tuple[str, ...] = ()
    sha256: str = field(default="", compare=False)

    def part(self, log: AnswerLog, name: str) -> AnswerLog:
        """The answers of one part; those of `train` and `valid` without what is held out. Raises SettingsError for a learner the split does not know."""
        import numpy as np

        stranger = next((learner for learner in log.learners if learner not in self.part_of), None)
        if stranger is not None:
            raise SettingsError(f"learner {stranger!r} is not in the split; make the split from these answers")
        places = np.array([at for at, learner in enumerate(log.learners) if self.part_of[learner] == name], dtype=np.int64)
        some = log.take_learners(places)
        return some if name == "test" else some.where(~self.unseen(some)[some.item])

    def unseen(self, log: AnswerLog) -> NDArray[np.bool_]:
        """(items,): items that are held out themselves or through one of their concepts."""
        import numpy as np

        places = log.catalogue.concept_places
        concepts = {places[name] for name in self.held_concepts if name in places}
        items = set(self.held_items)
        return np.array(
            [
                item.item in items or not concepts.isdisjoint(some)
                for item, some in zip(log.catalogue.items, log.catalogue.concepts_of, strict=True)
            ],
            dtype=bool,
        )

    def save(self, path: Path) -> str:
        """Write the split as JSON and return its SHA-256."""
        text = self._text()
        with atomic_write(path) as stream:
            stream.write(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def _text(self) -> str:
        row = {"seed": self.seed, "held_concepts": self.held_concepts, "held_items": self.held_items, "learners": self.part_of}
        return json.dumps(row, ensure_ascii=False, indent=0, sort_keys=True) + "\n"


def split_learners(
    log: AnswerLog,
    *,
    seed: int = 0,
    shares: tuple[float, float, float] = SHARES,
    hold: Literal["concepts", "items"] | None = None,
    held_share: float = 0.25,
) -> Split:
    """Learners by hash into train, valid and test; hold: a share of the concepts or items that were answered is held out as well.

    Raises SettingsError where there is nothing to hold out.
    """
    part_of = {learner: PARTS[_place(_fraction(f"{seed}/{learner}"), shares)] for learner in log.learners}
    if hold is None:
        return _hashed(Split(part_of, seed))
    import numpy as np

    answered = np.unique(log.item)
    if hold == "items":
        names = sorted(log.catalogue.items[at].item for at in answered)
    else:
        concepts = {one for at in answered for one in log.catalogue.concepts_of[at]}
        names = sorted(log.catalogue.concepts[at].concept for at in concepts)
    held = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/held/{name}".encode()).digest())
    if not round(held_share * len(names)):
        raise SettingsError(f"the answers are to items of {len(names)} {hold}; there is nothing to hold out")
    chosen = tuple(sorted(held[: round(held_share * len(names))]))
    split = Split(part_of, seed, chosen, ()) if hold == "concepts" else Split(part_of, seed, (), chosen)
    return _hashed(split)


def read_split(path: Path) -> Split:
    """A split that `Split.save` wrote. Raises BadRowError."""
    try:
        text = path.read_text(encoding="utf-8")
        row: dict[str, Any] = json.loads(text)
        split = Split(row["learners"], row["seed"], tuple(row["held_concepts"]), tuple(row["held_items"]))
        if not set(split.part_of.values()) <= set(PARTS):
            raise ValueError(f"parts are {', '.join(PARTS)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadRowError(f"not a split of learners ({problem})", path) from None
    return _hashed(split)


def _hashed(split: Split) -> Split:
    from dataclasses import replace

    return replace(split, sha256=hashlib.sha256(split._text().encode()).hexdigest())


def _place(fraction: float, shares: tuple[float, float, float]) -> int:
    return 0 if fraction < shares[0] else 1 if fraction < shares[0] + shares[1] else 2


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
