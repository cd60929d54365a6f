from __future__ import annotations

import enum
import itertools
import math
import os
from collections import Counter, OrderedDict, defaultdict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.sandbox.inside import codec

HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE
    | st.sets(HASHABLE, max_size=4)
    | st.binary().map(bytearray)
    | st.builds(range, st.integers(), st.integers(), st.integers(1, 9)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one.items(), other.items(), strict=True))
    return one == other


@given(VALUES)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    assert same(codec.decode(codec.encode(value)), value)


def test_not_a_number_and_infinities_come_back() -> None:
    back = codec.decode(codec.encode([math.nan, math.inf, -math.inf, -0.0]))
    assert math.isnan(back[0])
    assert back[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, back[3]) == -1


Point = namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, 2), (1, 2)),
        (Colour.RED, 1),
        (Word("a"), "a"),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
    ],
)
def test_subclasses_become_their_builtin_base(value: object, plain: object) -> None:
    assert same(codec.decode(codec.encode(value)), plain)


def test_an_iterator_comes_back_as_one() -> None:
    back = codec.decode(codec.encode(value for value in (1, 2)))
    assert back != [1, 2]
    assert list(back) == [1, 2]


def holds_itself() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [object(), len, int, lambda: 0, 1j.real.__class__, itertools.count(), holds_itself(), [{1: [object()]}]])
def test_what_is_not_plain_data_is_refused(value: object) -> None:
    with pytest.raises(codec.CodecError):
        codec.encode(value)


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:0123456789.eE-tupledictsrange', max_size=200).map(str.encode))
def test_any_text_decodes_to_plain_data_or_is_refused(text: bytes) -> None:
    try:
        value = codec.decode(text)
    except codec.CodecError:
        return
    assert type(value).__module__ == "builtins"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b"[" * 150 + b"]" * 150,
        b'{"tuple":' * 5000 + b"[]" + b"}" * 5000,
        b'{"int":5}',
        b'{"int":"zz"}',
        b'{"set":[[1]]}',
        b'{"dict":[[1]]}',
        b'{"complex":[1]}',
        b'{"range":["a"]}',
        b'{"object":[]}',
        b'{"tuple":[],"list":[]}',
        b"1" * 5000,
        b"",
        b"\xff",
    ],
)
def test_damaged_and_deep_texts_are_refused(text: bytes) -> None:
    with pytest.raises(codec.CodecError):
        codec.decode(text)


def test_a_frame_too_long_is_refused_before_it_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, (1 << 62).to_bytes(8, "big"))
    with pytest.raises(codec.FrameError, match="4611686018427387904 bytes"):
        codec.read_frame(reader, 1000)
    os.close(reader)
    os.close(writer)


def test_frames_arrive_whole_and_the_end_is_none() -> None:
    reader, writer = os.pipe()
    for text in (b"one", b"", b"two"):
        codec.write_frame(writer, text)
    os.close(writer)
    assert [codec.read_frame(reader, 10) for _ in range(4)] == [b"one", b"", b"two", None]
    os.close(reader)
