"""Rows of noise to plant in a pool, of the kinds that crawls and conversions leave behind."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Sequence

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "


def base64_text(draw: random.Random, _: str) -> str:
    return base64.b64encode(draw.randbytes(draw.randint(100, 900))).decode()


def hex_text(draw: random.Random, _: str) -> str:
    return draw.randbytes(draw.randint(80, 500)).hex()


def mashed_keys(draw: random.Random, _: str) -> str:
    words = ("".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 11))) for _ in range(draw.randint(20, 160)))
    return " ".join(words)


def corrupted(draw: random.Random, text: str) -> str:
    """The text with 35 % of its characters replaced."""
    return "".join(draw.choice(PRINTABLE) if draw.random() < 0.35 else letter for letter in text)


KINDS: dict[str, Callable[[random.Random, str], str]] = {
    "base64": base64_text,
    "mash": mashed_keys,
    "hex": hex_text,
    "corrupted": corrupted,
}


def planted(clean: Sequence[str], sources: Sequence[str], share: float, seed: int) -> list[tuple[str, str, str]]:
    """(text, source, kind) of the clean rows, kind "", and of so many noise rows more, shuffled; the kinds take turns.

    A noise row has the source of a clean one drawn at random; corrupted text is that row's.
    """
    draw = random.Random(seed)
    rows = [(text, source, "") for text, source in zip(clean, sources, strict=True)]
    kinds = list(KINDS)
    for number in range(round(share * len(clean))):
        at = draw.randrange(len(clean))
        kind = kinds[number % len(kinds)]
        rows.append((KINDS[kind](draw, clean[at]), sources[at], kind))
    draw.shuffle(rows)
    return rows
