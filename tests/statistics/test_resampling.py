"""Bootstrap intervals and paired comparisons: what they cover, what clusters do to them, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.errors import SettingsError
from luthier.statistics.resampling import bootstrap, bootstrap_statistic, paired


def test_intervals_cover_the_mean_and_twins_widen_them():
    draw = np.random.default_rng(0)
    values = draw.random(400)
    alone = bootstrap(values)
    assert alone.low < values.mean() < alone.high
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    twins = bootstrap(np.repeat(values[:100], 4), np.repeat(np.arange(100, dtype=np.int32), 4))
    assert twins.high - twins.low > 1.7 * (bootstrap(np.repeat(values[:100], 4)).high - bootstrap(np.repeat(values[:100], 4)).low)


def test_paired_comparison_finds_a_difference_and_none():
    draw = np.random.default_rng(0)
    base = draw.random(300)
    better = paired(base, base + 0.05 + draw.normal(0, 0.1, 300))
    assert better.p < 0.01
    assert better.low > 0
    assert paired(base, base + draw.normal(0, 0.1, 300)).p > 0.01
    assert paired(base, base).p == 1
    with pytest.raises(SettingsError, match="300 items on one side, 299"):
        paired(base, base[1:])


def test_any_statistic_has_its_interval_and_clusters_widen_it():
    values = np.random.default_rng(0).normal(size=200).repeat(2)
    alone = bootstrap_statistic(lambda at: float(values[at].mean()), range(400))
    together = bootstrap_statistic(lambda at: float(values[at].mean()), np.arange(200).repeat(2).tolist())
    assert alone.low < alone.value < alone.high
    assert together.high - together.low > 1.2 * (alone.high - alone.low)
    assert abs((alone.high - alone.low) / 2 - 1.96 * values.std() / 20) < 0.02
    assert bootstrap_statistic(lambda at: None, range(3)).value is None
