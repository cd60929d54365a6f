"""The guard against noise: a method that likes rows with much new in them likes nothing better than random letters.

Each row is measured by its cross-entropy under a byte-trigram model of the pool itself, and judged among its like: the rows of the same
source and language (or script, or code), by the whole of it and by the least surprising third of its
windows, as a row may quote a cipher or list numbers and be none the less in order. Rows are told apart, not dropped: what to do with a score is the caller's business. What
is noise from end to end, such as a source of nothing else, cannot be told by its like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import SettingsError
from luthier.select.languages import UNCLAIMED, language_group
from luthier.select.replica import Engine, Local

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST = 32  # bytes; the entropy of less is chance
FEWEST = 50  # rows that a group needs for a spread of its own
LEAST_SPREAD = 0.35  # bits a byte: noise lies 2.5 and more above text, so what is odd in a very even group is not noise yet

LOCAL = Local()

_WINDOW = 64  # bytes of a row that are judged together

_CLASSES = 128  # the 127 most frequent bytes, and all others in one
_REST = _CLASSES - 1
_SAMPLE, _SAMPLE_BYTES = 4096, 4096  # rows, and bytes of each, from which the frequent bytes are known
_CHUNK = 1 << 20  # bytes that are held at a time
_LONGEST = 1 << 20  # bytes of a row that are read
_GAP = b"\n\n"  # stands around each row: the context of its first byte


def noise_scores(rows: Sequence[bytes], groups: Sequence[str], engine: Engine = LOCAL) -> list[float]:
    """For each row, how many robust standard deviations (1.4826 MAD, 0.35 bits a byte at least) its entropy lies above its like's median.

    It is that of the row, or that of its window of 64 bytes at the lower third where this is lower: a row is noise where most of it is.

    rows: UTF-8, any bytes are taken; read twice, a chunk at a time. groups: the source of each row. Its like are the rows of the same
    source and language group; where these are fewer than 50, those of the language group. Rows that no language claims are
    counted to the largest group of their source, or judged among all. 0 for rows under 32 bytes, for those of a language of which the pool
    has fewer than 50, to which any other is strange, and for all where the pool has fewer than 50 longer ones.
    Raises SettingsError where rows and groups differ in number.
    """
    import numpy as np

    if len(rows) != len(groups):
        raise SettingsError(f"{len(rows)} rows, but the sources of {len(groups)}")
    entropies, thirds, languages = _measured(rows, engine)
    judged = np.flatnonzero(~np.isnan(entropies))
    scores = np.zeros(len(rows), dtype=np.float32)
    if len(judged) >= FEWEST:
        values = entropies[judged]
        sources, claimed = _numbered(groups)[judged], _numbered(languages)[judged]
        alike = _with_unclaimed(sources, claimed)
        median, spread = _robust_spread(values, (np.zeros_like(alike), alike, sources * (int(alike.max()) + 1) + alike))
        found = (np.minimum(values, np.maximum(thirds[judged], median)) - median) / spread
        scores[judged] = np.where((claimed > 0) & (np.bincount(claimed)[claimed] < FEWEST), 0.0, found)
    return [float(score) for score in scores]


class Alphabet(NamedTuple):
    """The class of each byte, (256,) uint8, and the bits that tell it from the others of its class, (256,) float32."""

    classes: NDArray[np.uint8]
    extra: NDArray[np.float32]


def frequent_bytes(rows: Sequence[bytes]) -> Alphabet:
    """The 127 most frequent bytes of a sample of rows get a class each, all others share the last."""
    import numpy as np

    step = max(1, len(rows) // _SAMPLE)
    sample = b"".join(rows[index][:_SAMPLE_BYTES] for index in range(0, len(rows), step))
    counts = np.bincount(np.frombuffer(sample, dtype=np.uint8), minlength=256) + 1.0
    order = np.argsort(-counts, kind="stable")
    classes = np.full(256, _REST, dtype=np.uint8)
    classes[order[:_REST]] = np.arange(_REST)
    extra = np.zeros(256, dtype=np.float32)
    others = order[_REST:]
    extra[others] = -np.log2(counts[others] / counts[others].sum())
    return Alphabet(classes, extra)


def surprise(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Bits of each trigram's last class after the two before it, (128^3,), from the counts of all trigrams, (128^3,).

    Witten-Bell interpolation with the bigrams and single classes. Each count is taken one lower, as if the text that is measured had not
    been counted: what stands in one row only, as most of a noise row does, is new.
    """
    import numpy as np

    triples = counts.reshape(_CLASSES, _CLASSES, _CLASSES).astype(np.float64)
    pairs = triples.sum(axis=0)
    singles = pairs.sum(axis=0)
    chance: NDArray[np.float64] = (singles + 1) / (singles.sum() + _CLASSES)
    for table in (pairs, triples):
        kinds = (table > 0).sum(axis=-1, keepdims=True)
        seen = np.maximum(table.sum(axis=-1, keepdims=True) - 1, 0)
        weight = np.maximum(kinds, 1)
        chance = (np.maximum(table - 1, 0) + weight * chance) / (seen + weight)
    return np.asarray(-np.log2(chance), dtype=np.float32).ravel()


def _measured(rows: Sequence[bytes], engine: Engine) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Bits a byte of each row and of its window at the lower third, (rows,), NaN where it is too short; and its language group."""
    import numpy as np

    alphabet = frequent_bytes(rows)
    counts = np.zeros(_CLASSES**3, dtype=np.int64)
    for chunk in _chunks(rows):
        counts += np.bincount(_trigrams(_joined(chunk), alphabet), minlength=_CLASSES**3)
    columns = engine.columns(partial(_row_measures, alphabet=alphabet, bits=surprise(counts)), rows)
    return columns["entropy"], columns["window"], columns["language"].tolist()


def _row_measures(rows: Sequence[bytes], *, alphabet: Alphabet, bits: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """`entropy` and `window`, (rows,) float32, NaN where a row is too short, and `language`, (rows,) its language group."""
    import numpy as np

    parts = [_entropies(chunk, alphabet, bits) for chunk in _chunks(rows)]
    entropies, thirds = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
    languages = np.array([language_group(row) for row in rows], dtype=object)
    return {"entropy": entropies.astype(np.float32), "window": thirds.astype(np.float32), "language": languages}


def _entropies(chunk: Sequence[bytes], alphabet: Alphabet, bits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bits a byte of each row, and of its window at the lower third, (2, rows)."""
    import numpy as np

    text = _joined(chunk)
    each = np.take(bits, _trigrams(text, alphabet))
    each += np.take(alphabet.extra, text[len(_GAP) :])
    sizes = np.array([len(row) for row in chunk])
    starts = np.cumsum(sizes + len(_GAP)) - len(_GAP) - sizes  # the first gap has no bits
    counts = np.maximum(sizes // _WINDOW, 1)
    row = np.repeat(np.arange(len(chunk)), counts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    total = np.concatenate([[0.0], np.cumsum(each, dtype=np.float64)])
    ends = [starts[row] + (number + step) * sizes[row] // counts[row] for step in (0, 1)]
    windows = (total[ends[1]] - total[ends[0]]) / np.maximum(ends[1] - ends[0], 1)
    third = windows[np.lexsort((windows, row))][np.cumsum(counts) - counts + counts // 3]
    whole = (total[starts + sizes] - total[starts]) / np.maximum(sizes, 1)
    return np.where(sizes >= SHORTEST, np.stack([whole, third]), np.nan)


def _chunks(rows: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Rows in order, cut to what is read of each, in lists of about `_CHUNK` bytes."""
    chunk: list[bytes] = []
    size = 0
    for row in rows:
        chunk.append(row[:_LONGEST])
        size += len(chunk[-1]) + len(_GAP)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _joined(chunk: Sequence[bytes]) -> NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(_GAP + _GAP.join(chunk) + _GAP, dtype=np.uint8)


def _trigrams(text: NDArray[np.uint8], alphabet: Alphabet) -> NDArray[np.int32]:
    """The number of the trigram that ends at each byte from the third on, in 128^3."""
    import numpy as np

    classes = np.take(alphabet.classes, text)
    trigrams = classes[:-2].astype(np.int32)
    for later in (classes[1:-1], classes[2:]):  # in place: half the time of one expression
        trigrams <<= 7
        trigrams |= later
    return trigrams


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """Each name's number in order of appearance; that of UNCLAIMED is 0."""
    import numpy as np

    numbers = {UNCLAIMED: 0}
    return np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), dtype=np.int64, count=len(names))


def _with_unclaimed(sources: NDArray[np.int64], languages: NDArray[np.int64]) -> NDArray[np.int64]:
    """The languages, where the unclaimed rows of a source are counted to its largest group if that is not smaller than they are.

    Sources too small for a group of their own are taken together.
    """
    import numpy as np

    large = np.bincount(sources)[sources] >= FEWEST
    home = np.where(large, sources, -1)
    tally = Counter(zip(home.tolist(), languages.tolist(), strict=True))
    largest: dict[int, tuple[int, int]] = {}
    for (source, language), count in tally.items():
        if language and count > largest.get(source, (0, 0))[0]:
            largest[source] = (count, language)
    result = languages.copy()
    for source, (count, language) in largest.items():
        if count >= tally[source, 0]:
            result[(home == source) & (languages == 0)] = language
    return result


def _robust_spread(values: NDArray[np.float32], groupings: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and 1.4826 MAD among the rows of the same number in the last, finest grouping in which they are enough."""
    import numpy as np

    median, spread = np.zeros_like(values), np.ones_like(values)
    for numbers in groupings:
        order = np.argsort(numbers, kind="stable")
        _, starts, counts = np.unique(numbers[order], return_index=True, return_counts=True)
        enough = counts >= FEWEST
        for start, count in zip(starts[enough], counts[enough], strict=True):
            members = order[start : start + count]
            middle = np.median(values[members])
            median[members] = middle
            spread[members] = max(1.4826 * float(np.median(np.abs(values[members] - middle))), LEAST_SPREAD)
    return median, spread
