"""The decoding loop against transformers' own `generate`, row by row, whatever leaves the batch when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from luthier.models.decoding import decode


@pytest.fixture(scope="module")
def module(tiny_model_folder: Path):
    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32).eval()


def batch(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[2] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def by_transformers(module, row: Sequence[int], stop_ids: Sequence[int], max_tokens: int) -> list[int]:
    with torch.inference_mode():
        out = module.generate(
            torch.tensor([list(row)]),
            attention_mask=torch.ones(1, len(row), dtype=torch.long),
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=list(stop_ids),
            pad_token_id=2,
        )
    return out[0, len(row) :].tolist()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(3, 500), min_size=1, max_size=12), min_size=1, max_size=7), st.data())
def test_rows_are_answered_as_if_alone(module, rows: list[list[int]], data: st.DataObject) -> None:
    """Stop tokens are taken from the answers, so that rows end at different steps and the batch shrinks."""
    rows = rows + [rows[0]] * data.draw(st.integers(0, 2))
    free = by_transformers(module, rows[0], [2], 10)
    stop_ids = [2, *(free[at] for at in data.draw(st.lists(st.integers(0, len(free) - 1), max_size=2)))]
    ids, mask = batch(rows)
    with torch.inference_mode():
        answers = decode(module, ids, mask, max_tokens=10, stop_ids=stop_ids)
    assert answers == [by_transformers(module, row, stop_ids, 10) for row in rows]


class _Recorder:
    """Sees every step and chooses the token that its row of the batch asks for."""

    def __init__(self, wanted: list[list[int]]) -> None:
        self.wanted, self.steps, self.widths = wanted, 0, []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.widths.append(len(scores))
        chosen = torch.full_like(scores, float("-inf"))
        for row, tokens in enumerate(self.wanted):
            chosen[row, tokens[min(self.steps, len(tokens) - 1)]] = 0.0
        self.steps += 1
        return chosen

    def keep(self, rows: Sequence[int]) -> None:
        self.wanted = [self.wanted[row] for row in rows]


def test_rows_that_have_ended_leave_the_batch(module) -> None:
    wanted = [[10, 2], [11, 12, 13, 14, 2], [15, 2], [16, 17, 2], [18, 19, 20, 21, 22, 23]]
    recorder = _Recorder(wanted)
    ids, mask = batch([[5], [6, 7], [8], [9, 9, 9], [4]])
    with torch.inference_mode():
        answers = decode(module, ids, mask, max_tokens=6, stop_ids=[2], processors=[recorder])
    assert answers == wanted
    assert recorder.widths == [5, 5, 3, 2, 2, 1]


def test_an_answer_may_be_over_for_another_reason(module) -> None:
    ids, mask = batch([[5, 6], [7]])
    with torch.inference_mode():
        whole = decode(module, ids, mask, max_tokens=8, stop_ids=[])
        cut = decode(module, ids, mask, max_tokens=8, stop_ids=[], ended=lambda tokens, _: len(tokens) == 3)
        none = decode(module, ids, mask, max_tokens=0, stop_ids=[])
    assert [len(row) for row in whole] == [8, 8]
    assert cut == [row[:3] for row in whole]
    assert none == [[], []]
