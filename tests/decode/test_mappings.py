"""The mappings: known values, 1 at the mean, rising, finite, vectorised; the clip; the entropy rules beside their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.decode import DDS, Dynatemp, Edt, EntropyScore
from luthier.decode.mappings import KINDS, Mapping, Statistics
from luthier.decode.rules import Fixed, ScoreRule, entropy
from luthier.errors import SettingsError

MADE = Statistics(0.4, 0.15, 0.65)  # mean, and percentiles 0.5 apart
SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=9)
STATISTICS = st.tuples(st.floats(0.05, 0.95), st.floats(0, 0.5), st.floats(0.51, 1)).map(lambda one: Statistics(*one))


class Given:
    """A scorer that says what it is told."""

    reads_states = False

    def __init__(self, scores: list[float], statistics: Statistics = MADE) -> None:
        self.given, self.statistics = torch.tensor(scores), statistics

    def scores(self, states: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
        return self.given


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("linear", 0.75, 1.25), ("exponential", 0.7071, 1.4142), ("inverse_sigmoid", 2.5 / (1.5 + math.e), 1.3384)]
)
def test_known_values(kind: str, low: float, high: float):
    f = Mapping(kind, MADE)
    assert f(torch.tensor([0.15, 0.4, 0.65])).tolist() == pytest.approx([low, 1.0, high], abs=1e-4)


def test_the_worked_example_of_a_low_score():
    rule = ScoreRule(Given([0.15]), Mapping("inverse_sigmoid", MADE), t0=0.9)
    assert rule.temperatures(None, torch.zeros(1, 4)).item() == pytest.approx(0.5333, abs=1e-4)


@given(st.sampled_from(KINDS), STATISTICS, SCORES)
def test_rising_finite_vectorised_one_at_the_mean_and_clipped(kind: str, statistics: Statistics, scores: list[float]):
    f = Mapping(kind, statistics)
    values = torch.tensor(sorted([0.0, *scores, 1.0]), dtype=torch.float64)
    made = f(values)
    assert made.shape == values.shape
    assert torch.isfinite(made).all()
    assert (made.diff() >= -1e-12).all()
    assert made[-1] > made[0]
    assert f(torch.tensor([statistics.mean], dtype=torch.float64)).item() == pytest.approx(1, abs=1e-9)
    alone = torch.cat([f(value[None]) for value in values])
    assert torch.allclose(made, alone)
    rule = ScoreRule(Given(scores, statistics), f, t0=1.3, least=0.2, most=1.7)
    clipped = rule.temperatures(None, torch.zeros(len(scores), 3))
    assert ((clipped >= 0.2) & (clipped <= 1.7)).all()


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=40), st.floats(0.1, 1.5), st.floats(0.5, 3))
def test_entropy_rules_are_their_formulas(logits: list[float], t0: float, exponent: float):
    row = torch.tensor([logits])
    top = max(logits)
    weights = [math.exp(one - top) for one in logits]
    p = [one / sum(weights) for one in weights]
    h = -sum(one * math.log(one) for one in p if one > 0)
    assert entropy(row).item() == pytest.approx(h, abs=1e-4)
    share = min(1.0, h / math.log(len(logits)))
    wanted = min(2.0, max(0.1, 0.2 + 1.3 * share**exponent))
    assert Dynatemp(0.2, 1.5, exponent).temperatures(None, row).item() == pytest.approx(wanted, abs=2e-3)
    if h > 1e-2:
        wanted = min(2.0, max(0.1, t0 * 0.8 ** (0.7 / h)))
        assert Edt(t0, 0.8, 0.7).temperatures(None, row).item() == pytest.approx(wanted, abs=2e-3)
    assert EntropyScore(MADE).scores(None, row).item() == pytest.approx(share, abs=1e-3)


def test_tokens_that_are_ruled_out_do_not_matter():
    row = torch.tensor([[1.0, 2.0, -math.inf, -math.inf]])
    assert entropy(row).item() == pytest.approx(entropy(row[:, :2]).item())
    assert Fixed(0.7).temperatures(None, row).tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mapping("cubic", MADE), "mapping is 'cubic'; choose one of linear"),
        (lambda: Mapping("exponential", MADE, k=1.0), "k must be above 1"),
        (lambda: Mapping("linear", MADE, k=0.0), "k must be above 0"),
        (lambda: Mapping("inverse_sigmoid", MADE, k=0.5), "k must be at least 1"),
        (lambda: Mapping("linear", Statistics(0.5, 0.5, 0.5)), "all training scores are alike"),
        (lambda: Dynatemp(0.0, 1.0), "give a range above 0"),
        (lambda: Edt(base=1.2), "base lies between 0 and 1"),
        (lambda: Fixed(0.0), "it must be above 0"),
        (lambda: DDS(Given([0.5]), level="word"), "level is 'word'"),
        (lambda: DDS(Given([0.5]), level=1.5), "level is 1.5"),
        (lambda: DDS(Given([0.5]), smooth=1.0), "smooth is 1"),
        (lambda: DDS(Given([0.5]), t0=-1.0), "it must be above 0"),
    ],
)
def test_settings_without_meaning_are_refused(make, message: str):
    with pytest.raises(SettingsError, match=message):
        make()
