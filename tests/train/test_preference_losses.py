"""The losses of DPO-BMC and its kin: worked values, and what must hold whatever the numbers are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from luthier.train.preference import LOSSES, Answers, bmc_weights, d2po_weights, dpo, ipo, ld_weights, orpo, rdpo, simpo, token_diff

CHOSEN, REJECTED = [0.9, 0.5, 0.2, 0.05], [0.9, 0.5, 0.3]
CHOSEN_REFERENCE, REJECTED_REFERENCE = [0.9, 0.4, 0.25, 0.1], [0.9, 0.5, 0.4]
# delta: weights of chosen, of rejected, R of chosen, of rejected, DPO, IPO, SimPO, R-DPO
WORKED = {
    0.0: ([1, 1, 1, 1], [1, 1, 1], -0.693147, -0.287682, 0.713626, 25.779915, 2.010614, 0.708537),
    1.0: ([1, 2, 2, 2], [1, 1, 2], -1.386294, -0.575364, 0.734515, 26.571815, 3.737465, 0.729325),
    1.5: ([1, 2.5, 2.5, 2.5], [1, 1, 2.5], -1.732868, -0.719205, 0.745114, 26.972254, 4.646261, 0.739873),
    3.0: ([1, 3, 4, 4], [1, 1, 4], -2.995733, -1.150728, 0.789646, 28.787054, 7.060668, 0.784199),
}


def logs(probabilities: list[float]) -> torch.Tensor:
    return tensor([probabilities], dtype=torch.float64).log()


def sides(delta: float) -> tuple[Answers, Answers]:
    chosen, rejected = logs(CHOSEN), logs(REJECTED)
    return (
        Answers.of(chosen, torch.ones_like(chosen), bmc_weights(chosen, tensor([[0, 1, 1, 1]]), delta), logs(CHOSEN_REFERENCE)),
        Answers.of(rejected, torch.ones_like(rejected), bmc_weights(rejected, tensor([[0, 0, 1]]), delta), logs(REJECTED_REFERENCE)),
    )


@pytest.mark.parametrize("delta", WORKED)
def test_worked_values(delta: float):
    chosen_weights, rejected_weights, chosen_ratio, rejected_ratio, *losses = WORKED[delta]
    assert bmc_weights(logs(CHOSEN), tensor([[0, 1, 1, 1]]), delta)[0].tolist() == pytest.approx(chosen_weights)
    assert bmc_weights(logs(REJECTED), tensor([[0, 0, 1]]), delta)[0].tolist() == pytest.approx(rejected_weights)
    chosen, rejected = sides(delta)
    assert (chosen.ratio.item(), rejected.ratio.item()) == pytest.approx((chosen_ratio, rejected_ratio), abs=1e-6)
    found = [loss(chosen, rejected).item() for loss in (dpo, ipo, simpo, rdpo)]
    assert found == pytest.approx(losses, rel=1e-6)


def test_the_worked_value_of_orpo():
    assert orpo(*sides(1.5)).item() == pytest.approx(1.596126, abs=1e-6)


LOGPS = st.lists(st.floats(-40, 0), min_size=1, max_size=8)


@given(LOGPS, st.floats(0, 5), st.data())
def test_weights_are_one_outside_the_marks_and_bounded_inside(values: list[float], delta: float, data: st.DataObject):
    diff = tensor([data.draw(st.lists(st.integers(0, 1), min_size=len(values), max_size=len(values)))])
    logps = tensor([values], dtype=torch.float64, requires_grad=True)
    weights = bmc_weights(logps, diff, delta)
    assert not weights.requires_grad
    assert (weights[diff == 0] == 1).all()
    inside = weights[diff == 1]
    assert (inside >= 1 + min(1.0, delta) - 1e-9).all()
    assert (inside <= 1 + delta + 1e-9).all()


@given(LOGPS, LOGPS, st.floats(0, 5))
def test_where_the_policy_is_the_reference_the_loss_knows_nothing(one: list[float], two: list[float], delta: float):
    chosen, rejected = (
        Answers.of(x, torch.ones_like(x), bmc_weights(x, torch.ones_like(x), delta), x)
        for x in (tensor([values], dtype=torch.float64) for values in (one, two))
    )
    assert dpo(chosen, rejected).item() == pytest.approx(math.log(2))
    assert dpo(chosen, rejected, dpop=5.0).item() == pytest.approx(math.log(2))
    assert ipo(chosen, rejected, beta=0.1).item() == pytest.approx(25.0)


def test_the_gradient_is_that_of_fixed_weights():
    """Finite differences of the loss with the weights held, against autograd through `bmc_weights`."""
    base = torch.tensor([[-0.2, -1.5, -2.5]], dtype=torch.float64)
    diff, reference = tensor([[0, 1, 1]]), base - 0.3
    other = Answers.of(base * 0.5, torch.ones_like(base), torch.ones_like(base), base * 0.4)
    fixed = bmc_weights(base, diff, 3.0)

    def loss(logps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return dpo(Answers.of(logps, torch.ones_like(logps), weights, reference), other, beta=0.3).sum()

    moving = base.clone().requires_grad_()
    loss(moving, bmc_weights(moving, diff, 3.0)).backward()
    for at in range(3):
        step = torch.zeros_like(base)
        step[0, at] = 1e-6
        slope = (loss(base + step, fixed) - loss(base - step, fixed)) / 2e-6
        assert moving.grad is not None
        assert moving.grad[0, at].item() == pytest.approx(slope.item(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_changes_no_loss_and_gets_no_gradient(name: str):
    def loss(width: int) -> tuple[float, list[float]]:
        policy = torch.zeros(1, width, dtype=torch.float64)
        policy[:, :3] = tensor([[-1.0, -2.0, -0.5]])
        policy.requires_grad_()
        mask = (torch.arange(width) < 3).double()[None]
        reference = tensor([[-1.1, -1.9, -0.7] + [-9.0] * (width - 3)], dtype=torch.float64)
        chosen = Answers.of(policy, mask, torch.full_like(mask, 1.5), reference)
        rejected = Answers.of(policy.detach() - 1, mask, torch.ones_like(mask), reference)
        value = LOSSES[name](chosen, rejected).sum()
        value.backward()
        assert policy.grad is not None
        return value.item(), policy.grad[0].tolist()

    short, long = loss(3), loss(6)
    assert long[0] == pytest.approx(short[0])
    assert long[1] == pytest.approx([*short[1], 0, 0, 0])


def test_dpop_counts_a_fall_of_the_chosen_answer_and_nothing_else():
    rejected = sides(0)[1]
    plain = logs([0.5, 0.5])
    ones = torch.ones_like(plain)
    fallen, risen = (Answers.of(plain, ones, ones, plain + shift) for shift in (0.1, -0.1))
    assert dpo(fallen, rejected, dpop=5).item() > dpo(fallen, rejected).item()
    assert dpo(risen, rejected, dpop=5).item() == dpo(risen, rejected).item()
    margin = (fallen.ratio - rejected.ratio - 5 * 0.2).item()
    assert dpo(fallen, rejected, beta=0.1, dpop=5).item() == pytest.approx(math.log1p(math.exp(-0.1 * margin)))


def test_orpo_stays_finite_for_a_certain_answer():
    sure = torch.zeros(1, 2)
    sure.requires_grad_()
    ones = torch.ones(1, 2)
    side = Answers.of(sure, ones, ones)
    loss = orpo(side, Answers.of(torch.full((1, 2), -1.0), ones, ones))
    loss.sum().backward()
    assert math.isfinite(loss.item())
    assert sure.grad is not None
    assert torch.isfinite(sure.grad).all()


def test_losses_with_a_reference_say_so():
    side = Answers.of(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    with pytest.raises(ValueError, match="compares with a reference model"):
        dpo(side, side)


def test_weights_by_place():
    mask, other = tensor([[1.0, 1, 1, 1]]), tensor([[1.0, 1, 0, 0]])
    assert ld_weights(mask, other, 0.3)[0].tolist() == pytest.approx([1, 1, 0.3, 0.3])
    assert d2po_weights(mask, 0.5)[0].tolist() == [1, 0.5, 0.25, 0.125]


def test_marks_of_the_worked_examples():
    assert token_diff(list("sitting"), list("kitten")) == ([1, 0, 0, 0, 1, 0, 1], [1, 0, 0, 0, 1, 0])
    one, two = ["is", "the", "public", "dog", "park"], ["is", "not", "the", "dog", "park"]
    assert token_diff(one, two) == ([0, 1, 1, 0, 0], [0, 1, 1, 0, 0])


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_both_sides_of_a_substitution_are_marked(chosen: list[int], rejected: list[int]):
    chosen_marks, rejected_marks = token_diff(chosen, rejected)
    assert len(chosen) - sum(chosen_marks) == len(rejected) - sum(rejected_marks)
    assert (sum(chosen_marks) + sum(rejected_marks) == 0) == (chosen == rejected)
