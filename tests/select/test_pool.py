from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.select.pool import PoolPart, TextPool


@given(st.lists(st.text()))
def test_texts_come_back(texts: list[str]) -> None:
    pool = TextPool(texts)
    expected = [text.encode("utf-8", "replace") for text in texts]
    assert list(pool) == expected == pool[:]
    assert [pool.size(index) for index in range(len(pool))] == [len(text) for text in expected]
    assert pool.total == sum(map(len, expected))
    assert pool[::-2] == expected[::-2]


def test_texts_may_be_added_after_reading() -> None:
    pool = TextPool(["one"])
    assert pool[0] == b"one"
    pool.append("two")
    pool.append(b"")
    assert pool[:] == [b"one", b"two", b""]
    assert pool[-1] == b""
    with pytest.raises(IndexError):
        _ = pool[3]


def test_half_a_surrogate_pair_has_bytes_too() -> None:
    assert TextPool(["a\ud800b"])[0] == b"a?b"


def test_a_part_of_a_pool_is_some_of_its_texts() -> None:
    part = PoolPart(TextPool(["a", "b", "c", "d"]), [3, 1])
    assert (list(part), part[-1], part[:1], len(part)) == ([b"d", b"b"], b"b", [b"d"], 2)
    with pytest.raises(IndexError):
        part[2]
