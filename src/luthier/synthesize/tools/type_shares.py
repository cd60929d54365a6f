"""How many dialogues end without a call or with several: the shares that decide when a trained model calls, asks, declines and stops.

What fits depends on the learner. One that never calls learns to abstain from many rows without a call; one that calls already learns from
the same rows to abstain too readily, and has room to learn where a row of several calls ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from luthier.errors import SettingsError
from luthier.settings import option

Kind = TypeVar("Kind", bound=str)
MOST = 0.9  # of the dialogues: some must call


@dataclass(frozen=True)
class TypeShareSettings:
    """Shares of the dialogue types that make no call, and of that which makes several."""

    irrelevant: float | None = option(
        None,
        "Share of the dialogues that no tool on their list answers.",
        least=0,
        most=MOST,
        shown="0.28, of those about your APIs 0.2",
        later=True,
    )
    missing_argument: float | None = option(
        None,
        "Share of the dialogues whose request lacks a required value, which the assistant asks for.",
        least=0,
        most=MOST,
        shown="0.06, of those about your APIs 0.1",
        later=True,
    )
    parallel: float | None = option(
        None,
        "Share of the dialogues that ask for several calls at once.",
        least=0,
        most=MOST,
        shown="0.09, of those about your APIs 0.1",
        later=True,
    )

    @property
    def told_shares(self) -> dict[str, float]:
        """Those that were given, by dialogue type."""
        told = {"irrelevant": self.irrelevant, "missing_argument": self.missing_argument, "parallel": self.parallel}
        return {kind: share for kind, share in told.items() if share is not None}

    def check_shares(self) -> None:
        """Raises SettingsError where nothing is left for calls."""
        if sum(self.told_shares.values()) > MOST:
            told = " and ".join(f"--{kind.replace('_', '-')} {share:g}" for kind, share in self.told_shares.items())
            raise SettingsError(f"{told} are together more than {MOST:g}; leave room for single calls")


def with_shares(shares: Mapping[Kind, float], told: Mapping[str, float]) -> dict[Kind, float]:
    """`shares` with those of `told`; the other types keep their proportions, and the sum stays what it was.

    A told type that has no share here is left out: these dialogues know it not.
    """
    if not told:
        return dict(shares)
    total = sum(shares.values())
    known = {kind: total * told[kind] for kind in shares if kind in told}
    rest = sum(share for kind, share in shares.items() if kind not in known)
    left = total - sum(known.values())
    return {kind: known[kind] if kind in known else share * left / rest for kind, share in shares.items()}
