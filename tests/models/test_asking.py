"""Conversations side by side give what each gives alone, in few batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.models.asking import Ask, Talk, asked_of, side_by_side
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt, Sampling
from luthier.records import Message


@dataclass(frozen=True)
class Double:
    number: int


@dataclass(frozen=True)
class Negate:
    number: int


def talk(start: int, turns: int) -> Talk[list[int]]:
    """Doubles and, every third turn, negates what it has."""
    seen = [start]
    for turn in range(turns):
        seen.append((yield Negate(seen[-1]) if turn % 3 == 2 else Double(seen[-1])))
    return seen


class Counter:
    def __init__(self) -> None:
        self.batches: list[int] = []

    def double(self, wants: Sequence[Double]) -> list[int]:
        self.batches.append(len(wants))
        return [2 * want.number for want in wants]

    def negate(self, wants: Sequence[Negate]) -> list[int]:
        return [-want.number for want in wants]

    @property
    def answerers(self) -> dict[type, object]:
        return {Double: self.double, Negate: self.negate}


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), max_size=12), st.integers(1, 5))
def test_each_ends_as_it_ends_alone(starts: list[tuple[int, int]], at_once: int) -> None:
    together = side_by_side((talk(*start) for start in starts), Counter().answerers, at_once=at_once)  # type: ignore[arg-type]
    alone = [side_by_side([talk(*start)], Counter().answerers)[0] for start in starts]  # type: ignore[arg-type]
    assert together == alone


def test_what_is_wanted_at_once_is_one_batch_and_no_more_are_open_than_allowed() -> None:
    opened: list[int] = []

    def talks() -> Iterator[Talk[list[int]]]:
        for start in range(7):
            opened.append(start)
            yield talk(start, 2)

    counter, ended = Counter(), []
    side_by_side(talks(), counter.answerers, at_once=3, ended=lambda place, _: ended.append((place, len(opened))))  # type: ignore[arg-type]
    assert counter.batches == [3, 3, 3, 3, 1, 1]
    assert [place for place, _ in ended] == list(range(7))
    assert ended[0][1] == 3


def test_a_want_that_nobody_answers_is_an_error() -> None:
    with pytest.raises(TypeError, match="nobody answers Double"):
        side_by_side([talk(1, 1)], {})


def test_a_model_answers_a_batch_as_it_answers_each(tiny_model_folder: Path) -> None:
    model = LocalModel(tiny_model_folder)

    def asks(seed: int) -> Talk[list[str]]:
        said = []
        for turn in range(2):
            answer = yield Ask(Prompt((Message("user", f"Say {seed} {turn}"),)), Sampling(max_tokens=5, temperature=1.0, seed=seed))
            said.append(answer.text)
        return said

    together = side_by_side([asks(seed) for seed in range(4)], {Ask: asked_of(model)})
    assert together == [side_by_side([asks(seed)], {Ask: asked_of(model)})[0] for seed in range(4)]
