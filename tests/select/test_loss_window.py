"""What the loss monitor averages over, and what it takes as data: the parts that need no trainer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError, SettingsError
from luthier.select.ledger import measure_data
from luthier.select.loss_monitor import EntropyLawCallback, LoggedMean, loss_window

TEXTS = [f"What is the weather in town {number}? It is {number % 7} degrees. " * (1 + number % 3) for number in range(40)]
FACTS = measure_data(TEXTS)


@pytest.mark.parametrize(
    ("steps", "warmup", "window", "expected"),
    [
        (100, 0, (0.05, 0.25), (5, 25)),
        (100, 3, (0.05, 0.25), (5, 25)),
        (100, 10, (0.05, 0.25), (10, 30)),
        (100, 90, (0.05, 0.25), (80, 100)),
        (100, 1000, (0.05, 0.25), (80, 100)),
        (10, 0, (0.05, 0.25), (0, 2)),
        (1, 0, (0.05, 0.25), (0, 1)),
        (7, 0, (0.0, 1.0), (0, 7)),
        (3, 0, (0.98, 1.0), (2, 3)),
    ],
)
def test_the_window_has_its_known_places(steps: int, warmup: int, window: tuple[float, float], expected: tuple[int, int]) -> None:
    assert loss_window(steps, warmup, window) == expected


shares = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] < pair[1])


@given(st.integers(1, 10_000), st.integers(0, 20_000), shares)
def test_the_window_lies_in_the_epoch_and_after_the_warmup_where_it_can(steps: int, warmup: int, window: tuple[float, float]) -> None:
    start, end = loss_window(steps, warmup, window)
    assert 0 <= start < end <= steps
    assert end - start == max(1, round((window[1] - window[0]) * steps))
    assert start >= min(warmup, steps - (end - start))


@pytest.mark.parametrize("window", [(0.25, 0.05), (0.1, 0.1), (-0.1, 0.5), (0.5, 1.1), (math.nan, 1)])
def test_a_window_without_meaning_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="two shares of the first epoch"):
        EntropyLawCallback("law.jsonl", FACTS, window=window)


@given(st.data(), st.integers(0, 20), st.integers(1, 40), st.booleans())
def test_the_mean_is_that_of_the_steps_and_tokens_of_whole_intervals(data: st.DataObject, start: int, width: int, counted: bool) -> None:
    losses = data.draw(st.lists(st.floats(0, 20), min_size=70, max_size=70))
    tokens = data.draw(st.lists(st.integers(1, 999), min_size=70, max_size=70))
    cuts = sorted(data.draw(st.sets(st.integers(1, 70), min_size=1)))
    mean, taken = LoggedMean(start, start + width), []
    for after, step in zip([0, *cuts], cuts, strict=False):
        inside = range(after, step)
        loss = sum(losses[at] for at in inside) / len(inside)
        mean.add(after, step, loss, sum(tokens[at] for at in inside) if counted else None)
        if start <= after and step <= start + width:
            taken.append((len(inside), sum(tokens[at] for at in inside), loss))
    steps = sum(each[0] for each in taken)
    assert mean.steps == steps
    if steps == 0 or steps < width / 2:
        assert mean.value is None
    else:
        weights = [each[1] if counted else each[0] for each in taken]
        assert mean.value == pytest.approx(sum(w * each[2] for w, each in zip(weights, taken, strict=True)) / sum(weights))


def test_one_uncounted_interval_makes_all_count_by_steps() -> None:
    mean = LoggedMean(0, 3)
    mean.add(0, 1, 1.0, 100)
    mean.add(1, 3, 4.0, None)
    assert mean.value == pytest.approx(3.0)
    assert LoggedMean(0, 3).value is None


@pytest.mark.parametrize(
    "data", [TEXTS, [{"text": text} for text in TEXTS], ({"text": text} for text in TEXTS), FACTS], ids=["texts", "rows", "stream", "facts"]
)
def test_the_data_may_be_texts_rows_or_facts(data: Any) -> None:
    assert EntropyLawCallback("law.jsonl", data).facts == FACTS


def test_the_data_may_be_a_file_and_bad_input_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert EntropyLawCallback("law.jsonl", file).facts == FACTS
    file.write_text('{"text": "good"}\n{"nothing": 1}\n')
    with pytest.raises(BadRowError, match=r"train.jsonl:2: "):
        EntropyLawCallback("law.jsonl", file)
    with pytest.raises(BadRowError, match=r"rows:2: "):
        EntropyLawCallback("law.jsonl", [{"text": "good"}, {"nothing": 1}])
    with pytest.raises(SettingsError, match="the data has no text"):
        EntropyLawCallback("law.jsonl", [])
    with pytest.raises(SettingsError, match="stop_on is 'warn'"):
        EntropyLawCallback("law.jsonl", FACTS, stop_on="warn")  # type: ignore[arg-type]
