"""Rows of made-up sentences, no two alike, from three sources."""

from __future__ import annotations

import random

NOUNS = "river copper library engine harbour violin market winter garden bridge letter planet".split()  # noqa: SIM905
VERBS = "opens carries follows measures paints repairs borrows crosses".split()  # noqa: SIM905


def sentence(draw: random.Random) -> str:
    return (
        f"The {draw.choice(NOUNS)} {draw.choice(VERBS)} the {draw.choice(NOUNS)} {draw.randrange(1900, 2100)} times a {draw.choice(NOUNS)}"
    )


def make_rows(count: int = 120, seed: int = 0) -> list[dict]:
    draw = random.Random(seed)
    return [
        {
            "id": number,
            "messages": [
                {"role": "user", "content": ". ".join(sentence(draw) for _ in range(3))},
                {"role": "assistant", "content": ". ".join(sentence(draw) for _ in range(draw.randrange(1, 6)))},
            ],
            "source": "abc"[number % 3],
            "stars": number % 5,
        }
        for number in range(count)
    ]
