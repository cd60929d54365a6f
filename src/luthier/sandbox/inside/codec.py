"""Plain data over a pipe: tagged JSON in frames of a capped length, decoded into exact builtin types.

The far end of the pipe may be hostile. `decode` makes nothing but None, bool, int, float, str, bytes, complex, list, tuple, set,
frozenset, dict, bytearray, range and list iterators, however deep or wrong the text is; anything else is a CodecError.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

DEPTH = 100
ITEMS = 1_000_000
_SMALL = 1 << 63
_HEADER = 8


class CodecError(Exception):
    """A value that is not plain data, or text that is not a value."""


class FrameError(CodecError):
    """A frame longer than the reader allows."""


def encode(value: object) -> bytes:
    """The value as text. Subclasses become their builtin base; iterators are run to their end, ITEMS at most.

    Raises CodecError for other types, more than DEPTH levels or ITEMS items.
    """
    return json.dumps(_Encoder().node(value, 0), ensure_ascii=True, separators=(",", ":")).encode()


def decode(text: bytes) -> Any:
    """The value of a text; raises CodecError for whatever `encode` would not have written."""
    try:
        return _value(json.loads(text), 0)
    except CodecError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, KeyError, IndexError, AttributeError) as problem:
        raise CodecError(f"a reply that is not plain data ({type(problem).__name__})") from None


def write_frame(descriptor: int, text: bytes) -> None:
    """Send one frame; raises OSError where the reader is gone."""
    left = memoryview(len(text).to_bytes(_HEADER, "big") + text)
    while left:
        left = left[os.write(descriptor, left) :]


def read_frame(descriptor: int, most: int) -> bytes | None:
    """The next frame, None at the end of the pipe. Raises FrameError, before anything is allocated, for one longer than `most`."""
    header = _exactly(descriptor, _HEADER)
    if header is None:
        return None
    size = int.from_bytes(header, "big")
    if size > most:
        raise FrameError(f"a reply of {size} bytes; {most} are allowed")
    return _exactly(descriptor, size)


def _exactly(descriptor: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(descriptor, min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


class _Encoder:
    """Counts the items of one value while it is taken apart."""

    def __init__(self) -> None:
        self.items = 0

    def node(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, float) or (kind is int and -_SMALL < value < _SMALL):
            return value
        if depth >= DEPTH:
            raise CodecError(f"a value of more than {DEPTH} levels")
        for base, tag, inner in _TAGS:
            if isinstance(value, base):
                return self._tagged(value, base, tag, inner, depth)
        if isinstance(value, Iterator):
            return {"iterator": self._each(value, depth)}
        raise CodecError(f"a value of type {kind.__module__}.{kind.__qualname__}")

    def _tagged(self, value: Any, base: type, tag: str, inner: Callable[[Any], Any] | None, depth: int) -> Any:
        if inner is not None:
            plain = inner(value)
            return plain if tag == "" else {tag: plain}
        if base is dict:
            return {tag: [[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in self._counted(dict.items(value))]}
        parts = self._each(base.__iter__(value), depth)  # type: ignore[attr-defined]
        return parts if tag == "" else {tag: parts}

    def _each(self, values: Iterator[Any], depth: int) -> list[Any]:
        return [self.node(value, depth + 1) for value in self._counted(values)]

    def _counted(self, values: Any) -> Iterator[Any]:
        for value in values:
            self.items += 1
            if self.items > ITEMS:
                raise CodecError(f"a value of more than {ITEMS} items")
            yield value


def _integer(value: int) -> Any:
    exact = int.__int__(value)
    return exact if -_SMALL < exact < _SMALL else {"int": hex(exact)}


# base, tag ("" for a bare JSON value), and how the value is written where it holds no others.
_TAGS: tuple[tuple[type, str, Callable[[Any], Any] | None], ...] = (
    (bool, "", bool),
    (int, "", _integer),
    (float, "", float.__float__),
    (str, "", str.__str__),
    (list, "", None),
    (tuple, "tuple", None),
    (dict, "dict", None),
    (set, "set", None),
    (frozenset, "frozenset", None),
    (bytes, "bytes", bytes.hex),
    (bytearray, "bytearray", bytearray.hex),
    (complex, "complex", lambda value: [value.real, value.imag]),
    (range, "range", lambda value: [_integer(value.start), _integer(value.stop), _integer(value.step)]),
)


def _value(node: Any, depth: int) -> Any:
    if depth > DEPTH:
        raise CodecError(f"a reply of more than {DEPTH} levels")
    if type(node) is list:
        return [_value(item, depth + 1) for item in node]
    if type(node) is not dict:
        return node
    if len(node) != 1:
        raise CodecError("a reply that is not plain data (object)")
    ((tag, inner),) = node.items()
    if tag == "dict":
        return {_value(key, depth + 1): _value(item, depth + 1) for key, item in inner}
    return _MAKERS[tag]([_value(item, depth + 1) for item in inner] if type(inner) is list else inner)


def _whole(digits: str) -> int:
    if type(digits) is not str:
        raise CodecError("a reply that is not plain data (int)")
    return int(digits, 16)


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "iterator": iter,
    "int": _whole,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "range": lambda parts: range(*parts),
}
