"""The texts of a pool outside the heap: one temporary file, mapped into memory, so that a pool may be larger than the memory."""

from __future__ import annotations

import mmap
import tempfile
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload


class Texts(Sequence[bytes]):
    """Texts by index, from the end too, and by slice; a subclass has `__len__` and says what stands `_at` an index from 0."""

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._at(index % len(self))

    @abstractmethod
    def _at(self, index: int) -> bytes: ...


class PoolPart(Texts):
    """Some texts of a pool by their index there, read when they are asked for."""

    def __init__(self, texts: Sequence[bytes], indices: Sequence[int]) -> None:
        self._texts, self._indices = texts, indices

    def __len__(self) -> int:
        return len(self._indices)

    def _at(self, index: int) -> bytes:
        return self._texts[self._indices[index]]


class TextPool(Texts):
    """UTF-8 texts by index. What is not encodable (half a surrogate pair) becomes "?", so that every text has bytes.

    folder: where the temporary file lies; the system's place by default. It is gone when the pool is.
    """

    def __init__(self, texts: Iterable[str | bytes] = (), folder: str | None = None) -> None:
        self._ends = array("Q", [0])
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (lives as long as the pool)
        self._map: mmap.mmap | None = None
        for text in texts:
            self.append(text)

    def append(self, text: str | bytes) -> None:
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self._map = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _at(self, index: int) -> bytes:
        start, end = self._ends[index], self._ends[index + 1]
        return self._mapped()[start:end] if end > start else b""

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    def size(self, index: int) -> int:
        """Bytes of one text."""
        return self._ends[index + 1] - self._ends[index]

    @property
    def total(self) -> int:
        """Bytes of all texts."""
        return self._ends[-1]

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map
