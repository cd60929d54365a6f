"""What is taught depends on what the model can do: the shares of dialogues without a call and with several, and how far a step goes.

A model that never calls has to learn calls and abstention together, from many rows of both. One that calls already only has to learn when not to: from
the rows of the first it learns to abstain too readily, and forgets what it could do. What it lacks is the end: after calls to several tools it goes round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.records import JSON
from luthier.synthesize.tools.type_shares import MOST

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel
    from luthier.recipes.settings import ToolsSettings

ASKED = "live_simple"  # a category of BFCL that the flow does not score
ITEMS = 12
CALLS_ALREADY = 0.5  # share of them that it answers with a call


@dataclass(frozen=True)
class Mix:
    """irrelevant, missing_argument, parallel: shares of the dialogues, None for the usual ones. learning_rate: of training. plain: whether everyday
    tools have no objects as arguments, which a model that has yet to learn to call pays for with what is simple."""

    irrelevant: float | None
    missing_argument: float | None
    parallel: float | None
    learning_rate: float
    plain: bool = False

    @property
    def shares(self) -> dict[str, float]:
        """Those that are not the usual ones, by dialogue type."""
        shares = {"irrelevant": self.irrelevant, "missing_argument": self.missing_argument, "parallel": self.parallel}
        return {kind: share for kind, share in shares.items() if share is not None}


@dataclass(frozen=True)
class Habit:
    """Of how many requests, each with a tool that answers it, how many a model answers with a call."""

    asked: int
    called: int

    def to_row(self) -> JSON:
        return {"asked": self.asked, "called": self.called, "rate": self.called / max(1, self.asked)}


USUAL = Mix(None, None, None, 1.5e-3, plain=True)
LIGHT = Mix(0.09, 0.05, 0.33, 2e-4)


def mix(settings: ToolsSettings, called: float | None) -> Mix:
    """What was told, and for the rest what fits. called: share of requests that the untrained model answers with a call, None where nothing is open."""
    fitting = LIGHT if called is not None and called >= CALLS_ALREADY else USUAL
    rate = fitting.learning_rate if settings.learning_rate is None else settings.learning_rate
    if settings.given is not None:  # dialogues that are there already are taken as they are
        return Mix(None, None, None, rate)
    told = settings.told_shares
    open_shares = {kind: share for kind, share in fitting.shares.items() if kind not in told}
    room = max(0.0, MOST - sum(told.values()))  # what is told leaves less for what is not
    part = min(1.0, room / sum(open_shares.values())) if any(open_shares.values()) else 1.0
    shares = told | {kind: share * part for kind, share in open_shares.items()}
    return Mix(shares.get("irrelevant"), shares.get("missing_argument"), shares.get("parallel"), rate, fitting.plain and is_open(settings))


def is_open(settings: ToolsSettings) -> bool:
    """Whether anything depends on what the model can do."""
    return settings.learning_rate is None or (
        settings.given is None and None in (settings.irrelevant, settings.missing_argument, settings.parallel)
    )


def habit_of(model: LanguageModel) -> Habit:
    """What the model does by itself: calls are read in any form, decoding is free."""
    from luthier.evaluate.tools import MAX_JSON_TOKENS, prompt_for
    from luthier.models.protocol import Sampling
    from luthier.records.bfcl import load_items
    from luthier.records.call_forms import read_calls

    items = load_items(ASKED, ITEMS)
    answers = model.generate([prompt_for(item, "free") for item in items], Sampling(max_tokens=MAX_JSON_TOKENS))
    called = sum(bool(read_calls(one.text, [tool.name for tool in item.tools]).calls) for item, one in zip(items, answers, strict=True))
    return Habit(len(items), called)
