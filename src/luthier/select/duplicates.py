"""Rows that say again what is said elsewhere: the same text, nearly the same text, or a part of a file that must not be trained on.

Only hashes and signatures are kept of the rows, never the texts; a pool may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, SettingsError
from luthier.records import read_rows
from luthier.records.account import note
from luthier.select.pool import PoolPart
from luthier.select.replica import Engine, Local
from luthier.select.rows import row_text
from luthier.texts.grams import GRAM, SHORTEST_INSIDE, gram_hashes, normalised_words, signed_words, word_hashes
from luthier.texts.minhash import SIZE, first_twins, jaccard, signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SPACE = re.compile(r"\s*\n([^\S\n]+)(?=\S)|\s+")
SHINGLE = 3  # words
SHARED_BY = 20  # rows that begin with the same words: an instruction, and no text that is said again
DIGEST = 16  # bytes
LOCAL = Local()


def exact_duplicates(rows: Sequence[bytes], engine: Engine = LOCAL) -> dict[int, int]:
    """Index of each row whose text an earlier row has, and of the earliest such row; white space and letter case aside.

    Rows without text are no duplicates. Keeps 17 bytes a row.
    """
    import numpy as np

    columns = engine.columns(digests, rows)
    places = np.flatnonzero(columns["text"])
    values = np.ascontiguousarray(columns["digest"][places]).view(np.dtype((np.void, DIGEST))).ravel()
    _, first, number = np.unique(values, return_index=True, return_inverse=True)
    earliest = first[number]
    repeats = np.flatnonzero(earliest < np.arange(len(values)))
    return dict(zip(places[repeats].tolist(), places[earliest[repeats]].tolist(), strict=True))


def _spaced(text: str) -> str:
    """A text with its white space as single blanks; where a line is indented, how far: programs differ by that."""
    return _SPACE.sub(lambda found: f"\n{found[1]}" if found[1] else " ", text.strip())


def digests(rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """`digest`, (rows, 16) uint8, equal for equal texts, and `text`, (rows,) bool: whether there is any."""
    import numpy as np

    texts = [_spaced(_text(row)).casefold() for row in rows]
    packed = b"".join(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=DIGEST).digest() for text in texts)
    return {
        "digest": np.frombuffer(packed, dtype=np.uint8).reshape(-1, DIGEST),
        "text": np.array([bool(text) for text in texts], dtype=bool),
    }


def near_duplicates(rows: Sequence[bytes], threshold: float = 0.8, skip: Container[int] = (), engine: Engine = LOCAL) -> dict[int, int]:
    """Index of each row that nearly repeats an earlier kept row, and of the earliest such row.

    threshold: Jaccard index of the runs of three words, above 0 and at most 1, from which rows count as near-duplicates; it is exact
    for every pair that is found. Of the pairs just at the threshold one in a thousand may be missed. skip: rows that neither match nor
    are matched, as are rows without words. What many rows have in common says nothing of one: system turns, and the beginning that
    `SHARED_BY` rows share, an instruction above their inputs, are left out, and signs count as words (`signed_words`).
    Keeps 0.7 kB a row. Raises SettingsError.
    """
    import numpy as np

    if not 0 < threshold <= 1:
        raise SettingsError(f"the Jaccard index of near-duplicates is {threshold}; it lies above 0 and at 1 at most")
    columns = engine.columns(signatures, rows)
    words = OwnWords(_shared_heads(columns["heads"], skip))
    under = np.flatnonzero(np.isin(columns["heads"], list(words.shared)).any(axis=1)).tolist() if words.shared else []
    if under:  # read again, without what they begin with
        columns["signature"][under] = engine.columns(words.signatures, PoolPart(rows, under))["signature"]
    places = [index for index in np.flatnonzero(columns["words"]).tolist() if index not in skip]

    @lru_cache(maxsize=1024)
    def shingles(at: int) -> frozenset[int]:
        return frozenset(_shingles(words.of(rows[places[at]])).tolist())

    twins = first_twins(
        columns["signature"][places], threshold, lambda later, earlier: jaccard(shingles(later), shingles(earlier)) >= threshold
    )
    return {places[later]: places[earlier] for later, earlier in twins.items()}


def signatures(rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """`signature`, (rows, 128) uint32, the MinHash of each row's runs of three words, `words`, (rows,) bool: whether there are any, and `heads`,
    (rows, sizes) uint32: a hash of its first words for each of `_HEADS` that leaves some over, 0 for the others."""
    import numpy as np

    columns = {
        "signature": np.zeros((len(rows), SIZE), dtype=np.uint32),
        "words": np.zeros(len(rows), dtype=bool),
        "heads": np.zeros((len(rows), len(_HEADS)), dtype=np.uint32),
    }
    for index, row in enumerate(rows):
        if words := _words_without_system(row):
            hashes = word_hashes(words)
            columns["words"][index] = True
            columns["signature"][index] = signature(gram_hashes(hashes, min(SHINGLE, len(words))))
            found = _heads(hashes)
            columns["heads"][index, : len(found)] = found
    return columns


def _heads(words: NDArray[np.uint64]) -> list[int]:
    """A hash of the first words for each of `_HEADS` that leaves some over, in their order."""
    import numpy as np

    ends = [size - 1 for size in _HEADS if size <= len(words) - SHINGLE]
    if not ends:
        return []
    first = words[: ends[-1] + 1]
    powers = np.full(len(first), _FACTOR, dtype=np.uint64).cumprod()  # modulo 2**64, as is the sum
    sums = (first * powers).cumsum()[ends]
    found: list[int] = (sums >> np.uint64(32)).tolist()  # the bits that depend on all words
    return found


def _shared_heads(made: NDArray[np.uint32], skip: Container[int]) -> frozenset[int]:
    """The heads that `SHARED_BY` rows have, without the rows to skip. made: (rows, sizes)."""
    import numpy as np

    kept = made[[index not in skip for index in range(len(made))]]
    shared: set[int] = set()
    for column in kept.T:
        values, counts = np.unique(column[column > 0], return_counts=True)
        shared.update(values[counts >= SHARED_BY].tolist())
    return frozenset(shared)


@dataclass(frozen=True)
class OwnWords:
    """What a row alone says. shared: hashes of the beginnings that say nothing, of `_HEADS` words each."""

    shared: frozenset[int]

    def of(self, row: bytes) -> tuple[str, ...]:
        """Its words without its system turns, or with them where there is nothing else, and without the longest shared beginning."""
        words = _words_without_system(row)
        if self.shared:
            known = [size for size, head in zip(_HEADS, _heads(word_hashes(words)), strict=False) if head in self.shared]
            words = words[known[-1] :] if known else words
        return words

    def signatures(self, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        """`signature`, (rows, 128) uint32: the MinHash of what each row alone says in runs of three words."""
        import numpy as np

        return {"signature": np.array([signature(_shingles(self.of(row))) for row in rows], dtype=np.uint32).reshape(-1, SIZE)}


def repeats_of(rows: Sequence[bytes], paths: Sequence[str]) -> dict[int, str]:
    """Index of each row that repeats a row of the files, and what it repeats: "shares 13 words with FILE:LINE".

    A row repeats 13 words in sequence, or a whole shorter text of at least 8; case and punctuation aside, and turn by turn where the
    file has conversations. System prompts are left out: many rows have the same. paths: any format that `read_rows` takes.
    Raises MissingFileError, and BadRowError with file and line.
    """
    known = _known_grams(paths)
    found = {}
    for index, row in enumerate(rows):
        place = _first_place(word_hashes(normalised_words(_text(row))), known, paths)
        if place is not None:
            found[index] = place
    return found


def clusters(near: Mapping[int, int]) -> list[list[int]]:
    """The rows that belong together, kept row first, the largest cluster first. near: index of a later row to that of an earlier one."""
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(near):
        first = near[index]
        while first in near:
            first = near[first]
        members[first].append(index)
    return sorted(([first, *others] for first, others in members.items()), key=lambda rows: (-len(rows), rows[0]))


class _Grams(NamedTuple):
    """Sorted hashes of runs of `size` words, and where each stands first: number of the file, line; all (grams,)."""

    size: int
    hashes: NDArray[np.uint64]
    file: NDArray[np.int32]
    line: NDArray[np.int64]


def _known_grams(paths: Sequence[str]) -> list[_Grams]:
    import numpy as np

    found: dict[int, list[tuple[NDArray[np.uint64], int, int]]] = defaultdict(list)
    for file, path in enumerate(paths):
        for line, text in _texts(path):
            words = word_hashes(normalised_words(text))
            size = min(len(words), GRAM)
            if size >= SHORTEST_INSIDE:
                found[size].append((gram_hashes(words, size), file, line))
    known = []
    for size, places in sorted(found.items(), reverse=True):
        counts = [len(hashes) for hashes, _, _ in places]
        hashes, first = np.unique(np.concatenate([hashes for hashes, _, _ in places]), return_index=True)
        files = np.repeat(np.array([file for _, file, _ in places], dtype=np.int32), counts)
        lines = np.repeat(np.array([line for _, _, line in places], dtype=np.int64), counts)
        known.append(_Grams(size, hashes, files[first], lines[first]))
    return known


def _texts(path: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every turn of the file but the system's."""
    for line, row in read_rows(Path(path)):
        try:
            text = row_text(row)
        except BadRowError as error:
            texts = list(_strings(row))
            if not texts:
                raise error.at(path, line) from None
            note("understood", "rows to leave out that are no conversations, each text in them", path, line)
            yield from ((line, said) for said in texts)
            continue
        before, *turns = _TURN.split(text)
        for role, said in [("", before), *zip(turns[::2], turns[1::2], strict=True)]:
            if role != "system":
                yield line, said


def _strings(value: Any) -> Iterator[str]:
    """The texts in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _first_place(hashes: NDArray[np.uint64], known: Sequence[_Grams], paths: Sequence[str]) -> str | None:
    import numpy as np

    for grams in known:
        asked = gram_hashes(hashes, grams.size)
        at = np.minimum(np.searchsorted(grams.hashes, asked), len(grams.hashes) - 1)
        hits = np.flatnonzero(grams.hashes[at] == asked)
        if len(hits):
            place = at[hits[0]]
            return f"shares {grams.size} words with {paths[grams.file[place]]}:{grams.line[place]}"
    return None


def _words_without_system(row: bytes) -> tuple[str, ...]:
    text = _text(row)
    if "system: " not in text:
        return signed_words(text)
    before, *turns = _TURN.split(text)
    own = [said for role, said in zip(turns[::2], turns[1::2], strict=True) if role != "system"]
    return signed_words("\n".join([before, *own])) or signed_words(text)


def _shingles(words: Sequence[str]) -> NDArray[np.uint64]:
    """Hashes of the runs of three words, or of the whole where it is shorter."""
    return gram_hashes(word_hashes(words), min(SHINGLE, len(words)))


def _text(row: bytes) -> str:
    return row.decode("utf-8", "replace")


_FACTOR = 0x9E3779B97F4A7C15  # odd, so that no bit is lost
_HEADS = tuple(sorted({round(24 * 1.12**step) for step in range(44)}))  # words, to 3,100: at most an eighth of an instruction is left
_TURN = re.compile(r"(?m)^(system|user|assistant|tool): ")  # as row_text writes them
