"""ZIP against known picks, against the plain algorithm written down a second time, and against its own laws."""

import hashlib
import random
import zlib
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.select import compression_ratio, own_ratios, zip_select
from luthier.select import zip as zip_module
from luthier.select.zip import Zip

WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
]


def sentence(i, m, n):
    return " ".join(WORDS[(i * i * m + j * (i + 3) + j * j) % 16] for j in range(n))


ROWS = [
    {
        "id": i,
        "conversations": [
            {"from": "human", "value": sentence(i, 7, 4 + i % 7)},
            {"from": "gpt", "value": sentence(i, 5, 6 + (i * i % 23))},
        ],
        "source": "s" + str(i % 3),
    }
    for i in range(60)
]
REPRS = [repr(row) for row in ROWS]
classic_zlib = pytest.mark.skipif("zlib-ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng packs to other sizes")


def packed(data):
    return len(zlib.compress(data, 9))


def joined(texts, form):
    data = [text.encode("utf-8", "replace") for text in texts]
    return b"\n".join(data) if form == "turns" else b"[" + b", ".join(data) + b"]"


def g(texts, form):
    data = joined(texts, form)
    return Fraction(len(data), packed(data))


@classic_zlib
def test_known_sizes():
    assert len(str(ROWS)) == 14_024
    assert hashlib.sha256(str(ROWS).encode()).hexdigest().startswith("a8a4318f49aacc38")
    assert packed(str(ROWS).encode()) == 1064
    sizes = [(165, 110), (180, 124), (199, 132), (249, 139), (284, 137), (209, 137)]
    assert [zip_module.own_sizes(text.encode(), zip_module._FORMS["list"]) for text in REPRS[:6]] == sizes
    five = zip_module._Compressed(zip_module._FORMS["list"])
    for text in REPRS[:4]:
        five.add(text.encode())
    assert five.sizes_with(REPRS[4].encode()) == (1077, 273)
    five.add(REPRS[4].encode())
    assert five.sizes_with(REPRS[10].encode()) == (1301, 302)
    assert five.sizes_with(REPRS[37].encode()) == (1336, 305)
    assert [packed(data) for data in (b"abc" * 10, b"", bytes(range(256)), b"a" * 65_536)] == [13, 8, 267, 85]


KNOWN = [
    ("compat", 12, (40, 16, 8), "22 51 1 46 23 2 45 58 53 25 56 39 14 44 16 24"),
    ("compat", 10, (30, 10, 5), "22 51 1 46 23 18 5 56 0 58"),
    ("compat", 24, (60, 12, 6), "22 51 1 46 23 18 45 28 0 58 53 56 30 47 25 7 16 24 0 35 14 10 44 11"),
    ("paper", 12, (40, 16, 8), "22 51 1 46 23 2 45 58 30 47 21 28"),
    ("paper", 20, (40, 16, 8), "22 51 1 46 23 2 45 58 30 47 21 28 56 41 39 0 7 18 5 44"),
    ("paper", 10, (30, 10, 5), "22 51 1 46 23 45 18 56 21 58"),
    ("paper", 24, (60, 12, 6), "22 51 1 46 23 18 45 28 0 58 53 56 30 47 25 7 16 24 2 35 36 10 44 11"),
]


@classic_zlib
@pytest.mark.parametrize(("mode", "budget", "sizes", "picks"), KNOWN)
def test_known_picks(mode, budget, sizes, picks):
    assert zip_select(REPRS, budget, *sizes, mode=mode, form="list") == [int(pick) for pick in picks.split()]


def plain_zip(texts, budget, sizes, form):
    """Section 2.2 once more: no forks, exact fractions, every set compressed from its first byte."""
    k1, k2, k3 = sizes
    state = {i: g([text], form) for i, text in enumerate(texts) if text}
    chosen = []
    while len(chosen) < budget and state:
        first = sorted(state, key=lambda i: (state[i], i))[:k1]
        for i in first:
            state[i] = g([*(texts[j] for j in chosen), texts[i]], form)
        second = sorted(first, key=lambda i: (state[i], i))[:k2]
        local = []
        while len(local) < min(k3, len(second), budget - len(chosen)):
            scores = {i: g([*(texts[j] for j in local), texts[i]], form) for i in second if i not in local}
            local.append(min(scores, key=scores.get))
        for i in local:
            del state[i]
        chosen += local
    return chosen


TEXTS = st.lists(st.text("abc é😀\n", max_size=30) | st.text(max_size=6) | st.sampled_from(REPRS[:8]), max_size=14)
SIZES = st.integers(min_value=1, max_value=9)


@given(texts=TEXTS, budget=st.integers(0, 20), sizes=st.tuples(SIZES, SIZES, SIZES), form=st.sampled_from(["turns", "list"]))
@settings(max_examples=150, deadline=None)
def test_picks_are_those_of_the_plain_algorithm(texts, budget, sizes, form):
    heard = []
    picks = zip_select(texts, budget, *sizes, form=form, progress=heard.append)
    assert picks == plain_zip(texts, budget, sizes, form)
    assert len(set(picks)) == len(picks) == sum(heard) == min(budget, sum(map(bool, texts)))
    longer = zip_select(texts, budget + 5, *sizes, form=form)
    assert longer[: len(picks)] == picks


@given(
    pieces=st.lists(st.binary(max_size=200) | st.integers(0, 3).map(lambda n: b"ab" * 20_000 * n), max_size=6),
    row=st.binary(max_size=100),
    form=st.sampled_from(["turns", "list"]),
)
@settings(max_examples=120, deadline=None)
def test_a_forked_size_is_the_size_of_compressing_everything(pieces, row, form):
    brackets = zip_module._FORMS[form]
    whole = zip_module._Compressed(brackets)
    for piece in pieces:
        whole.add(piece)
    data = brackets.opening + b"".join(piece + brackets.joint for piece in pieces) + row + brackets.closing
    assert whole.sizes_with(row) == (len(data), packed(data))
    assert whole.sizes_with(row) == (len(data), packed(data))


@given(st.lists(st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1)), min_size=2, max_size=2))
def test_ratios_are_ordered_as_fractions(pairs):
    (a, b), (c, d) = pairs
    one, two = zip_module._exact(a, b), zip_module._exact(c, d)
    assert (one < two, one == two) == (Fraction(a, b) < Fraction(c, d), Fraction(a, b) == Fraction(c, d))


def test_ratios_that_single_precision_cannot_tell_apart():
    near = (4_000_000_001, 4_000_000_000), (4_000_000_000, 3_999_999_999)
    assert zip_module._exact(*near[0]) < zip_module._exact(*near[1])
    assert zip_module._single(*near[0]) == zip_module._single(*near[1])


@given(raw=st.integers(0, 2**31), small=st.integers(8, 2**31))
def test_single_precision_is_that_of_numpy(raw, small):
    import numpy as np

    assert zip_module._single(raw, small) == float(np.float32(raw / small))


@classic_zlib
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_pool_does_not_matter(seed):
    shuffled = list(range(60))
    random.Random(seed).shuffle(shuffled)
    picks = zip_select([REPRS[i] for i in shuffled], 20, 40, 16, 8, form="list")
    assert [shuffled[pick] for pick in picks] == zip_select(REPRS, 20, 40, 16, 8, form="list")


@pytest.mark.parametrize(("mode", "k1", "k2", "k3"), [("paper", 40, 16, 8), ("paper", 30, 10, 10), ("paper", 20, 20, 1)])
def test_evaluations_of_full_rounds(monkeypatch, mode, k1, k2, k3):
    measured = []
    sizes_with = zip_module._Compressed.sizes_with
    monkeypatch.setattr(zip_module._Compressed, "sizes_with", lambda self, row: measured.append(1) or sizes_with(self, row))
    zip_select(REPRS, 2 * k3, k1, k2, k3, mode=mode, form="list")
    assert len(measured) == len(REPRS) + 2 * (k1 + k2 * k3 - k3 * (k3 - 1) // 2)


def test_the_reported_ratio_is_that_of_compressing_once():
    texts = [text for row in ROWS for text in (turn["value"] for turn in row["conversations"])]
    data = joined(texts, "turns")
    assert compression_ratio(iter(texts)) == len(data) / packed(data)
    assert own_ratios(texts) == [len(text) / packed(text.encode()) for text in texts]
    assert compression_ratio(["", "a"]) == 2 / packed(b"\na")
    assert compression_ratio([]) == 0
    assert own_ratios(["", "é"]) == [0, 2 / packed("é".encode())]


def test_odd_pools():
    assert zip_select([], 5) == []
    assert zip_select([], 5, mode="compat") == []
    assert zip_select(REPRS, 0) == []
    assert zip_select(REPRS, 0, mode="compat") == []
    assert zip_select(["", "a", ""], 3) == [1]
    assert sorted(zip_select(REPRS[:10], 99)) == list(range(10))
    assert zip_select(["same"] * 5, 3, 4, 2, 1) == [0, 1, 2]
    assert zip_select(["a\ud800", "b"], 2) == zip_select(["a?", "b"], 2)


def test_faults_of_the_published_code_are_kept():
    assert len(zip_select(REPRS, 15, 60, 20, 10, mode="compat", form="list")) == 20
    repeated = zip_select(REPRS, 60, 60, 20, 10, mode="compat", form="list")
    assert len(repeated) == 60
    assert len(set(repeated)) < 60
    assert len(set(zip_select(REPRS, 20, 60, 10, 20, mode="compat", form="list"))) == 10


@pytest.mark.parametrize(
    ("settings_", "problem"),
    [
        ({"budget": -1}, "the budget is a number of rows from 0, not -1"),
        ({"budget": 2.5}, "not 2.5"),
        ({"budget": 3, "k1": 0}, "k1, k2 and k3 are numbers of rows from 1"),
        ({"budget": 3, "k3": -2}, "k1, k2 and k3 are numbers of rows from 1"),
        ({"budget": 3, "mode": "fast"}, "mode is paper or compat"),
        ({"budget": 3, "form": "yaml"}, "form is turns or list"),
        ({"budget": 3, "mode": "compat"}, "needs k2 <= k1 <= the 60 rows of the pool"),
        ({"budget": 3, "mode": "compat", "k1": 10, "k2": 20}, "needs k2 <= k1"),
    ],
)
def test_settings_without_meaning(settings_, problem):
    with pytest.raises(SettingsError, match=problem):
        zip_select(REPRS, **settings_)


@pytest.mark.parametrize("sizes", [(0, 2, 1), (4, 0, 1), (4, 2, 0), (-1, 2, 1), (4, 2.0, 1)])
def test_no_door_takes_sizes_that_would_never_end(sizes: tuple[int, int, int]) -> None:
    rows = [b"one row", b"another row", b"a third"]
    with pytest.raises(SettingsError, match="k1, k2 and k3 are numbers of rows from 1"):
        Zip(rows, *sizes)
    with pytest.raises(SettingsError, match="k1, k2 and k3 are numbers of rows from 1"):
        zip_select([row.decode() for row in rows], 2, *sizes)
