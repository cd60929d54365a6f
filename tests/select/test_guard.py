"""The guard against noise: its model against the formula, its scores against known spreads, and noise planted in real rows."""

import math
import random
from collections import Counter
from itertools import product
from pathlib import Path

import junk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.select import guard
from luthier.select.guard import FEWEST, LEAST_SPREAD, SHORTEST, frequent_bytes, noise_scores, surprise
from luthier.select.pool import TextPool
from luthier.select.rows import read_pool

POOL = Path(__file__).parents[3] / "shared" / "data" / "instruct" / "pool.jsonl.gz"

SUBJECTS = ["the teacher", "my neighbour", "a young doctor", "this engineer", "the old captain", "her cousin", "the baker", "our guide"]
VERBS = ["wants to find", "has never seen", "will buy", "is looking for", "could not repair", "often talks about", "was given"]
OBJECTS = ["a red bicycle", "the garden behind the house", "an answer to that", "two tickets for the show", "what they need"]
ENDS = ["in the morning.", "before it rains.", "with the help of friends.", "because it was cheap.", "and that is all.", "at home."]


def sentences(count, seed=0):
    """English rows of three to six sentences."""
    draw = random.Random(seed)
    parts = (SUBJECTS, VERBS, OBJECTS, ENDS)
    return [" ".join(" ".join(map(draw.choice, parts)) for _ in range(draw.randint(3, 6))).encode() for _ in range(count)]


def test_surprise_is_the_formula():
    draw = random.Random(1)
    trigrams = [tuple(draw.choices(range(5), weights=(8, 4, 2, 1, 1), k=3)) for _ in range(400)]
    triples = Counter(trigrams)
    pairs, singles = Counter(t[1:] for t in trigrams), Counter(t[2] for t in trigrams)
    bits = surprise(np.bincount([(a << 14) | (b << 7) | c for a, b, c in trigrams], minlength=128**3))

    def mixed(count, context, kinds, lower):
        return (max(count - 1, 0) + max(kinds, 1) * lower) / (max(context - 1, 0) + max(kinds, 1))

    for a, b, c in product(range(6), repeat=3):
        single = (singles[c] + 1) / (len(trigrams) + 128)
        pair = mixed(pairs[b, c], sum(pairs[b, x] for x in range(6)), sum((b, x) in pairs for x in range(6)), single)
        seen = [triples[a, b, x] for x in range(6)]
        triple = mixed(triples[a, b, c], sum(seen), sum(map(bool, seen)), pair)
        assert bits[(a << 14) | (b << 7) | c] == pytest.approx(-math.log2(triple), rel=1e-5)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30))
def test_bytes_without_a_class_of_their_own_share_one(rows):
    alphabet = frequent_bytes(rows)
    shared = alphabet.classes == 127
    assert shared.sum() == 256 - 127
    assert sorted(alphabet.classes[~shared].tolist()) == list(range(127))
    assert np.exp2(-alphabet.extra[shared]).sum() == pytest.approx(1, rel=1e-4)
    assert not alphabet.extra[~shared].any()


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=120), max_size=80), st.randoms(use_true_random=False))
def test_any_bytes_have_a_score_that_their_place_does_not_change(rows, draw):
    groups = [draw.choice("ab") for _ in rows]
    scores = noise_scores(rows, groups)
    assert len(scores) == len(rows)
    assert all(math.isfinite(score) for score in scores)
    assert all(score == 0 for row, score in zip(rows, scores, strict=True) if len(row) < SHORTEST)
    order = list(range(len(rows)))
    draw.shuffle(order)
    moved = noise_scores([rows[at] for at in order], [groups[at] for at in order])
    assert moved == pytest.approx([scores[at] for at in order], abs=1e-3)


def test_the_scores_do_not_depend_on_the_chunks(monkeypatch):
    rows = [*sentences(80), b"", *sentences(20, seed=1), bytes(range(256))]
    groups = ["a"] * len(rows)
    whole = noise_scores(TextPool(rows), groups)
    monkeypatch.setattr(guard, "_CHUNK", 700)
    assert noise_scores(rows, groups) == pytest.approx(whole, abs=1e-3)


def test_a_long_row_is_judged_by_its_beginning(monkeypatch):
    monkeypatch.setattr(guard, "_LONGEST", 200)
    rows = sentences(60)
    begun = [row[:200] for row in rows]
    assert noise_scores(rows, [""] * 60) == noise_scores(begun, [""] * 60)


def test_robust_z_of_known_values_uses_the_finest_group_that_is_large_enough():
    values = np.concatenate([np.arange(101) / 10, np.arange(101) / 5 + 50, [0.0]]).astype(np.float32)
    fine = np.array([0] * 101 + [1] * 101 + [2])
    middle, spread = guard._robust_spread(values, (np.zeros_like(fine), fine))
    z = (values - middle) / spread
    assert z[100] == pytest.approx(5 / (1.4826 * 2.5), rel=1e-5)
    assert z[201] == pytest.approx(10 / (1.4826 * 5), rel=1e-5)
    middle = np.median(values)
    assert z[202] == pytest.approx(-middle / (1.4826 * np.median(abs(values - middle))), rel=1e-5)


def test_equal_rows_are_no_noise_and_what_stands_among_them_may_be():
    values = np.array([3.0] * 60 + [3.0 + 2 * LEAST_SPREAD], dtype=np.float32)
    middle, spread = guard._robust_spread(values, (np.zeros(61, dtype=np.int64),))
    assert ((values - middle) / spread).tolist() == pytest.approx([0.0] * 60 + [2.0])
    row = sentences(1)[0]
    scores = noise_scores([row] * 200 + [junk.base64_text(random.Random(0), "").encode()], [""] * 201)
    assert scores[:200] == [0.0] * 200
    assert scores[200] > 4


def test_unclaimed_rows_go_to_the_largest_group_of_their_source_unless_they_are_more():
    def lists(*counts):
        sources, languages = zip(*(pair for pair, count in counts for _ in range(count)), strict=True)
        return np.array(sources), np.array(languages)

    result = guard._with_unclaimed(*lists(((0, 0), 10), ((0, 1), 60), ((0, 2), 20), ((1, 0), 60), ((1, 2), 5)))
    assert Counter(result.tolist()) == {1: 70, 2: 25, 0: 60}
    small = guard._with_unclaimed(*lists(*(((source, source % 5 and 1), 2) for source in range(40))))
    assert set(small.tolist()) == {1}


def test_rows_of_another_language_are_judged_among_themselves():
    spanish = (["los niños", "la vecina", "el médico", "su hermana", "una amiga"], ["busca", "quiere", "compra", "olvidó"])
    draw = random.Random(3)
    rows = [
        " ".join(f"{draw.choice(spanish[0])} {draw.choice(spanish[1])} el libro del año, pero no las llaves." for _ in range(4)).encode()
        for _ in range(FEWEST)
    ]
    scores = noise_scores([*sentences(2000), *rows], ["web"] * (2000 + FEWEST))
    assert max(scores[2000:]) < 4


def test_noise_is_seen_when_every_row_has_a_source_of_its_own():
    clean = [row.decode() for row in sentences(1000)]
    rows = junk.planted(clean, [str(at) for at in range(1000)], 0.02, seed=2)
    scores = noise_scores([text.encode() for text, _, _ in rows], [source for _, source, _ in rows])
    assert {(score > 4) == bool(kind) for score, (_, _, kind) in zip(scores, rows, strict=True)} == {True}


def test_a_pool_too_small_to_judge_has_no_noise():
    assert noise_scores([], []) == []
    assert noise_scores(TextPool(), []) == []
    rows = [*sentences(FEWEST - 2), bytes(range(256)), b"short"]
    assert set(noise_scores(rows, [""] * FEWEST)) == {0.0}


def test_each_row_needs_a_source():
    with pytest.raises(SettingsError, match="2 rows, but the sources of 1"):
        noise_scores([b"a", b"b"], ["x"])


@pytest.mark.skipif(not POOL.exists(), reason=f"the instruction rows are not here ({POOL})")
def test_planted_noise_is_found_in_real_rows():
    rows = [(row.text, row.row["source"]) for row, _ in zip(read_pool(POOL), range(12_000), strict=False)]
    mixed = junk.planted([text for text, _ in rows], [source for _, source in rows], 0.01, seed=0)
    scores = noise_scores([text.encode() for text, _, _ in mixed], [source for _, source, _ in mixed])
    flagged = Counter(kind for score, (_, _, kind) in zip(scores, mixed, strict=True) if score > 4)
    assert flagged[""] == 0
    for kind in junk.KINDS:
        assert flagged[kind] >= 0.9 * 30, kind
