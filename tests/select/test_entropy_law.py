"""The rules against a table of measured runs, against the published pattern of five versions, and against what must always hold."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luthier.select.entropy_law import LEVELS, Alarm, Prediction, Refusal, judge, judge_data, noise_band, predict, theil_sen
from luthier.select.ledger import Version


def version(name: str, ratio: float, loss: float, whole: float | None = None, **more: object) -> Version:
    ratios = {"32K": ratio} if whole is None else {"32K": ratio, "all": whole}
    return Version(name, "g", str(more.pop("data", name)), 100, ratios, loss, **more)  # type: ignore[arg-type]


# A two-layer byte-level transformer on 0.6 MB, one epoch: R by zlib, R of the whole set, L, held-out loss.
TABLE = [
    version(name, ratio, loss, whole, metric=-held_out)
    for name, ratio, whole, loss, held_out in (
        ("unique", 3.260, 4.06, 2.664, 2.395),
        ("30 % unique", 3.232, 11.0, 2.669, 2.410),
        ("10 %", 3.786, 25.5, 2.638, 2.419),
        ("3 %", 29.9, 50.5, 2.522, 2.516),
        ("1 %", 63.9, 89.7, 2.317, 2.992),
        ("5 % noise", 2.459, 2.97, 2.879, 2.457),
        ("20 % noise", 1.713, 1.93, 3.295, 2.672),
    )
]
UNIQUE, *OTHERS = TABLE


def rules(alarms: list[Alarm]) -> list[str]:
    return [alarm.rule for alarm in alarms]


@pytest.mark.parametrize(
    ("other", "expected"),
    zip(OTHERS, [["long range"], *[["E", "long range"]] * 3, ["D"], ["D"]], strict=True),
    ids=[each.name for each in OTHERS],
)
def test_every_worse_version_of_the_table_is_flagged_for_the_right_reason(other: Version, expected: list[str]) -> None:
    found = judge([UNIQUE], other)
    assert rules(found) == expected
    assert {alarm.level for alarm in found} == {"warn"}


def test_the_better_version_of_the_table_raises_nothing_against_the_repeated_one() -> None:
    assert judge([TABLE[1]], UNIQUE) == []
    assert judge([], UNIQUE) == []


def test_the_prediction_over_the_table_has_the_signs_of_the_law() -> None:
    guess = predict(TABLE, version("new", 3.1, 2.7, 4.0))
    assert isinstance(guess, Prediction)
    assert guess.versions == 7
    assert guess.weights[0] < 0
    assert guess.weights[1] < 0
    assert not guess.outside


X = [version("x1", 3.60, 1.500), version("x2", 3.50, 1.512), version("x3", 3.41, 1.521), version("x4", 3.33, 1.534)]
X5 = version("x5", 3.55, 1.620)


def test_four_improving_versions_are_quiet_and_the_fifth_with_both_up_is_high_risk() -> None:
    assert [judge(X[:at], X[at]) for at in range(4)] == [[], [], [], []]
    (alarm,) = judge(X, X5)
    assert (alarm.rule, alarm.level, alarm.in_band) == ("A+B", "stop", False)
    assert rules(judge_data(X, replace(X5, loss=0.0))) == ["A"]


def test_a_short_history_compares_with_the_previous_version() -> None:
    assert rules(judge(X[:1], version("n", 3.60, 1.500 * 1.021))) == ["B"]
    assert judge(X[:1], version("n", 3.60, 1.500 * 1.019)) == []
    assert judge(X[:1], version("n", 3.70, 1.500 * 1.019)) == []
    assert rules(judge(X[:1], version("n", 3.72, 1.500 * 1.019))) == ["A"]
    assert rules(judge(X[:1], version("n", 3.72, 1.500 * 1.021))) == ["A+B"]
    assert rules(judge(X[:1], version("n", 3.72, 1.499))) == ["E"]
    assert rules(judge(X[:1], version("n", 3.40, 1.500 * 1.021))) == ["D"]
    assert judge(X[:1], version("n", 3.40, 1.500 * 1.019)) == []


def test_from_four_versions_on_the_loss_is_judged_for_its_ratio() -> None:
    """L rises by less than the 2 % of a short history, but R does not explain it."""
    odd = version("n", 3.34, 1.555)
    assert judge(X[1:], odd) == []
    (alarm,) = judge(X, odd)
    assert (alarm.rule, alarm.level) == ("B", "warn")
    assert "4 versions" in alarm.text
    assert judge(X, version("n", 3.28, 1.543)) == []


def test_the_long_range_index_sees_what_the_ratio_misses() -> None:
    before, after = version("a", 3.26, 2.66, 4.06), version("b", 3.25, 2.66, 4.6)
    assert rules(judge([before], after)) == ["long range"]
    assert rules(judge_data([before], after)) == ["long range"]
    assert judge([before], replace(after, ratio={"32K": 3.25, "all": 4.4})) == []
    assert judge([before], replace(after, ratio={"32K": 3.25})) == []
    assert judge([replace(before, ratio={"32K": 3.26})], after) == []


def test_seeds_give_the_band_and_an_alarm_within_it_is_lowered_and_says_so() -> None:
    seeds = [replace(X[0], seed=seed, loss=loss) for seed, loss in enumerate((1.46, 1.50, 1.54))]
    band = noise_band(seeds, "g")
    assert band is not None
    assert (band.spread, band.datasets, band.runs) == (pytest.approx(0.04), 1, 3)
    assert band.between(1, 3) == pytest.approx(2 * 0.04 * math.sqrt(1 + 1 / 3))
    (loud,) = judge(seeds, version("n", 3.75, 1.62))
    assert (loud.rule, loud.level, loud.in_band) == ("A+B", "stop", False)
    (lowered,) = judge(seeds, version("n", 3.75, 1.54))
    assert (lowered.rule, lowered.level, lowered.in_band) == ("A+B", "warn", True)
    assert "within seed noise (±0.092)" in lowered.text
    (of_ratio,) = judge(seeds, version("n", 3.75, 1.48))
    assert (of_ratio.rule, of_ratio.level, of_ratio.in_band) == ("A", "warn", True)
    (info,) = judge(seeds, version("n", 3.60, 1.54))
    assert (info.rule, info.level, info.in_band) == ("B", "info", True)


def test_the_band_pools_data_sets_and_needs_two_seeds_of_one() -> None:
    assert noise_band(X, "g") is None
    assert noise_band([X[0], replace(X[0], loss=9.0)], "g") is None  # the same run, written again
    pairs = [replace(each, seed=seed, loss=each.loss + seed * 0.02) for each in X[:2] for seed in (0, 1)]
    band = noise_band([*pairs, X[2]], "g")
    assert band is not None
    assert (band.spread, band.datasets, band.runs) == (pytest.approx(0.02 / math.sqrt(2)), 2, 4)
    assert noise_band(pairs, "another group") is None


def test_another_seed_of_a_version_is_judged_with_it_against_what_came_before_it() -> None:
    again = replace(X[1], seed=1)
    assert judge([*X, X5], again) == []
    late = replace(X5, seed=1, loss=1.622)
    assert rules(judge([*X, X5], late)) == ["A+B"]


def test_other_groups_do_not_count() -> None:
    assert judge([replace(each, group="h") for each in X], X5) == []
    refused = predict([replace(each, group="h") for each in TABLE], X5)
    assert refused == Refusal("0 finished versions of this group; a prediction needs 5")


def test_a_prediction_needs_five_finished_versions_that_differ() -> None:
    new = version("new", 3.1, 2.7)
    assert isinstance(predict(TABLE[:5], new), Prediction)
    unfinished = [*TABLE[:4], replace(TABLE[4], metric=None)]
    assert predict(unfinished, new) == Refusal("4 finished versions of this group; a prediction needs 5")
    assert isinstance(predict(TABLE[:5], TABLE[0]), Refusal)  # its own metric is not used
    same = [version(f"s{at}", 3.0, 2.5, metric=at) for at in range(6)]
    assert predict(same, new) == Refusal("R and L are the same in all finished versions; they cannot tell them apart")


def test_the_prediction_is_the_ridge_solution_and_its_error_that_of_leaving_one_out() -> None:
    """Against numpy's solver on the same standard scores."""
    import numpy as np

    def fitted(rows: list[tuple[float, float, float]], at: tuple[float, float]) -> float:
        x, z = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
        middle, scale = x.mean(0), x.std(0)
        design = (x - middle) / scale
        weights = np.linalg.solve(design.T @ design + np.eye(2), design.T @ (z - z.mean()))
        return float(z.mean() + ((np.array(at) - middle) / scale) @ weights)

    draw = random.Random(5)
    rows = [(draw.uniform(2, 5), draw.uniform(1, 3), draw.uniform(0, 10)) for _ in range(8)]
    made = [version(f"v{at}", r, loss, metric=z) for at, (r, loss, z) in enumerate(rows)]
    guess = predict(made, version("new", 3.0, 2.0))
    assert isinstance(guess, Prediction)
    assert guess.metric == pytest.approx(fitted(rows, (3.0, 2.0)))
    errors = [fitted(rows[:at] + rows[at + 1 :], row[:2]) - row[2] for at, row in enumerate(rows)]
    assert guess.error == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))))
    means = [np.mean([z for _, _, z in rows[:at] + rows[at + 1 :]]) - row[2] for at, row in enumerate(rows)]
    assert guess.mean_error == pytest.approx(float(np.sqrt(np.mean(np.square(means)))))


def test_no_line_is_drawn_far_beyond_the_finished_versions() -> None:
    """In x1 to x4 a higher L goes with a better model, so the line would call the bad fifth the best of all."""
    finished = [replace(each, metric=6.0 + 0.2 * at) for at, each in enumerate([*X, version("x4b", 3.30, 1.541)])]
    told = predict(finished, X5)
    assert told == Refusal("L 1.620 is far from the finished versions (1.500 to 1.541)")
    assert predict(finished, version("n", 9.0, 1.52)) == Refusal("R 9.000 is far from the finished versions (3.300 to 3.600)")
    near = predict(finished, version("n", 3.28, 1.545))
    assert isinstance(near, Prediction)
    assert near.outside
    level = [replace(each, ratio={"32K": 3.0}) for each in finished]
    assert predict(level, version("n", 3.001, 1.52)) == Refusal("R 3.001 is far from the finished versions (3.000 to 3.000)")
    assert isinstance(predict(level, version("n", 3.0, 1.52)), Prediction)


def test_a_law_that_holds_is_predicted_better_than_the_mean() -> None:
    made = [version(f"v{at}", 3 + 0.1 * at, 2.5 + 0.05 * (at % 3), metric=9 - 0.1 * at - 0.2 * (at % 3)) for at in range(9)]
    guess = predict(made, version("new", 3.45, 2.55))
    assert isinstance(guess, Prediction)
    assert guess.error < 0.5 * guess.mean_error
    assert guess.weights[0] < guess.weights[1] < 0


numbers = st.floats(-100, 100)


@given(st.lists(st.tuples(st.integers(-50, 50), numbers), min_size=1, max_size=12), numbers, numbers)
def test_theil_sen_follows_shifts_and_slopes(rows: list[tuple[int, float]], slope: float, shift: float) -> None:
    x, y = [float(a) for a, _ in rows], [b for _, b in rows]
    assume(len(set(x)) > 1)
    a, b = theil_sen(x, y)
    moved = theil_sen(x, [v + slope * u + shift for u, v in zip(x, y, strict=True)])
    assert moved[0] == pytest.approx(a + slope, abs=1e-6)
    assert moved[1] == pytest.approx(b + shift, abs=1e-4)


@given(st.integers(5, 20), numbers, numbers, st.data())
def test_theil_sen_is_not_moved_by_a_few_wild_points(size: int, slope: float, level: float, data: st.DataObject) -> None:
    y = [level + slope * at for at in range(size)]
    y[data.draw(st.integers(0, size - 1))] += data.draw(st.floats(-1e6, 1e6))
    found = theil_sen([float(at) for at in range(size)], y)
    assert found[0] == pytest.approx(slope, abs=1e-6)
    assert found[1] == pytest.approx(level, abs=1e-4)


def test_theil_sen_of_one_x_is_level() -> None:
    assert theil_sen([2.0, 2.0, 2.0], [1.0, 5.0, 3.0]) == (0.0, 3.0)


histories = st.lists(st.tuples(st.floats(1, 50), st.floats(0.1, 8)), min_size=1, max_size=8)


@given(histories, st.floats(1, 50), st.floats(0.1, 8), st.floats(0.1, 10))
def test_alarms_do_not_depend_on_the_unit_of_the_loss(history: list[tuple[float, float]], ratio: float, loss: float, unit: float) -> None:
    def judged(scale: float) -> list[str]:
        made = [version(f"v{at}", r, scale * value) for at, (r, value) in enumerate(history)]
        return rules(judge(made, version("new", ratio, scale * loss)))

    base = [version(f"v{at}", r, value) for at, (r, value) in enumerate(history)]
    assume(abs(loss / history[-1][1] - 1) > 1e-9)
    assume(abs(loss / history[-1][1] - 1.02) > 1e-9)
    if len(base) < 4:
        assert judged(1.0) == judged(unit)
    else:
        assert judged(1.0) == judged(2.0)  # exact in binary


@given(histories, st.floats(1, 50), st.floats(0.1, 8))
def test_at_most_one_rule_of_r_and_l_speaks_and_only_both_together_stop(
    history: list[tuple[float, float]], ratio: float, loss: float
) -> None:
    made = [version(f"v{at}", r, value) for at, (r, value) in enumerate(history)]
    found = judge(made, version("new", ratio, loss))
    assert len(found) <= 1
    for alarm in found:
        assert alarm.level in LEVELS
        assert (alarm.level == "stop") == (alarm.rule == "A+B")
        if "A" in alarm.rule or alarm.rule == "E":
            assert ratio > history[-1][0] * 1.0299
        if alarm.rule == "D":
            assert ratio < history[-1][0]
            assert loss > history[-1][1]


@given(histories, st.floats(1, 50), st.floats(0.1, 8), st.lists(st.floats(-3, 3), min_size=2, max_size=4))
def test_seeds_only_ever_lower_an_alarm(history: list[tuple[float, float]], ratio: float, loss: float, shifts: list[float]) -> None:
    """The same means, once as single runs and once with the previous version spread over seeds around its loss."""
    made = [version(f"v{at}", r, value) for at, (r, value) in enumerate(history)]
    middle = sum(shifts) / len(shifts)
    spread = [replace(made[-1], seed=at, loss=made[-1].loss + shift - middle) for at, shift in enumerate(shifts)]
    new = version("new", ratio, loss)
    mean = replace(made[-1], loss=sum(run.loss for run in spread) / len(spread))
    assume(abs(loss - mean.loss) > 1e-9)  # nearer, and the order of a sum decides which of the two is lower
    plain, banded = judge([*made[:-1], mean], new), judge([*made[:-1], *spread], new)
    for one, other in zip(plain, banded, strict=True):
        if one.rule == "E" and other.in_band:
            assert (other.rule, other.level) == ("A", "warn")  # R has no seed noise
        else:
            assert other.rule == one.rule
            assert LEVELS.index(other.level) == LEVELS.index(one.level) - other.in_band


def test_the_median_distance_is_what_a_fitted_residual_is_measured_by() -> None:
    """Known by hand: at one R, L of 1.0, 1.1, 1.2, 1.3, 1.4 has middle 1.2 and median distance 0.1, so 1.5 is usual and 1.51 is not."""
    made = [version(f"v{at}", 3.0, 1.0 + 0.1 * at) for at in (0, 4, 1, 3, 2)]
    assert median(abs(each.loss - 1.2) for each in made) == pytest.approx(0.1)
    assert judge(made, version("n", 3.0, 1.499)) == []
    assert rules(judge(made, version("n", 3.0, 1.51))) == ["B"]
