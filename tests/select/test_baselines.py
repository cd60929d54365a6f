from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.select import baselines as base
from luthier.select import own_ratios

pytest.importorskip("sklearn", reason="the diversity baselines need the extra luthier[select]")
rows_of = st.lists(st.text(max_size=12).map(str.encode), max_size=40)


def indices(picks) -> list[int]:
    return [pick.index for pick in picks]


def points(count: int, seed: int = 0, dimensions: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


@given(rows_of, st.integers(0, 5))
def test_orders_hold_every_row_with_text_once(rows: list[bytes], seed: int) -> None:
    expected = [index for index, row in enumerate(rows) if row]
    groups = [str(len(row) % 3) for row in rows]
    for picks in (
        base.random_picks(rows, seed=seed),
        base.stratified_picks(rows, groups, seed=seed),
        base.longest_picks(rows),
        base.own_ratio_picks(rows),
    ):
        assert sorted(indices(picks)) == expected


def test_seeds_differ_and_repeat() -> None:
    rows = [b"x"] * 50
    assert indices(base.random_picks(rows, seed=1)) == indices(base.random_picks(rows, seed=1))
    assert indices(base.random_picks(rows, seed=1)) != indices(base.random_picks(rows, seed=2))


@given(st.lists(st.sampled_from("aab"), min_size=1, max_size=90), st.integers(1, 90))
def test_every_group_has_its_share_at_any_length(groups: list[str], length: int) -> None:
    taken = indices(islice(base.stratified_picks([b"x"] * len(groups), groups), length))
    share = len(taken) / len(groups)
    for group, count in Counter(groups).items():
        assert abs(sum(groups[index] == group for index in taken) - share * count) <= 1 + 1e-9


def test_own_ratios_rise_and_lengths_fall() -> None:
    rows = [b"ab" * n for n in range(1, 30)]
    ratios = [pick.score for pick in base.own_ratio_picks(rows)]
    assert ratios == sorted(own_ratios(row.decode() for row in rows))
    assert indices(base.longest_picks(rows)) == list(range(28, -1, -1))


def test_scores_rank_and_rows_without_one_are_passed_over() -> None:
    scores = [0.5, None, 2.0, 0.5, -1.0]
    assert indices(base.scored_picks(scores)) == [2, 0, 3, 4]
    assert indices(base.scored_picks(scores, highest=False)) == [4, 0, 3, 2]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(0, 9))
def test_k_center_is_farthest_first(count: int, seed: int) -> None:
    embeddings = points(count, seed)
    order = indices(base.k_center_picks(embeddings, seed=seed))
    assert sorted(order) == list(range(count))
    for at in range(1, min(count, 8)):
        gaps = np.linalg.norm(embeddings[:, None] - embeddings[None, order[:at]], axis=2).min(1)
        assert gaps[order[at]] == pytest.approx(gaps[[i for i in range(count) if i not in order[:at]]].max(), abs=1e-3)


@settings(max_examples=25)
@given(st.integers(1, 25), st.integers(0, 9))
def test_facility_location_takes_the_greatest_gain_each_time(count: int, seed: int) -> None:
    embeddings = points(count, seed)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    order = indices(base.facility_location_picks(embeddings))
    assert sorted(order) == list(range(count))
    covered = np.zeros(count)
    for index in order:
        gains = np.maximum(unit @ unit.T - covered[:, None], 0).sum(0)
        assert gains[index] == pytest.approx(gains[list(range(count))].max(), abs=1e-3) or gains[index] <= 1e-3
        covered = np.maximum(covered, unit @ unit[index])


def test_clusters_take_turns() -> None:
    centres = np.eye(4, dtype=np.float32) * 10
    embeddings = np.concatenate([centre + points(20, n, 4) * 0.1 for n, centre in enumerate(centres)])
    order = indices(base.cluster_picks(embeddings, clusters=4))
    assert sorted(order) == list(range(80))
    for turn in range(20):
        assert {index // 20 for index in order[4 * turn : 4 * turn + 4]} == {0, 1, 2, 3}
    assert indices(base.cluster_picks(np.zeros((0, 3)))) == []


def test_deita_takes_the_best_that_is_not_like_a_better_one() -> None:
    embeddings = np.array([[1, 0], [0.99, 0.1], [0, 1], [0.1, 0.99], [-1, 0]], dtype=np.float32)
    similar: dict[int, float] = {}
    assert indices(base.deita_picks([1.0, 5.0, 3.0, 2.0, None], embeddings, similar=similar, places=[10, 11, 12, 13, 14])) == [1, 2]
    assert set(similar) == {10, 13}
    assert all(0.9 <= cosine <= 1.0 + 1e-6 for cosine in similar.values())
    assert indices(base.deita_picks([1.0, 5.0, 3.0, 2.0, None], embeddings, threshold=1.1)) == [1, 2, 3, 0]


def test_like_texts_have_like_embeddings() -> None:
    rows = [f"the cat sat on mat {n}".encode() for n in range(30)] + [f"prices of copper rose {n} percent".encode() for n in range(30)]
    embeddings = base.hashed_embeddings(rows, dimensions=8)
    assert embeddings.shape == (60, 8)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    same, other = (unit[:30] @ unit[:30].T).mean(), (unit[:30] @ unit[30:].T).mean()
    assert same > other + 0.3
