"""Where the steps of a chain of thought end, in its own tokens.

Boundaries are found in the text and kept as counts of the tokens that were generated: a text that is tokenised again may merge across a
boundary and become another sequence.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.texts.answers import final_answer

LEAST_TOKENS = 4  # a shorter piece belongs to the step before it
MOST_STEPS = 32
_END = re.compile(r"\n+|(?<=[.?!])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\s(?=Step\s+\d+\s*:)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|Dr|Mr|Mrs|Ms|Prof|St|No|Fig|Eq)|(?:^|\n)[^\S\n]{0,8}\d{1,2}|\b[A-Z])\.$")
_NEAR = 24  # characters before an end that tell an abbreviation
_MARK, _TWO_WORDS = re.compile(r"[.?!\n]"), re.compile(r"\s*+\S++\s++\S")
_UNFINISHED = "�"  # how a tokenizer writes the first bytes of a character


@dataclass(frozen=True)
class Steps:
    """ends: how many tokens of the chain stand before the end of each step; texts: the steps. statement: the closing sentence that states the
    answer, which is no step, else an empty text."""

    ends: tuple[int, ...]
    texts: tuple[str, ...]
    statement: str = ""


def split_steps(tokenizer: Any, ids: Sequence[int], *, least: int = LEAST_TOKENS, most: int = MOST_STEPS) -> Steps:
    """The steps of a chain, given as its token ids: lines, sentences, and what "Step 3:" begins.

    Pieces of fewer than `least` tokens join the step before them, and so does all beyond `most` steps.
    """
    ends_of_tokens = token_ends(tokenizer, ids)
    text = tokenizer.decode(list(ids), skip_special_tokens=False)
    body, statement = _without_statement(text)
    cuts = [token_at(ends_of_tokens, place) for place in sentence_ends(body)]
    last = token_at(ends_of_tokens, len(body.rstrip())) if body.strip() else 0
    kept: list[int] = []
    for cut in [*cuts, last]:
        start = kept[-1] if kept else 0
        if cut <= start or cut > last:
            continue
        if kept and cut - start < least:
            kept[-1] = cut
        else:
            kept.append(cut)
    if len(kept) > 1 and kept[0] < least:
        del kept[0]
    if len(kept) > most:
        kept = [*kept[: most - 1], kept[-1]]
    starts = [0, *(ends_of_tokens[end - 1] for end in kept)]
    texts = [text[a:b].strip() for a, b in itertools.pairwise(starts)]
    return Steps(tuple(kept), tuple(texts), statement)


def sentence_ends(text: str) -> list[int]:
    """Places in a text, in characters, where a line or a sentence ends; the end of the text is not one."""
    found = []
    first = len(text) - len(text.lstrip())
    for match in _END.finditer(text):
        start = match.start()
        before = text[:start] if start <= _NEAR else f"x{text[start - _NEAR : start]}"  # x: the window begins within a line
        if start <= first or ("\n" not in match[0] and _ABBREVIATION.search(before)):
            continue
        found.append(match.start())
    return found


def token_ends(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """How many characters of the decoded text stand before the end of each token.

    Tokens that hold a part of a character only count to the character's end. Decodes a few tokens at a time.
    """
    ends: list[int] = []
    done = 0  # characters before `start`
    start = 0
    for number in range(1, len(ids) + 1):
        piece = tokenizer.decode(list(ids[start:number]), skip_special_tokens=False)
        ends.append(done + len(piece.rstrip(_UNFINISHED)))
        if number - start >= 16 and not piece.endswith(_UNFINISHED):  # a new start, so that long chains cost no square
            start = number
            done = ends[-1]
    total = len(tokenizer.decode(list(ids), skip_special_tokens=False)) if ids else 0
    return [min(max(end, ends[at - 1] if at else 0), total) for at, end in enumerate(ends)]


def token_at(ends: Sequence[int], place: int) -> int:
    """How many tokens stand before a place in the text; a token that it falls into is counted."""
    return min(bisect_left(ends, place) + 1, len(ends))


def _without_statement(text: str) -> tuple[str, str]:
    """The text before its closing sentence, where that states the answer, and that sentence."""
    stated = final_answer(text)
    if stated is None or _goes_on(text[stated.end :].strip()):
        return text, ""
    before = text[: stated.start]
    ends = sentence_ends(before)
    start = ends[-1] if ends else 0
    return text[:start], text[start:].strip()


def _goes_on(rest: str) -> bool:
    """Whether two words or more follow the end of a sentence."""
    mark = _MARK.search(rest)
    return mark is not None and _TWO_WORDS.match(rest, mark.end()) is not None
