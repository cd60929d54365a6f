"""What a generator of dialogues wants of a model, and how it gives up. Who answers, and within which budget, is the business of `writing`."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from luthier.models.asking import Ask
from luthier.models.protocol import Completion, Prompt, Sampling

OUT_OF_BUDGET = "no budget was left"


@dataclass(frozen=True)
class Asks:
    """What is asked of the model at once. kind: user, assistant, repair, tool, words, or an expert. Answered with a Completion each, or None: no budget
    is left."""

    asks: tuple[Ask, ...]
    kind: str


class DroppedError(Exception):
    """A dialogue that is given up, and why."""


def asked_once(prompt: Prompt, sampling: Sampling, kind: str) -> Generator[Any, Any, Completion]:
    """One answer of the model. Raises DroppedError where no budget is left."""
    (answer,) = yield Asks((Ask(prompt, sampling),), kind)
    if answer is None:
        raise DroppedError(OUT_OF_BUDGET)
    return answer  # type: ignore[no-any-return]


def drawn_by(*parts: Any) -> int:
    """A seed that depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
