"""Texts that match a pattern of JSON Schema, drawn by the engine that also judges them: linear time, whatever the pattern.

The engine says after each byte which may follow; one of these is taken, until the text matches. A pattern is read as if it had to match the
whole text, as its author nearly always means; where that cannot be had, as it stands.
"""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random
from typing import Any

from luthier.records.patterns import byte_matcher, matches, usable_pattern

LONGEST = 600  # bytes of a text
BANK = 48  # texts of one pattern; more say nothing new to a learner
_MOST_BYTES = 1500  # of all texts of one pattern
_ENOUGH = 0.35  # chance to stop where a text matches and may go on
_GENTLE = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TELLING = frozenset("xX0")  # letters and digits that patterns name most often one by one
_ALLOWED = frozenset(range(0x20, 0x7F)) - set(b'"\\<>{}`')


@lru_cache(maxsize=2048)
def texts_of(pattern: str, least: int = 0, most: int = LONGEST) -> tuple[str, ...]:
    """Up to BANK different texts of `least` to `most` characters that match; none where the engine finds none. Always the same ones."""
    if not usable_pattern(pattern):
        return ()
    random = Random(f"{pattern}\n{least}\n{most}")
    for read in (f"^(?:{pattern.removeprefix('^').removesuffix('$')})$", pattern):
        if not usable_pattern(read):
            continue
        found: dict[str, None] = {}
        for number in range(BANK):
            text = _draw(read, least, most, random)
            if (text is None and not found and number) or sum(map(len, found)) > _MOST_BYTES:
                break
            if text is not None and matches(pattern, text):
                found[text] = None
        if found:
            return tuple(found)
    return ()


def _draw(pattern: str, least: int, most: int, random: Random) -> str | None:
    """One text; None where none came of the bytes that were taken."""
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "minLength": least}
    if most < LONGEST:
        schema["maxLength"] = most
    matcher = byte_matcher(json.dumps(schema))
    if matcher is None or not matcher.consume_token(ord('"')):
        return None
    text = bytearray()
    wanted = max(least, min(most, random.choice((3, 6, 9, 12))))
    while len(text) < LONGEST:
        following = _following(matcher)
        done = ord('"') in following
        may = sorted(following & _ALLOWED) or sorted(byte for byte in following if byte >= 0x80)
        if done and (not may or len(text) >= wanted or random.random() < _ENOUGH):
            return text.decode("utf-8")
        if not may:
            return None
        byte = (_onward(matcher, may, following, random) if len(text) >= wanted else None) or _chosen(may, text, random)
        if not matcher.consume_token(byte):
            return None
        text.append(byte)
    return None


def _onward(matcher: Any, may: list[int], following: set[int], random: Random) -> int | None:
    """A byte after which the text may end, else one after which other bytes may follow than now: a way out of what may go on for ever.

    One byte of each kind is tried, and any mark.
    """
    changing: dict[frozenset[int], int] = {}
    kinds: set[str] = set()
    for byte in sorted(may, key=lambda one: (one not in _GENTLE, one == ord(" "))):
        if byte in _GENTLE and may[-1] < 0x80:
            if (kind := _kind(byte)) in kinds and chr(byte) not in _TELLING:
                continue
            kinds.add(kind)
        after = matcher.deep_copy()
        after.consume_token(byte)
        then = frozenset(_following(after))
        if ord('"') in then:
            return byte
        if then != following:
            changing.setdefault(then, byte)
    return random.choice(list(changing.values())) if changing else None


def _following(matcher: Any) -> set[int]:
    """The bytes that may come next."""
    mask = matcher.compute_bitmask()
    return {8 * at + bit for at, byte in enumerate(mask[:32]) if byte for bit in range(8) if byte >> bit & 1}


def _chosen(may: list[int], text: bytearray, random: Random) -> int:
    """One of the bytes, letters and digits before marks, and of the kind of the last one where it may be."""
    gentle = [byte for byte in may if byte in _GENTLE]
    if gentle and text:
        alike = [byte for byte in gentle if _kind(byte) == _kind(text[-1])]
        gentle = alike or gentle
    return random.choice(gentle or may)


def _kind(byte: int) -> str:
    character = chr(byte)
    return "digit" if character.isdigit() else "upper" if character.isupper() else "lower"
