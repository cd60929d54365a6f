"""Small preference pairs that several tests share."""

from __future__ import annotations

from typing import Any

from luthier.records import JSON

COLOURS = ["red", "green", "blue", "grey", "pink", "black"]


def row(number: int) -> JSON:
    """A conversational pair whose answers differ in a word and, for odd numbers, in length."""
    good, bad = COLOURS[number % 6], COLOURS[(number + 1 + number // 6) % 6]
    more = " I am sure." if number % 2 else ""
    return {
        "prompt": [{"role": "user", "content": f"Paint {number} in {good}"}],
        "chosen": [{"role": "assistant", "content": f"The answer is {good} then."}],
        "rejected": [{"role": "assistant", "content": f"The answer is {bad} then.{more}"}],
    }


ROWS: list[Any] = [row(number) for number in range(16)]
