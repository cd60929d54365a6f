"""The tree that judges chains: against scikit-learn's, its promises, its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_traces import WORKED, drawn, trace

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.probe.judge import FEATURES, ChainJudge, Growth, features, grouped_folds, grow, probability, prune

FREE = Growth(depth=4, least=5, least_share=0.0)
WIDE = Growth(depth=3, least=30, least_share=0.0)  # large leaves, so that no two splits are worth the same


def data(seed: int, count: int = 160) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, len(FEATURES)))
    y = x[:, 3] + 0.7 * x[:, 8] + random.normal(size=count) > 0.4
    return x, y


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.0, 0.005, 0.02])
def test_the_tree_is_that_of_scikit_learn(seed: int, alpha: float):
    """The same algorithm by independent hands: equal splits and equal pruning give equal probabilities."""
    from sklearn.tree import DecisionTreeClassifier

    x, y = data(seed, 700)
    theirs = DecisionTreeClassifier(max_depth=3, min_samples_leaf=30, class_weight="balanced", ccp_alpha=alpha, random_state=0).fit(x, y)
    ours = prune(grow(x, y, WIDE), alpha)
    expected = theirs.predict_proba(x)[:, 1]
    assert [probability(ours, one) for one in x] == pytest.approx(expected.tolist(), abs=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_a_monotone_change_of_a_feature_changes_nothing(seed: int):
    x, y = data(seed, 80)
    if y.all() or not y.any():
        return
    bent = x.copy()
    bent[:, 3] = np.exp(x[:, 3])  # thresholds move, what they part does not
    plain, other = grow(x, y, FREE), grow(bent, y, FREE)
    assert [probability(plain, one) for one in x] == [probability(other, one) for one in bent]


def chains(count: int, seed: int = 0) -> tuple[list[object], list[bool]]:
    """Wrong chains lose confidence on the way."""
    random = np.random.default_rng(seed)
    traces, wrong = [], []
    for number in range(count):
        bad = bool(number % 2)
        rows = np.array([[0.5, 0.5], [0.3, 0.7], [0.45 if bad else 0.2, 0.55 if bad else 0.8]]) + random.normal(0, 0.02, (3, 1)) * [[1, -1]]
        traces.append(trace(rows, question=f"{number // 2}", number=number))
        wrong.append(bad)
    return traces, wrong


def test_it_learns_what_is_there_and_says_how_well():
    traces, wrong = chains(200)
    judge = ChainJudge.fit(traces, wrong, growth=Growth(least=10))  # type: ignore[arg-type]
    assert judge.validation["f1"] > 0.95
    agreeing = sum(judge.accepts(each) is not mark for each, mark in zip(traces, wrong, strict=True))  # type: ignore[arg-type]
    assert agreeing >= 190
    assert judge.held_out is not None
    assert all(0 <= p <= 1 for p in judge.held_out)
    assert "if " in judge.rules()


def test_labels_by_chance_promise_nothing():
    random = np.random.default_rng(1)
    traces = [drawn(random, 4, question=str(number)) for number in range(300)]
    marks = [bool(mark) for mark in random.integers(0, 2, 300)]
    judge = ChainJudge.fit(traces, marks)
    hits = sum((p >= judge.threshold) and mark for p, mark in zip(judge.held_out or [], marks, strict=True))
    flagged = sum(p >= judge.threshold for p in judge.held_out or [])
    assert abs(hits / max(1, flagged) - sum(marks) / 300) < 0.12


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(2, 5))
def test_no_group_is_in_two_folds(groups: list[str], folds: int):
    found = grouped_folds(groups, folds, 0)
    assert all(len({fold for name, fold in zip(groups, found, strict=True) if name == group}) == 1 for group in groups)
    sizes = [len({name for name, fold in zip(groups, found, strict=True) if fold == each}) for each in range(folds)]
    assert max(sizes) - min(sizes) <= 1


def test_saved_and_loaded_it_says_the_same(tmp_path: Path):
    traces, wrong = chains(80)
    judge = ChainJudge.fit(traces, wrong, growth=Growth(least=5))  # type: ignore[arg-type]
    judge.save(tmp_path / "tree.json")
    back = ChainJudge.load(tmp_path / "tree.json")
    assert [back.predict(each) for each in traces] == [judge.predict(each) for each in traces]  # type: ignore[arg-type]
    assert (back.threshold, back.rules(), back.validation) == (judge.threshold, judge.rules(), judge.validation)


def test_features_of_the_worked_example():
    found = dict(zip(FEATURES, features(trace(WORKED, stated=1)), strict=True))
    assert found["changes"] == 1
    assert found["slope"] == pytest.approx(0.2)
    assert found["largest_rise"] == pytest.approx(0.25)
    assert (found["largest_drop"], found["drop_place"], found["agrees"], found["steps"]) == (0, 0, 1, 2)
    assert found["margin_last"] == pytest.approx(0.5)


def test_what_cannot_be_fitted_or_loaded(tmp_path: Path):
    traces, _ = chains(8)
    with pytest.raises(SettingsError, match="all of these are right"):
        ChainJudge.fit(traces, [False] * 8)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="two questions or more"):
        ChainJudge.fit(traces, [True, False] * 4, ["one"] * 8)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="8 chains, 3 labels"):
        ChainJudge.fit(traces, [True] * 3)  # type: ignore[arg-type]
    with pytest.raises(MissingFileError, match="probe tree fit"):
        ChainJudge.load(tmp_path / "none.json")
    for text, problem in (("{", "not JSON"), ("{}", "not a tree"), ('{"format": "x"}', "expected")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadRowError, match=problem):
            ChainJudge.load(tmp_path / "bad.json")
