"""Numbers that no float holds, wherever rows, tables and settings bring numbers: understood, or refused in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from trl import SFTConfig

from luthier.errors import BadRowError, LuthierError, SettingsError
from luthier.evaluate.retrieval.metrics import evaluate_run
from luthier.records import Tool, read_conversations, write_jsonl
from luthier.records.numbers import finite_number, shown
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.trace.readers.values import time_of
from luthier.train.start import checked
from luthier.train.turn_weights import row_weight

HUGE = 10**400


@given(some.one_of(some.integers(), some.floats(), some.booleans(), some.text(), some.none()))
def test_a_number_is_what_a_float_holds(value: Any) -> None:
    number = finite_number(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        assert number == float(value)
    else:
        assert number is None
    assert len(shown(value)) <= 42


def of_a_turn(folder: Path) -> None:
    answer = {"role": "assistant", "content": "b", "weight": HUGE}
    write_jsonl(folder / "rows.jsonl", [{"messages": [{"role": "user", "content": "a"}, answer]}])
    list(read_conversations(folder / "rows.jsonl"))


PLACES: dict[str, Callable[[Path], object]] = {
    "turn": of_a_turn,
    "row": lambda _: row_weight({"weight": HUGE}),
    "time": lambda _: time_of(HUGE),
    "grade": lambda _: evaluate_run({"q": {"d": 1.0}}, {"q": {"d": HUGE}}, ["ndcg@10"]),
    "setting": lambda _: checked("sft", {"learning_rate": HUGE}, SFTConfig),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_number_beyond_every_float_is_refused_in_one_line(place: str, tmp_path: Path) -> None:
    with pytest.raises(LuthierError) as caught:
        PLACES[place](tmp_path)
    assert isinstance(caught.value, BadRowError | SettingsError)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("limit", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"])
def test_limits_that_no_float_holds_do_not_end_the_drawing_of_values(limit: str) -> None:
    for kind in ("integer", "number"):
        schema = {"type": "object", "properties": {"count": {"type": kind, limit: HUGE}}, "required": ["count"]}
        usable, left = callable_tools([Tool("count_things", "Counts things.", schema)])
        assert len(usable) + len(left) == 1
