"""Tokens that were never learned: found among rows that are the same, also where quantising has moved them a little; learned rows never are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.models.token_rows import MANY, unlearned


def _matrix(seed: int, same: int, noise: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(200, 32, generator=random)
    rows[:same] = rows[0] * (1 + noise * torch.randn(same, 32, generator=random))
    return rows


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), same=st.integers(MANY + 1, 150))
def test_rows_that_are_many_times_the_same_are_found_and_no_others(seed: int, same: int) -> None:
    assert unlearned(_matrix(seed, same, 0.0), range(200)) == [(token, same) for token in range(same)]


def test_rows_that_quantising_moved_are_found() -> None:
    assert unlearned(_matrix(3, 100, 0.003), [5, 150]) == [(5, 100)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_few_like_rows_are_learned_ones(dtype: torch.dtype) -> None:
    assert unlearned(_matrix(1, MANY, 0.0).to(dtype), range(200)) == []


def test_ids_without_a_row_are_passed_over() -> None:
    assert unlearned(_matrix(2, 0, 0.0), [199, 200, 5000]) == []
