"""What differs between a model as it was trained and as it is served, and why: pure comparisons of prompts, tokens, log-probabilities and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

SHOWN = 40  # signs of a difference that are shown
TOLERANCES = {"f32": 0.02, "f16": 0.05, "bf16": 0.1, "int8": 0.2, "q8_0": 0.2, "q4": 0.4}
"""Mean difference of a token's log-probability, nats, that a format explains: measured on models of 0.1B to 0.5B, doubled."""
NEAR = 4  # a first token that differs is a near tie up to so many tolerances


class Difference(NamedTuple):
    """what: prompt, tokens, log-probabilities, answer, calls or stop. why: in words. precision: whether the format of the weights explains it."""

    what: str
    why: str
    precision: bool = False


def compare_prompts(ours: str, theirs: str, *, system: str = "", bos: str = "") -> Difference | None:
    """Why two renderings of one conversation are not the same bytes. system: what the system turn says, bos: the token that begins a text."""
    if ours == theirs:
        return None
    if bos and theirs == bos + ours:
        return Difference("prompt", f"the text begins with {bos} once more: BOS is doubled")
    if ('"arguments": "{' in theirs and '"arguments": "{' not in ours) or ('\\"' in theirs and '\\"' not in ours):
        return Difference("prompt", "arguments of calls are rendered as text, not as objects")
    if system and system in ours and system in theirs and _before(ours, system) != _before(theirs, system):
        return Difference("prompt", "what the system turn says stands elsewhere")
    if system and system in ours and system not in theirs:
        return Difference("prompt", "what the system turn says is left out")
    if sorted(_parts(ours)) == sorted(_parts(theirs)):
        return Difference("prompt", f"the same parts in another order, tools say: {_first(ours, theirs)}")
    return Difference("prompt", f"another chat template: {_first(ours, theirs)}")


def compare_tokens(
    ours: Sequence[int], theirs: Sequence[int], names: Sequence[str], others: Sequence[str], *, bos: int | None
) -> Difference | None:
    """Why one text is not the same tokens. names, others: the tokens as text."""
    if list(ours) == list(theirs):
        return None
    if bos is not None and list(theirs) == [bos, *ours]:
        return Difference("tokens", "the token that begins a text is put before it once more: BOS is doubled")
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    one, other = "".join(names[at : at + 4]), "".join(others[at : at + 4])
    digits = re.compile(r"\d{2,}")
    if any(digits.search(name) for name in others) != any(digits.search(name) for name in names):
        grouped = "in groups" if any(digits.search(name) for name in others) else "one by one"
        return Difference("tokens", f"digits are read {grouped}: another pre-tokenizer")
    return Difference("tokens", f"another tokenizer: token {at + 1} begins {other[:SHOWN]!r} where {one[:SHOWN]!r} was trained")


def compare_logprobs(
    ours: Sequence[float], theirs: Sequence[float], *, weights: str, without: Callable[[], Sequence[float]] | None
) -> Difference | None:
    """Whether one text's log-probabilities are farther apart than the format of the weights explains. without: gives ours, the adapter left out; it is
    asked where they are."""
    if not ours or len(theirs) < len(ours):
        return None
    apart = fmean(abs(one - other) for one, other in zip(ours, theirs, strict=False))
    allowed = TOLERANCES[weights]
    if apart <= allowed:
        return None
    bare = apart if without is None else fmean(abs(one - other) for one, other in zip(without(), theirs, strict=False))
    if bare < apart / 2 and bare <= 2 * allowed:
        return Difference(
            "log-probabilities", f"{apart:.2f} nats a token from the trained model, {bare:.2f} from its base: the adapter is left out"
        )
    return Difference(
        "log-probabilities",
        f"{apart:.2f} nats a token apart where {weights} explains {allowed:g}: another base, or a coarser quantisation than told",
    )


def is_near(gap: float | None, weights: str) -> bool:
    """Whether the format of the weights explains that the second best token was taken. gap: nats by which the best one beats it."""
    return gap is not None and gap <= NEAR * TOLERANCES[weights]


def compare_calls(ours: str, theirs: str, *, near: bool) -> Difference | None:
    """Whether the same calls were read. near: the answers part at a near tie, and what follows follows from it."""
    if ours == theirs:
        return None
    told = f"{theirs} where {ours} was trained"
    return Difference("calls", f"behind a near tie {told}" if near else told, precision=near)


def compare_answers(ours: str, theirs: str, *, gap: float | None, weights: str) -> Difference | None:
    """Why greedy answers differ. gap: nats by which our token beats theirs where they part, None where that is not known."""
    if ours.strip() == theirs.strip():
        return None
    told = f" ({gap:.2f} nats apart)" if gap is not None else ""
    if is_near(gap, weights):
        return Difference("answer", f"a near tie{told} falls the other way", precision=True)
    return Difference("answer", f"{_first(ours, theirs)}{told}")


def compare_stops(ours: str, theirs: str, *, said: str, other: str, near: bool = False) -> Difference | None:
    """Whether both ended alike. said, other: the answers. near: they part at a near tie, here of the stop token and another."""
    if ours == theirs or not (other.startswith(said) or said.startswith(other)):
        return None
    if near:
        return Difference("stop", "a near tie of the stop token and another falls the other way", precision=True)
    if ours == "stop":
        return Difference("stop", "the answer goes on where the trained model stops: its stop token is lost")
    return Difference("stop", "the answer stops where the trained model goes on")


def _before(text: str, part: str) -> str:
    return "".join(text.partition(part)[0].split())


def _parts(text: str) -> list[str]:
    """Lines, and the JSON objects in them, which may stand in any order."""
    found: list[str] = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            found.append(line)
            continue
        found += [json.dumps(each, sort_keys=True) for each in (value if isinstance(value, list) else [value])]
    return found


def _first(ours: str, theirs: str) -> str:
    """Where two texts part, and how they go on."""
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"at sign {at + 1} {theirs[at : at + SHOWN]!r} where {ours[at : at + SHOWN]!r} was trained"
