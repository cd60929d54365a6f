"""Ranks, beside SciPy's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.statistics.ranks import area_under_curve, ranks, spearman

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30)


@given(PAIRS)
def test_agreement_is_that_of_scipy_and_sklearn(pairs: list[tuple[int, int]]):
    from scipy.stats import rankdata, spearmanr
    from sklearn.metrics import roc_auc_score

    one, other = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assert ranks(one).tolist() == rankdata(one).tolist()
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
    else:
        assert spearman(one, other) is None
    kinds = other > 2
    if 0 < kinds.sum() < len(kinds):
        assert area_under_curve(one, kinds) == pytest.approx(roc_auc_score(kinds, one))
    else:
        assert area_under_curve(one, kinds) is None
